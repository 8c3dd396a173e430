"""`bonafide admin`: users, plans, jobs and the queue, straight in the database; each change is in the audit log."""

import getpass
import json
import sys
from typing import Annotated, Any, Final, get_args

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.admin.making import MadeUser, NewUser, make_user
from gateway.admin.schemas import Role, Status, UserChange, UserView
from gateway.admin.users import UserFilter, Users
from gateway.audit.service import SYSTEM
from gateway.db.tables.accounts import DEFAULT_PLAN
from scripts.operate.database import with_engine
from scripts.operate.jobs import jobs, queue
from scripts.operate.plans import plan

EXIT_USAGE: Final = 2

Who = Annotated[str, typer.Argument(help="E-mail, username or id of the user.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]

admin = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Users, plans, jobs and the queue, straight in the database."
)
admin.add_typer(plan, name="plan")
admin.add_typer(jobs, name="jobs")
admin.add_typer(queue, name="queue")


@admin.command("create")
def create(
    email: Annotated[str, typer.Argument(help="E-mail of the new user; it counts as verified.")],
    *,
    username: Annotated[str | None, typer.Option(help="Username, unique in whatever case.")] = None,
    role: Annotated[str, typer.Option(help="super_admin or user.")] = "super_admin",
    plan_name: Annotated[str, typer.Option("--plan", help="Plan of the new user.")] = DEFAULT_PLAN,
    password_stdin: Annotated[bool, typer.Option(help="Read the password from standard input.")] = False,
    no_password: Annotated[
        bool, typer.Option(help="Set none: the user signs in by key, or by a mailed token.")
    ] = False,
    with_key: Annotated[bool, typer.Option("--key", help="Make a key with every scope and print it.")] = False,
) -> None:
    """Make a user, a super_admin unless told otherwise. The password is asked for on the terminal."""
    password = None if no_password else _password(from_stdin=password_stdin)
    _known(role, get_args(Role), "role")
    user = NewUser(email=email, username=username, password=password, role=_role(role), plan=plan_name)

    async def make(engine: AsyncEngine) -> MadeUser:
        return await make_user(engine, user, with_key=with_key, actor=SYSTEM)

    made = with_engine(make)
    Console(stderr=True, soft_wrap=True).print(
        f"Made the {role} {email} with the id {made.account_id}.", highlight=False
    )
    if made.key:
        print(made.key)


@admin.command("list")
def list_users(
    search: Annotated[str | None, typer.Argument(help="A part of the e-mail or username, an id or a number.")] = None,
    *,
    status: Annotated[str | None, typer.Option(help="active, suspended or deleted.")] = None,
    role: Annotated[str | None, typer.Option(help="super_admin or user.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Most users to list, newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List users, newest first."""
    _known(status, get_args(Status), "status")
    _known(role, get_args(Role), "role")
    wanted = msgspec.convert({"search": search, "status": status, "role": role}, UserFilter)
    users = with_engine(lambda engine: _collect(Users(engine), wanted, limit))
    if as_json:
        for user in users:
            print(json.dumps(msgspec.to_builtins(user)))
        return
    table = Table("number", "e-mail", "username", "role", "status", "plan", "today", "id", box=None, pad_edge=False)
    for user in users:
        names = (str(user.number), user.email or "-", user.username or "-")
        table.add_row(*names, user.role, user.status, user.plan, str(user.used_today), str(user.id))
    Console(soft_wrap=True).print(table)


@admin.command("suspend")
def suspend(who: Who, reason: Annotated[str, typer.Option(help="Why, in a line that admins read.")]) -> None:
    """Shut a user out at once."""

    async def work(engine: AsyncEngine) -> UserView:
        users = Users(engine)
        return await users.suspend((await users.named(who)).id, reason, actor=SYSTEM)

    _say(with_engine(work))


@admin.command("activate")
def activate(who: Who) -> None:
    """Let a suspended user in again."""

    async def work(engine: AsyncEngine) -> UserView:
        users = Users(engine)
        return await users.activate((await users.named(who)).id, actor=SYSTEM)

    _say(with_engine(work))


@admin.command("role")
def role_command(who: Who, role: Annotated[str, typer.Argument(help="super_admin or user.")]) -> None:
    """Give a user another role."""
    _known(role, get_args(Role), "role")
    _say(with_engine(lambda engine: _change(engine, who, UserChange(role=_role(role)))))


@plan.command("give")
def give_plan(who: Who, name: Annotated[str, typer.Argument(help="Name of the plan.")]) -> None:
    """Put a user on a plan."""
    _say(with_engine(lambda engine: _change(engine, who, UserChange(plan=name))))


async def _change(engine: AsyncEngine, who: str, change: UserChange) -> UserView:
    users = Users(engine)
    return await users.change((await users.named(who)).id, change, actor=SYSTEM)


async def _collect(users: Users, wanted: UserFilter, limit: int) -> list[UserView]:
    found: list[UserView] = []
    cursor: str | None = None
    while True:
        page = await users.page(wanted, cursor=cursor, limit=min(limit - len(found), 200))
        found += page.data
        cursor = page.next_cursor
        if cursor is None or len(found) >= limit:
            return found


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        _refuse("There is no terminal to ask for the password on: give --password-stdin or --no-password.")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != password:
        _refuse("They differ.")
    return password


def _role(text: str) -> Role:
    return msgspec.convert(text, Role)


def _known(value: str | None, values: tuple[Any, ...], what: str) -> None:
    if value is not None and value not in values:
        _refuse(f"There is no {what} {value}; there are: {', '.join(values)}.")


def _refuse(text: str) -> None:
    Console(stderr=True, soft_wrap=True).print(text, style="red", highlight=False, markup=False)
    raise typer.Exit(EXIT_USAGE)


def _say(user: UserView) -> None:
    name = user.email or user.username or str(user.id)
    Console().print(f"{name}: {user.role}, {user.status}, plan {user.plan}.", highlight=False, soft_wrap=True)
