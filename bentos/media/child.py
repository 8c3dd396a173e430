"""A decoding process: takes one task after another from its parent, and may be killed at any moment.

Started as `python -m bentos.media.child SOCKET PARENT MODULE...`. It opens no network and writes no file, holds none of
the service's secrets in its environment, and dies with its parent whichever way that ends.
"""

import contextlib
import ctypes
import importlib
import os
import resource
import signal
import socket
import sys
import traceback
from typing import Final

from bentos.errors import DetectionError, MediaTooCostlyError
from bentos.media.wire import HEAD, Array, Crashed, Ready, Refused, Request, read_request, write_answer, write_result

PR_SET_PDEATHSIG: Final = 1
PR_SET_NO_NEW_PRIVS: Final = 38
OOM_SCORE: Final = "1000"
"""Where memory runs out all the same, the kernel takes this process first."""


class ParentGoneError(Exception):
    """The parent closed the socket: there is nothing left to do."""


def main(socket_number: int, parent: int, modules: list[str]) -> None:
    """Load the decoders, say so, and serve until the parent goes."""
    _restrain(parent)
    for module in modules:
        importlib.import_module(module)
    channel = socket.socket(fileno=socket_number)
    with contextlib.suppress(ParentGoneError, ConnectionError):
        _send(channel, write_answer(Ready()), [])
        while True:
            request, payload = _receive(channel)
            body, arrays = _perform(request, payload)
            del payload
            _send(channel, body, arrays)


def _restrain(parent: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit("the parent is gone already")
    # Ctrl-C reaches the whole group; the parent decides when its children end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:  # noqa: PTH123
        score.write(OOM_SCORE)


def _perform(request: Request, payload: bytes) -> tuple[bytes, list[Array]]:
    """Run a task; whatever it raises becomes an answer, so that the process can go on."""
    try:
        function = getattr(importlib.import_module(request.module), request.function)
        return write_result(function(payload if request.path is None else request.path, request.options))
    except DetectionError as error:
        return write_answer(Refused(error.code, str(error))), []
    except MemoryError:
        return write_answer(Refused(MediaTooCostlyError.code, str(MediaTooCostlyError()))), []
    except Exception as error:  # noqa: BLE001  # The parent logs it; this process has no log of its own.
        return write_answer(Crashed(repr(error), traceback.format_exc())), []


def _receive(channel: socket.socket) -> tuple[Request, bytes]:
    body_size, payload_size = HEAD.unpack(_read(channel, HEAD.size))
    return read_request(_read(channel, body_size)), _read(channel, payload_size)


def _read(channel: socket.socket, size: int) -> bytes:
    """Read exactly so many bytes; a signal may cut any single read short."""
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        received = channel.recv_into(rest, 0, socket.MSG_WAITALL)
        if not received:
            raise ParentGoneError
        rest = rest[received:]
    return bytes(data)


def _send(channel: socket.socket, body: bytes, arrays: list[Array]) -> None:
    payload = sum(array.nbytes for array in arrays)
    channel.sendall(HEAD.pack(len(body), payload) + body)
    for array in arrays:
        channel.sendall(array.reshape(-1).view("u1").data)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
