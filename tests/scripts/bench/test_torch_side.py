import pytest
import torch
from transformers import ViTConfig, ViTForImageClassification

from scripts.bench.torch_side import Loop, TorchLoopError, measure_torch

pytestmark = pytest.mark.integration


def loop(folder, *, batch, seconds):
    return Loop(
        kind="ViTForImageClassification",
        folder=str(folder),
        name="pixel_values",
        shape=(3, 32, 32),
        batch=batch,
        threads=1,
        seconds=seconds,
    )


def test_the_torch_way_counts_rows_and_the_time_that_they_took(tmp_path):
    torch.manual_seed(1)
    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=32)
    ViTForImageClassification(config).save_pretrained(tmp_path)
    found = measure_torch(loop(tmp_path, batch=4, seconds=0.3), 1)

    assert len(found.latencies_s) % 4 == 0
    assert found.seconds == pytest.approx(sum(found.latencies_s) / 4)
    # The loop ends by the clock; what its own steps cost is not counted.
    assert 0.2 < found.seconds < 3
    assert found.cpu_s["torch"] > 0


def test_a_network_that_is_not_there_is_told(tmp_path):
    with pytest.raises(TorchLoopError, match="make train-env"):
        measure_torch(loop(tmp_path, batch=1, seconds=0.1), 1)
