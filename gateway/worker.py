"""`python -m gateway.worker`: the process that works off the queue and does the chores of the whole platform.

Any number of them may run. Stopping one (SIGTERM) lets it finish what it has begun, for as long as draining may take.
With `--check` it only tells by its exit status whether a worker beats, for the health check of a container.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
import structlog

from gateway.accounts.letters import Letters, letter_task
from gateway.audit.chain import Chainer
from gateway.background import Chore, doing
from gateway.batches.expanding import Expanding, batch_task
from gateway.batches.unpacking import Unpacking
from gateway.db.engine import Database, connection_string, open_database
from gateway.db.migrate import migrate
from gateway.detections.client import BentoClient, open_bento_client
from gateway.detections.media import MediaStore, MemoryBudget
from gateway.jobs.acceptance import Acceptance
from gateway.jobs.ending import Endings
from gateway.jobs.fetching import UrlFetching
from gateway.jobs.judging import Judging
from gateway.jobs.leases import BEAT_S, Leases
from gateway.jobs.running import JobRunning, job_task
from gateway.jobs.upkeep import JobUpkeep
from gateway.logs import configure_logs
from gateway.mail.tasks import Mailer, mail_task
from gateway.mail.transports import choose_transport
from gateway.models.service import Models
from gateway.outbound.client import Outbound, open_outbound
from gateway.queue.heartbeat import is_beating
from gateway.queue.runner import Runner, stalled_after_s
from gateway.queue.tasks import Task
from gateway.queue.upkeep import Upkeep
from gateway.settings import GatewaySettings
from gateway.storage.objects import ObjectStore, open_object_store
from gateway.storage.retention import Retention
from gateway.storage.shelf import Shelf
from gateway.upkeep import Expiry
from gateway.webhooks.delivering import Courier, delivery_task

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Everything that a worker can be asked to do, and what it does by itself."""

    tasks: list[Task]
    chores: list[Chore]


def mail_tasks(database: Database, settings: GatewaySettings) -> list[Task]:
    """Writing mails and sending them."""
    return [
        mail_task(Mailer(choose_transport(settings), sender=settings.mail_from)),
        letter_task(Letters(database.engine, settings)),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a worker works with, open for the life of its process."""

    database: Database
    bentos: BentoClient
    objects: ObjectStore
    outbound: Outbound


@asynccontextmanager
async def open_means(settings: GatewaySettings) -> AsyncGenerator[Means]:
    """Open what a worker works with."""
    async with (
        open_database(settings) as database,
        open_bento_client(settings) as bentos,
        open_object_store(settings) as objects,
        open_outbound(settings) as outbound,
    ):
        yield Means(database=database, bentos=bentos, objects=objects, outbound=outbound)


def compose(means: Means, settings: GatewaySettings) -> Work:
    """Put a worker together. Each chore bears that another worker does it at the same time."""
    database, bentos = means.database, means.bentos
    shelf = Shelf(database.engine, means.objects, settings)
    store = MediaStore(settings.spool, memory_limit=0, budget=MemoryBudget(0))
    endings = Endings()
    leases = Leases(database.pool, lease_s=settings.job_lease_s)
    fetching = UrlFetching(means.outbound, store, settings) if settings.jobs_from_urls else None
    judging = Judging(database.pool, shelf, store, bentos, fetching)
    running = JobRunning(database.engine, judging, leases, endings, lease_s=settings.job_lease_s)
    jobs = JobUpkeep(
        database.engine,
        endings,
        most_losses=settings.job_most_losses,
        retention_days=settings.job_retention_days,
    )
    models = Models(bentos)
    expanding = Expanding(
        database.engine,
        Acceptance(database.engine, models),
        Unpacking(database.engine, shelf, store, settings),
        shelf,
        endings,
    )
    courier = Courier(database.engine, means.outbound, settings)
    tasks = [*mail_tasks(database, settings), job_task(running), batch_task(expanding), delivery_task(courier)]
    queue = Upkeep(
        database.pool,
        tasks,
        stalled_after_s=stalled_after_s(settings),
        retention_days=settings.job_retention_days,
    )
    chores = [
        Chore("renew the leases of jobs", BEAT_S, leases.beat),
        Chore("take back the jobs of lost workers", 0.5, jobs.take_back),
        Chore("reissue queue entries of jobs", 30, jobs.reissue),
        Chore("forget ended jobs", 600, jobs.forget),
        Chore("ask the Bentos for their models", 5, models.catalogue),
        Chore("go on with batches", 15, expanding.resume),
        Chore("deliver what lost its worker", 5, courier.reissue),
        Chore("chain the audit log", 1, Chainer(database.pool).catch_up),
        Chore("take up the tasks of dead workers", 10, queue.take_up_stalled),
        Chore("forget finished tasks", 600, queue.forget_finished),
        Chore("remove what has expired", 60, Expiry(database.pool).sweep),
        *storage_chores(database, means.objects, settings),
    ]
    return Work(tasks=tasks, chores=chores)


def storage_chores(database: Database, objects: ObjectStore, settings: GatewaySettings) -> list[Chore]:
    """Let go of what has had its time. Each chore bears that another worker does it at the same time."""
    retention = Retention(database.pool, objects, bin_days=settings.bin_days)
    return [
        Chore("let go of media", 5, retention.sweep),
        Chore("empty the bin of the history", 600, retention.empty_bin),
        Chore("remove objects that belong to nobody", 21_600, retention.sweep_orphans),
    ]


async def work(settings: GatewaySettings) -> None:
    """Work until told to stop by SIGTERM or SIGINT."""
    if settings.migrate_on_start:
        await asyncio.to_thread(migrate, settings.database_url.get_secret_value())
    if settings.smtp_url is None and settings.mail_folder is None:
        _log.warning("no_mail_server", advice="Set BONAFIDE_SMTP_URL, or BONAFIDE_MAIL_FOLDER to keep mail as files.")
    async with open_means(settings) as means:
        composed = compose(means, settings)
        runner = Runner(composed.tasks, settings)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, runner.stop)
        async with doing(composed.chores):
            _log.info("worker_started", tasks=[task.name for task in composed.tasks])
            await runner.run()
    _log.info("worker_stopped")


def main() -> None:
    """Work, or only check that a worker beats."""
    parser = argparse.ArgumentParser(prog="python -m gateway.worker")
    parser.add_argument("--check", action="store_true", help="only tell whether a worker beats")
    check_only: bool = parser.parse_args().check
    settings = GatewaySettings()  # pyright: ignore[reportCallIssue] - pydantic reads the rest from the environment.
    if check_only:
        sys.exit(0 if asyncio.run(_beats(settings)) else 1)
    configure_logs(settings.log_level)
    asyncio.run(work(settings))


async def _beats(settings: GatewaySettings) -> bool:
    try:
        return await is_beating(connection_string(settings.database_url.get_secret_value()))
    except psycopg.Error as error:
        sys.stderr.write(f"{error}\n")
        return False


if __name__ == "__main__":
    main()
