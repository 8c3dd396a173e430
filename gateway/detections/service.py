"""The one way through which every medium is judged: admit, infer, settle.

Admit and settle are short transactions; between them no database connection is held. What was admitted is always
settled: when the client hangs up, when the process is asked to stop, and, by the sweep, when it died.
"""

import asyncio
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec
import psycopg
import structlog

from bentos.contract import Modality
from gateway.detections.admission import Admission
from gateway.detections.client import BentoAnswer, BentoClient
from gateway.detections.intake import Upload
from gateway.detections.media import MediaStore
from gateway.detections.orders import KEEPING_S, Admitted, Order, Refused, Replayed
from gateway.detections.reuse import Reuse
from gateway.detections.schemas import DetectionSummary, DetectionView, view_of_answer
from gateway.errors import (
    DatabaseUnavailableError,
    DeadlineExceededError,
    FailureError,
    GatewayError,
    StorageFullError,
)
from gateway.history.service import History
from gateway.keys.last_use import LastUse
from gateway.limits.allowance import Allowance
from gateway.metrics import Metrics
from gateway.settings import MEDIA_MODALITIES, GatewaySettings
from gateway.storage.keeping import Keeping

GRACE_S: Final = 15.0
"""How long after its deadline a detection may still be settled; then the sweep takes it."""
_RETRY_AFTER_S: Final = 2
_WITH_THUMBNAIL: Final = frozenset({"site"})
"""Channels whose clients look at lists of videos. A thumbnail is many times the rest of a row, so others have none."""

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A verdict or the reason why there is none, and what the account may still use (None: nobody known).

    `number` is the detection's id for clients of contract B.
    `replayed`: the verdict was given before, to a call with the same idempotency key.
    """

    view: DetectionView | None = None
    number: int | None = None
    error: GatewayError | None = None
    allowance: Allowance | None = None
    replayed: bool = False


class Detections:
    """Judges media; holds what is in flight in this process."""

    def __init__(
        self,
        *,
        admission: Admission,
        bentos: BentoClient,
        store: MediaStore,
        history: History,
        reuse: Reuse,
        keeping: Keeping,
        last_use: LastUse,
        metrics: Metrics,
        settings: GatewaySettings,
    ) -> None:
        self._admission = admission
        self._bentos = bentos
        self._store = store
        self._history = history
        self._reuse = reuse
        self._keeping = keeping
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

    async def is_claimed(self, account_id: UUID, idempotency_key: str) -> bool:
        """Whether an account's idempotency key led to a detection already."""
        return await self._admission.is_claimed(account_id, idempotency_key)

    async def drain(self) -> None:
        """Wait for what is in flight; after the time-out, close the rest as failed and refunded."""
        if not self._in_flight:
            return
        _, late = await asyncio.wait(self._in_flight, timeout=self._settings.drain_timeout_s)
        for task in late:
            task.cancel()
        if late:
            _log.warning("detections_cut_off", count=len(late))
            await asyncio.wait(late, timeout=GRACE_S)

    async def sweep(self) -> int:
        """Close, as failed and refunded, what is overdue because its process died; returns how many."""
        count = await self._admission.sweep()
        if count:
            _log.warning("detections_swept", count=count)
        return count

    async def _run(self, order: Order) -> Outcome:
        try:
            outcome = await self._judge(order)
        except psycopg.OperationalError as error:
            _log.warning("database_unavailable", reason=str(error))
            await self._admission.check()
            outcome = Outcome(error=DatabaseUnavailableError(retry_after_s=_RETRY_AFTER_S))
        except GatewayError as error:
            outcome = Outcome(error=error)
        finally:
            await self._store.release(order.upload.media)
        self._metrics.count_detection(order.upload.modality, outcome.error.code if outcome.error else "succeeded")
        return outcome

    async def _judge(self, order: Order) -> Outcome:
        known = await self._reuse.find(order) if order.upload.reuse else None
        if known is not None:
            order = self._reuse.order(order, known)
        lifetime_s = self._settings.deadline(order.upload.modality) + GRACE_S
        admission = await self._admission.admit(order, lifetime_s=lifetime_s)
        match admission:
            case Refused(error=StorageFullError(), allowance=allowance, account_id=UUID() as account_id):
                refusal = await self._keeping.refusal(account_id, order.upload.media.size)
                return Outcome(error=refusal, allowance=allowance)
            case Refused(error=error, allowance=allowance):
                return Outcome(error=error, allowance=allowance)
            case Replayed():
                view, number = await self._history.replay(admission.account_id, admission.id)
                return Outcome(
                    view=_as_first_answered(view, order.upload),
                    number=number,
                    allowance=admission.allowance,
                    replayed=True,
                )
            case Admitted():
                self._last_use.note(key_id=admission.key_id, session_id=order.credentials.session_id)
                if known is not None:
                    return await self._succeed(order.upload, admission, known.answer, cached_from=known.id)
                return await self._infer_and_settle(order, admission)

    async def _infer_and_settle(self, order: Order, admitted: Admitted) -> Outcome:
        upload = order.upload
        try:
            with self._metrics.time_inference(upload.modality):
                answer = await self._bentos.detect(
                    upload.modality,
                    upload.media,
                    model=upload.model,
                    request_id=order.request_id,
                    caller=admitted.account_id,
                    thumbnail=upload.modality is Modality.VIDEO and order.channel in _WITH_THUMBNAIL,
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

    async def _succeed(
        self, upload: Upload, admitted: Admitted, answer: BentoAnswer, *, cached_from: UUID | None = None
    ) -> Outcome:
        try:
            if admitted.reserved_id is not None:
                await self._keeping.put(admitted.reserved_id, upload.media)
            closed = await self._admission.settle(admitted, answer)
        except GatewayError as error:
            return await self._fail(admitted, error)
        except asyncio.CancelledError:
            await self._fail(admitted, FailureError("The service was stopped.", code="interrupted"))
            raise
        except psycopg.OperationalError:
            raise
        except Exception:  # noqa: BLE001 - An answer that cannot be kept is none; it is logged with its traceback.
            _log.exception("settling_failed", detection_id=str(admitted.id))
            return await self._fail(admitted, FailureError())
        if closed is None:
            return Outcome(error=DeadlineExceededError(), allowance=admitted.allowance)
        detection, media = answer.detection, upload.media
        summary = DetectionSummary(
            id=admitted.id,
            status="succeeded",
            modality=upload.modality,
            filename=upload.filename,
            media_type=upload.media_type,
            size_bytes=media.size,
            created_at=admitted.created_at,
            settled_at=closed.settled_at,
            verdict=detection.verdict,
            p_fake=detection.p_fake,
            confidence=detection.confidence,
            model=detection.model,
            version=detection.version,
            error=None,
            sha256=media.digest.hex(),
            client_reference=upload.client_reference,
            tags=upload.tags,
            key_id=admitted.key_id,
            cached_from=cached_from,
            medium_id=closed.medium_id,
        )
        view = view_of_answer(detection, summary)
        return Outcome(view=view, number=closed.number, allowance=admitted.allowance)

    async def _fail(self, admitted: Admitted, error: GatewayError) -> Outcome:
        return Outcome(error=error, allowance=await self._admission.fail(admitted, error))


def _as_first_answered(view: DetectionView, upload: Upload) -> DetectionView:
    """A detection as it was answered at first, whatever its owner has done to it since."""
    return msgspec.structs.replace(
        view, client_reference=upload.client_reference, tags=upload.tags, feedback=None, deleted_at=None
    )


def longest_life_s(settings: GatewaySettings) -> float:
    """Seconds after which no upload can still be in use: the longest sending and judging together."""
    judging_s = max(settings.job_deadline_s, *(settings.deadline(one) for one in MEDIA_MODALITIES))
    return settings.upload_timeout_s + judging_s + 2 * GRACE_S + KEEPING_S
