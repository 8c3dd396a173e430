"""What two versions have in common and where they differ: their cards, their sizes, and their golden answers."""

from typing import Any

import msgspec
import numpy as np

from bentos.cards import Card
from bentos.contract import Thresholds
from scripts.models.errors import ModelsError
from scripts.models.publish import MODEL_FILE, read_golden
from scripts.models.repository import Repository

_SCORE = "p_fake"


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A field of the cards that differs; nested fields are written with a dot."""

    field: str
    first: Any
    second: Any


class Golden(msgspec.Struct, frozen=True, kw_only=True):
    """How the golden answers to `n` shared inputs differ: |Δ p_fake|, and how many verdicts are others."""

    n: int
    largest: float
    mean: float
    verdicts: int | None


class Differences(msgspec.Struct, frozen=True, kw_only=True):
    """Where two versions differ; `golden` is None where they were not asked the same inputs."""

    first: str
    second: str
    card: list[Difference]
    megabytes: tuple[float, float]
    golden: Golden | None


def differences(repository: Repository, first: tuple[str, int], second: tuple[str, int]) -> Differences:
    """Compare two versions, of one model or of two. Raises `UnknownVersionError`, or `ModelsError` for a broken one."""
    cards = [repository.card(*each) for each in (first, second)]
    flat = [_flat(msgspec.to_builtins(card)) for card in cards]
    fields = [name for name in {**flat[0], **flat[1]} if flat[0].get(name) != flat[1].get(name)]
    return Differences(
        first=f"{first[0]}:{first[1]}",
        second=f"{second[0]}:{second[1]}",
        card=[Difference(field=name, first=flat[0].get(name), second=flat[1].get(name)) for name in fields],
        megabytes=(_megabytes(repository, first), _megabytes(repository, second)),
        golden=_golden(repository, cards[0], cards[1]),
    )


def _megabytes(repository: Repository, version: tuple[str, int]) -> float:
    try:
        return round((repository.folder(*version) / MODEL_FILE).stat().st_size / 1e6, 2)
    except OSError as error:
        raise ModelsError(f"The weights of {version[0]}:{version[1]} cannot be read: {error.strerror}.") from error


def _golden(repository: Repository, first: Card, second: Card) -> Golden | None:
    """Compare recorded answers; the inputs of a model are the same for all its versions."""
    try:
        (asked, one), (asked_too, other) = (
            read_golden(repository.root, card.model, card.version) for card in (first, second)
        )
    except (OSError, ValueError):
        return None  # A version without golden answers that can be read can be compared in everything else.
    same = asked.keys() == asked_too.keys() and all(np.array_equal(asked[name], asked_too[name]) for name in asked)
    if not same or _SCORE not in one or _SCORE not in other or one[_SCORE].shape != other[_SCORE].shape:
        return None
    scores = one[_SCORE].ravel().astype(np.float64), other[_SCORE].ravel().astype(np.float64)
    apart = np.abs(scores[0] - scores[1])
    verdicts = None
    if first.thresholds and second.thresholds:
        verdicts = int(np.sum(_verdicts(scores[0], first.thresholds) != _verdicts(scores[1], second.thresholds)))
    return Golden(n=len(apart), largest=float(apart.max()), mean=float(apart.mean()), verdicts=verdicts)


def _verdicts(scores: np.ndarray[Any, Any], thresholds: Thresholds) -> np.ndarray[Any, Any]:
    """0 below the lower threshold, 2 from the higher one on, 1 between: real, fake, uncertain."""
    return (scores >= thresholds.low).astype(int) + (scores >= thresholds.high).astype(int)


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested objects as one, with names joined by dots."""
    if not isinstance(value, dict):
        return {prefix: value}
    found: dict[str, Any] = {}
    for name, each in value.items():
        found |= _flat(each, f"{prefix}.{name}" if prefix else str(name))
    return found
