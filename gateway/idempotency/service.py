"""Does a call once: its effect and its answer are committed together, and the answer is given again to who repeats it.

Detections go another way (`detections.admission`): their answer is their own row, and no transaction is held while a
Bento works. Both share the table and the lock on a key, so that one key means one call of whichever kind.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db.tables import IdempotencyKey, table_of
from gateway.db.transactions import joinable_transaction
from gateway.errors import ConflictError, IdempotencyInProgressError, IdempotencyMismatchError
from gateway.idempotency.sealing import Answer, Seal, SealBrokenError

_KEPT: Final = timedelta(hours=24)
_RETRY_AFTER_S: Final = 1
_ERRORS_FROM: Final = 400

_KEYS: Final[Any] = table_of(IdempotencyKey)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call by an account under a key of its choice; `fingerprint` is the SHA-256 of all that it asks for."""

    account_id: UUID
    key: str
    fingerprint: bytes


class Idempotency:
    """Remembers for 24 hours what was answered under which key; the worker's upkeep removes what is older."""

    def __init__(self, engine: AsyncEngine, secret: str) -> None:
        self._engine = engine
        self._secret = secret

    async def once(self, call: Call, effect: Callable[[], Awaitable[Answer]]) -> tuple[Answer, bool]:
        """The answer to a call, from its effect or from before; and whether it is from before.

        Whatever the effect does in a `transaction` is committed with its answer or not at all. An effect that fails
        leaves the key free.

        Raises:
            IdempotencyInProgressError: The same key is being worked under right now.
            IdempotencyMismatchError: The key was used for another call.
            ConflictError: The answer was sealed under a secret that the gateway no longer has.
        """
        async with joinable_transaction(self._engine) as connection:
            taken = select(func.take_idempotency_key(call.account_id, call.key))
            if not (await connection.execute(taken)).scalar_one():
                raise IdempotencyInProgressError(retry_after_s=_RETRY_AFTER_S)
            known = await self._recall(connection, call)
            if known is not None:
                return known, True
            answer = await effect()
            if answer.status < _ERRORS_FROM:
                await self._keep(connection, call, answer)
        return answer, False

    async def _recall(self, connection: AsyncConnection, call: Call) -> Answer | None:
        query = select(_KEYS.c.fingerprint, _KEYS.c.response).where(
            _KEYS.c.account_id == call.account_id, _KEYS.c.key == call.key, _KEYS.c.expires_at > func.now()
        )
        row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        if row.fingerprint != call.fingerprint or row.response is None:
            raise IdempotencyMismatchError
        try:
            return self._seal(call).open(row.response)
        except SealBrokenError as error:
            raise ConflictError("The first answer cannot be read any more.", code="idempotency_unreadable") from error

    async def _keep(self, connection: AsyncConnection, call: Call, answer: Answer) -> None:
        values = {
            "fingerprint": call.fingerprint,
            "detection_id": None,
            "status": answer.status,
            "response": self._seal(call).close(answer),
            "created_at": func.now(),
            "expires_at": func.now() + _KEPT,
        }
        statement = insert(_KEYS).values(account_id=call.account_id, key=call.key, **values)
        # What is there by now has expired and not been swept.
        await connection.execute(statement.on_conflict_do_update(index_elements=["account_id", "key"], set_=values))

    def _seal(self, call: Call) -> Seal:
        return Seal(self._secret, account_id=call.account_id, key=call.key, fingerprint=call.fingerprint)
