import pytest

from scripts.bench.figures import Round, median_ratio, percentile, summarise


def a_round(count, *, seconds=1.0, latency=0.01, **more):
    return Round(seconds=seconds, latencies_s=(latency,) * count, cpu_s=more.pop("cpu_s", {}), **more)


@pytest.mark.parametrize(
    ("samples", "percent", "expected"),
    [([5.0], 50, 5.0), ([1, 2, 3, 4], 50, 2), ([4, 3, 2, 1], 75, 3), (range(1, 101), 99, 99), (range(1, 51), 99, 50)],
)
def test_percentile_is_a_sample_that_was_waited(samples, percent, expected):
    assert percentile(list(samples), percent) == expected


@pytest.mark.parametrize(("samples", "percent"), [([], 50), ([1.0], 0), ([1.0], 101)])
def test_percentile_refuses_what_has_no_answer(samples, percent):
    with pytest.raises(ValueError, match=r"no samples|not in"):
        percentile(samples, percent)


def test_summary_takes_the_median_round_and_shares_cpu_among_answers():
    rounds = [
        a_round(10, cpu_s={"gateway": 0.1, "triton": 0.2}, generator_cpu_s=0.01, mean_batch=2.0),
        a_round(20, cpu_s={"gateway": 0.2, "triton": 0.2}, generator_cpu_s=0.02, mean_batch=4.0),
        a_round(90, cpu_s={"gateway": 0.9, "triton": 0.9}, generator_cpu_s=0.09, mean_batch=3.0),
    ]

    summary = summarise("bonafide", 8, rounds)

    assert summary.throughput == 20
    assert summary.requests == 120
    assert summary.p99_ms == pytest.approx(10)
    assert summary.cpu_ms == pytest.approx(20)
    assert summary.cpu_ms_by_group == pytest.approx({"gateway": 10, "triton": 10})
    assert summary.generator_cpu_ms == pytest.approx(1)
    assert summary.mean_batch == 3


def test_summary_of_silence_is_an_error():
    with pytest.raises(ValueError, match="keras gave no answer at 8 callers"):
        summarise("keras", 8, [a_round(0)])


def test_ratio_pairs_rounds_that_stood_next_to_each_other():
    ours = [a_round(50), a_round(30), a_round(80)]
    bound = [a_round(100), a_round(40), a_round(100)]

    assert median_ratio(ours, bound) == 0.75


def test_ratio_of_unequal_rounds_is_an_error():
    with pytest.raises(ValueError, match="zip"):
        median_ratio([a_round(1)], [])
