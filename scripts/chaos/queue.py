"""The queue with a hundred thousand jobs waiting: what a claim costs, and how long one job waits for those of others.

Nothing is judged: what is measured is Postgres, with `fsync` on, and the functions by which jobs are queued and taken.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, LiteralString
from uuid import UUID

import psycopg

from gateway.db.migrate import migrate
from scripts.bench.figures import percentile
from scripts.chaos.claims import Claiming, Claims, claim, claim_at_once
from scripts.chaos.figures import Report
from scripts.chaos.grounds import durable_postgres
from scripts.chaos.queue_rows import fill, make_accounts, put

QUEUES: Final = ("jobs.interactive", "jobs.api", "jobs.batch")
LANES: Final = {"all three queues": QUEUES, "the batch queue": QUEUES[2:]}
CLAIMERS: Final = (1, 8)
CLAIM_S: Final = 0.020
OTHERS_JOBS: Final = 10_000
_LOOKS: Final = 50
_SETTLING: Final = 60

_WAITING_ACCOUNTS: Final[LiteralString] = """
    SELECT count(DISTINCT account_id) FROM jobs WHERE class = 'batch' AND status = 'queued'
"""
_UPKEEP: Final[dict[str, LiteralString]] = {
    "looking for lapsed leases": "SELECT count(*) FROM take_back_jobs(5, 100, 30)",
    "looking for lost entries": "SELECT reissue_tickets(100)",
}


async def measure_queue(folder: Path, *, waiting: int, claims: int, say: Callable[[str], None]) -> Report:
    """Queue `waiting` jobs and take `claims` of them with each number of claimers, in a cluster of its own.

    The statistics of the tables are left to Postgres itself, which has not looked at them yet when the first are taken.

    Raises:
        ChaosError: Postgres did not start.
    """
    report = Report(run="queue", on="Postgres alone, durable; nothing is judged.")
    async with durable_postgres(folder) as cluster:
        await asyncio.to_thread(migrate, cluster.url())
        conninfo = cluster.conninfo()
        with psycopg.connect(conninfo, autocommit=True) as database:
            accounts = make_accounts(database)
            _settle_in(database, accounts)
            say(f"queueing {waiting:,} jobs")
            steps = await asyncio.to_thread(fill, database, accounts, waiting)
            report.tell("jobs waiting", waiting)
            _tell_steps(report, steps)
            settled = Claiming(conninfo="", queues=QUEUES, count=claims)
            claimed = await asyncio.to_thread(claim, settled, database)
            _tell_claims(report, "1 claiming since the queue was small", [claimed])
            for lane, queues in LANES.items():
                for claimers in CLAIMERS:
                    say(f"{claimers} claiming from {lane}")
                    claiming = Claiming(conninfo=conninfo, queues=queues, count=claims // claimers)
                    _tell_claims(report, f"{claimers} claiming from {lane}", await claim_at_once(claiming, claimers))
            say("looking beside them")
            await asyncio.to_thread(_measure_looks, report, database)
            say("one job behind another account's many")
            await asyncio.to_thread(_measure_fairness, report, database, waiting)
    return report


def _settle_in(database: psycopg.Connection[Any], accounts: list[UUID]) -> None:
    """Let Postgres plan the statements of this connection for tables that are small, and keep those plans."""
    for _ in range(_SETTLING):
        put(database, accounts[0], "api", 1)
    database.execute("ANALYZE jobs, detections, procrastinate_jobs, job_events")
    for _ in range(_SETTLING):
        put(database, accounts[0], "api", 1)
    claim(Claiming(conninfo="", queues=QUEUES, count=_SETTLING), database)


def _tell_steps(report: Report, steps: list[tuple[int, float]]) -> None:
    for size in sorted({size for size, _ in steps}):
        seconds = [taken for each, taken in steps if each == size]
        report.tell(f"handing over {size:,} at once: p50 of {len(seconds)}", f"{1000 * percentile(seconds, 50):.1f} ms")


def _tell_claims(report: Report, name: str, claims: list[Claims]) -> None:
    seconds = [each for one in claims for each in one.claimed_s]
    report.at_least(f"{name}: claims", len(seconds), 1)
    if seconds:
        report.below(f"{name}: p50", percentile(seconds, 50), CLAIM_S)
        report.below(f"{name}: p99", percentile(seconds, 99), CLAIM_S)


def _measure_looks(report: Report, database: psycopg.Connection[Any]) -> None:
    """What looking costs where nothing is to be found, while so much waits beside it."""
    nothing = Claiming(conninfo="", queues=("default", "webhooks"), count=1)
    seconds = [_timed(lambda: claim(nothing, database)) for _ in range(_LOOKS)]
    report.below("a look into empty queues: p99", percentile(seconds, 99), CLAIM_S)
    for name, query in _UPKEEP.items():
        report.tell(name, f"{1000 * _timed(lambda query=query: database.execute(query).fetchall()):.1f} ms")


def _measure_fairness(report: Report, database: psycopg.Connection[Any], waiting: int) -> None:
    """How many jobs are taken before the only one of an account that came behind ten thousand of another."""
    one, other = make_accounts(database, 2)
    others = min(OTHERS_JOBS, waiting)
    put(database, other, "batch", others)
    [job] = put(database, one, "batch", 1)
    row = database.execute("SELECT jobs_ahead(%s, %s)", (job, 10 * others)).fetchone()
    ahead = row[0] if row else -1
    row = database.execute(_WAITING_ACCOUNTS).fetchone()
    accounts: int = row[0] if row else 0
    taken = 0
    while taken <= others:
        claims = claim(Claiming(conninfo="", queues=("jobs.batch",), count=1), database)
        if not claims.taken or claims.taken[0][0] == str(one):
            break
        taken += 1
    report.tell("accounts whose batch jobs wait", accounts)
    report.at_most(f"claims before one job that came behind another's {others:,}", taken, accounts)
    report.tell("jobs in all classes that it was told were ahead of it", ahead)


def _timed(work: Callable[[], object]) -> float:
    """Seconds that it took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
