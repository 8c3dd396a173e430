"""The results of a run as Markdown: what is printed, and what goes into the documentation."""

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil

from scripts.bench.figures import Summary
from scripts.bench.history import FEW, OperationCost
from scripts.bench.long import LongRun
from scripts.bench.media import Comparison
from scripts.bench.sign_in import SignInTimes
from scripts.bench.streams import StreamTimes
from scripts.bench.targets import Outcome
from scripts.bench.uploads import MEGABYTE, UploadRun


class Results(msgspec.Struct, kw_only=True):
    """Everything a run measured; parts that were left out are empty. `figures` holds the ratios and single numbers."""

    started: str
    machine: dict[str, Any]
    settings: dict[str, Any]
    image: list[Summary] = []
    control: list[Summary] = []
    history: list[OperationCost] = []
    sign_in: SignInTimes | None = None
    streams: StreamTimes | None = None
    long: list[LongRun] = []
    uploads: list[UploadRun] = []
    figures: dict[str, float] = {}
    precision: list[Summary] = []
    media: list[Comparison] = []
    memory: dict[str, float] = {}
    outcomes: list[Outcome] = []


def describe_machine() -> dict[str, Any]:
    """What the figures were measured on."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": platform.system() + " " + platform.release(),
        "python": platform.python_version(),
    }


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; every column but the first is aligned right."""
    rule = ["---", *("---:" for _ in heads[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, rule, *rows))


def render(results: Results) -> str:
    """The whole report."""
    machine = results.machine
    cores = f"{machine['cores']} cores ({machine['processor']})"
    parts = [f"Measured {results.started} on {cores}, {machine['memory_gb']} GB, Python {machine['python']}."]
    parts += _of_load(results)
    if results.history:
        parts.append(_history_table(results.history, results.settings["rows"]))
    parts += _of_gateway_alone(results)
    if results.long:
        parts.append(_long_table(results.long))
    if results.uploads:
        parts.append(_upload_table(results.uploads))
    if results.media:
        parts.append(_media_table(results.media))
    if results.memory:
        parts.append(table(("memory, PSS", "MB"), [(name, f"{value:.0f}") for name, value in results.memory.items()]))
    if results.figures:
        parts.append(table(("figure", "value"), [(name, f"{value:.3g}") for name, value in results.figures.items()]))
    if results.outcomes:
        parts.append(_outcome_table(results.outcomes))
    return "\n\n".join(part for part in parts if part) + "\n"


def _of_load(results: Results) -> list[str]:
    """What callers who wait for each answer were given, and what it cost."""
    parts: list[str] = []
    if results.image:
        parts += [_image_table(results.image), _steps(results.image)]
    if results.control:
        parts += [_image_table(results.control), _control_steps(results.control)]
    if results.precision:
        parts.append(_image_table(results.precision))
    return parts


def _of_gateway_alone(results: Results) -> list[str]:
    """What is measured at a gateway without the rest of the platform."""
    parts: list[str] = []
    if results.sign_in:
        parts.append(_sign_in_table(results.sign_in))
    if results.streams:
        parts.append(_streams_table(results.streams))
    return parts


def _image_table(summaries: Sequence[Summary]) -> str:
    heads = (
        "side",
        "callers",
        "req/s",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "CPU ms/req",
        "generator CPU ms/req",
        "mean batch",
    )
    rows = [
        (
            each.side,
            str(each.callers),
            f"{each.throughput:.1f}",
            f"{each.p50_ms:.1f}",
            f"{each.p95_ms:.1f}",
            f"{each.p99_ms:.1f}",
            f"{each.cpu_ms:.1f}",
            f"{each.generator_cpu_ms:.2f}",
            "-" if each.mean_batch is None else f"{each.mean_batch:.2f}",
        )
        for each in summaries
    ]
    return table(heads, rows)


def _steps(summaries: Sequence[Summary]) -> str:
    """Where the time and the CPU of one of our requests go."""
    ours = [each for each in summaries if len(each.cpu_ms_by_group) > 1]
    if not ours:
        return ""
    groups = sorted({group for each in ours for group in each.cpu_ms_by_group})
    steps = sorted({step for each in ours for step in each.steps_ms})
    heads = ("per request", *(f"{each.callers} callers" for each in ours))
    rows = [(f"CPU ms, {group}", *(f"{each.cpu_ms_by_group[group]:.2f}" for each in ours)) for group in groups]
    rows += [(step, *(f"{each.steps_ms.get(step, 0.0):.2f}" for each in ours)) for step in steps]
    return table(heads, rows)


def _control_steps(summaries: Sequence[Summary]) -> str:
    """Which part of the control plane takes the CPU of one request."""
    groups = sorted({group for each in summaries for group in each.cpu_ms_by_group})
    rows = [(each.side, *(f"{each.cpu_ms_by_group[group]:.2f}" for group in groups)) for each in summaries]
    return table(("CPU ms per request", *groups), rows)


def _history_table(history: Sequence[OperationCost], many: int) -> str:
    few, some = f"{FEW:,} rows", f"{many:,} rows"
    heads = ("milliseconds", f"p50, {few}", f"p50, {some}", f"p95, {few}", f"p95, {some}", "ratio of p95")
    rows = [
        (
            each.operation,
            *(f"{ms:.2f}" for ms in (each.few_p50_ms, each.many_p50_ms, each.few_p95_ms, each.many_p95_ms)),
            f"{each.ratio:.2f}",
        )
        for each in history
    ]
    return table(heads, rows)


def _sign_in_table(times: SignInTimes) -> str:
    heads = ("failed logins", "p50 ms", "p95 ms")
    rows = [
        ("known e-mail", f"{times.known_p50_ms:.2f}", f"{times.known_p95_ms:.2f}"),
        ("unknown e-mail", f"{times.unknown_p50_ms:.2f}", f"{times.unknown_p95_ms:.2f}"),
    ]
    conclusion = (
        f"Over {times.tries} tries the medians are as {times.ratio:.3f} to 1, and a known e-mail took longer than an "
        f"unknown one in {times.slower:.1%} of all pairs; 50 % would tell nothing."
    )
    return f"{table(heads, rows)}\n\n{conclusion}"


def _upload_table(runs: Sequence[UploadRun]) -> str:
    heads = ("upload to a signed address", "MB", "sending s", "checking s", "growth of the gateway MB")
    rows = [
        (
            run.title,
            f"{run.size / MEGABYTE:.0f}",
            f"{run.sending_s:.1f}",
            f"{run.checking_s:.1f}",
            f"{run.growth_mb:+.1f}",
        )
        for run in runs
    ]
    return table(heads, rows)


def _long_table(runs: Sequence[LongRun]) -> str:
    heads = ("minutes of video", "frames", "seconds", "CPU s", "CPU ms/frame", "peak MB", "growth MB", "lines")
    rows = [
        (
            str(run.minutes),
            str(run.frames),
            f"{run.seconds:.1f}",
            f"{run.cpu_s:.1f}",
            f"{1000 * run.cpu_s / run.frames:.2f}",
            f"{run.peak_mb:.0f}",
            f"{run.slope_mb:+.1f}",
            str(run.lines),
        )
        for run in runs
    ]
    return table(heads, rows)


def _streams_table(times: StreamTimes) -> str:
    heads = (f"{times.streams:,} open streams, {times.events:,} events", "")
    rows = [
        ("memory of the gateway a stream (PSS)", f"{times.kib_per_stream:.0f} KiB"),
        ("opening them all", f"{times.opened_s:.1f} s"),
        *(
            (f"from an event's commit to its receipt, {name}", f"{value:.1f} ms")
            for name, value in (("p50", times.p50_ms), ("p95", times.p95_ms), ("p99", times.p99_ms))
        ),
        ("an event for every one at once, until the last receipt", f"{times.burst_ms:.0f} ms"),
        ("connections to Postgres, before and with them", f"{times.connections_before} and {times.connections}"),
        ("of them listening", f"{times.listening}"),
    ]
    return table(heads, rows)


def _media_table(media: Sequence[Comparison]) -> str:
    heads = ("medium", "MB", "Keras server s", "Bonafide s", "times faster")
    rows = [
        (each.title, f"{each.megabytes:.1f}", f"{each.theirs_s:.2f}", f"{each.ours_s:.2f}", f"{each.speedup:.1f}")
        for each in media
    ]
    return table(heads, rows)


def _outcome_table(outcomes: Sequence[Outcome]) -> str:
    rows = [
        (
            each.target.title,
            f"{each.target.comparison} {each.target.bound:g} {each.target.unit}",
            f"{each.measured:.3g} {each.target.unit}",
            "reached" if each.reached else "**not reached**",
        )
        for each in outcomes
    ]
    return table(("target", "bound", "measured", ""), rows)
