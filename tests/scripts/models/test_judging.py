from bisect import bisect_left

import msgspec
import numpy as np
import pytest

from bentos.contract import LATENCY_BOUNDS_S, SCORE_BINS, Figures, Modality, VersionFigures
from scripts.models.judging import (
    Bounds,
    Counts,
    Ledger,
    breach,
    counts_of,
    measure,
    too_many_errors,
)


def counts(scores=(), seconds=(), errors: int = 0) -> Counts:
    latency = [0] * (len(LATENCY_BOUNDS_S) + 1)
    for each in seconds:
        latency[bisect_left(LATENCY_BOUNDS_S, each)] += 1
    bins = np.histogram(scores, bins=SCORE_BINS, range=(0, 1))[0] if len(scores) else np.zeros(SCORE_BINS, int)
    return Counts(answered=len(scores), errors=errors, latency=tuple(latency), scores=tuple(int(n) for n in bins))


def figures(*versions: tuple[int, str, int], started: float = 1.0) -> Figures:
    empty = counts()
    return Figures(
        started=started,
        versions=tuple(
            VersionFigures(
                model="cnn",
                version=version,
                part=part,  # pyright: ignore[reportArgumentType]  # Of the table of parts.
                answered=answered,
                errors=0,
                in_flight=0,
                latency=empty.latency,
                latency_sum_s=0,
                scores=empty.scores,
            )
            for version, part, answered in versions
        ),
    )


def test_a_ledger_keeps_what_bentos_counted_that_end_or_do_not_answer_and_counts_nothing_twice():
    ledger = Ledger("cnn", 2, {Modality.IMAGE: figures((2, "canary", 10), (1, "stable", 100))}, since=5.0)
    for now in (
        {Modality.IMAGE: figures((2, "canary", 14), (1, "stable", 101))},
        {},
        {Modality.IMAGE: figures((2, "canary", 15), (1, "stable", 101))},
        {Modality.IMAGE: figures((2, "canary", 3), started=9.0)},
        # It ran before the ledger began and did not answer then: what it counted earlier is nobody's.
        {Modality.VIDEO: figures((2, "canary", 70), started=4.0)},
        {Modality.VIDEO: figures((2, "canary", 72), started=4.0)},
    ):
        ledger.add(now, 1)
    assert {kind: each.answered for kind, each in ledger.canary.items()} == {Modality.IMAGE: 8, Modality.VIDEO: 2}
    assert sum(each.answered for each in ledger.stable.values()) == 1


def test_counts_of_a_stretch_are_added_up_over_parts_without_shadows():
    before = figures((2, "canary", 10))
    now = figures((2, "canary", 15), (2, "member", 3), (1, "stable", 99), (2, "shadow", 50))
    assert counts_of(before, now, "cnn", 2).answered == 5 + 3
    assert counts_of(None, now, "cnn", 2).answered == 15 + 3


@pytest.mark.parametrize(
    "earlier", [figures((2, "canary", 10), started=0.5), figures((2, "canary", 100))], ids=["restarted", "forgotten"]
)
def test_counts_that_begin_anew_are_taken_as_they_are(earlier):
    assert counts_of(earlier, figures((2, "canary", 4)), "cnn", 2).answered == 4


SAME = counts(scores=np.linspace(0, 1, 500), seconds=[0.03] * 500)
STABLE = counts(scores=np.linspace(0, 1, 500), seconds=[0.03] * 500)


@pytest.mark.parametrize(
    ("canary", "bounds", "words"),
    [
        pytest.param(SAME, Bounds(), None, id="alike"),
        pytest.param(counts(SAME.scores, errors=6), Bounds(), "6 of 26 calls failed", id="errors"),
        pytest.param(counts(np.linspace(0, 1, 500), seconds=[0.09] * 500), Bounds(), "95 % of its calls", id="slow"),
        pytest.param(
            counts(np.linspace(0, 1, 500), seconds=[0.09] * 500), Bounds(p95_ratio=3), None, id="slow-allowed"
        ),
        pytest.param(
            counts(np.linspace(0.4, 1, 500), seconds=[0.03] * 500), Bounds(), "population stability", id="other-scores"
        ),
        pytest.param(
            counts(np.linspace(0.4, 1, 500), seconds=[0.03] * 500), Bounds(psi=None), None, id="scores-not-looked-at"
        ),
        pytest.param(
            counts(np.linspace(0.4, 1, 500), seconds=[0.03] * 500),
            Bounds(psi=None, ks=0.2),
            "Kolmogorov-Smirnov distance 0.4",
            id="distance",
        ),
    ],
)
def test_a_canary_is_told_which_bound_it_passed(canary, bounds, words):
    found = breach(measure(canary, STABLE, min_calls=20), bounds, min_calls=20)
    assert found is None if words is None else words in (found or "")


def test_few_calls_say_nothing_of_times_and_scores():
    few = counts(np.linspace(0.9, 1, 19), seconds=[5.0] * 19)
    measured = measure(few, STABLE, min_calls=20)
    assert (measured.p95_s, measured.psi, breach(measured, Bounds(), min_calls=20)) == (None, None, None)


def test_errors_are_called_too_many_once_no_later_answer_can_change_that():
    bounds = Bounds(errors=0.02)

    def told(errors: int, answered: int) -> bool:
        canary = Counts(answered=answered, errors=errors)
        return too_many_errors(measure(canary, STABLE, min_calls=100), bounds, min_calls=100) is not None

    assert not told(2, 0)
    assert told(3, 0)
    assert not told(3, 147)
    assert told(4, 147)


def test_counts_survive_the_wire():
    sent = msgspec.json.decode(msgspec.json.encode(figures((2, "canary", 7))), type=Figures)
    assert counts_of(None, sent, "cnn", 2).answered == 7
