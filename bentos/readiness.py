"""Ready means asked: a Bento is ready when a synthetic detection has gone through its whole path.

The first one decodes a generated medium in the decoding processes and goes on through Triton. Once that has worked,
only Triton is asked again, with inputs of ones, because only Triton can go away unnoticed.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from bentos.deadline import Deadline

FRESH_S: Final = 2.0
"""How long an answer stays good, so that many probes cost one inference."""
PROBE_S: Final = 10.0
"""How long one synthetic detection may take; the first one also starts a decoding process."""
PATIENCE_S: Final = 5.0
"""How long one asker waits for a probe that is under way; the probe itself goes on."""

Probe = Callable[[Deadline], Awaitable[object]]

_log = structlog.stdlib.get_logger(__name__)


class Readiness:
    """Asks the whole path once and Triton from then on, one probe at a time however many ask."""

    def __init__(self, *, whole_path: Probe, inference: Probe) -> None:
        self._whole_path = whole_path
        self._inference = inference
        self._path_seen = False
        self._answer: bool | None = None
        self._answered_at = 0.0
        self._probing: asyncio.Task[bool] | None = None

    async def ask(self) -> bool:
        """Return whether a synthetic detection has succeeded within the last seconds; never raises."""
        if self._answer is not None and time.monotonic() - self._answered_at < FRESH_S:
            return self._answer
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe(), name="readiness")
        try:
            return await asyncio.wait_for(asyncio.shield(self._probing), PATIENCE_S)
        except TimeoutError:
            return False

    async def close(self) -> None:
        """Stop a probe that is under way."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.wait([self._probing])

    async def _probe(self) -> bool:
        probe = self._inference if self._path_seen else self._whole_path
        failure = ""
        try:
            async with asyncio.timeout(PROBE_S):
                await probe(Deadline.after(PROBE_S))
        except Exception as error:  # noqa: BLE001  # Whatever the reason, the answer is that it is not ready.
            failure = repr(error)
        answer = not failure
        self._path_seen = self._path_seen or answer
        if answer != self._answer:
            _log.info("ready" if answer else "not ready", reason=failure)
        self._answer, self._answered_at = answer, time.monotonic()
        return answer
