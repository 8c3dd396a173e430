"""Several models that are asked the same question: which declarations are sound, and how answers become one.

Members answer at once, each through its own route. Who gives no score is named in the answer, which is then partial
and made of the rest; it takes `minimum` of them.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from bentos.cards import Card, Ensemble, Fusion, Member, Route
from bentos.contract import Detection, MemberScore, Modality, Reason, Thresholds, Timings, Verdict
from bentos.errors import (
    BrokenModelError,
    DeadlineExceededError,
    DetectionError,
    InferenceUnavailableError,
    MediaError,
)
from bentos.scoring import fuse, vote
from bentos.verdict import Heard, confidence, decide, unite_reasons

MOST_MEMBERS: Final = 16

_HOW: Final[dict[Fusion, str]] = {
    "mean": "the score is the mean of theirs",
    "weighted": "the score is the weighted mean of theirs",
    "vote": "the score is the share of them that says FAKE, one that is uncertain counting half",
}


@dataclass(frozen=True, slots=True)
class MemberAnswer:
    """What a member of an ensemble answered, or why it gave no score."""

    member: Member
    outcome: Heard | DetectionError


def find_fault(name: str, ensemble: Ensemble, routes: Mapping[str, Route]) -> str | None:
    """Return in a sentence what is wrong with a declaration, as far as the traffic table can tell; None if nothing.

    Members are models with a route, so that an ensemble can never hold another or itself.
    """
    members = [member.model for member in ensemble.members]
    unknown = [model for model in members if model not in routes]
    low, high = ensemble.thresholds.low, ensemble.thresholds.high
    faults = (
        (name in routes, f"{name} is the name of a model already."),
        (
            not 1 <= len(members) <= MOST_MEMBERS,
            f"{name} has {len(members)} members; an ensemble has 1 to {MOST_MEMBERS}.",
        ),
        (len(set(members)) < len(members), f"{name} names a member twice; give it a higher weight instead."),
        (bool(unknown), f"{name} has members that are no model with a stable version: {', '.join(unknown)}."),
        (
            not all(0 < member.weight < math.inf for member in ensemble.members),
            f"{name} has a member whose weight is not a number above 0.",
        ),
        (
            not 1 <= ensemble.minimum <= len(members),
            f"{name} needs at least {ensemble.minimum} answers of {len(members)} members.",
        ),
        (not 0 <= low <= high <= 1, f"The thresholds of {name} are not in order between 0 and 1."),
    )
    return next((fault for wrong, fault in faults if wrong), None)


def default_thresholds(fusion: Fusion, members: Sequence[Thresholds]) -> Thresholds:
    """Return the thresholds of an ensemble whose declaration names none: the mean of its members'.

    With votes, which are no calibrated probabilities, it is the majority, and a tie is uncertain.
    """
    if fusion == "vote":
        return Thresholds(low=0.5, high=0.51)
    return Thresholds(
        low=round(sum(each.low for each in members) / len(members), 6),
        high=round(sum(each.high for each in members) / len(members), 6),
    )


def suits(modality: Modality, card: Card) -> bool:
    """Whether a model with this card may judge media of this kind: its own kind, or videos by their frames."""
    by_frames = modality is Modality.VIDEO and card.modality is Modality.IMAGE
    return (by_frames or card.modality is modality) and card.thresholds is not None


def digest_of(ensemble: Ensemble, answered: Sequence[Card]) -> str:
    """Return the digest of what gave an answer: "sha256:" and the hash of the declaration and of who answered.

    It is taken over a JSON document with sorted names and no spaces, {"declaration": {"fusion", "members": [[model,
    weight], …], "minimum", "modality", "thresholds": [low, high]}, "members": [[model, version, digest], …]}, members
    in the order of the declaration and in the second list only those that answered. So an answer without a member, or
    with a canary in it, has another digest than one of all stable versions; title and description do not count.
    """
    declaration = {
        "fusion": ensemble.fusion,
        "members": [[member.model, member.weight] for member in ensemble.members],
        "minimum": ensemble.minimum,
        "modality": ensemble.modality,
        "thresholds": [ensemble.thresholds.low, ensemble.thresholds.high],
    }
    members = [[card.model, card.version, card.digest] for card in answered]
    document = msgspec.json.encode({"declaration": declaration, "members": members}, order="sorted")
    return f"sha256:{hashlib.sha256(document).hexdigest()}"


def conclude_together(name: str, ensemble: Ensemble, answers: Sequence[MemberAnswer], *, timings: Timings) -> Detection:
    """Make one answer of those of the members, which come in the order of the declaration.

    The evidence is that of the first member that answered. Reasons are those of all, in order.

    Raises:
        MediaError: Too few answered, and one of them found the medium at fault.
        DeadlineExceededError: Too few answered, and those that did not were too slow.
        InferenceUnavailableError: Too few answered for another reason.
    """
    heard = [(answer.member, answer.outcome) for answer in answers if isinstance(answer.outcome, Heard)]
    missing = [(answer.member, answer.outcome) for answer in answers if isinstance(answer.outcome, DetectionError)]
    if len(heard) < ensemble.minimum:
        raise _too_few(name, ensemble, len(heard), missing)
    members = tuple(_score(ensemble, member, answer) for member, answer in heard)
    p_fake = fuse(
        [vote(score.verdict) if ensemble.fusion == "vote" else score.p_fake for score in members],
        [score.weight for score in members],
    )
    findings = [answer.finding for _, answer in heard]
    undecided = all(finding.undecided for finding in findings)
    unscored = [reason for finding in findings for reason in finding.unscored]
    if missing:
        unscored.insert(0, _missing_reason(name, ensemble, missing))
    return Detection(
        modality=ensemble.modality,
        verdict=Verdict.UNCERTAIN if undecided else decide(p_fake, ensemble.thresholds),
        p_fake=p_fake,
        confidence=confidence(p_fake),
        reasons=unite_reasons(
            [_together(name, ensemble, members), *(reason for finding in findings for reason in finding.reasons)]
        ),
        partial=bool(unscored),
        unscored=unite_reasons(unscored),
        model=name,
        version=ensemble.version,
        digest=digest_of(ensemble, [answer.card for _, answer in heard]),
        thresholds=ensemble.thresholds,
        evidence=findings[0].evidence,
        timings=timings,
        members=members,
    )


def _score(ensemble: Ensemble, member: Member, heard: Heard) -> MemberScore:
    return MemberScore(
        model=heard.card.model,
        version=heard.card.version,
        digest=heard.card.digest,
        p_fake=heard.finding.p_fake,
        verdict=heard.verdict,
        weight=member.weight if ensemble.fusion == "weighted" else 1.0,
    )


def _together(name: str, ensemble: Ensemble, members: Sequence[MemberScore]) -> Reason:
    said = ", ".join(f"{score.model} {score.verdict} ({score.p_fake:.2f})" for score in members)
    return Reason(code="judged_by_members", message=f"The members of {name} said {said}; {_HOW[ensemble.fusion]}.")


def _missing_reason(name: str, ensemble: Ensemble, missing: Sequence[tuple[Member, DetectionError]]) -> Reason:
    message = (
        f"{len(missing)} of the {len(ensemble.members)} members of {name} gave no score: {_named(missing)}. "
        "The others decided."
    )
    return Reason(code="members_missing", message=message)


def _named(missing: Sequence[tuple[Member, DetectionError]]) -> str:
    return ", ".join(f"{member.model} ({error.code})" for member, error in missing)


def _too_few(
    name: str, ensemble: Ensemble, answered: int, missing: Sequence[tuple[Member, DetectionError]]
) -> DetectionError:
    """Return the error of an ensemble of which too few members answered."""
    for _, error in missing:
        if isinstance(error, MediaError):
            return error
    if all(isinstance(error, DeadlineExceededError) for _, error in missing):
        return DeadlineExceededError()
    kind = BrokenModelError if all(isinstance(e, BrokenModelError) for _, e in missing) else InferenceUnavailableError
    return kind(
        f"{answered} of the {len(ensemble.members)} members of {name} answered and {ensemble.minimum} are needed; "
        f"there is no score of {_named(missing)}. Try again shortly."
    )
