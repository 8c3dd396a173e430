import pytest
import torch
from transformers import ViTConfig, ViTForImageClassification

from scripts.bench.figures import Round
from scripts.bench.precision import ARRANGEMENTS, PRECISIONS, ratios
from scripts.bench.torch_side import Loop, TorchLoopError, measure_torch


def rounds(*throughputs, cpu_s=1.0):
    return [Round(seconds=1, latencies_s=(0.01,) * each, cpu_s={"x": cpu_s}) for each in throughputs]


def test_ratios_are_to_the_best_arrangement_of_torch():
    found = ratios(
        {
            "fp32": rounds(10, 20, 30),
            "fp16": rounds(5, 10, 15),
            "int8": rounds(40, 80, 120, cpu_s=0.5),
            "torch, one": rounds(5, 10, 15),
            "torch, two": rounds(100, 1, 1),
        }
    )

    assert found["int8/torch"] == 8
    assert found["fp32/torch"] == 2
    assert (found["fp16/fp32"], found["int8/fp32"]) == (0.5, 4)
    # Processor time an answer: 1/100 of torch's best round, 0.5/120 of the best in int8.
    assert found["cpu torch/int8"] == pytest.approx((1 / 100) / (0.5 / 120))


def test_every_side_has_its_place():
    assert list(PRECISIONS) == ["fp32", "fp16", "int8"]
    assert len(set(ARRANGEMENTS)) == len(ARRANGEMENTS)


@pytest.mark.integration
def test_the_torch_way_counts_rows_and_the_time_that_they_took(tmp_path):
    torch.manual_seed(1)
    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=32)
    ViTForImageClassification(config).save_pretrained(tmp_path)
    loop = Loop(
        kind="ViTForImageClassification",
        folder=str(tmp_path),
        name="pixel_values",
        shape=(3, 32, 32),
        batch=4,
        threads=1,
        seconds=0.3,
    )

    found = measure_torch(loop, 1)

    assert len(found.latencies_s) % 4 == 0
    assert found.seconds == pytest.approx(sum(found.latencies_s) / 4)
    # The loop ends by the clock; what its own steps cost is not counted.
    assert 0.2 < found.seconds < 3
    assert found.cpu_s["torch"] > 0


@pytest.mark.integration
def test_a_network_that_is_not_there_is_told(tmp_path):
    loop = Loop(
        kind="ViTForImageClassification",
        folder=str(tmp_path),
        name="pixel_values",
        shape=(3, 32, 32),
        batch=1,
        threads=1,
        seconds=0.1,
    )

    with pytest.raises(TorchLoopError, match="make train-env"):
        measure_torch(loop, 1)
