"""Runs the load generator against one server and reads that server's CPU time over exactly the generator's window."""

import subprocess
import sys
from collections.abc import Callable
from typing import IO

import msgspec

from scripts.bench.errors import BenchError
from scripts.bench.figures import Round
from scripts.bench.load import Job, Report
from scripts.bench.resources import Groups, cpu_seconds, spent


class LoadFailedError(BenchError):
    """The load generator ended without a report, or calls failed."""


class _Event(msgspec.Struct):
    event: str
    report: Report | None


BatchCounter = Callable[[], tuple[int, int]]
"""Reads how many inferences and how many batches Triton has run so far."""


def measure(job: Job, groups: Groups, *, batches: BatchCounter | None = None) -> Round:
    """One round of `job` against the server whose processes are `groups`.

    Raises:
        LoadFailedError: A call failed, or the generator did.
    """
    command = [sys.executable, "-m", "scripts.bench.load"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as generator:
        try:
            assert generator.stdin is not None  # noqa: S101 - asked for above
            assert generator.stdout is not None  # noqa: S101 - asked for above
            generator.stdin.write(msgspec.json.encode(job))
            generator.stdin.close()
            _expect(generator.stdout, "measuring")
            cpu_before, batches_before = cpu_seconds(groups), batches() if batches else (0, 0)
            _expect(generator.stdout, "measured")
            cpu_s, batches_after = spent(cpu_before, cpu_seconds(groups)), batches() if batches else (0, 0)
            report = _expect(generator.stdout, "report").report
        finally:
            generator.kill()
    if report is None or report.failed:
        raise LoadFailedError(
            f"{report.failed} calls failed, the first with {report.first_failure}" if report else "no report"
        )
    if not report.latencies_s:
        raise LoadFailedError("no call was answered in time")
    executions = batches_after[1] - batches_before[1]
    return Round(
        seconds=report.seconds,
        latencies_s=report.latencies_s,
        cpu_s=cpu_s,
        generator_cpu_s=report.cpu_s,
        mean_batch=(batches_after[0] - batches_before[0]) / executions if executions else None,
        steps_ms=report.steps_ms or None,
    )


def _expect(output: IO[bytes], event: str) -> _Event:
    """The next line, which must be `event`; the generator bounds its own times, so a line or the end always comes."""
    line = output.readline()
    if not line:
        raise LoadFailedError("the load generator ended early; its output says why")
    found = msgspec.json.decode(line, type=_Event)
    if found.event != event:
        raise LoadFailedError(f"expected {event}, the load generator said {found.event}")
    return found
