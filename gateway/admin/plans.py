"""Plans as data: the limits that accounts share. A changed plan holds for its accounts from their next request on."""

import re
from typing import Any, Final

import msgspec
from sqlalchemy import RowMapping, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.admin.schemas import PLAN_NAME, NewPlan, PlanLimits, PlanList, PlanView
from gateway.audit.service import Act, Actor, record
from gateway.db.tables import Account, Plan, table_of
from gateway.db.transactions import transaction
from gateway.errors import ConflictError, NotFoundError

_PLANS: Final[Any] = table_of(Plan)
_ACCOUNTS: Final[Any] = table_of(Account)
_CHANGEABLE: Final = PlanLimits.__struct_fields__
_COUNT: Final = (
    select(func.count())
    .where(_ACCOUNTS.c.plan == _PLANS.c.name, _ACCOUNTS.c.status != "deleted")
    .scalar_subquery()
    .label("accounts")
)


class Plans:
    """What admins can do with plans."""

    def __init__(self, engine: AsyncEngine, default_plan: str) -> None:
        self._engine = engine
        self._default_plan = default_plan

    async def all(self) -> PlanList:
        """Every plan, by name."""
        async with self._engine.connect() as connection:
            rows = (await connection.execute(select(_PLANS, _COUNT).order_by(_PLANS.c.name))).mappings().all()
        return PlanList(data=tuple(_view(row) for row in rows))

    async def one(self, name: str) -> PlanView:
        """A plan. Raises NotFoundError."""
        async with self._engine.connect() as connection:
            return await _read(connection, name)

    async def make(self, plan: NewPlan, *, actor: Actor) -> PlanView:
        """Make a plan. Raises ConflictError where there is one of this name."""
        values = msgspec.structs.asdict(plan)
        async with transaction(self._engine) as connection:
            try:
                async with connection.begin_nested():
                    await connection.execute(insert(_PLANS).values(values))
            except IntegrityError as error:
                raise ConflictError("There is a plan of this name already.", code="plan_taken") from error
            await record(connection, Act(actor, "plan.create", "plan", plan.name, after=values))
            return await _read(connection, plan.name)

    async def change(self, name: str, limits: PlanLimits, *, actor: Actor) -> PlanView:
        """Put other limits into a plan. Raises NotFoundError."""
        after = msgspec.structs.asdict(limits)
        async with self._engine.begin() as connection:
            row = await _lock(connection, name)
            before = {field: row[field] for field in _CHANGEABLE}
            if before != after:
                await connection.execute(update(_PLANS).where(_PLANS.c.name == name).values(after))
                await record(connection, Act(actor, "plan.change", "plan", name, before, after))
            return await _read(connection, name)

    async def remove(self, name: str, *, actor: Actor) -> None:
        """Remove a plan that nobody has.

        Raises:
            NotFoundError: There is none of this name.
            ConflictError: Accounts have it, or new ones get it.
        """
        if name == self._default_plan:
            raise ConflictError("This is the plan of new accounts.", code="plan_in_use")
        async with self._engine.begin() as connection:
            row = await _lock(connection, name)
            try:
                async with connection.begin_nested():
                    await connection.execute(delete(_PLANS).where(_PLANS.c.name == name))
            except IntegrityError as error:
                raise ConflictError("There are accounts with this plan.", code="plan_in_use") from error
            before = {field: row[field] for field in _CHANGEABLE}
            await record(connection, Act(actor, "plan.remove", "plan", name, before))


async def _lock(connection: AsyncConnection, name: str) -> RowMapping:
    _refuse_impossible(name)
    query = select(_PLANS).where(_PLANS.c.name == name).with_for_update()
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        raise _unknown(name)
    return row


async def _read(connection: AsyncConnection, name: str) -> PlanView:
    _refuse_impossible(name)
    row = (await connection.execute(select(_PLANS, _COUNT).where(_PLANS.c.name == name))).mappings().one_or_none()
    if row is None:
        raise _unknown(name)
    return _view(row)


def _refuse_impossible(name: str) -> None:
    """Spare the database what no plan is called."""
    if not re.fullmatch(PLAN_NAME, name):
        raise _unknown(name)


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(f"There is no plan `{name}`.")


def _view(row: RowMapping) -> PlanView:
    return PlanView(**{name: row[name] for name in PlanView.__struct_fields__})
