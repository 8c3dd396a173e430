"""`bonafide admin jobs` and `bonafide admin queue`: everybody's jobs, straight in the database."""

import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, get_args
from uuid import UUID

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.admin.job_schemas import MOST_REQUEUED, ManagedJob, ManagedJobDetail, NotRequeued, Requeueing
from gateway.admin.jobs import JobAdministration, JobFilter
from gateway.admin.queue import QueueControl
from gateway.admin.users import Users
from gateway.audit.service import SYSTEM
from gateway.jobs.ending import Endings
from gateway.jobs.load import QueueView
from gateway.jobs.schemas import JobClass, JobStatus
from scripts.operate.database import with_engine

EXIT_USAGE: Final = 2
_PAGE: Final = 100

JobId = Annotated[UUID, typer.Argument(help="Id of the job.", metavar="JOB")]
Account = Annotated[str | None, typer.Option("--account", help="E-mail, username or id of the account.")]
Code = Annotated[str | None, typer.Option("--code", help="With this code of their last error.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]

jobs = typer.Typer(no_args_is_help=True, add_completion=False, help="Everybody's jobs.")
queue = typer.Typer(no_args_is_help=True, add_completion=False, help="The queue that jobs wait in.")


@jobs.command("list")
def list_jobs(
    *,
    account: Account = None,
    batch: Annotated[UUID | None, typer.Option(help="Of this batch.")] = None,
    status: Annotated[str | None, typer.Option(help=f"One of {', '.join(get_args(JobStatus))}.")] = None,
    priority: Annotated[str | None, typer.Option(help=f"One of {', '.join(get_args(JobClass))}.")] = None,
    dead: Annotated[bool, typer.Option("--dead", help="Only those that failed for good by our fault.")] = False,
    code: Code = None,
    older_than: Annotated[float | None, typer.Option(min=0, help="Handed over more than so many hours ago.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Most jobs to list, newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List jobs of all accounts, newest first."""

    async def work(engine: AsyncEngine) -> list[ManagedJob]:
        before = None if older_than is None else datetime.now(UTC) - timedelta(hours=older_than)
        wanted = JobFilter(
            account_id=await _account_id(engine, account),
            batch_id=batch,
            status=_known(status, JobStatus, "status"),
            priority=_known(priority, JobClass, "priority"),
            dead=dead or None,
            error_code=code,
            created_before=before,
        )
        return await _collect(_administration(engine), wanted, limit)

    found = with_engine(work)
    if as_json:
        for one in found:
            print(json.dumps(msgspec.to_builtins(one)))
        return
    table = Table(
        "id", "status", "priority", "kind", "file", "attempts", "error", "handed over", box=None, pad_edge=False
    )
    for one in found:
        state = "dead" if one.dead else one.status
        error = one.error.code if one.error else "-"
        handed_over = f"{one.created_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(
            str(one.id), state, one.priority, one.modality, one.filename, str(one.attempts), error, handed_over
        )
    Console(soft_wrap=True).print(table)


@jobs.command("show")
def show_job(job_id: JobId, *, as_json: AsJson = False) -> None:
    """Show a job: its attempts, its lease and worker, and what happened to it."""
    one = with_engine(lambda engine: _administration(engine).one(job_id))
    if as_json:
        print(json.dumps(msgspec.to_builtins(one)))
        return
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for name, value in msgspec.to_builtins(one).items():
        if name != "events" and value is not None:
            console.print(f"{name:<16} {json.dumps(value) if isinstance(value, (dict, list)) else value}")
    for event in one.events:
        console.print(f"{event.at:%Y-%m-%d %H:%M:%S}  {event.kind:<10} {json.dumps(event.data)}")


@jobs.command("retry")
def retry_job(job_id: JobId) -> None:
    """Queue a job again that failed or was cancelled; it is charged as if it had been handed over now."""
    _say(with_engine(lambda engine: _administration(engine).retry(job_id, actor=SYSTEM)))


@jobs.command("cancel")
def cancel_job(job_id: JobId) -> None:
    """Cancel a job that has not ended, and refund it."""
    _say(with_engine(lambda engine: _administration(engine).cancel(job_id, actor=SYSTEM)))


@jobs.command("requeue-dead")
def requeue_dead(
    *,
    account: Account = None,
    code: Code = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Most jobs to look at, newest first.")] = 1000,
) -> None:
    """Queue dead jobs again, the newest first; those that cannot be are named and stay dead."""

    async def work(engine: AsyncEngine) -> tuple[int, list[NotRequeued], bool]:
        administration, account_id = _administration(engine), await _account_id(engine, account)
        left, cursor, count, refused = limit, None, 0, list[NotRequeued]()
        while left > 0:
            wanted = Requeueing(account_id=account_id, error_code=code, limit=min(left, MOST_REQUEUED), cursor=cursor)
            done = await administration.requeue_dead(wanted, actor=SYSTEM)
            count, left, cursor = count + done.requeued, left - wanted.limit, done.next_cursor
            refused += done.refused
            if cursor is None:
                return count, refused, False
        return count, refused, True

    count, refused, more = with_engine(work)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for one in refused:
        console.print(f"{one.job_id} stays dead: {one.code}.")
    console.print(f"{count} jobs wait again." + (" There may be more." if more else ""))


@queue.command("show")
def show_queue(*, as_json: AsJson = False) -> None:
    """Show how much waits in each class and for how long, what runs, and whether the queue is paused."""
    _show_queue(lambda control: control.state(), as_json=as_json)


@queue.command("pause")
def pause_queue(
    reason: Annotated[str, typer.Option(help="Why, in a line that admins read.")], *, as_json: AsJson = False
) -> None:
    """Let no job begin from now on. What runs goes on, and new jobs are accepted."""
    if not reason.isprintable() or not 0 < len(reason) <= 500:  # noqa: PLR2004 - As over HTTP.
        _refuse("The reason is a line of at most 500 characters.")
    _show_queue(lambda control: control.pause(reason, actor=SYSTEM), as_json=as_json)


@queue.command("resume")
def resume_queue(*, as_json: AsJson = False) -> None:
    """Let jobs begin again."""
    _show_queue(lambda control: control.resume(actor=SYSTEM), as_json=as_json)


def _show_queue(ask: Callable[[QueueControl], Coroutine[Any, Any, QueueView]], *, as_json: bool) -> None:
    view = with_engine(lambda engine: ask(QueueControl(engine)))
    if as_json:
        print(json.dumps(msgspec.to_builtins(view)))
        return
    table = Table("class", "waiting", "due", "oldest", box=None, pad_edge=False)
    for one in view.classes:
        table.add_row(one.priority, f"{one.queued:,}", f"{one.due:,}", f"{one.oldest_s:,.0f} s")
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    lapsed = f", {view.lapsed} of them without a lease" if view.lapsed else ""
    console.print(f"{view.running} run{lapsed}. {view.dead} are dead. {view.workers} workers.")
    if view.paused:
        console.print(
            f"Paused since {view.paused_at:%Y-%m-%d %H:%M:%S %Z}: {view.reason}", markup=False, style="yellow"
        )


def _administration(engine: AsyncEngine) -> JobAdministration:
    return JobAdministration(engine, Endings())


async def _account_id(engine: AsyncEngine, who: str | None) -> UUID | None:
    return None if who is None else (await Users(engine).named(who)).id


async def _collect(administration: JobAdministration, wanted: JobFilter, limit: int) -> list[ManagedJob]:
    found: list[ManagedJob] = []
    cursor: str | None = None
    while True:
        page = await administration.page(wanted, cursor=cursor, limit=min(limit - len(found), _PAGE))
        found += page.data
        cursor = page.next_cursor
        if cursor is None or len(found) >= limit:
            return found


def _known(value: str | None, kind: Any, what: str) -> Any:
    """The value as one of a literal type."""
    if value is not None and value not in get_args(kind):
        _refuse(f"There is no {what} {value}; there are: {', '.join(get_args(kind))}.")
    return value


def _refuse(text: str) -> None:
    Console(stderr=True, soft_wrap=True).print(text, style="red", highlight=False, markup=False)
    raise typer.Exit(EXIT_USAGE)


def _say(job: ManagedJobDetail) -> None:
    Console().print(f"{job.id}: {job.status}.", highlight=False, soft_wrap=True)
