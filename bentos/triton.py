"""Inference over gRPC: the only module that speaks to Triton. Every call has a deadline and names a version."""

import itertools
import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import grpc
import grpc.aio
import numpy as np
import structlog
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from bentos.deadline import Deadline
from bentos.errors import (
    BrokenModelError,
    DeadlineExceededError,
    DetectionError,
    InferenceUnavailableError,
)
from bentos.inference import InferenceClient, Signature, Tensor, Tensors, TensorSpec

_CHANNEL_OPTIONS: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Pings only while calls are in flight: a dead peer is noticed, and Triton does not complain of idle pings.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 0),
    # After a restart of Triton the next attempt comes soon, and never later than a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Each client has a connection of its own, so that one that is closed takes no other with it.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)

# Protobuf builds these classes at run time, where no type checker sees them.
_messages: Final[Any] = service_pb2
_config: Final[Any] = model_config_pb2

_TYPES: Final[Mapping[str, np.dtype[Any]]] = {
    "UINT8": np.dtype(np.uint8),
    "INT32": np.dtype(np.int32),
    "FP32": np.dtype(np.float32),
    # Triton calls it STRING in configurations and BYTES on the wire; here it is an array of `bytes`.
    "BYTES": np.dtype(np.object_),
}
_NAMES: Final[Mapping[np.dtype[Any], str]] = {dtype: name for name, dtype in _TYPES.items()}

_LENGTH: Final = struct.Struct("<I")

_log = structlog.stdlib.get_logger(__name__)


class TritonClient(InferenceClient):
    """One kept-alive channel to a Triton server; it reconnects by itself."""

    def __init__(self, address: str) -> None:
        """Prepare a channel to `address`, "host:port"; nothing is sent before the first call.

        Must be made inside the running event loop.
        """
        self._channel = grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
        self._stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._signatures: dict[tuple[str, int], Signature] = {}
        self._request_ids = itertools.count(1)

    async def signature(self, model: str, version: int, deadline: Deadline) -> Signature:
        """Return what Triton says of a loaded version; it is asked once, and again after a call has failed."""
        known = self._signatures.get((model, version))
        if known is not None:
            return known
        request = _messages.ModelConfigRequest(name=model, version=str(version))
        try:
            answer: Any = await self._stub.ModelConfig(request, timeout=deadline.remaining_s())
        except grpc.aio.AioRpcError as error:
            raise self._explain(error, model, version) from error
        signature = read_signature(answer.config)
        self._signatures[model, version] = signature
        return signature

    async def close(self) -> None:
        """Close the channel; calls in flight are cancelled."""
        await self._channel.close()

    async def _send(self, model: str, version: int, batch: Tensors, deadline: Deadline) -> Tensors:
        request_id = str(next(self._request_ids))
        request = _messages.ModelInferRequest(model_name=model, model_version=str(version), id=request_id)
        for name, tensor in batch.items():
            request.inputs.add(name=name, datatype=_NAMES[tensor.dtype], shape=tensor.shape)
            request.raw_input_contents.append(_to_wire(tensor))
        try:
            answer: Any = await self._stub.ModelInfer(request, timeout=deadline.remaining_s())
        except grpc.aio.AioRpcError as error:
            raise self._explain(error, model, version) from error
        if (answer.id, answer.model_name, answer.model_version) != (request_id, model, str(version)):
            raise BrokenModelError(f"Triton answered for another call than the one to {model} version {version}.")
        return read_outputs(answer, model)

    def _explain(self, error: grpc.aio.AioRpcError, model: str, version: int) -> DetectionError:
        """Turn a failed call into an error of ours, and forget what may have changed with it.

        Triton answers UNAVAILABLE when a queue is full or a queued call timed out, and INTERNAL when a backend's
        process died, which its watchdog mends: both may succeed later.
        """
        self._signatures.pop((model, version), None)
        code = error.code()
        _log.warning("inference failed", model=model, version=version, status=code.name, detail=error.details())
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceededError()
        if code is grpc.StatusCode.INVALID_ARGUMENT:
            return BrokenModelError(f"The model {model} version {version} does not take what its contract says.")
        return InferenceUnavailableError()


def _to_wire(tensor: Tensor) -> bytes:
    """The content of a tensor; each string is preceded by its length."""
    if tensor.dtype != np.object_:
        return tensor.tobytes()
    return b"".join(_LENGTH.pack(len(value)) + value for value in tensor.flat)


def read_signature(config: Any) -> Signature:
    """Read a version's signature from Triton's `ModelConfig` message.

    Raises:
        BrokenModelError: The model is not batched by Triton or uses a type that the contract does not know.
    """
    if config.max_batch_size < 1:
        raise BrokenModelError(f"The model {config.name} is not batched by Triton.")
    return Signature(
        max_batch_size=config.max_batch_size,
        inputs=_read_specs(config.name, config.input),
        outputs=_read_specs(config.name, config.output),
        title=config.parameters["title"].string_value if "title" in config.parameters else config.name,
        description=config.parameters["description"].string_value if "description" in config.parameters else "",
    )


def _read_specs(model: str, tensors: Any) -> Mapping[str, TensorSpec]:
    specs: dict[str, TensorSpec] = {}
    for tensor in tensors:
        datatype = _config.DataType.Name(tensor.data_type).removeprefix("TYPE_").replace("STRING", "BYTES")
        if datatype not in _TYPES:
            raise BrokenModelError(f"The model {model} uses {datatype} for {tensor.name}, which no contract does.")
        specs[tensor.name] = TensorSpec(name=tensor.name, dtype=_TYPES[datatype], shape=tuple(tensor.dims))
    return MappingProxyType(specs)


def read_outputs(answer: Any, model: str) -> dict[str, Tensor]:
    """Read the tensors of a `ModelInferResponse`; they are read-only views of the message.

    Raises:
        BrokenModelError: A tensor's bytes do not fit its declared type and shape.
    """
    outputs: dict[str, Tensor] = {}
    for tensor, content in zip(answer.outputs, answer.raw_output_contents, strict=False):
        try:
            outputs[tensor.name] = np.frombuffer(content, dtype=_TYPES[tensor.datatype]).reshape(tuple(tensor.shape))
        except (KeyError, ValueError) as error:
            raise BrokenModelError(f"The model {model} answered {tensor.name} in bytes that do not fit.") from error
    return outputs
