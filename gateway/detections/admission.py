"""Admits detections and closes them: the two short transactions round the slow call."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, LiteralString
from uuid import UUID, uuid4

import msgspec
import psycopg
import structlog
from psycopg.rows import TupleRow

from gateway.access.credentials import Credentials
from gateway.db.batches import Batches
from gateway.db.engine import Pool
from gateway.detections.client import BentoAnswer
from gateway.detections.intake import Upload
from gateway.detections.statements import ADMIT, FAIL, HOW_CLOSED, IS_CLAIMED, SETTLE, SWEEP
from gateway.errors import (
    AccountSuspendedError,
    AddressNotAllowedError,
    BurstExceededError,
    BytesExceededError,
    ConcurrencyExceededError,
    EmailUnverifiedError,
    GatewayError,
    IdempotencyInProgressError,
    IdempotencyMismatchError,
    InvalidKeyError,
    InvalidTokenError,
    MissingScopeError,
    ModelNotAllowedError,
    QuotaExceededError,
)
from gateway.limits.allowance import Allowance, read_allowance
from gateway.limits.refusals import KEY_BYTES, KEY_QUOTA

_MOST_WAITING: Final = 2048
_SETTLE_TRIES: Final = 4
_SETTLE_BACKOFF_S: Final = 0.2

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be judged, and for whom.

    `channel` tells by which kind of call it came; `idempotency_key` is the client's name for this call and
    `fingerprint` the SHA-256 of what it asks for, both or neither. `charge` is what it counts against the daily limit.
    """

    credentials: Credentials
    upload: Upload
    request_id: str
    channel: str = "api"
    idempotency_key: str | None = None
    fingerprint: bytes | None = None
    model_asked: str | None = None
    charge: int = 1
    cached_from: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A detection that is running and charged."""

    order: Order
    id: UUID
    attempt: UUID
    created_at: datetime
    account_id: UUID
    key_id: UUID | None
    allowance: Allowance


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A detection that this idempotency key already led to."""

    id: UUID
    account_id: UUID
    allowance: Allowance


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why a detection was not admitted. Nothing was charged."""

    error: GatewayError
    allowance: Allowance | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """A detection that has its verdict: when, and its number for clients that know no UUIDs."""

    settled_at: datetime
    number: int


class Admission:
    """Opens and closes the rows of detections, many at once when many come at once."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._admit = Batches(self._admit_all, most_waiting=_MOST_WAITING)
        # What was admitted is settled; that alone bounds how much waits for it.
        self._settle = Batches(self._settle_all)

    async def admit(self, order: Order, *, lifetime_s: float) -> Admitted | Replayed | Refused:
        """Check who calls, charge, and open a row that may be settled for `lifetime_s` seconds.

        Raises:
            psycopg.OperationalError: The database does not answer.
            OverloadedError: Too many wait to be admitted.
        """
        attempt = uuid4()
        row = await self._admit.put(_order_document(order, attempt, lifetime_s))
        return _read_admission(order, attempt, row)

    async def settle(self, admitted: Admitted, answer: BentoAnswer) -> Closed | None:
        """Close with a verdict; None where the row was no longer ours to close.

        Raises:
            psycopg.OperationalError: It never went through; the sweep will close and refund the row.
        """
        for attempt in range(_SETTLE_TRIES):
            try:
                closed = await self._settle.put((admitted, answer))
                return closed or await self._settled_before(admitted)
            except psycopg.OperationalError as error:
                _log.warning("settle_failed", detection_id=str(admitted.id), reason=str(error))
                await asyncio.sleep(_SETTLE_BACKOFF_S * 2**attempt)
        raise psycopg.OperationalError("The detection could not be closed.")

    async def fail(self, admitted: Admitted, error: GatewayError) -> Allowance:
        """Close as failed and refund it; returns what the account may use now.

        Raises:
            psycopg.OperationalError: As from `settle`.
        """
        parameters = {"id": admitted.id, "attempt": admitted.attempt, "code": error.code, "message": error.message}
        await self._close(FAIL, parameters)
        return refunded(admitted)

    async def is_claimed(self, account_id: UUID, idempotency_key: str) -> bool:
        """Whether this key led to a detection already, so that the same call under it is answered and not charged."""
        async with self._pool.connection() as database:
            row = await (await database.execute(IS_CLAIMED, (account_id, idempotency_key))).fetchone()
        return bool(row and row[0])

    async def sweep(self) -> int:
        """Close, as failed and refunded, what is overdue because its process died; returns how many."""
        async with self._pool.connection() as database:
            row = await (await database.execute(SWEEP)).fetchone()
        return int(row[0]) if row else 0

    async def check(self) -> None:
        """Drop broken connections from the pool."""
        await self._pool.check()

    async def _admit_all(self, orders: Sequence[dict[str, Any]]) -> Sequence[TupleRow]:
        numbered = [order | {"place": place} for place, order in enumerate(orders)]
        async with self._pool.connection() as database:
            rows = await (await database.execute(ADMIT, {"orders": msgspec.json.encode(numbered).decode()})).fetchall()
        return sorted(rows, key=_place)

    async def _settle_all(self, items: Sequence[tuple[Admitted, BentoAnswer]]) -> Sequence[Closed | None]:
        closings = msgspec.json.encode([_closing_document(admitted, answer) for admitted, answer in items]).decode()
        async with self._pool.connection() as database:
            rows = await (await database.execute(SETTLE, {"closings": closings})).fetchall()
        closed = {row[0]: Closed(settled_at=row[2], number=row[1]) for row in rows}
        return [closed.get(admitted.id) for admitted, _ in items]

    async def _close(self, statement: LiteralString, parameters: Mapping[str, object]) -> TupleRow | None:
        """Run a closing statement, again if the connection breaks."""
        for attempt in range(_SETTLE_TRIES):
            try:
                async with self._pool.connection() as database:
                    return await (await database.execute(statement, parameters)).fetchone()
            except psycopg.OperationalError as error:
                _log.warning("settle_failed", detection_id=str(parameters["id"]), reason=str(error))
                await asyncio.sleep(_SETTLE_BACKOFF_S * 2**attempt)
        raise psycopg.OperationalError("The detection could not be closed.")

    async def _settled_before(self, admitted: Admitted) -> Closed | None:
        """How this very attempt settled, if it did: a commit may go through although its acknowledgement is lost."""
        row = await self._close(HOW_CLOSED, {"id": admitted.id, "attempt": admitted.attempt})
        if row and row[0] == "succeeded":
            return Closed(settled_at=row[1], number=row[2])
        _log.warning("settle_refused", detection_id=str(admitted.id))
        return None


