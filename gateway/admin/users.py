"""Users as admins see and change them. Every change is in the audit log, with what was before and after.

The guard reads an account's status and role on every request, so that a change holds from the next one on.
"""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import RowMapping, case, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.access.guard import SUPER_ADMIN
from gateway.accounts.last_admin import spare_last_admin
from gateway.accounts.sessions import close_sessions
from gateway.admin.schemas import Limits, Role, Status, UserChange, UserPage, UserView
from gateway.audit.service import Act, Actor, record
from gateway.db.paging import read_cursor, write_cursor
from gateway.db.tables import Account, Meter, Plan, table_of
from gateway.errors import ConflictError, InvalidBodyError, NotFoundError

_ACCOUNTS: Final[Any] = table_of(Account)
_METERS: Final[Any] = table_of(Meter)
_PLANS: Final[Any] = table_of(Plan)
_LIMITS: Final = Limits.__struct_fields__
_TODAY: Final = text("(platform_now() AT TIME ZONE 'utc')::date")
_SHOWN: Final = (
    *(
        _ACCOUNTS.c[name]
        for name in (
            "id",
            "number",
            "email",
            "email_verified_at",
            "username",
            "role",
            "status",
            "status_reason",
            "plan",
        )
    ),
    *(_ACCOUNTS.c[name] for name in _LIMITS),
    _ACCOUNTS.c.created_at,
    _ACCOUNTS.c.deleted_at,
    case((_METERS.c.day == _TODAY, _METERS.c.charged), else_=0).label("used_today"),
    func.coalesce(_METERS.c.total, 0).label("used_total"),
)
_JOINED: Final = _ACCOUNTS.outerjoin(_METERS, _METERS.c.subject_id == _ACCOUNTS.c.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFilter:
    """Which users are meant: all that is set. `search` is a part of the e-mail or username, an id or a number.

    Deleted accounts are found only by their status or their id.
    """

    search: str | None = None
    status: Status | None = None
    role: Role | None = None
    plan: str | None = None


class Users:
    """What admins can do with users."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def page(self, wanted: UserFilter, *, cursor: str | None, limit: int) -> UserPage:
        """Up to `limit` users, newest first, from a cursor on. Raises InvalidCursorError."""
        query = select(*_SHOWN).select_from(_JOINED).order_by(_ACCOUNTS.c.id.desc()).limit(limit + 1)
        for condition in _conditions(wanted):
            query = query.where(condition)
        if cursor is not None:
            query = query.where(_ACCOUNTS.c.id < read_cursor(cursor))
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        data = tuple(_view(row) for row in rows[:limit])
        return UserPage(data=data, next_cursor=write_cursor(data[-1].id) if len(rows) > limit else None)

    async def one(self, account_id: UUID) -> UserView:
        """A user. Raises NotFoundError."""
        async with self._engine.connect() as connection:
            return await _read(connection, account_id)

    async def named(self, name: str) -> UserView:
        """The user with exactly this e-mail, username or id, in whatever case. Raises NotFoundError."""
        names = func.lower(name)
        matches = (func.lower(_ACCOUNTS.c.email) == names) | (func.lower(_ACCOUNTS.c.username) == names)
        identifier = _identifier(name)
        query = select(_ACCOUNTS.c.id).where(
            matches if identifier is None else matches | identifier, _ACCOUNTS.c.status != "deleted"
        )
        async with self._engine.connect() as connection:
            account_id: UUID | None = (await connection.execute(query)).scalars().first()
            if account_id is None:
                raise NotFoundError(f"There is no user {name}.")
            return await _read(connection, account_id)

    async def change(self, account_id: UUID, change: UserChange, *, actor: Actor) -> UserView:
        """Change role, plan or limits.

        Raises:
            NotFoundError: There is no such user, or it is deleted.
            InvalidBodyError: There is no such plan.
            LastAdminError: It is the last active super_admin, and would be none any more.
        """
        after = {
            name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not msgspec.UNSET
        }
        async with self._engine.begin() as connection:
            if after.get("role", SUPER_ADMIN) != SUPER_ADMIN:
                await spare_last_admin(connection, account_id)
            row = await _lock(connection, account_id)
            if "plan" in after:
                await hold_plan(connection, after["plan"])
            after = {name: value for name, value in after.items() if row[name] != value}
            if after:
                await connection.execute(update(_ACCOUNTS).where(_ACCOUNTS.c.id == account_id).values(after))
                before = {name: row[name] for name in after}
                await record(connection, Act(actor, "account.change", "account", str(account_id), before, after))
            return await _read(connection, account_id)

    async def suspend(self, account_id: UUID, reason: str, *, actor: Actor) -> UserView:
        """Shut an account out: its sessions are closed, its keys refused, at once.

        Raises:
            NotFoundError: There is no such user, or it is deleted.
            ConflictError: It is suspended already.
            LastAdminError: It is the last active super_admin.
        """
        async with self._engine.begin() as connection:
            await spare_last_admin(connection, account_id)
            before = _standing(await _lock(connection, account_id))
            if before["status"] == "suspended":
                raise ConflictError("The account is suspended already.", code="already_suspended")
            await _set_standing(connection, account_id, "suspended", reason)
            closed = await close_sessions(connection, account_id)
            after = {"status": "suspended", "status_reason": reason, "sessions_closed": closed}
            await record(connection, Act(actor, "account.suspend", "account", str(account_id), before, after))
            return await _read(connection, account_id)

    async def activate(self, account_id: UUID, *, actor: Actor) -> UserView:
        """Let a suspended account in again.

        Raises:
            NotFoundError: There is no such user, or it is deleted.
            ConflictError: It is not suspended.
        """
        async with self._engine.begin() as connection:
            before = _standing(await _lock(connection, account_id))
            if before["status"] != "suspended":
                raise ConflictError("The account is not suspended.", code="not_suspended")
            await _set_standing(connection, account_id, "active", None)
            after = {"status": "active", "status_reason": None}
            await record(connection, Act(actor, "account.activate", "account", str(account_id), before, after))
            return await _read(connection, account_id)


def _conditions(wanted: UserFilter) -> list[Any]:
    conditions: list[Any] = []
    search = wanted.search
    if search:
        matches = _ACCOUNTS.c.email.icontains(search, autoescape=True)
        matches |= _ACCOUNTS.c.username.icontains(search, autoescape=True)
        identifier = _identifier(search)
        if identifier is not None:
            matches |= identifier
        conditions.append(matches)
    if wanted.status is not None:
        conditions.append(_ACCOUNTS.c.status == wanted.status)
    elif not search or _identifier(search) is None:
        conditions.append(_ACCOUNTS.c.status != "deleted")
    if wanted.role is not None:
        conditions.append(_ACCOUNTS.c.role == wanted.role)
    if wanted.plan is not None:
        conditions.append(_ACCOUNTS.c.plan == wanted.plan)
    return conditions


def _identifier(search: str) -> Any:
    """The condition that an id or a number states; None where the text is neither."""
    if search.isascii() and search.isdigit() and int(search) < 2**63:
        return _ACCOUNTS.c.number == int(search)
    try:
        return _ACCOUNTS.c.id == UUID(search)
    except ValueError:
        return None


async def _lock(connection: AsyncConnection, account_id: UUID) -> RowMapping:
    query = select(_ACCOUNTS).where(_ACCOUNTS.c.id == account_id, _ACCOUNTS.c.status != "deleted").with_for_update()
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("There is no such user.")
    return row


async def hold_plan(connection: AsyncConnection, plan: str) -> None:
    """See to it that a plan is there and stays until the transaction ends. Raises InvalidBodyError."""
    query = select(_PLANS.c.name).where(_PLANS.c.name == plan).with_for_update(key_share=True)
    if (await connection.execute(query)).one_or_none() is None:
        raise InvalidBodyError(f"There is no plan `{plan}`.", code="unknown_plan")


def _standing(row: RowMapping) -> dict[str, Any]:
    return {"status": row["status"], "status_reason": row["status_reason"]}


async def _set_standing(connection: AsyncConnection, account_id: UUID, status: Status, reason: str | None) -> None:
    values = {"status": status, "status_reason": reason}
    await connection.execute(update(_ACCOUNTS).where(_ACCOUNTS.c.id == account_id).values(values))


async def _read(connection: AsyncConnection, account_id: UUID) -> UserView:
    query = select(*_SHOWN).select_from(_JOINED).where(_ACCOUNTS.c.id == account_id)
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("There is no such user.")
    return _view(row)


def _view(row: RowMapping) -> UserView:
    return UserView(
        id=row["id"],
        number=row["number"],
        email=row["email"],
        email_verified=row["email_verified_at"] is not None,
        username=row["username"],
        role=row["role"],
        status=row["status"],
        status_reason=row["status_reason"],
        plan=row["plan"],
        limits=Limits(**{name: row[name] for name in _LIMITS}),
        used_today=row["used_today"],
        used_total=row["used_total"],
        created_at=row["created_at"],
        deleted_at=row["deleted_at"],
    )
