"""What passes between the service and a decoding process: a request as a pickle, an answer as checked MessagePack.

A message is a head, a body and a payload; the payload carries media or arrays without another copy. Answers are not
pickled: whoever takes over a decoder with a hostile file must not get code to run in the service.
"""

import pickle
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.errors import DetectionError

Result = TypeVar("Result")
Array = NDArray[Any]

HEAD: Final = struct.Struct("<IQ")
"""Bytes of the body, bytes of the payload."""
MAX_BODY: Final = 16 * 1024 * 1024
MAX_PAYLOAD: Final = 256 * 1024 * 1024


class BrokenAnswerError(Exception):
    """A decoding process answered something that no honest one does."""


@dataclass(frozen=True, slots=True)
class Request:
    """A task by name, its options, and the path of its medium or None where the medium is the payload."""

    module: str
    function: str
    options: Any
    path: Path | None


class ArrayShape(msgspec.Struct, frozen=True):
    """One array of the payload."""

    dtype: str
    shape: tuple[int, ...]


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The process has loaded its decoders."""


class Done(msgspec.Struct, frozen=True, tag=True):
    """The task's result, in which arrays are numbers of `arrays`."""

    result: msgspec.Raw
    arrays: tuple[ArrayShape, ...]


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The task raised one of `bentos.errors`, named by its code."""

    code: str
    message: str


class Crashed(msgspec.Struct, frozen=True, tag=True):
    """The task raised something that nobody foresaw."""

    error: str
    traceback: str


Answer = Ready | Done | Refused | Crashed
_answers: Final = msgspec.msgpack.Decoder(Answer)


def write_request(request: Request) -> bytes:
    """The body of a request."""
    return pickle.dumps(request, protocol=pickle.HIGHEST_PROTOCOL)


def read_request(body: bytes | bytearray | memoryview) -> Request:
    """The request in a body; only ever given what our own parent process sent."""
    request = pickle.loads(body)  # noqa: S301  # The parent is trusted; the other direction is not pickled.
    if not isinstance(request, Request):
        raise TypeError(f"not a request: {type(request)}")
    return request


def write_result(result: object) -> tuple[bytes, list[Array]]:
    """The body of the answer with a result, and the arrays that make up its payload."""
    arrays: list[Array] = []

    def set_aside(value: object) -> int:
        if not isinstance(value, np.ndarray):
            raise NotImplementedError(f"{type(value)} cannot be answered")
        arrays.append(np.ascontiguousarray(value))
        return len(arrays) - 1

    packed = msgspec.msgpack.encode(result, enc_hook=set_aside)
    shapes = tuple(ArrayShape(array.dtype.str, array.shape) for array in arrays)
    return write_answer(Done(msgspec.Raw(packed), shapes)), arrays


def write_answer(answer: Answer) -> bytes:
    """The body of an answer."""
    return msgspec.msgpack.encode(answer)


def read_answer(body: bytes | bytearray | memoryview) -> Answer:
    """The answer in a body. Raises `BrokenAnswerError`."""
    try:
        return _answers.decode(body)
    except msgspec.MsgspecError as error:
        raise BrokenAnswerError(str(error)) from error


def read_outcome(answer: Answer, payload: bytearray, kind: type[Result]) -> Result | DetectionError | Crashed:
    """The result, the error that the task raised, or how it crashed. Raises `BrokenAnswerError`."""
    match answer:
        case Done():
            return _result(answer, payload, kind)
        case Refused():
            return _refusal(answer)
        case Crashed():
            return answer
        case Ready():
            raise BrokenAnswerError("ready twice")


def _result(done: Done, payload: bytearray, kind: type[Result]) -> Result:
    """Rebuild a result on top of the payload, with the types that its class declares."""
    try:
        arrays = _arrays(done.arrays, payload)

        def put_back(declared: Any, value: Any) -> Array:
            array = arrays[value]
            if array.dtype != _declared_dtype(declared):
                raise BrokenAnswerError(f"an array is of {array.dtype}")
            return array

        return msgspec.msgpack.decode(done.result, type=kind, dec_hook=put_back)
    except (msgspec.MsgspecError, ValueError, TypeError, LookupError) as error:
        raise BrokenAnswerError(str(error)) from error


def _family(kind: type[DetectionError]) -> Iterator[type[DetectionError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _family(child)


def _refusal(refused: Refused) -> DetectionError:
    """The error of `bentos.errors` with that code."""
    for kind in _family(DetectionError):
        if kind.code == refused.code:
            return kind(refused.message)
    raise BrokenAnswerError(f"no error has the code {refused.code}")


def _arrays(shapes: Sequence[ArrayShape], payload: bytearray) -> list[Array]:
    arrays: list[Array] = []
    start = 0
    for described in shapes:
        dtype = np.dtype(described.dtype)
        if dtype.hasobject or min(described.shape, default=0) < 0:
            raise BrokenAnswerError("an array of objects")
        count = int(np.prod(described.shape, dtype=np.int64))
        arrays.append(np.frombuffer(payload, dtype, count, start).reshape(described.shape))
        start += count * dtype.itemsize
    if start != len(payload):
        raise BrokenAnswerError("the payload is not what was announced")
    return arrays


def _declared_dtype(declared: Any) -> np.dtype[Any]:
    """`NDArray[np.uint8]` → uint8."""
    _, dtype = get_args(declared)
    return np.dtype(get_args(dtype)[0])
