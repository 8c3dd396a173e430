"""Makes, lists, changes, rotates and revokes the keys of an account.

Nothing is cached: the statement that admits a detection, and the guard, read the key's row at every call. What changes
the keys of an account locks the account's row, so that bounds hold and a key has one successor at most.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import RowMapping, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.access.guard import Caller
from gateway.audit.service import Act, Actor, record
from gateway.db.paging import read_cursor, write_cursor
from gateway.db.tables import Account, table_of
from gateway.db.transactions import transaction
from gateway.errors import ConflictError, InvalidKeyError, NotFoundError
from gateway.keys.changes import changed, given, usual_grant
from gateway.keys.grants import Giver, Grant, refuse_excess
from gateway.keys.rows import KEYS, SHOWN, columns_of, grant_of, limit_columns, status_of, view_of
from gateway.keys.schemas import KeyChange, KeyPage, KeyView, NewKeyOrder, NewKeyView
from gateway.keys.secrets import NewKey, make_key

_ACCOUNTS: Final[Any] = table_of(Account)
_METER: Final = func.coalesce(KEYS.c.meter_id, KEYS.c.id)
_LIVING: Final = KEYS.c.revoked_at.is_(None) & (KEYS.c.expires_at.is_(None) | (KEYS.c.expires_at > func.now()))
_START_METER: Final = text("SELECT start_key_meter(:account_id, :meter_id)")


class Keys:
    """The keys of accounts; at most `most` living ones each."""

    def __init__(self, engine: AsyncEngine, *, most: int) -> None:
        self._engine = engine
        self._most = most

    async def create(self, caller: Caller, order: NewKeyOrder, actor: Actor) -> NewKeyView:
        """Make a key, whose text is in the answer and nowhere else.

        Raises:
            InvalidBodyError: A field is wrong.
            ForbiddenError: It would give more than the caller has.
            ConflictError: The account has as many keys as it may.
        """
        async with transaction(self._engine) as connection:
            giver = await _lock(connection, caller)
            grant = changed(usual_grant(giver), order)
            refuse_excess(giver, grant, of=None)
            await self._refuse_one_more(connection, caller.account_id)
            row, key = await _insert(connection, caller.account_id, {"name": order.name, **columns_of(grant)})
            await record(connection, Act(actor, "key.create", "key", str(row["id"]), after=_told(row)))
        return _with_text(row, key)

    async def page(self, account_id: UUID, *, cursor: str | None, limit: int, revoked: bool) -> KeyPage:
        """Up to `limit` keys of an account, newest first, from a cursor on; the revoked ones only where asked for.

        Raises:
            InvalidCursorError: The cursor is none of ours.
        """
        query = select(*SHOWN).where(KEYS.c.account_id == account_id).order_by(KEYS.c.id.desc()).limit(limit + 1)
        if cursor:
            query = query.where(KEYS.c.id < read_cursor(cursor))
        if not revoked:
            query = query.where(KEYS.c.revoked_at.is_(None))
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        data = tuple(view_of(row) for row in rows[:limit])
        return KeyPage(data=data, next_cursor=write_cursor(data[-1].id) if len(rows) > limit else None)

    async def one(self, account_id: UUID, key_id: UUID) -> KeyView:
        """One key of an account.

        Raises:
            NotFoundError: The account has none with this id, whoever else may.
        """
        async with self._engine.connect() as connection:
            return view_of(await _find(connection, account_id, key_id))

    async def change(self, caller: Caller, key_id: UUID, change: KeyChange, actor: Actor) -> KeyView:
        """Change a key; limits hold for those that it was rotated from, too, as they are counted together.

        Raises:
            NotFoundError: The account has none with this id.
            InvalidBodyError: A field is wrong.
            ForbiddenError: The key has, or would get, more than the caller.
            ConflictError: The key is revoked or expired, or a rotated one would live longer.
        """
        async with transaction(self._engine) as connection:
            giver = await _lock(connection, caller)
            before = await _find_living(connection, caller.account_id, key_id)
            had = grant_of(before)
            grant = changed(had, change)
            if giver.grant is not None:
                refuse_excess(giver, had, of=key_id)
            refuse_excess(giver, grant, of=key_id)
            if _outlives(grant, had) and await _successor(connection, before) is not None:
                raise ConflictError("A rotated key cannot be made to live longer.", code="key_rotated")
            values = {"name": given(change.name, before["name"]), **columns_of(grant)}
            query = update(KEYS).where(KEYS.c.id == key_id).values(values).returning(*SHOWN)
            after = (await connection.execute(query)).mappings().one()
            if grant.limits != had.limits:
                await _limit_together(connection, after, grant)
                if not had.limits.any:
                    meter = {"account_id": caller.account_id, "meter_id": after["meter_id"] or key_id}
                    await connection.execute(_START_METER, meter)
            if _told(before) != _told(after):
                await record(connection, Act(actor, "key.change", "key", str(key_id), _told(before), _told(after)))
        return view_of(after)

    async def rotate(self, caller: Caller, key_id: UUID, overlap_s: int, actor: Actor) -> NewKeyView:
        """Put a new key in the place of one that lives on for `overlap_s` seconds at most.

        Raises:
            NotFoundError: The account has none with this id.
            ForbiddenError: The key has more than the caller.
            ConflictError: The key is revoked, expired or was rotated before, or there would be too many keys.
        """
        async with transaction(self._engine) as connection:
            giver = await _lock(connection, caller)
            old = await _find_living(connection, caller.account_id, key_id)
            grant = grant_of(old)
            refuse_excess(giver, grant, of=key_id)
            successor = await _successor(connection, old)
            if successor is not None:
                raise ConflictError(f"This key was rotated already; its successor is {successor}.", code="key_rotated")
            if overlap_s:
                await self._refuse_one_more(connection, caller.account_id)
            await connection.execute(update(KEYS).where(KEYS.c.id == key_id).values(_fading(old, overlap_s)))
            values = {
                "name": old["name"],
                "is_primary": old["is_primary"],
                "rotated_from": key_id,
                "meter_id": old["meter_id"] or key_id,
                **columns_of(grant),
            }
            row, key = await _insert(connection, caller.account_id, values)
            after = {"successor": row["id"], "prefix": row["prefix"], "overlap_s": overlap_s}
            await record(connection, Act(actor, "key.rotate", "key", str(key_id), after=after))
        return _with_text(row, key)

    async def revoke(self, account_id: UUID, key_id: UUID, actor: Actor) -> None:
        """End a key at once; one that is revoked already stays so.

        Raises:
            NotFoundError: The account has none with this id.
        """
        async with transaction(self._engine) as connection:
            row = await _find(connection, account_id, key_id, lock=True)
            if row["revoked_at"] is None:
                await connection.execute(update(KEYS).where(KEYS.c.id == key_id).values(revoked_at=func.now()))
                await record(connection, Act(actor, "key.revoke", "key", str(key_id), before=_told(row)))

    async def _refuse_one_more(self, connection: AsyncConnection, account_id: UUID) -> None:
        query = select(func.count()).select_from(KEYS).where((KEYS.c.account_id == account_id) & _LIVING)
        if (await connection.scalar(query) or 0) >= self._most:
            raise ConflictError(f"An account has at most {self._most} keys; revoke one first.", code="too_many_keys")


async def _lock(connection: AsyncConnection, caller: Caller) -> Giver:
    """Lock the caller's account against other changes of its keys, and say what the caller may give."""
    query = select(_ACCOUNTS.c.id).where(_ACCOUNTS.c.id == caller.account_id).with_for_update(key_share=True)
    await connection.execute(query)
    if caller.key_id is None:
        return Giver(is_admin=caller.is_admin)
    query = select(*SHOWN).where((KEYS.c.id == caller.key_id) & _LIVING)
    own = (await connection.execute(query)).mappings().one_or_none()
    if own is None:
        raise InvalidKeyError
    return Giver(is_admin=caller.is_admin, key_id=caller.key_id, grant=grant_of(own))


