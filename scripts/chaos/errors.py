"""What ends a run before it has its figures: a part did not start, or the platform answered what it never should."""


class ChaosError(Exception):
    """The run could not be done."""
