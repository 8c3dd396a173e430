"""What was tried to run a model faster, as JSON and as Markdown; both lie beside the model's `config.pbtxt`."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from scripts.models.trials import Optimised, Trial

JSON_FILE: Final = "optimised.json"
TEXT_FILE: Final = "optimised.md"

HEADS: Final = (
    "version",
    "precision",
    "instances",
    "threads",
    "preferred",
    "delay ms",
    "answers/s",
    "p50 ms",
    "p95 ms",
)


def cells(trial: Trial) -> tuple[str, ...]:
    """A trial as the cells of a table under `HEADS`."""
    tuning = trial.tuning
    return (
        str(trial.version),
        trial.precision,
        str(tuning.instances),
        str(tuning.threads),
        ", ".join(map(str, tuning.preferred)) or "any",
        f"{tuning.delay_us / 1000:g}",
        f"{trial.throughput:.1f}",
        f"{trial.p50_ms:.1f}",
        f"{trial.p95_ms:.1f}" + ("" if trial.within else " (over)"),
    )


def sentence(found: Optimised) -> str:
    """What came of it, in a sentence or two."""
    name = f"{found.model}:{found.version}"
    if found.best is None:
        text = f"Nothing that was tried serves {name} better than what config.pbtxt says: {found.before.tuning}."
    else:
        gain = found.best.throughput / found.before.throughput if found.before.throughput else float("inf")
        text = (
            f"{name} is served best by {found.best.tuning}: {found.best.throughput:.1f} answers a second, "
            f"{gain:.2f} times as many as before, with a p95 of {found.best.p95_ms:.0f} ms."
        )
    mine = found.best or found.before
    if found.fastest.version != found.version and found.fastest.within and found.fastest.throughput > mine.throughput:
        text += (
            f" Version {found.fastest.version} ({found.fastest.precision}) gives {found.fastest.throughput:.1f} with "
            f"{found.fastest.tuning}: roll it out and optimise it."
        )
    return text if found.complete else f"{text} It was stopped before everything was tried."


def render(found: Optimised) -> dict[str, bytes]:
    """The report's files by name."""
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    command = f"bonafide models optimise {found.model}:{found.version} --p95-ms {found.p95_ms:g}"
    lines = [
        f"# {found.model}: what was tried to serve it faster",
        "",
        f"Measured {moment} on {os.cpu_count()} cores by `{command} --callers {found.callers}`.",
        "",
        sentence(found),
        "",
        _row(HEADS),
        _row(["---:"] * len(HEADS)),
        *(_row(cells(trial)) for trial in found.trials),
        "",
        "Settings that stand several times took turns at the end; their medians decide.",
    ]
    data = {"measured": moment, "cores": os.cpu_count(), **msgspec.to_builtins(found)}
    return {
        JSON_FILE: msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n",
        TEXT_FILE: ("\n".join(lines) + "\n").encode(),
    }


def _row(values: Sequence[str]) -> str:
    return "| " + " | ".join(values) + " |"
