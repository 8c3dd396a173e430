"""What the checks of a version found, one after the other."""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from google.protobuf.text_format import ParseError

from bentos.errors import DetectionError
from scripts.models.errors import ModelsError

FINDINGS: Final = (ModelsError, DetectionError, OSError, ValueError, KeyError, ParseError)
"""What is raised where a version is not as it should be."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at, and what was found."""

    name: str
    passed: bool
    detail: str


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds of `calls` calls one after the other, of `batch` rows each, answered by the second Triton."""

    batch: int
    calls: int
    median_ms: float
    p95_ms: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of a version. `memory_mb` is what Triton has less (PSS, MiB) when the model is unloaded.

    A check that rests on one that failed is left out, so `checks` can be fewer than of a version that passes.
    """

    model: str
    version: int
    digest: str
    passed: bool
    checks: tuple[Check, ...]
    latency: tuple[Latency, ...] = ()
    memory_mb: float | None = None

    @property
    def failures(self) -> tuple[str, ...]:
        """What speaks against the version, in sentences."""
        return tuple(f"{check.name}: {check.detail}" for check in self.checks if not check.passed)


class FailedError(Exception):
    """A check failed; those that rest on it make no sense."""


class Book:
    """The checks so far."""

    def __init__(self) -> None:
        self.checks: list[Check] = []

    def look(self, name: str, find: Callable[[], str]) -> None:
        """Note what `find` says. Raises `FailedError` where it raises one of the errors of a version."""
        try:
            detail = find()
        except FINDINGS as error:
            self.fail(name, error)
        else:
            self.checks.append(Check(name=name, passed=True, detail=detail))

    async def look_async(self, name: str, finding: Awaitable[str]) -> None:
        """As `look`, of what is still to be awaited."""
        try:
            detail = await finding
        except FINDINGS as error:
            self.fail(name, error)
        else:
            self.checks.append(Check(name=name, passed=True, detail=detail))

    def fail(self, name: str, error: Exception) -> None:
        """Note a failure. Raises `FailedError`."""
        self.checks.append(Check(name=name, passed=False, detail=str(error) or type(error).__name__))
        raise FailedError from error
