"""`config.pbtxt`: Triton's own description of a model, built from the few things in which our models differ.

The text is checked against Triton's own protocol buffers, so a misspelt field fails here and not at load time.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from bentos.contract import Modality

BACKEND: Final = "onnxruntime"
PYTHON_BACKEND: Final = "python"
"""Triton's own, for models whose versions bring the `model.py` that runs them."""

_AND_OURS: Final = " and with the Python-based backend of the same name that the embedded stack uses"
_TEMPLATE: Final = """\
# Triton's description of {name}; ../README.md says what each part is for. This file works with NVIDIA's {backend}
# backend{and_ours}.
name: {name_text}
backend: "{backend}"
max_batch_size: {maximum}
{inputs}
{outputs}
version_policy {{ specific {{ versions: {versions} }} }}
instance_group [ {{ kind: KIND_AUTO count: 1 }} ]
dynamic_batching {{
  preferred_batch_size: {preferred}
  max_queue_delay_microseconds: {delay_us}
  default_queue_policy {{
    timeout_action: REJECT
    default_timeout_microseconds: {timeout_us}
    max_queue_size: {queue}
  }}
}}
{warmups}
{parameters}
"""


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """An input or output: its name, type as Triton calls it, and shape without the batch."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How Triton gathers calls into batches and how long they may wait for it.

    A batch that is not one of the `preferred` sizes waits at most `delay_us` for more. Of waiting calls, at most
    `queue` are held, each for at most `timeout_us`; what is over is rejected, and the caller is told to come back.
    """

    maximum: int
    preferred: tuple[int, ...]
    delay_us: int
    queue: int
    timeout_us: int


@dataclass(frozen=True, kw_only=True)
class TritonModel:
    """Everything `config.pbtxt` says of a model; `parameters` are read by the Bentos and the embedded backend."""

    name: str
    title: str
    description: str
    modality: Modality
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    batching: Batching
    versions: Sequence[int] = (1,)
    parameters: Mapping[str, str] = field(default_factory=dict)
    backend: str = BACKEND


def render(model: TritonModel) -> bytes:
    """Text of `config.pbtxt`.

    Raises:
        google.protobuf.text_format.ParseError: It would not be one, for example for a type that Triton does not know.
    """
    batching = model.batching
    about = {"modality": model.modality.value, "title": model.title, "description": model.description}
    text = _TEMPLATE.format(
        name=model.name,
        name_text=_quoted(model.name),
        backend=model.backend,
        and_ours=_AND_OURS if model.backend == BACKEND else "",
        maximum=batching.maximum,
        inputs="\n".join(f"input {_tensor(tensor)}" for tensor in model.inputs),
        outputs="\n".join(f"output {_tensor(tensor)}" for tensor in model.outputs),
        versions=list(model.versions),
        preferred=list(batching.preferred),
        delay_us=batching.delay_us,
        timeout_us=batching.timeout_us,
        queue=batching.queue,
        # The first run is the slow one, so a row goes through before the model is ready; more would be taken from those
        # that answer meanwhile. A model of texts scores one of its own when it is loaded; Triton would send empty ones.
        warmups="" if _takes_text(model) else _warmup(model.inputs, 1),
        parameters="\n".join(
            f"parameters {{ key: {_quoted(key)} value {{ string_value: {_quoted(value)} }} }}"
            for key, value in {**about, **model.parameters}.items()
        ),
    ).encode()
    parse(text)
    return text


def parse(text: bytes) -> pb.ModelConfig:
    """Read `config.pbtxt`. Raises `google.protobuf.text_format.ParseError` where it is not one."""
    return text_format.Parse(text.decode(), pb.ModelConfig())


def read_model(text: bytes, modality: Modality) -> TritonModel:
    """Read back what `render` was told, from a file that may have been edited since; versions are those it lists.

    Raises:
        google.protobuf.text_format.ParseError: It is no configuration.
    """
    config = parse(text)
    parameters = {key: value.string_value for key, value in config.parameters.items()}
    batching = config.dynamic_batching
    return TritonModel(
        name=config.name,
        title=parameters.pop("title", config.name),
        description=parameters.pop("description", ""),
        modality=Modality(parameters.pop("modality", modality)),
        inputs=[_end_of(each) for each in config.input],
        outputs=[_end_of(each) for each in config.output],
        batching=Batching(
            maximum=config.max_batch_size,
            preferred=tuple(batching.preferred_batch_size),
            delay_us=batching.max_queue_delay_microseconds,
            queue=batching.default_queue_policy.max_queue_size,
            timeout_us=batching.default_queue_policy.default_timeout_microseconds,
        ),
        versions=tuple(config.version_policy.specific.versions),
        parameters=parameters,
        backend=config.backend,
    )


def _end_of(entry: pb.ModelInput | pb.ModelOutput) -> Tensor:
    dtype = pb.DataType.Name(entry.data_type).removeprefix("TYPE_")
    return Tensor(name=entry.name, dtype=dtype, shape=tuple(entry.dims))


def _takes_text(model: TritonModel) -> bool:
    return any(tensor.dtype == "STRING" for tensor in model.inputs)


def _quoted(text: str) -> str:
    return json.dumps(text)


def _tensor(tensor: Tensor) -> str:
    return f"{{ name: {_quoted(tensor.name)} data_type: TYPE_{tensor.dtype} dims: {list(tensor.shape)} }}"


def _warmup(inputs: Sequence[Tensor], size: int) -> str:
    samples = "\n".join(
        f"  inputs {{ key: {_quoted(tensor.name)} value {{ data_type: TYPE_{tensor.dtype} dims: {list(tensor.shape)}"
        " zero_data: true } }"
        for tensor in inputs
    )
    return f'model_warmup {{\n  name: "batch-{size}"\n  batch_size: {size}\n{samples}\n}}'
