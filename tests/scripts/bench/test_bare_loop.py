from pathlib import Path

import pytest

from scripts.bench.bare_loop import BareLoopError, Loop, measure_bare_loop, served_image_model
from scripts.bench.photographs import encode_photographs

REPOSITORY = Path(__file__).parents[3] / "model_repository"


def test_loop_scores_with_the_served_weights():
    served = served_image_model(REPOSITORY)
    (jpeg,) = encode_photographs(1, 7, lambda _jpeg: 1)

    scores = Loop(served).score(jpeg)

    assert served.weights.endswith("model.onnx")
    assert 0 <= min(scores) <= max(scores) <= 1


@pytest.mark.integration
def test_round_counts_both_processes(tmp_path):
    (jpeg,) = encode_photographs(1, 7, lambda _jpeg: 1)
    pictures = [tmp_path / f"{number}.jpg" for number in range(2)]
    for picture in pictures:
        picture.write_bytes(jpeg)

    measured = measure_bare_loop(served_image_model(REPOSITORY), pictures, 1.0)

    assert len(measured.latencies_s) > 5
    assert measured.cpu_s["loop"] <= 2.5


@pytest.mark.integration
def test_a_process_that_dies_is_noticed(tmp_path):
    with pytest.raises(BareLoopError, match="without a result"):
        measure_bare_loop(served_image_model(REPOSITORY), [tmp_path / "missing.jpg"] * 2, 0.2)
