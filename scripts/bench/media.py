"""The long media: one video and one sound file through Bonafide and through the comparison server, seconds each."""

import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any, Final

import httpx
import msgspec

from scripts.bench.errors import BenchError

TIMEOUT_S: Final = 600.0


class NoVerdictError(BenchError):
    """A server answered without a verdict."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds from sending a medium to having the answer; medians over the rounds. `ours` is what we answered."""

    title: str
    megabytes: float
    theirs_s: float
    ours_s: float
    ours: dict[str, Any]

    @property
    def speedup(self) -> float:
        """How many times faster ours is."""
        return self.theirs_s / self.ours_s


def compare(title: str, file: Path, *, theirs: str, ours: str, key: str, rounds: int) -> Comparison:
    """Send `file` to both addresses in turn, `rounds` times.

    Raises:
        NoVerdictError: One of them gave no verdict.
    """
    theirs_s: list[float] = []
    ours_s: list[float] = []
    evidence: dict[str, Any] = {}
    for _ in range(rounds):
        seconds, evidence = send(ours, file, {"x-api-key": key}, verdict="verdict")
        ours_s.append(seconds)
        seconds, _ = send(theirs, file, {}, verdict="prediction")
        theirs_s.append(seconds)
    return Comparison(
        title=title,
        megabytes=round(file.stat().st_size / 1e6, 1),
        theirs_s=median(theirs_s),
        ours_s=median(ours_s),
        ours=evidence,
    )


def send(url: str, file: Path, headers: Mapping[str, str], *, verdict: str) -> tuple[float, dict[str, Any]]:
    """Post one file, streamed from disk; seconds until the whole answer is there, and the answer.

    Raises:
        NoVerdictError: The status is not 2xx or the field `verdict` is missing.
    """
    with file.open("rb") as content:
        started = time.perf_counter()
        response = httpx.post(url, files={"file": (file.name, content)}, headers=dict(headers), timeout=TIMEOUT_S)
        seconds = time.perf_counter() - started
    if not response.is_success or verdict not in response.json():
        raise NoVerdictError(f"{url} answered {response.status_code}: {response.text[:300]}")
    return seconds, response.json()
