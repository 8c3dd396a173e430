import dataclasses

import pytest
from google.protobuf import text_format

from bentos.contract import Modality
from scripts.models.triton_config import Batching, Tensor, TritonModel, parse, render

MODEL = TritonModel(
    name="some_model",
    title='A "quoted" title',
    description="Finds things; says so.\nIn two lines.",
    modality=Modality.AUDIO,
    inputs=[Tensor(name="waveform", dtype="FP32", shape=(32000,))],
    outputs=[Tensor(name="p_fake", dtype="FP32", shape=(1,))],
    batching=Batching(maximum=16, preferred=(4, 8), delay_us=500, queue=64, timeout_us=2_000_000),
    versions=(2, 3),
    parameters={"intra_op_thread_count": "2"},
)


def test_triton_reads_what_was_meant() -> None:
    config = parse(render(MODEL))
    assert (config.name, config.backend, config.max_batch_size) == ("some_model", "onnxruntime", 16)
    assert [(tensor.name, list(tensor.dims)) for tensor in (*config.input, *config.output)] == [
        ("waveform", [32000]),
        ("p_fake", [1]),
    ]
    assert list(config.version_policy.specific.versions) == [2, 3]
    assert list(config.dynamic_batching.preferred_batch_size) == [4, 8]
    queue = config.dynamic_batching.default_queue_policy
    assert (queue.max_queue_size, queue.default_timeout_microseconds) == (64, 2_000_000)
    assert queue.TimeoutAction.Name(queue.timeout_action) == "REJECT"
    assert [warmup.batch_size for warmup in config.model_warmup] == [1]
    assert {key: value.string_value for key, value in config.parameters.items()} == {
        "modality": "audio",
        "title": MODEL.title,
        "description": MODEL.description,
        "intra_op_thread_count": "2",
    }


def test_a_type_that_triton_does_not_know_is_found_before_it_is_loaded() -> None:
    unknown = dataclasses.replace(MODEL, inputs=[Tensor(name="waveform", dtype="FLOAT", shape=(1,))])
    with pytest.raises(text_format.ParseError, match="TYPE_FLOAT"):
        render(unknown)
