"""The Python-based backend against ONNX Runtime itself, through a real Triton."""

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from scripts.models.triton_config import parse
from scripts.stack.ports import free_ports
from scripts.stack.triton import Triton
from tests.fixtures.triton import running_triton

pytestmark = pytest.mark.integration

ROWS = """
name: "rows"
backend: "onnxruntime"
max_batch_size: 16
input { name: "rows" data_type: TYPE_FP32 dims: -1 }
output { name: "sum" data_type: TYPE_FP32 dims: 1 }
output { name: "twice" data_type: TYPE_FP32 dims: -1 }
dynamic_batching { max_queue_delay_microseconds: 20000 }
instance_group { count: 1 kind: KIND_AUTO }
parameters { key: "intra_op_thread_count" value { string_value: "1" } }
"""


def rows_graph() -> onnx.ModelProto:
    """Rows of any length: their sums, and themselves doubled."""
    rows = helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["batch", "length"])
    total = helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["batch", 1])
    twice = helper.make_tensor_value_info("twice", TensorProto.FLOAT, ["batch", "length"])
    nodes = [
        helper.make_node("ReduceSum", ["rows", "axis"], ["sum"], keepdims=1),
        helper.make_node("Add", ["rows", "rows"], ["twice"]),
    ]
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [1])
    graph = helper.make_graph(nodes, "rows", [rows], [total, twice], initializer=[axis])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.fixture(scope="module")
def rows_triton(triton_settings: Triton, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """A Triton with the model of rows, whose answers a person can compute."""
    folder = tmp_path_factory.mktemp("rows")
    repository = folder / "models"
    (repository / "rows" / "1").mkdir(parents=True)
    onnx.save(rows_graph(), repository / "rows" / "1" / "model.onnx")
    (repository / "rows" / "config.pbtxt").write_text(ROWS)
    (repository / "serving.json").write_text('{"defaults": {}, "models": {}}')
    http, grpc, metrics = free_ports(3)
    with running_triton(
        replace(
            triton_settings, repository=repository, folder=folder, http_port=http, grpc_port=grpc, metrics_port=metrics
        )
    ) as triton:
        asyncio.run(load(triton, "rows"))
        yield triton


async def load(triton: Triton, model: str) -> None:
    async with triton.control() as control:
        await control.load(model, deadline_s=30)


async def infer(
    client: InferenceServerClient, model: str, *outputs: str, **inputs: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    tensors = []
    for name, value in inputs.items():
        tensor = InferInput(name, list(value.shape), np_to_triton_dtype(value.dtype))
        tensor.set_data_from_numpy(value)
        tensors.append(tensor)
    wanted = [InferRequestedOutput(name) for name in outputs]
    answer = await client.infer(model, tensors, outputs=wanted or None, client_timeout=30)
    return {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}


async def test_answers_of_a_batch_go_back_to_their_requests(rows_triton: Triton) -> None:
    random = np.random.default_rng(7)
    batches = [random.random((rows, 5), dtype=np.float32) for rows in random.integers(1, 5, 60)]
    async with InferenceServerClient(rows_triton.address) as client:
        answers = await asyncio.gather(*(infer(client, "rows", rows=batch) for batch in batches))
        statistics = await client.get_inference_statistics("rows")

    for batch, answer in zip(batches, answers, strict=True):
        np.testing.assert_allclose(answer["sum"], batch.sum(axis=1, keepdims=True), rtol=1e-5)
        np.testing.assert_array_equal(answer["twice"], batch * 2)
    (model,) = statistics.model_stats
    assert model.execution_count < model.inference_count


async def test_requests_of_different_shapes_at_once(rows_triton: Triton) -> None:
    batches = [np.full((2, 3 + number % 4), number, np.float32) for number in range(40)]
    async with InferenceServerClient(rows_triton.address) as client:
        answers = await asyncio.gather(*(infer(client, "rows", rows=batch) for batch in batches))

    for batch, answer in zip(batches, answers, strict=True):
        np.testing.assert_array_equal(answer["twice"], batch * 2)


async def test_only_what_is_asked_for_comes_back_also_within_one_batch(rows_triton: Triton) -> None:
    row = np.ones((1, 4), np.float32)
    wishes = [("sum",), ("twice",), ("twice", "sum"), ()] * 8
    async with InferenceServerClient(rows_triton.address) as client:
        answers = await asyncio.gather(*(infer(client, "rows", *wish, rows=row) for wish in wishes))

    for wish, answer in zip(wishes, answers, strict=True):
        assert set(answer) == set(wish or ("sum", "twice"))


async def test_a_batch_over_the_limit_is_refused(rows_triton: Triton) -> None:
    async with InferenceServerClient(rows_triton.address) as client:
        with pytest.raises(InferenceServerException, match="batch-size must be <= 16"):
            await infer(client, "rows", rows=np.ones((17, 2), np.float32))


@pytest.mark.parametrize(
    ("was", "becomes", "words"),
    [
        ('name: "sum"', 'name: "total"', "names total as TYPE_FP32"),
        ('name: "rows" data_type: TYPE_FP32', 'name: "rows" data_type: TYPE_UINT8', "names rows as TYPE_UINT8"),
        ('name: "rows" data_type', 'name: "columns" data_type', "also takes"),
    ],
)
async def test_a_configuration_that_the_graph_does_not_keep_fails_to_load(
    rows_triton: Triton, was: str, becomes: str, words: str
) -> None:
    folder = rows_triton.repository / "other"
    shutil.copytree(rows_triton.repository / "rows", folder)
    config = folder / "config.pbtxt"
    first, rest = config.read_text().split("backend", 1)
    config.write_text(first.replace('"rows"', '"other"') + "backend" + rest.replace(was, becomes))
    try:
        async with rows_triton.control() as control:
            with pytest.raises(Exception, match=words):
                await control.load("other", deadline_s=30)
    finally:
        shutil.rmtree(folder)


async def test_the_models_of_the_project_answer_as_onnx_runtime_does(triton_server: Triton) -> None:
    random = np.random.default_rng(11)
    inputs: dict[str, dict[str, NDArray[Any]]] = {}
    for file in sorted(triton_server.repository.glob("*/1/model.onnx")):
        if parse((file.parents[1] / "config.pbtxt").read_bytes()).backend != "onnxruntime":
            continue  # A text model brings a program of its own, which has its own tests.
        session = ort.InferenceSession(file)
        kinds = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}
        inputs[file.parts[-3]] = {
            node.name: (random.random((3, *node.shape[1:])) * (255 if "uint8" in node.type else 1)).astype(
                kinds[node.type]
            )
            for node in session.get_inputs()
        }
    async with InferenceServerClient(triton_server.address) as client:
        for model, feed in inputs.items():
            session = ort.InferenceSession(Path(triton_server.repository, model, "1", "model.onnx"))
            expected = dict(zip([node.name for node in session.get_outputs()], session.run(None, feed), strict=True))
            answer = await infer(client, model, **feed)
            assert answer.keys() <= expected.keys()
            for name, value in answer.items():
                np.testing.assert_allclose(value, expected[name], atol=1e-5)
