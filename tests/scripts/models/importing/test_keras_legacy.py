"""Files that Keras 2 wrote; `tests/fixtures/keras2/make.py` says how."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from scripts.models.importing.keras_loading import load_keras

# Keras asks TensorFlow for arrays in a way that numpy has given up.
pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

FILES = Path(__file__).parents[3] / "fixtures" / "keras2"
NAMES = ("classifier", "nested", "head", "clips")


def without_modules(config):
    """A configuration as TensorFlow up to 2.12 wrote it, which named classes alone."""
    if isinstance(config, dict):
        dropped = {"module", "registered_name", "build_config"} if "class_name" in config else set()
        return {key: without_modules(value) for key, value in config.items() if key not in dropped}
    return [without_modules(each) for each in config] if isinstance(config, list) else config


@pytest.mark.parametrize("age", ["late", "early"])
@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_keras_2_answers_what_keras_2_answered(tmp_path, name, age):
    file = Path(shutil.copy(FILES / f"{name}.h5", tmp_path))
    if age == "early":
        with h5py.File(file, "r+") as content:
            config = without_modules(json.loads(content.attrs["model_config"]))
            content.attrs["model_config"] = json.dumps(config)
    before = file.read_bytes()

    network = load_keras(file)

    with np.load(FILES / "answers.npz") as answers:
        given = [answers[f"{name}_{at}"] for at in range(len(network.inputs))]
        expected = answers[name]
    answer = np.asarray(network(given if len(given) > 1 else given[0], training=False))
    np.testing.assert_allclose(answer, expected, atol=1e-6)
    assert file.read_bytes() == before
