"""The last step of a detection: from a score and a card's thresholds to what the caller is told. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from bentos.cards import Card
from bentos.contract import Detection, Evidence, Modality, Reason, Thresholds, Timings, Verdict
from bentos.errors import BrokenModelError


def decide(p_fake: float, thresholds: Thresholds) -> Verdict:
    """Return the verdict: REAL below `low`, FAKE from `high` on, UNCERTAIN between them."""
    if p_fake >= thresholds.high:
        return Verdict.FAKE
    if p_fake < thresholds.low:
        return Verdict.REAL
    return Verdict.UNCERTAIN


def confidence(p_fake: float) -> float:
    """Return 100 * max(p_fake, 1 - p_fake) with two decimals: 50 to 100, whatever the verdict."""
    return round(100 * max(p_fake, 1 - p_fake), 2)


def unite_reasons(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """Return the reasons in order, each code once."""
    first: dict[str, Reason] = {}
    for reason in reasons:
        first.setdefault(reason.code, reason)
    return tuple(first.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one model found in a medium: its score, what was measured, what explains it, and what has no score.

    `undecided`: there is too little of the medium for a verdict, whatever the score is.
    """

    p_fake: float
    evidence: Evidence
    reasons: tuple[Reason, ...]
    unscored: tuple[Reason, ...] = ()
    undecided: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What one version answered: its card, and what it found."""

    card: Card
    finding: Finding

    @property
    def verdict(self) -> Verdict:
        """The verdict by the version's own thresholds. Raises `BrokenModelError` where its card has none."""
        if self.card.thresholds is None:
            raise BrokenModelError(f"The card of {self.card.model} has no thresholds.")
        return Verdict.UNCERTAIN if self.finding.undecided else decide(self.finding.p_fake, self.card.thresholds)


def conclude(*, modality: Modality, card: Card, finding: Finding, timings: Timings) -> Detection:
    """Return the answer of a Bento for `modality`, which may be another than the card's.

    It is marked partial where a part could not be scored.

    Raises:
        BrokenModelError: The card has no thresholds, so that no verdict can be given.
    """
    if card.thresholds is None:
        raise BrokenModelError(f"The card of {card.model} has no thresholds.")
    return Detection(
        modality=modality,
        verdict=Verdict.UNCERTAIN if finding.undecided else decide(finding.p_fake, card.thresholds),
        p_fake=finding.p_fake,
        confidence=confidence(finding.p_fake),
        reasons=unite_reasons(finding.reasons),
        partial=bool(finding.unscored),
        unscored=unite_reasons(finding.unscored),
        model=card.model,
        version=card.version,
        digest=card.digest,
        thresholds=card.thresholds,
        evidence=finding.evidence,
        timings=timings,
    )
