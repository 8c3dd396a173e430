"""What an evaluation says: one record, as JSON for machines and as Markdown for people."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from bentos.contract import Thresholds
from scripts.models.evaluation.figures import Confusion, Interval, Slice
from scripts.models.evaluation.judging import Unjudged

PLOTS: Final = {
    "roc": "Receiver operating characteristic",
    "det": "Detection error trade-off",
    "reliability": "Reliability: what the score says against what was true",
    "histogram": "Scores of genuine media and of fakes",
}
MOST_LISTED: Final = 50
NO_WIDTH: Final = (
    "An interval without width says that no resample held an error: an error rate of up to {percent} % can still be"
    ' behind it (the rule of three; Hanley & Lippman-Hand, 1983, "If nothing goes wrong, is everything all right?").'
)

NAMES: Final = {
    "auc": "Area under the ROC curve",
    "eer": "Equal error rate",
    "brier": "Brier score",
    "ece": "Expected calibration error, 15 bins",
    "accuracy": "Accuracy at 0.5",
    "accuracy_at_low": "Accuracy at the threshold `low`",
    "accuracy_at_high": "Accuracy at the threshold `high`",
    "false_positive_rate": "Genuine media called FAKE",
    "false_negative_rate": "Fakes called REAL",
    "uncertain": "Media called UNCERTAIN",
    "fpr_at_tpr_95": "Genuine media accused where 95 % of fakes are found",
    "tpr_at_fpr_1": "Fakes found where 1 % of genuine media are accused",
    "tpr_at_fpr_5": "Fakes found where 5 % of genuine media are accused",
}


class SetInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The set: its name, how many genuine media and fakes of it were judged, and what tells it from another."""

    name: str
    real: int
    fake: int
    digest: str


class Speed(msgspec.Struct, frozen=True, kw_only=True):
    """Media a second with `at_once` calls at once, and milliseconds of a call and of inference in it."""

    at_once: int
    media_per_s: float
    median_ms: float
    p95_ms: float
    inference_median_ms: float


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Media a second with `at_once` calls at once, and milliseconds of a call and of inference in it."""

    model: str
    version: int
    digest: str
    created: str
    set: SetInfo
    thresholds: Thresholds
    figures: dict[str, Interval]
    bootstrap: str
    confusion: Confusion
    slices: tuple[Slice, ...]
    unjudged: tuple[Unjudged, ...]
    speed: Speed
    partial: int = 0


def to_markdown(report: Evaluation, *, plots: bool = True) -> str:
    """The report for people; `plots`: with the pictures that lie beside it."""
    made = report.set
    lines = [
        f"# {report.model}:{report.version} on {made.name}",
        "",
        f"{made.real} genuine media and {made.fake} fakes, judged on {report.created[:10]} through Bento and Triton.",
        f"Weights `{report.digest}`, set `{made.digest}`,",
        f"thresholds {report.thresholds.low} and {report.thresholds.high}.",
        "",
        *table(("figure", "value", "95 % interval"), figure_rows(report.figures)),
        "",
        f"Intervals: {report.bootstrap}.",
        "They hold for media drawn like these, and tell nothing of others.",
        NO_WIDTH.format(percent=f"{300 / min(made.real, made.fake):.1f}"),
        "",
        "## Verdicts",
        "",
        *table(
            ("truth", "REAL", "UNCERTAIN", "FAKE"),
            [("genuine", *map(str, report.confusion.real)), ("fake", *map(str, report.confusion.fake))],
        ),
        "",
        "## Slices",
        "",
        "Verdicts as REAL / UNCERTAIN / FAKE.",
        "",
        *table(("column", "value", "media", "AUC", "genuine", "fakes"), [slice_row(each) for each in report.slices]),
        "",
        "## Speed",
        "",
        speed_of(report.speed),
    ]
    if report.partial:
        lines += ["", f"Of {report.partial} media only a part could be scored."]
    if report.unjudged:
        lines += ["", "## Not judged", "", *list_unjudged(report.unjudged)]
    if plots:
        lines += ["", "## Plots"]
        for name, title in PLOTS.items():
            lines += ["", f"![{title}]({name}.svg)"]
    return "\n".join(lines) + "\n"


def speed_of(speed: Speed) -> str:
    """How fast it was, in a sentence."""
    return (
        f"{speed.media_per_s} media a second with {speed.at_once} calls at once; a call took {speed.median_ms} ms "
        f"(median) and {speed.p95_ms} ms (95th percentile), inference in it {speed.inference_median_ms} ms."
    )


def figure_rows(figures: Mapping[str, Interval]) -> list[tuple[str, ...]]:
    """Rows of figure, value and interval."""
    return [(NAMES[name], f"{it.value:.4f}", f"{it.low:.4f} to {it.high:.4f}") for name, it in figures.items()]


def slice_row(each: Slice) -> tuple[str, ...]:
    """Row of a slice: its column and value, its size, its AUC, the verdicts on genuine media and on fakes."""
    real, fake = (" / ".join(map(str, counts)) for counts in (each.confusion.real, each.confusion.fake))
    return each.column, each.value, str(each.n), "" if each.auc is None else f"{each.auc:.4f}", real, fake


def list_unjudged(unjudged: Sequence[Unjudged]) -> list[str]:
    """A line for each medium that has no score, up to `MOST_LISTED`."""
    lines = [f"- {each.name}: {each.message} ({each.code})" for each in unjudged[:MOST_LISTED]]
    if len(unjudged) > MOST_LISTED:
        lines.append(f"- and {len(unjudged) - MOST_LISTED} more; `report.json` has all of them")
    return lines


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table of Markdown; what would end a cell is masked."""
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in (head, *rows)]
    first, *rest = ["| " + " | ".join(row) + " |" for row in cells]
    return [first, "|" + "---|" * len(head), *rest]
