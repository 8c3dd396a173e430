"""What one closed detection adds to the counts of its day, and how those are changed with it."""

from dataclasses import dataclass
from datetime import date
from typing import Final
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from bentos.contract import Verdict
from gateway.db.tables import DetectionDay, table_of

NO_KEY: Final = UUID(int=0)
FAKE_FROM: Final = 0.5
"""This p_fake and above is fake where only two answers are known."""

_DAYS = table_of(DetectionDay)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What of a closed detection decides how it is counted."""

    account_id: UUID
    charged_on: date
    modality: str
    key_id: UUID | None
    succeeded: bool
    verdict: str | None
    p_fake: float | None
    feedback: str | None
    deleted: bool


def counts_of(one: Counted) -> dict[str, int]:
    """What it adds to each column of `detection_days` that a change may touch; see that table."""
    there = not one.deleted
    fake = one.p_fake is not None and one.p_fake >= FAKE_FROM
    return {
        "succeeded": int(there and one.succeeded),
        "failed": int(there and not one.succeeded),
        "fake": int(there and fake),
        "verdict_real": int(there and one.verdict == Verdict.REAL),
        "verdict_fake": int(there and one.verdict == Verdict.FAKE),
        "verdict_uncertain": int(there and one.verdict == Verdict.UNCERTAIN),
        "rated": int(there and one.feedback in ("real", "fake")),
        "agreed": int(there and one.feedback == ("fake" if fake else "real")),
    }


async def recount(connection: AsyncConnection, before: Counted, after: Counted) -> None:
    """Move the counts of the day from what a detection was to what it is, in the transaction that changes it.

    The detection is locked already; its day has a row since it was closed.
    """
    was, now = counts_of(before), counts_of(after)
    change = {name: now[name] - was[name] for name in was if now[name] != was[name]}
    if not change:
        return
    await connection.execute(
        update(_DAYS)
        .where(
            _DAYS.c.account_id == before.account_id,
            _DAYS.c.day == before.charged_on,
            _DAYS.c.modality == before.modality,
            _DAYS.c.key_id == (before.key_id or NO_KEY),
        )
        .values({name: _DAYS.c[name] + by for name, by in change.items()})
    )
