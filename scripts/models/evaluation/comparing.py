"""Compares two versions over the same media, each judged by both: which is right where the other is not."""

from collections.abc import Callable
from datetime import UTC, datetime
from math import exp, lgamma, log
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.contract import Thresholds, Verdict
from scripts.models.errors import RefusedError
from scripts.models.evaluation.figures import METHOD, SEED, Interval, bootstrap, interval
from scripts.models.evaluation.judging import CALLS_AT_ONCE, Judged, Unjudged
from scripts.models.evaluation.labelled import LabelledSet
from scripts.models.evaluation.measuring import judged_by, scores_of
from scripts.models.evaluation.report import MOST_LISTED, SetInfo, list_unjudged, table
from scripts.models.metrics import accuracy, brier, roc_auc
from scripts.models.repository import Repository
from scripts.models.stand import Numbered
from scripts.stack.settings import StackSettings

_DIFFERENCES: Final = {
    "auc": "Area under the ROC curve",
    "brier": "Brier score",
    "accuracy": "Accuracy at 0.5",
}


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two: its figures, and milliseconds of a call (median, 95th percentile) and of inference in it."""

    model: str
    version: int
    digest: str
    thresholds: Thresholds
    auc: float
    brier: float
    accuracy: float
    right: int
    median_ms: float
    p95_ms: float
    inference_median_ms: float

    @property
    def name(self) -> str:
        """Model and version as a command line has them."""
        return f"{self.model}:{self.version}"


class Flip(msgspec.Struct, frozen=True, kw_only=True):
    """A medium of which the two have different verdicts."""

    name: str
    label: str
    first: Verdict
    second: Verdict
    first_p_fake: float
    second_p_fake: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two versions on one set. `only_first` and `only_second` media got the right verdict from one of the two alone.

    A verdict is right where it is REAL of a genuine medium or FAKE of a fake; UNCERTAIN is not. `p_value` is that of
    McNemar's exact test. `differences` are second minus first, with 95 % intervals of the paired bootstrap.
    """

    created: str
    set: SetInfo
    first: Side
    second: Side
    same_verdict: int
    only_first: int
    only_second: int
    p_value: float
    differences: dict[str, Interval]
    bootstrap: str
    flips: tuple[Flip, ...]
    unjudged: tuple[Unjudged, ...]


