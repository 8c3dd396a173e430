"""Admits detections and closes them: the two short transactions round the slow call."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString
from uuid import UUID, uuid4

import msgspec
import psycopg
import structlog
from psycopg.rows import TupleRow

from gateway.db.batches import Batches
from gateway.db.engine import Pool
from gateway.detections.client import BentoAnswer
from gateway.detections.orders import (
    Admitted,
    Order,
    Refused,
    Replayed,
    closing_document,
    order_document,
    read_admission,
    refunded,
)
from gateway.detections.statements import ADMIT, FAIL, HOW_CLOSED, IS_CLAIMED, SETTLE, SETTLE_KEEPING, SWEEP
from gateway.errors import GatewayError
from gateway.limits.allowance import Allowance

_MOST_WAITING: Final = 2048
_SETTLE_TRIES: Final = 4
_SETTLE_BACKOFF_S: Final = 0.2

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Closed:
    """A detection that has its verdict: when, its number for clients that know no UUIDs, the medium that is kept."""

    settled_at: datetime
    number: int
    medium_id: UUID | None = None


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
        row = await self._admit.put(order_document(order, attempt, lifetime_s))
        return read_admission(order, attempt, row)

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
        closings = msgspec.json.encode(
            [
                closing_document(admitted.id, admitted.attempt, answer, medium_id=admitted.reserved_id)
                for admitted, answer in items
            ]
        ).decode()
        statement = SETTLE_KEEPING if any(admitted.reserved_id for admitted, _ in items) else SETTLE
        async with self._pool.connection() as database:
            rows = await (await database.execute(statement, {"closings": closings})).fetchall()
        closed = {row[0]: Closed(settled_at=row[2], number=row[1], medium_id=row[3]) for row in rows}
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
            return Closed(settled_at=row[1], number=row[2], medium_id=row[3])
        _log.warning("settle_refused", detection_id=str(admitted.id))
        return None


def _place(row: TupleRow) -> int:
    return row[0]
