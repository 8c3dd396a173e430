"""What ends a run: every part raises its own kind of `BenchError`, and the command prints its words."""


class BenchError(Exception):
    """A figure could not be measured."""
