import pytest

from scripts.bench.figures import Round
from scripts.bench.precision import ARRANGEMENTS, PRECISIONS, ratios


def rounds(*throughputs, cpu_s=1.0):
    return [Round(seconds=1, latencies_s=(0.01,) * each, cpu_s={"x": cpu_s}) for each in throughputs]


def test_ratios_are_to_the_best_arrangement_of_torch():
    found = ratios(
        {
            "fp32": rounds(10, 20, 30),
            "fp16": rounds(5, 10, 15),
            "int8": rounds(40, 80, 120, cpu_s=0.5),
            "torch, 1 x 2 threads, batch 8": rounds(5, 10, 15),
            "torch, 2 x 1 threads, batch 1": rounds(100, 1, 1),
        }
    )

    assert found["int8/torch"] == 8
    assert found["int8/torch one by one"] == 80
    assert found["fp32/torch"] == 2
    assert (found["fp16/fp32"], found["int8/fp32"]) == (0.5, 4)
    # Processor time an answer: 1/100 of torch's best round, 0.5/120 of the best in int8.
    assert found["cpu torch/int8"] == pytest.approx((1 / 100) / (0.5 / 120))


def test_every_side_has_its_place():
    assert list(PRECISIONS) == ["fp32", "fp16", "int8"]
    assert len(set(ARRANGEMENTS)) == len(ARRANGEMENTS)
