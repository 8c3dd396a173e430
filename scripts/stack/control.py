"""Asking Triton over gRPC: is it alive, load this model, does this version answer a synthetic inference."""

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import grpc
import numpy as np
from google.protobuf import json_format, text_format
from tritonclient.grpc import InferInput, model_config_pb2
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

KEY_NAME: Final = "bonafide-control"
"""Name of the header, after Triton's prefix, in which the control key travels."""

_REST_S: Final = 0.05
_LEAST_S: Final = 0.1

_BUSY: Final = ("exceeds maximum queue size", "request timeout expired")


class TritonUnreachableError(Exception):
    """Triton does not answer at all."""


class ModelError(Exception):
    """A model cannot be loaded or does not answer."""


class ModelBusyError(ModelError):
    """A model answers that it has too much to do, which shows that it lives."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a model."""

    model: str
    number: int

    def __str__(self) -> str:
        return f"{self.model} version {self.number}"


class TritonControl:
    """A connection to Triton's gRPC service, with the key of its restricted calls. Use as a context manager."""

    def __init__(self, address: str, key: str) -> None:
        self._client = InferenceServerClient(address)
        self._headers = {f"triton-grpc-protocol-{KEY_NAME}": key}
        self._inputs: dict[Version, list[InferInput]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def live(self, *, deadline_s: float) -> None:
        """Return where the server answers within the deadline; else raise `TritonUnreachableError`."""
        with _told("Triton"):
            await self._client.is_server_live(client_timeout=deadline_s)

    async def load(self, model: str, *, deadline_s: float) -> None:
        """Load a model as its config.pbtxt says, or what has changed of it. Raises `ModelError` with Triton's words."""
        async with self._at_rest(model, deadline_s) as left_s:
            await self._client.load_model(model, headers=self._headers, client_timeout=left_s())
        self._inputs = {version: inputs for version, inputs in self._inputs.items() if version.model != model}

    async def reload(self, model: str, *, deadline_s: float) -> None:
        """Start the processes of a loaded model anew, from the same files. Raises `ModelError` with Triton's words.

        Triton takes a load of unchanged files for done already, and one with a new configuration for a change; so
        the configuration that it has is handed back with a number in it that was not there before.
        """
        async with self._at_rest(model, deadline_s) as left_s:
            answer: Any = await self._client.get_model_config(model, client_timeout=left_s(), as_json=True)
            config = answer["config"]
            config.setdefault("parameters", {})["reloaded"] = {"string_value": secrets.token_hex(4)}
            await self._client.load_model(
                model, headers=self._headers, config=json.dumps(config), client_timeout=left_s()
            )

    async def load_exactly(self, model: str, config: bytes, numbers: Sequence[int], *, deadline_s: float) -> None:
        """Load these versions of a model, whatever its config.pbtxt lists, and the rest of it as `config` says.

        Raises `ModelError` with Triton's words.
        """
        parsed: Any = text_format.Parse(config.decode(), model_config_pb2.ModelConfig())
        parsed.version_policy.Clear()
        parsed.version_policy.specific.versions.extend(numbers)
        told = json_format.MessageToJson(parsed, preserving_proto_field_name=True)
        async with self._at_rest(model, deadline_s) as left_s:
            await self._client.load_model(model, headers=self._headers, config=told, client_timeout=left_s())

    async def unload(self, model: str, *, deadline_s: float) -> None:
        """Unload a model. Raises `ModelError` with Triton's words."""
        async with self._at_rest(model, deadline_s) as left_s:
            await self._client.unload_model(model, headers=self._headers, client_timeout=left_s())

    async def loaded(self, *, deadline_s: float) -> frozenset[Version]:
        """Return every version that is loaded and answers.

        Raises:
            TritonUnreachableError: Nothing answers at that address.
            ModelError: It does not say, for example because the key is another.
        """
        with _told("Triton"):
            answer: Any = await self._client.get_model_repository_index(
                headers=self._headers, client_timeout=deadline_s
            )
        ready = (model for model in answer.models if model.state == "READY")
        return frozenset(Version(model.name, int(model.version)) for model in ready)

    @contextlib.asynccontextmanager
    async def _at_rest(self, model: str, deadline_s: float) -> AsyncGenerator[Callable[[], float]]:
        """Change a model once none of its versions is on its way in or out; gives the seconds that are left.

        So what Triton answers is about this change alone, and not about one that is still under way.

        Raises:
            ModelBusyError: A version is on its way all the time.
            ModelError: What the block does fails, with Triton's words.
            TritonUnreachableError: Nothing answers at that address.
        """
        until = time.monotonic() + deadline_s

        def left_s() -> float:
            return max(until - time.monotonic(), _LEAST_S)

        with _told(model):
            while moving := await self._moving(model, left_s()):
                if time.monotonic() > until:
                    raise ModelBusyError(f"{model}: version {moving} is still being loaded or unloaded.")
                await asyncio.sleep(_REST_S)
            yield left_s

    async def _moving(self, model: str, deadline_s: float) -> str:
        """Return the versions of a model that are on their way in or out."""
        answer: Any = await self._client.get_model_repository_index(headers=self._headers, client_timeout=deadline_s)
        return ", ".join(
            each.version for each in answer.models if each.name == model and each.state in {"LOADING", "UNLOADING"}
        )

    async def ask(self, version: Version, *, deadline_s: float) -> None:
        """Send one row of zeros through a version and wait for its answer.

        Raises:
            ModelBusyError: It has too much to do.
            ModelError: It did not answer, or with an error.
            TritonUnreachableError: Nothing answers at that address.
        """
        with _told(str(version)):
            inputs = self._inputs.get(version)
            if inputs is None:
                inputs = self._inputs[version] = await self._synthetic(version, deadline_s)
            await self._client.infer(
                version.model, inputs, model_version=str(version.number), client_timeout=deadline_s
            )

    async def _synthetic(self, version: Version, deadline_s: float) -> list[InferInput]:
        metadata: Any = await self._client.get_model_metadata(
            version.model, str(version.number), client_timeout=deadline_s
        )
        inputs = []
        for tensor in metadata.inputs:
            shape = [size if size > 0 else 1 for size in tensor.shape]
            value = np.zeros(shape, dtype=triton_to_np_dtype(tensor.datatype))
            if tensor.datatype == "BYTES":
                value = np.full(shape, b"ready", dtype=np.object_)
            synthetic = InferInput(tensor.name, shape, tensor.datatype)
            synthetic.set_data_from_numpy(value)
            inputs.append(synthetic)
        return inputs


@contextlib.contextmanager
def _told(who: str) -> Any:
    """Turn the client's one exception into ours."""
    try:
        yield
    except InferenceServerException as error:
        message = error.message() or str(error)
        if any(sign in message.lower() for sign in _BUSY):
            raise ModelBusyError(f"{who}: {message}") from error
        if error.status() == str(grpc.StatusCode.UNAVAILABLE) and "connect" in message.lower():
            raise TritonUnreachableError(f"{who}: {message}") from error
        raise ModelError(f"{who}: {message}") from error