def compare(
    repository: Repository,
    first: Numbered,
    second: Numbered,
    labelled: LabelledSet,
    settings: StackSettings,
    *,
    at_once: int = CALLS_AT_ONCE,
    tell: Callable[[int, int], None] = lambda _done, _of: None,
) -> Comparison:
    """Have both judge every medium on one stand. Nothing is written.

    Raises:
        RefusedError: They are the same, or judge different media, or nothing of a class could be judged.
        ModelsError: A model is broken.
    """
    if first == second:
        raise RefusedError(f"{first[0]}:{first[1]} is the same as itself; name two versions, or two models.")
    judgement, _ = judged_by(repository, [first, second], labelled, settings, at_once=at_once, tell=tell)
    ours, theirs = ([each[side] for each in judgement.judged] for side in (0, 1))
    one, fake = scores_of(ours)
    other, _ = scores_of(theirs)
    right, right_too = _right(ours), _right(theirs)
    only_first, only_second = int(np.sum(right & ~right_too)), int(np.sum(~right & right_too))
    flips = [_flip(a, b) for a, b in zip(ours, theirs, strict=True) if a.detection.verdict is not b.detection.verdict]
    return Comparison(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        set=SetInfo(
            name=labelled.name, real=int(np.count_nonzero(~fake)), fake=int(fake.sum()), digest=labelled.digest
        ),
        first=_side(ours, one, fake),
        second=_side(theirs, other, fake),
        same_verdict=len(ours) - len(flips),
        only_first=only_first,
        only_second=only_second,
        p_value=round(mcnemar(only_first, only_second), 6),
        differences=differences(one, other, fake),
        bootstrap=f"{METHOD}, the same media of both, seed {SEED}",
        flips=tuple(sorted(flips, key=lambda flip: -abs(flip.first_p_fake - flip.second_p_fake))),
        unjudged=judgement.unjudged,
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """Probability of counts at least as far apart, were either as likely to be the one that is right; two-sided.

    The exact test (McNemar, 1947, "Note on the sampling error of the difference between correlated proportions or
    percentages"): a binomial one on the media of which exactly one of the two is right. 1 where there are none.
    """
    count, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(
        exp(lgamma(count + 1) - lgamma(each + 1) - lgamma(count - each + 1) - count * log(2))
        for each in range(fewer + 1)
    )
    return min(1.0, 2 * tail)


def differences(first: NDArray, second: NDArray, fake: NDArray, *, resamples: int | None = None) -> dict[str, Interval]:
    """Second minus first of each figure, with intervals of resamples in which both judge the same media."""
    statistics = {"auc": roc_auc, "brier": brier, "accuracy": accuracy}
    draws = bootstrap(fake, resamples=resamples)
    return {
        name: interval(
            each(second, fake) - each(first, fake),
            np.asarray([each(second[rows], fake[rows]) - each(first[rows], fake[rows]) for rows in draws]),
        )
        for name, each in statistics.items()
    }


def _right(judged: list[Judged]) -> NDArray[np.bool_]:
    wanted = {True: Verdict.FAKE, False: Verdict.REAL}
    return np.asarray([each.detection.verdict is wanted[each.sample.fake] for each in judged], np.bool_)


def _flip(first: Judged, second: Judged) -> Flip:
    return Flip(
        name=first.sample.name,
        label="fake" if first.sample.fake else "real",
        first=first.detection.verdict,
        second=second.detection.verdict,
        first_p_fake=round(first.detection.p_fake, 5),
        second_p_fake=round(second.detection.p_fake, 5),
    )


def _side(judged: list[Judged], p_fake: NDArray, fake: NDArray) -> Side:
    detection = judged[0].detection
    median, p95 = np.percentile([each.seconds * 1000 for each in judged], [50, 95])
    inference = np.median([each.detection.timings.inference_ms for each in judged])
    return Side(
        model=detection.model,
        version=detection.version,
        digest=detection.digest,
        thresholds=detection.thresholds,
        auc=round(roc_auc(p_fake, fake), 5),
        brier=round(brier(p_fake, fake), 5),
        accuracy=round(accuracy(p_fake, fake), 5),
        right=int(_right(judged).sum()),
        median_ms=round(float(median), 1),
        p95_ms=round(float(p95), 1),
        inference_median_ms=round(float(inference), 1),
    )


def side_rows(report: Comparison) -> list[tuple[str, ...]]:
    """Rows of figure, first and second."""
    both = (report.first, report.second)
    return [
        *((title, *(f"{getattr(side, name):.4f}" for side in both)) for name, title in _DIFFERENCES.items()),
        ("Right verdicts", *(str(side.right) for side in both)),
        ("Right where the other is not", str(report.only_first), str(report.only_second)),
        ("Milliseconds of a call, median", *(f"{side.median_ms}" for side in both)),
        ("Milliseconds of a call, 95th percentile", *(f"{side.p95_ms}" for side in both)),
        ("Milliseconds of inference, median", *(f"{side.inference_median_ms}" for side in both)),
    ]


def difference_rows(report: Comparison) -> list[tuple[str, ...]]:
    """Rows of figure, difference and its interval."""
    return [
        (_DIFFERENCES[name], f"{it.value:+.4f}", f"{it.low:+.4f} to {it.high:+.4f}")
        for name, it in report.differences.items()
    ]


def conclusion(report: Comparison) -> str:
    """What McNemar's test says, in a sentence."""
    count = report.only_first + report.only_second
    said = f"Of {count} media exactly one of the two is right; McNemar's exact test gives p = {report.p_value:.4g}."
    chance = 0.05
    verdict = "could be chance" if report.p_value >= chance else "is hardly chance"
    return f"{said} The difference {verdict}."


def to_markdown(report: Comparison) -> str:
    """The report for people."""
    first, second = report.first.name, report.second.name
    lines = [
        f"# {first} and {second} on {report.set.name}",
        "",
        f"{report.set.real} genuine media and {report.set.fake} fakes, each judged by both on {report.created[:10]};",
        f"{report.same_verdict} got the same verdict. Set `{report.set.digest}`.",
        "",
        *table(("figure", first, second), side_rows(report)),
        "",
        conclusion(report),
        "",
        *table((f"{second} minus {first}", "difference", "95 % interval"), difference_rows(report)),
        "",
        f"Intervals: {report.bootstrap}.",
        "",
        "## Other verdicts",
        "",
        *table(
            ("medium", "truth", first, second, f"p_fake of {first}", f"p_fake of {second}"),
            [
                (each.name, each.label, each.first, each.second, f"{each.first_p_fake}", f"{each.second_p_fake}")
                for each in report.flips[:MOST_LISTED]
            ],
        ),
    ]
    if len(report.flips) > MOST_LISTED:
        lines += ["", f"and {len(report.flips) - MOST_LISTED} more; the JSON has all of them."]
    if report.unjudged:
        lines += ["", "## Not judged", "", *list_unjudged(report.unjudged)]
    return "\n".join(lines) + "\n"
