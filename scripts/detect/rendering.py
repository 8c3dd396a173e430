"""How verdicts look on a terminal and as JSON."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from scripts.detect.outcomes import Outcome

COLOURS: Final = {"REAL": "green", "FAKE": "red", "UNCERTAIN": "yellow"}


def as_table(outcomes: Sequence[Outcome]) -> Group:
    """One row a file: verdict, confidence in percent, the model version; below, what to know of single files."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("file", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    table.add_column("confidence", justify="right", no_wrap=True)
    table.add_column("model", no_wrap=True)
    for outcome in outcomes:
        table.add_row(Text(outcome.source.label), *_cells(outcome))
    notes = [Text(note, style="dim") for outcome in outcomes for note in _notes(outcome)]
    return Group(table, *([Text(), *notes] if notes else []))


def _cells(outcome: Outcome) -> tuple[Text, str, str]:
    detection = outcome.detection
    if detection is None:
        return Text("no verdict", style="bold"), "", ""
    return (
        Text(str(detection.verdict), style=COLOURS.get(str(detection.verdict), "")),
        f"{detection.confidence:.2f} %",
        f"{detection.model}:{detection.version}",
    )


def _notes(outcome: Outcome) -> Iterator[str]:
    label, detection = outcome.source.label, outcome.detection
    if detection is None:
        yield f"{label}: {outcome.message} ({outcome.code})"
        return
    for reason in (*detection.reasons, *detection.unscored):
        yield f"{label}: {reason.message} ({reason.code})"


def as_record(outcome: Outcome) -> dict[str, Any]:
    """The gateway's answer with the file's label, or the label with `error: {code, message}`."""
    if outcome.detection is not None:
        return {"file": outcome.source.label, **outcome.detection.to_dict()}
    return {"file": outcome.source.label, "error": {"code": outcome.code, "message": outcome.message}}
