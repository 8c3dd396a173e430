"""The one way through which every medium is judged: admit, infer, settle.

Admit and settle are short transactions of one statement; between them no database connection is held. What was
admitted is always settled: when the client hangs up, when the process is asked to stop, and, by the sweep, when it
died.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, LiteralString
from uuid import UUID, uuid4

import psycopg
import structlog
from psycopg.rows import TupleRow

from gateway.db.engine import Pool
from gateway.detections.client import BentoAnswer, BentoClient
from gateway.detections.intake import Upload
from gateway.detections.media import MediaStore
from gateway.detections.schemas import DetectionView, view_of_answer
from gateway.detections.statements import ADMIT, BURST_STATE, FAIL, HOW_CLOSED, SETTLE, SWEEP
from gateway.errors import (
    BurstExceededError,
    DatabaseUnavailableError,
    DeadlineExceededError,
    FailureError,
    GatewayError,
    InvalidKeyError,
    QuotaExceededError,
)
from gateway.keys.last_use import LastUse
from gateway.limits.allowance import Allowance, read_allowance
from gateway.metrics import Metrics
from gateway.settings import MEDIA_MODALITIES, GatewaySettings

_GRACE_S: Final = 15.0
"""How long after its deadline a detection may still be settled; then the sweep takes it."""
_SETTLE_TRIES: Final = 4
_SETTLE_BACKOFF_S: Final = 0.2
_RETRY_AFTER_S: Final = 2

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be judged, and for whom: `key_digest` is the SHA-256 of the caller's key."""

    key_digest: bytes
    upload: Upload
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A verdict or the reason why there is none, and what the account may still use (None: no such key)."""

    view: DetectionView | None = None
    error: GatewayError | None = None
    allowance: Allowance | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Admitted:
    """A detection that is running and charged."""

    id: UUID
    attempt: UUID
    created_at: datetime
    allowance: Allowance


class Detections:
    """Judges media; holds what is in flight in this process."""

    def __init__(
        self,
        *,
        pool: Pool,
        bentos: BentoClient,
        store: MediaStore,
        last_use: LastUse,
        metrics: Metrics,
        settings: GatewaySettings,
    ) -> None:
        self._pool = pool
        self._bentos = bentos
        self._store = store
        self._last_use = last_use
        self._metrics = metrics
        self._settings = settings
        self._in_flight: set[asyncio.Task[Outcome]] = set()

    async def detect(self, order: Order) -> Outcome:
        """Judge a medium and let go of it. Goes on to the end when the caller of this method is cancelled."""
        task = asyncio.create_task(self._run(order))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)
        return await asyncio.shield(task)

    async def drain(self) -> None:
        """Wait for what is in flight; after the time-out, close the rest as failed and refunded."""
        if not self._in_flight:
            return
        _, late = await asyncio.wait(self._in_flight, timeout=self._settings.drain_timeout_s)
        for task in late:
            task.cancel()
        if late:
            _log.warning("detections_cut_off", count=len(late))
            await asyncio.wait(late, timeout=_GRACE_S)

    async def sweep(self) -> int:
        """Close, as failed and refunded, what is overdue because its process died; returns how many."""
        async with self._pool.connection() as database:
            row = await (await database.execute(SWEEP)).fetchone()
        count = int(row[0]) if row else 0
        if count:
            _log.warning("detections_swept", count=count)
        return count

    async def _run(self, order: Order) -> Outcome:
        try:
            admitted = await self._admit(order)
            outcome = admitted if isinstance(admitted, Outcome) else await self._infer_and_settle(order, admitted)
        except psycopg.OperationalError as error:
            _log.warning("database_unavailable", reason=str(error))
            await self._pool.check()
            outcome = Outcome(error=DatabaseUnavailableError(retry_after_s=_RETRY_AFTER_S))
        finally:
            await self._store.release(order.upload.media)
        self._metrics.count_detection(order.upload.modality, outcome.error.code if outcome.error else "succeeded")
        return outcome

    async def _admit(self, order: Order) -> _Admitted | Outcome:
        upload = order.upload
        attempt = uuid4()
        parameters = {
            "digest": order.key_digest,
            "attempt": attempt,
            "modality": upload.modality.value,
            "filename": upload.filename,
            "media_type": upload.media_type,
            "size_bytes": upload.media.size,
            "request_id": order.request_id,
            "lifetime_s": self._settings.deadline(upload.modality) + _GRACE_S,
        }
        async with self._pool.connection() as database:
            row = await (await database.execute(ADMIT, parameters)).fetchone()
            if row is None:
                return Outcome(error=InvalidKeyError())
            key_id, account_id, detection_id, created_at, used_before = row[:5]
            allowance = read_allowance(row[5:])
            self._last_use.note(key_id)
            if detection_id is not None:
                return _Admitted(id=detection_id, attempt=attempt, created_at=created_at, allowance=allowance)
            day_is_left = allowance.daily_limit is None or used_before < allowance.daily_limit
            if not (allowance.burst_limit is not None and allowance.arrival_at is None and day_is_left):
                return Outcome(
                    error=QuotaExceededError(retry_after_s=allowance.seconds_to_reset),
                    allowance=allowance,
                )
            state = await (await database.execute(BURST_STATE, {"account_id": account_id})).fetchone()
        allowance = replace(allowance, used_today=used_before, arrival_at=state[0] if state else None)
        return Outcome(error=BurstExceededError(retry_after_s=allowance.seconds_to_burst_slot), allowance=allowance)

    async def _infer_and_settle(self, order: Order, admitted: _Admitted) -> Outcome:
        upload = order.upload
        try:
            with self._metrics.time_inference(upload.modality):
                answer = await self._bentos.detect(
                    upload.modality, upload.media, model=upload.model, request_id=order.request_id
                )
        except GatewayError as error:
            return await self._fail(admitted, error)
        except asyncio.CancelledError:
            await self._fail(admitted, FailureError("The service was stopped.", code="interrupted"))
            raise
        except Exception:  # noqa: BLE001 - Whatever it is must be settled; it is logged with its traceback.
            _log.exception("inference_failed", detection_id=str(admitted.id))
            return await self._fail(admitted, FailureError())
        return await self._succeed(upload, admitted, answer)

    async def _succeed(self, upload: Upload, admitted: _Admitted, answer: BentoAnswer) -> Outcome:
        detection = answer.detection
        parameters = {
            "id": admitted.id,
            "attempt": admitted.attempt,
            "verdict": detection.verdict.value,
            "p_fake": detection.p_fake,
            "model": detection.model,
            "version": detection.version,
            "answer": answer.document.decode(),
        }
        closed = await self._close(SETTLE, parameters)
        settled_at = closed[0] if closed else await self._settled_before(admitted)
        if settled_at is None:
            return Outcome(error=DeadlineExceededError(), allowance=_refunded(admitted.allowance))
        view = view_of_answer(
            detection,
            detection_id=admitted.id,
            filename=upload.filename,
            media_type=upload.media_type,
            size_bytes=upload.media.size,
            created_at=admitted.created_at,
            settled_at=settled_at,
        )
        return Outcome(view=view, allowance=admitted.allowance)

    async def _fail(self, admitted: _Admitted, error: GatewayError) -> Outcome:
        parameters = {
            "id": admitted.id,
            "attempt": admitted.attempt,
            "code": error.code,
            "message": error.message,
        }
        await self._close(FAIL, parameters)
        return Outcome(error=error, allowance=_refunded(admitted.allowance))

    async def _close(self, statement: LiteralString, parameters: Mapping[str, object]) -> TupleRow | None:
        """Run a closing statement, again if the connection breaks; None where the row was no longer ours to close.

        Raises:
            psycopg.OperationalError: It never went through; the sweep will close and refund the row.
        """
        for attempt in range(_SETTLE_TRIES):
            try:
                async with self._pool.connection() as database:
                    return await (await database.execute(statement, parameters)).fetchone()
            except psycopg.OperationalError as error:
                _log.warning("settle_failed", detection_id=str(parameters["id"]), reason=str(error))
                await asyncio.sleep(_SETTLE_BACKOFF_S * 2**attempt)
        raise psycopg.OperationalError("The detection could not be closed.")

    async def _settled_before(self, admitted: _Admitted) -> datetime | None:
        """When this very attempt settled, if it did: a commit may go through although its acknowledgement is lost."""
        row = await self._close(HOW_CLOSED, {"id": admitted.id, "attempt": admitted.attempt})
        if row and row[0] == "succeeded" and isinstance(row[1], datetime):
            return row[1]
        _log.warning("settle_refused", detection_id=str(admitted.id))
        return None


def _refunded(allowance: Allowance) -> Allowance:
    return replace(allowance, used_today=max(0, allowance.used_today - 1))


def longest_life_s(settings: GatewaySettings) -> float:
    """Seconds after which no upload can still be in use: the longest sending and judging together."""
    return settings.upload_timeout_s + max(settings.deadline(one) for one in MEDIA_MODALITIES) + 2 * _GRACE_S
