"""`python -m gateway.worker`: the process that works off the queue and does the chores of the whole platform.

Any number of them may run. Stopping one (SIGTERM) lets it finish what it has begun, for as long as draining may take.
With `--check` it only tells by its exit status whether a worker beats, for the health check of a container.
"""

import argparse
import asyncio
import signal
import sys

import psycopg
import structlog

from gateway.accounts.letters import Letters, letter_task
from gateway.audit.chain import Chainer
from gateway.background import Chore, doing
from gateway.db.engine import Database, connection_string, open_database
from gateway.db.migrate import migrate
from gateway.logs import configure_logs
from gateway.mail.tasks import Mailer, mail_task
from gateway.mail.transports import choose_transport
from gateway.queue.heartbeat import is_beating
from gateway.queue.runner import Runner, stalled_after_s
from gateway.queue.tasks import Task
from gateway.queue.upkeep import Upkeep
from gateway.settings import GatewaySettings
from gateway.upkeep import Expiry

_log = structlog.stdlib.get_logger(__name__)


def compose_tasks(database: Database, settings: GatewaySettings) -> list[Task]:
    """Everything that the worker can be asked to do."""
    return [
        mail_task(Mailer(choose_transport(settings), sender=settings.mail_from)),
        letter_task(Letters(database.engine, settings)),
    ]


def compose_chores(database: Database, tasks: list[Task], settings: GatewaySettings) -> list[Chore]:
    """What the worker does by itself. Each chore bears that another worker does it at the same time."""
    upkeep = Upkeep(
        database.pool,
        tasks,
        stalled_after_s=stalled_after_s(settings),
        retention_days=settings.job_retention_days,
    )
    return [
        Chore("chain the audit log", 1, Chainer(database.pool).catch_up),
        Chore("take up the jobs of dead workers", 10, upkeep.take_up_stalled),
        Chore("forget finished jobs", 600, upkeep.forget_finished),
        Chore("remove what has expired", 60, Expiry(database.pool).sweep),
    ]


async def work(settings: GatewaySettings) -> None:
    """Work until told to stop by SIGTERM or SIGINT."""
    if settings.migrate_on_start:
        await asyncio.to_thread(migrate, settings.database_url.get_secret_value())
    if settings.smtp_url is None and settings.mail_folder is None:
        _log.warning("no_mail_server", advice="Set BONAFIDE_SMTP_URL, or BONAFIDE_MAIL_FOLDER to keep mail as files.")
    async with open_database(settings) as database:
        tasks = compose_tasks(database, settings)
        runner = Runner(tasks, settings)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, runner.stop)
        async with doing(compose_chores(database, tasks, settings)):
            _log.info("worker_started", tasks=[task.name for task in tasks])
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
