"""The books after a run: whether each accepted job is there and ended once, and was charged, counted and told once."""

import asyncio
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, LiteralString
from uuid import UUID

import psycopg

from scripts.chaos.errors import ChaosError
from scripts.chaos.figures import Report

_LOOK_S: Final = 0.25

_OPEN: Final[LiteralString] = "SELECT count(*) FROM jobs WHERE status IN ('queued', 'running')"
_STATES: Final[LiteralString] = "SELECT status, count(*) FROM jobs WHERE id = ANY(%s) GROUP BY status"
_ROWS: Final[LiteralString] = """
    SELECT count(*), count(*) - count(DISTINCT job_id), count(*) FILTER (WHERE status = 'succeeded'),
        count(*) FILTER (WHERE status IN ('queued', 'running'))
    FROM detections WHERE account_id = %s AND (job_id IS NOT NULL) = %s
"""
_CHARGED: Final[LiteralString] = """
    SELECT (SELECT charged FROM meters WHERE subject_id = %(account)s),
        (SELECT coalesce(sum(charged), 0) FROM detection_days WHERE account_id = %(account)s),
        (SELECT count(*) FROM detections WHERE account_id = %(account)s AND status = 'succeeded')
"""
_MESSAGES: Final[LiteralString] = """
    SELECT count(*), count(*) - count(DISTINCT subject_id) FROM webhook_messages
    WHERE account_id = %s AND event LIKE 'job.%%'
"""
_ATTEMPTS: Final[LiteralString] = """
    SELECT count(*) FILTER (WHERE attempts > 1), coalesce(max(attempts), 0), coalesce(sum(losses), 0)
    FROM jobs WHERE account_id = %s
"""


@dataclass(frozen=True, slots=True)
class Books:
    """Reads the database of a run."""

    conninfo: str

    async def ended(self, *, within_s: float) -> float:
        """Wait until no job is open any more; seconds waited. Raises ChaosError where some stay open."""
        began = time.monotonic()
        while time.monotonic() < began + within_s:
            if await self.number(_OPEN) == 0:
                return time.monotonic() - began
            await asyncio.sleep(_LOOK_S)
        raise ChaosError(f"{await self.number(_OPEN)} jobs were still open after {within_s:.0f} s")

    async def rows(self, query: LiteralString, parameters: Any = ()) -> list[tuple[Any, ...]]:
        """What a query finds."""
        async with await psycopg.AsyncConnection.connect(self.conninfo, autocommit=True) as database:
            return await (await database.execute(query, parameters)).fetchall()

    async def number(self, query: LiteralString, parameters: Any = ()) -> int:
        """The first number that a query finds."""
        return int((await self.rows(query, parameters))[0][0])

    async def jobs(self, report: Report, account: UUID, accepted: Collection[str]) -> None:
        """Note whether every accepted job succeeded, and left one detection."""
        states: Counter[str] = Counter(dict(await self.rows(_STATES, (list(accepted),))))  # pyright: ignore[reportArgumentType] - Pairs.
        report.exactly("jobs that succeeded", states["succeeded"], len(accepted))
        report.exactly("accepted jobs that are not there", len(accepted) - sum(states.values()), 0)
        count, double, _, _ = (await self.rows(_ROWS, (account, True)))[0]
        report.exactly("detections of jobs in the history", count, len(accepted))
        report.exactly("jobs with two detections", double, 0)
        repeated, most, losses = (await self.rows(_ATTEMPTS, (account,)))[0]
        report.tell("jobs that were begun more than once", repeated)
        report.tell("most attempts of a job", most)
        report.tell("attempts that were lost with their worker", int(losses))

    async def detections(self, report: Report, account: UUID, answered: Collection[str]) -> None:
        """Note whether every detection that was answered is there once, and none is left open."""
        _, _, succeeded, still_open = (await self.rows(_ROWS, (account, False)))[0]
        there = await self.number(
            "SELECT count(*) FROM detections WHERE id = ANY(%s) AND status = 'succeeded'", (list(set(answered)),)
        )
        report.exactly("answered detections that are not in the history", len(set(answered)) - there, 0)
        report.exactly("verdicts in the history that nobody was answered", succeeded - there, 0)
        report.exactly("detections still open", still_open, 0)

    async def charges(self, report: Report, account: UUID) -> None:
        """Note whether what was charged is what reached a verdict, on the meter and by the day."""
        meter, by_day, verdicts = (await self.rows(_CHARGED, {"account": account}))[0]
        report.exactly("charged on the meter, for each verdict", meter or 0, verdicts)
        report.exactly("charged by the day, for each verdict", int(by_day), verdicts)

    async def messages(self, report: Report, account: UUID, jobs: int) -> None:
        """Note whether each job has one message."""
        count, double = (await self.rows(_MESSAGES, (account,)))[0]
        report.exactly("webhook messages", count, jobs)
        report.exactly("jobs with two webhook messages", double, 0)
