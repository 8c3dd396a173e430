"""`bonafide admin plan`: plans, which are data."""

import json
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.admin.plans import Plans
from gateway.admin.schemas import NewPlan, PlanLimits, PlanView
from gateway.audit.service import SYSTEM
from gateway.db.tables.accounts import DEFAULT_PLAN
from gateway.errors import NotFoundError
from scripts.operate.database import with_engine
from scripts.stack.commands.settings import read_settings

EXIT_USAGE: Final = 2


Name = Annotated[str, typer.Argument(help="Name of the plan.")]

plan = typer.Typer(no_args_is_help=True, add_completion=False, help="Plans: the limits that users share.")


@plan.command("list")
def list_plans(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False
) -> None:
    """List all plans with their limits."""
    plans = with_engine(lambda engine: _plans(engine).all()).data
    if as_json:
        for one in plans:
            print(json.dumps(msgspec.to_builtins(one)))
        return
    columns = ("name", "title", "a day", "bytes a day", "burst", "at once", "storage", "users")
    table = Table(*columns, box=None, pad_edge=False)
    for one in plans:
        burst = "-" if one.burst_limit is None else f"{one.burst_limit} in {one.burst_period_s} s"
        limits = (_or_none(one.daily_limit), _or_none(one.daily_bytes), burst, _or_none(one.concurrent_limit))
        table.add_row(one.name, one.title, *limits, _or_none(one.storage_bytes), str(one.accounts))
    Console(soft_wrap=True).print(table)


@plan.command("set")
def set_plan(
    name: Name,
    *,
    title: Annotated[str | None, typer.Option(help="Title that people read. Default: the name.")] = None,
    daily_limit: Annotated[int | None, typer.Option(help="Detections a day. Default: no limit.")] = None,
    daily_bytes: Annotated[int | None, typer.Option(help="Bytes a day. Default: no limit.")] = None,
    burst_limit: Annotated[int | None, typer.Option(help="Detections within the period. Default: no limit.")] = None,
    burst_period: Annotated[int, typer.Option(help="Seconds of the period.")] = 60,
    concurrent_limit: Annotated[int | None, typer.Option(help="Detections at once. Default: no limit.")] = None,
    storage_bytes: Annotated[int | None, typer.Option(help="Bytes that a user may keep. Default: no limit.")] = None,
) -> None:
    """Make a plan, or put other limits into one: exactly those that are given, and no others."""
    values = {
        "title": title or name,
        "daily_limit": daily_limit,
        "daily_bytes": daily_bytes,
        "burst_limit": burst_limit,
        "burst_period_s": burst_period,
        "concurrent_limit": concurrent_limit,
        "storage_bytes": storage_bytes,
    }
    try:
        new = msgspec.convert(values | {"name": name}, NewPlan)
        limits = msgspec.convert(values, PlanLimits)
    except msgspec.ValidationError as error:
        Console(stderr=True, soft_wrap=True).print(str(error), style="red", highlight=False, markup=False)
        raise typer.Exit(EXIT_USAGE) from error

    async def work(engine: AsyncEngine) -> PlanView:
        plans = _plans(engine)
        try:
            return await plans.change(name, limits, actor=SYSTEM)
        except NotFoundError:
            return await plans.make(new, actor=SYSTEM)

    done = with_engine(work)
    Console().print(f"The plan {done.name} holds for {done.accounts} users.", highlight=False)


@plan.command("remove")
def remove_plan(name: Name) -> None:
    """Remove a plan that nobody has."""
    with_engine(lambda engine: _plans(engine).remove(name, actor=SYSTEM))


def _plans(engine: AsyncEngine) -> Plans:
    environment, _ = read_settings()
    return Plans(engine, environment.get("BONAFIDE_DEFAULT_PLAN") or DEFAULT_PLAN)


def _or_none(limit: int | None) -> str:
    return "-" if limit is None else f"{limit:,}"
