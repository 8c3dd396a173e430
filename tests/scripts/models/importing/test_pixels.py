"""What a processor does is found out from what it answers, whatever its configuration calls it."""

import numpy as np
import pytest
import transformers

from scripts.models.errors import RefusedError
from scripts.models.importing.pixels import Processor

pytestmark = pytest.mark.integration

RNG = np.random.default_rng(5)


def processor(folder, kind, **settings):
    getattr(transformers, f"{kind}ImageProcessorPil")(**settings).save_pretrained(folder)
    return Processor(folder)


def in_graph(preparation, crops):
    """What the nodes that the graph gets make of crops."""
    pixels = preparation.pixels
    values = crops[..., ::-1] if pixels.channels == "BGR" else crops
    scaled = (values * pixels.scale - np.asarray(pixels.mean)) / np.asarray(pixels.std)
    return scaled.transpose(0, 3, 1, 2)


SQUARE = {"height": 24, "width": 24}


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        pytest.param("ViT", {"size": SQUARE}, (24, 24, "pillow_bilinear", None), id="plain"),
        pytest.param("ViT", {"size": {"height": 16, "width": 24}}, (16, 24, "pillow_bilinear", None), id="oblong"),
        pytest.param("ViT", {"size": SQUARE, "do_normalize": False}, (24, 24, "pillow_bilinear", None), id="raw mean"),
        pytest.param("ViT", {"size": SQUARE, "do_rescale": False}, (24, 24, "pillow_bilinear", None), id="raw scale"),
        pytest.param("ViT", {"size": SQUARE, "resample": 1}, (24, 24, "pillow_lanczos", None), id="Lanczos"),
        pytest.param(
            "CLIP",
            {"size": {"shortest_edge": 28}, "crop_size": SQUARE},
            (24, 24, "pillow_bicubic", 28),
            id="cuts the middle out",
        ),
        pytest.param("ConvNext", {"size": {"shortest_edge": 24}}, (24, 24, "pillow_bicubic", 27), id="cuts a share"),
        pytest.param(
            "MobileViT",
            {"size": {"shortest_edge": 24}, "crop_size": SQUARE},
            (24, 24, "pillow_bicubic", None),
            id="turns the channels round",
        ),
        pytest.param(
            "EfficientNet", {"size": SQUARE, "include_top": True}, (24, 24, "pillow_bicubic", None), id="twice over"
        ),
        pytest.param(
            "EfficientNet",
            {"size": SQUARE, "rescale_factor": 1 / 127.5, "rescale_offset": True, "include_top": False},
            (24, 24, "pillow_bicubic", None),
            id="offset",
        ),
    ],
)
def test_a_graph_does_what_the_processor_does(tmp_path, kind, settings, expected):
    own = processor(tmp_path, kind, **settings)

    preparation = own.preparation(None)

    found = (preparation.height, preparation.width, preparation.resize_filter, preparation.resized)
    assert found == expected
    crops = RNG.integers(0, 256, (3, *expected[:2], 3), np.uint8)
    np.testing.assert_allclose(in_graph(preparation, crops), own.planes(crops), atol=2e-4)


def test_a_wished_size_counts(tmp_path):
    preparation = processor(tmp_path, "ViT", size=SQUARE).preparation(40)

    assert (preparation.height, preparation.width) == (40, 40)


@pytest.mark.parametrize(
    ("kind", "settings", "sentence"),
    [
        pytest.param(
            "Segformer", {"size": SQUARE, "image_std": [0.5, 0.5, 0.0]}, "more than|cannot", id="no deviation"
        ),
        pytest.param("ImageGPT", {"clusters": [[0, 0, 0], [1, 1, 1]], "size": SQUARE}, "cannot|instead", id="colours"),
    ],
)
def test_what_a_graph_cannot_do_is_refused(tmp_path, kind, settings, sentence):
    with pytest.raises(RefusedError, match=sentence):
        processor(tmp_path, kind, **settings).preparation(None)