async def _find(connection: AsyncConnection, account_id: UUID, key_id: UUID, *, lock: bool = False) -> RowMapping:
    query = select(*SHOWN).where((KEYS.c.account_id == account_id) & (KEYS.c.id == key_id))
    if lock:
        query = query.with_for_update(key_share=True)
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("There is no such key.")
    return row


async def _find_living(connection: AsyncConnection, account_id: UUID, key_id: UUID) -> RowMapping:
    row = await _find(connection, account_id, key_id, lock=True)
    status = status_of(row)
    if status != "active":
        raise ConflictError(f"This key is {status}; make a new one.", code=f"key_{status}")
    return row


async def _successor(connection: AsyncConnection, row: RowMapping) -> UUID | None:
    """The key that took the place of this one."""
    same = KEYS.c.account_id == row["account_id"]
    return await connection.scalar(select(KEYS.c.id).where(same & (KEYS.c.rotated_from == row["id"])))


async def _insert(connection: AsyncConnection, account_id: UUID, values: dict[str, Any]) -> tuple[RowMapping, NewKey]:
    key = make_key()
    made = {"account_id": account_id, "digest": key.digest, "prefix": key.prefix, "last4": key.last4}
    query = insert(KEYS).values(made | values).returning(*SHOWN)
    return (await connection.execute(query)).mappings().one(), key


async def _limit_together(connection: AsyncConnection, row: RowMapping, grant: Grant) -> None:
    """Give all keys that share the meter of this one its limits."""
    kin = (KEYS.c.account_id == row["account_id"]) & ((row["meter_id"] or row["id"]) == _METER)
    await connection.execute(update(KEYS).where(kin).values(limit_columns(grant.limits)))


def _fading(old: RowMapping, overlap_s: int) -> dict[str, Any]:
    """The columns of a key whose place another one takes."""
    if not overlap_s:
        return {"is_primary": False, "revoked_at": func.now()}
    end = datetime.now(UTC) + timedelta(seconds=overlap_s)
    return {"is_primary": False, "expires_at": end if old["expires_at"] is None else min(end, old["expires_at"])}


def _outlives(grant: Grant, other: Grant) -> bool:
    """Whether the first lives longer than the second."""
    if other.expires_at is None:
        return False
    return grant.expires_at is None or grant.expires_at > other.expires_at


def _with_text(row: RowMapping, key: NewKey) -> NewKeyView:
    return NewKeyView(**msgspec.structs.asdict(view_of(row)), key=key.secret)


def _told(row: RowMapping) -> dict[str, Any]:
    """A key as the audit log tells of it."""
    view = msgspec.structs.asdict(view_of(row))
    return {name: value for name, value in view.items() if name not in {"id", "last_used_at", "created_at"}}
