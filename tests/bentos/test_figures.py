import pytest
from prometheus_client.parser import text_string_to_metric_families

from bentos.contract import LATENCY_BOUNDS_S, SCORE_BINS, Figures, Modality
from bentos.errors import (
    BrokenModelError,
    DeadlineExceededError,
    InferenceUnavailableError,
    OverloadedError,
    UnreadableMediaError,
)
from bentos.figures import Book
from bentos.laps import Laps
from bentos.metrics import DetectionMetrics


def book(*named: tuple[str, int]) -> tuple[Book, set[tuple[str, int]]]:
    versions = set(named)
    return Book(lambda: versions), versions


def test_an_answer_lands_in_the_buckets_of_its_seconds_and_its_score():
    kept, _ = book(("m", 1))
    tally = kept.tally("m", 1, "stable")
    for p_fake, seconds in ((0.0, 0.001), (0.0499, 0.0011), (0.05, 400), (1.0, 0.3)):
        tally.answer(p_fake, seconds)
    [figures] = kept.figures().versions
    assert (figures.answered, figures.errors, figures.shadow) == (4, 0, None)
    assert (figures.scores[0], figures.scores[1], figures.scores[-1], len(figures.scores)) == (2, 1, 1, SCORE_BINS)
    assert (figures.latency[0], figures.latency[1], figures.latency[-1]) == (1, 1, 1)
    assert figures.latency[LATENCY_BOUNDS_S.index(0.5)] == 1
    assert figures.latency_sum_s == pytest.approx(400.3021)


@pytest.mark.parametrize(
    ("error", "late", "blamed"),
    [
        (BrokenModelError(), False, True),
        (InferenceUnavailableError(), False, True),
        (DeadlineExceededError(), True, True),
        (DeadlineExceededError(), False, False),
        (UnreadableMediaError(), True, False),
        (OverloadedError(), False, False),
        (KeyError("features"), False, True),
    ],
)
def test_only_what_the_version_or_the_server_is_to_blame_for_is_an_error(error, late, blamed):
    kept, _ = book(("m", 1))
    tally = kept.tally("m", 1, "canary")
    with tally.holding():
        tally.fail(error, Laps(late_inference=late))
        [figures] = kept.figures().versions
    assert (figures.errors, figures.answered, figures.in_flight) == (int(blamed), 0, 1)


def test_a_version_is_forgotten_when_the_table_and_the_last_call_have_left_it():
    kept, named = book(("m", 1), ("m", 2))
    kept.tally("m", 1, "stable").answer(0.5, 0.1)
    leaving = kept.tally("m", 2, "canary")
    with leaving.holding():
        named.discard(("m", 2))
        assert [figures.version for figures in kept.figures().versions] == [1, 2]
    assert [figures.version for figures in kept.figures().versions] == [1]


def test_however_many_versions_come_and_go_few_are_kept():
    kept, named = book()
    for version in range(1000):
        named.clear()
        named.add(("m", version))
        kept.tally("m", version, "stable").answer(0.5, 0.1)
    assert len(kept._tallies) == 1


def test_a_call_that_raises_is_no_longer_in_flight():
    kept, _ = book(("m", 1))
    with pytest.raises(KeyError), kept.tally("m", 1, "stable").holding():
        raise KeyError
    assert kept.figures().versions == ()


def test_prometheus_gets_the_figures_by_model_version_and_part():
    kept, _ = book(("m", 1), ("m", 2))
    kept.tally("m", 1, "stable").answer(0.31, 0.02)
    shadow = kept.tally("m", 2, "shadow")
    shadow.answer(0.9, 0.02)
    shadow.shadow.compared, shadow.shadow.disagreed, shadow.shadow.difference = 1, 1, 0.59
    metrics = DetectionMetrics(Modality.IMAGE, kept.figures)
    samples = {
        (sample.name, sample.labels.get("version"), sample.labels.get("part"), sample.labels.get("le")): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }
    assert samples["bonafide_bento_version_answers_total", "1", "stable", None] == 1
    assert samples["bonafide_bento_version_p_fake_bucket", "1", "stable", "0.3"] == 0
    assert samples["bonafide_bento_version_p_fake_bucket", "1", "stable", "0.35"] == 1
    assert samples["bonafide_bento_version_p_fake_bucket", "2", "shadow", "+Inf"] == 1
    assert samples["bonafide_bento_version_inference_seconds_count", "1", "stable", None] == 1
    assert samples["bonafide_bento_shadow_disagreed_total", "2", None, None] == 1
    assert samples["bonafide_bento_shadow_difference_total", "2", None, None] == 0.59


def test_the_figures_of_a_fresh_process_are_empty_and_say_since_when():
    figures = book(("m", 1))[0].figures()
    assert isinstance(figures, Figures)
    assert figures.versions == ()
    assert figures.started > 0
