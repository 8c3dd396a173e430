"""Every code that an error may carry, read from the tree of errors."""

from collections.abc import Iterator

from gateway.errors import GatewayError


def every_error(root: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    """The class and all below it, each before those below it."""
    yield root
    for one in root.__subclasses__():
        yield from every_error(one)


def every_code() -> list[str]:
    """The codes of the classes, in their order; a class may be raised with a more special one."""
    return list(dict.fromkeys(one.code for one in every_error()))
