"""Where the exporter gives up, a sentence says so."""

import numpy as np
import pytest
import torch

from scripts.models.errors import RefusedError
from scripts.models.importing.converting import convert
from scripts.models.session import run_graph

pytestmark = pytest.mark.integration


class Double(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


class Eigenvalues(torch.nn.Module):
    """ONNX has no operator for them."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals(x).real


class Branch(torch.nn.Module):
    """What it does hangs on the values of its input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


def test_a_module_becomes_a_graph_of_any_batch():
    graph = convert(Double(), torch.zeros(2, 4, 4), name="x", output="y")

    for count in (1, 3):
        values = np.ones((count, 4, 4), np.float32)
        np.testing.assert_array_equal(run_graph(graph, {"x": values})["y"], 2 * values)


@pytest.mark.parametrize("module", [Eigenvalues(), Branch()], ids=["no operator", "control flow"])
def test_what_onnx_cannot_say_is_refused(module):
    with pytest.raises(RefusedError, match="cannot be converted to ONNX") as caught:
        convert(module, torch.ones(2, 4, 4), name="x", output="y")
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


def test_an_input_that_does_not_fit_is_refused_before():
    with pytest.raises(RefusedError, match=r"cannot take an input of \[7\].*--input-size"):
        convert(torch.nn.Linear(4, 1), torch.zeros(2, 7), name="x", output="y")