def refunded(admitted: Admitted) -> Allowance:
    """The allowance once a detection was given back. A burst is not: its slot was taken, whatever came of it."""
    allowance, order = admitted.allowance, admitted.order
    size = order.upload.media.size
    return replace(
        allowance,
        used_today=max(0, allowance.used_today - order.charge),
        bytes_today=max(0, allowance.bytes_today - size),
        running=None if allowance.running is None else max(0, allowance.running - 1),
        key_used_today=max(0, allowance.key_used_today - order.charge),
        key_bytes_today=max(0, allowance.key_bytes_today - size),
    )


def _place(row: TupleRow) -> int:
    return row[0]


def _order_document(order: Order, attempt: UUID, lifetime_s: float) -> dict[str, Any]:
    """An order as the function `admit` takes it."""
    credentials, upload = order.credentials, order.upload
    return {
        "key_digest": credentials.key_digest.hex() if credentials.key_digest else None,
        "session_id": credentials.session_id,
        "issuer": credentials.issuer,
        "subject": credentials.subject,
        "address": credentials.address,
        "modality": upload.modality,
        "model": order.model_asked,
        "attempt": attempt,
        "filename": upload.filename,
        "media_type": upload.media_type,
        "size_bytes": upload.media.size,
        "media_digest": upload.media.digest.hex(),
        "request_id": order.request_id,
        "channel": order.channel,
        "client_reference": upload.client_reference,
        "tags": upload.tags,
        "cached_from": order.cached_from,
        "charge": order.charge,
        "lifetime_s": lifetime_s,
        "idempotency_key": order.idempotency_key,
        "fingerprint": order.fingerprint.hex() if order.fingerprint else None,
    }


def _closing_document(admitted: Admitted, answer: BentoAnswer) -> dict[str, Any]:
    """What the statement that settles takes; the Bento's answer goes in as the text it came as."""
    detection = answer.detection
    return {
        "id": admitted.id,
        "attempt": admitted.attempt,
        "verdict": detection.verdict,
        "p_fake": detection.p_fake,
        "model": detection.model,
        "version": detection.version,
        "answer": msgspec.Raw(answer.document),
        "thumbnail": answer.thumbnail,
    }


def _read_admission(order: Order, attempt: UUID, row: TupleRow) -> Admitted | Replayed | Refused:
    outcome, detection_id, created_at, account_id, key_id = row[1:6]
    if outcome == "unknown":
        return Refused(error=InvalidKeyError() if order.credentials.key_digest else InvalidTokenError())
    allowance = read_allowance(row[6:])
    if outcome == "admitted":
        return Admitted(
            order=order,
            id=detection_id,
            attempt=attempt,
            created_at=created_at,
            account_id=account_id,
            key_id=key_id,
            allowance=allowance,
        )
    if outcome == "replay":
        return Replayed(id=detection_id, account_id=account_id, allowance=allowance)
    return Refused(error=_refusal(outcome, order, allowance), allowance=allowance)


def _refusal(outcome: str, order: Order, allowance: Allowance) -> GatewayError:
    """The error for what the function `admit` says."""
    tomorrow = allowance.seconds_to_reset
    burst = allowance.burst if outcome == "burst" else allowance.key_burst
    errors: dict[str, GatewayError] = {
        "suspended": AccountSuspendedError(),
        "unverified": EmailUnverifiedError(),
        "scope": MissingScopeError(f"This key lacks the scope `detect:{order.upload.modality}`."),
        "address": AddressNotAllowedError(),
        "model": ModelNotAllowedError(),
        "mismatch": IdempotencyMismatchError(),
        "in_progress": IdempotencyInProgressError(retry_after_s=1),
        "daily": QuotaExceededError(retry_after_s=tomorrow),
        "key_daily": QuotaExceededError(KEY_QUOTA, retry_after_s=tomorrow),
        "bytes": BytesExceededError(retry_after_s=tomorrow),
        "key_bytes": BytesExceededError(KEY_BYTES, retry_after_s=tomorrow),
        "concurrent": ConcurrencyExceededError(retry_after_s=1),
        "burst": BurstExceededError(retry_after_s=burst.seconds_to_slot if burst else 1),
        "key_burst": BurstExceededError(retry_after_s=burst.seconds_to_slot if burst else 1),
    }
    return errors[outcome]
