"""How verdicts look on a terminal and as JSON."""

from collections.abc import Sequence
from typing import Any, Final

from rich.table import Table

from scripts.detect.client import Outcome

_COLOURS: Final = {"REAL": "green", "FAKE": "red", "UNCERTAIN": "yellow"}


def as_table(outcomes: Sequence[Outcome]) -> Table:
    """One row a file: verdict, confidence in percent, p_fake, the model version, and what to know of it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("file", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    table.add_column("confidence", justify="right")
    table.add_column("p_fake", justify="right")
    table.add_column("model", no_wrap=True)
    table.add_column("notes", overflow="fold")
    for outcome in outcomes:
        detection = outcome.detection
        if detection is None:
            table.add_row(
                outcome.source.label, "[bold]no verdict[/]", "", "", "", f"{outcome.message} ({outcome.code})"
            )
            continue
        verdict = str(detection["verdict"])
        notes = [reason["message"] for reason in [*detection["reasons"], *detection["unscored"]]]
        table.add_row(
            outcome.source.label,
            f"[{_COLOURS.get(verdict, 'white')}]{verdict}[/]",
            f"{detection['confidence']:.2f} %",
            f"{detection['p_fake']:.4f}",
            f"{detection['model']}:{detection['version']}",
            " ".join(notes),
        )
    return table


def as_record(outcome: Outcome) -> dict[str, Any]:
    """The gateway's answer with the file's label, or the label with `error: {code, message}`."""
    if outcome.detection is not None:
        return {"file": outcome.source.label, **outcome.detection}
    return {"file": outcome.source.label, "error": {"code": outcome.code, "message": outcome.message}}
