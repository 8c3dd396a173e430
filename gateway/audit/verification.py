"""Checks the audit log against its chain, and tells where it was tampered with."""

import json
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, LiteralString

from psycopg import AsyncConnection
from psycopg.rows import TupleRow, dict_row

from gateway.audit.chain import COLUMNS, GENESIS, link

_PAGE: Final = 1000
_CHAINED: Final[LiteralString] = f"""
    SELECT {COLUMNS} FROM audit_events WHERE place > %(after)s ORDER BY place LIMIT %(page)s
"""  # noqa: S608 - The inserted text is a constant list of columns.
_WAITING: Final[LiteralString] = f"SELECT {COLUMNS} FROM audit_events WHERE place IS NULL ORDER BY id"  # noqa: S608 - The same.
_UNCHAINED: Final = "SELECT count(*), min(at) FROM audit_events WHERE place IS NULL"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong from one place to another: events are missing, not what was chained, or not what was noted."""

    first: int
    last: int
    wrong: Literal["missing", "changed", "not_the_noted_one"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """An event of the chain, as somebody noted it: nothing up to it may have changed since."""

    place: int
    chain_hash: bytes

    @classmethod
    def parse(cls, text: str) -> "Head":
        """Read "place:hash", as the worker logs it. Raises ValueError."""
        place, _, digest = text.partition(":")
        if len(digest) != 2 * len(GENESIS):
            raise ValueError("A head is a place and a hash, with a colon between them.")
        return cls(place=int(place), chain_hash=bytes.fromhex(digest))

    def __str__(self) -> str:
        return f"{self.place}:{self.chain_hash.hex()}"


@dataclass(slots=True, kw_only=True)
class Report:
    """What a check found. `unchained` events are the youngest; the worker had not come to them yet."""

    events: int = 0
    unchained: int = 0
    oldest_unchained: datetime | None = None
    head: Head | None = None
    findings: list[Finding] = field(default_factory=list)

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong with what was chained."""
        return not self.findings


class Examiner:
    """Takes the events of a chain in their places, one after the other, from the database or from an export.

    Without a head that was noted elsewhere (`noted`) the removal of the last events cannot be told.
    """

    def __init__(self, *, noted: Head | None = None) -> None:
        self._noted = noted
        self._previous = GENESIS
        self._place = 0
        self._report = Report()

    def take(self, event: Mapping[str, Any]) -> None:
        """Check the next event; `chain_hash` is bytes."""
        report, place, chain_hash = self._report, event["place"], bytes(event["chain_hash"] or b"")
        report.events += 1
        if place > self._place + 1:
            # What follows a missing event cannot be told right from wrong, as its predecessor's hash is gone.
            report.findings.append(Finding(self._place + 1, place - 1, "missing"))
        elif place <= self._place or link(self._previous, event) != chain_hash:
            report.findings.append(Finding(place, place, "changed"))
        if self._noted is not None and place == self._noted.place and chain_hash != self._noted.chain_hash:
            report.findings.append(Finding(place, place, "not_the_noted_one"))
        self._previous, self._place = chain_hash, place
        report.head = Head(place=place, chain_hash=chain_hash)

    def finish(self) -> Report:
        """What was found, now that there are no more events."""
        if self._noted is not None and self._noted.place > self._place:
            self._report.findings.append(Finding(self._place + 1, self._noted.place, "missing"))
        return self._report


async def verify(database: AsyncConnection[TupleRow], *, noted: Head | None = None) -> Report:
    """Go through the whole chain in the database."""
    examiner = Examiner(noted=noted)
    async for event in chained_events(database):
        examiner.take(event)
    report = examiner.finish()
    row = await (await database.execute(_UNCHAINED)).fetchone()
    if row is not None:
        report.unchained, report.oldest_unchained = row
    return report


def verify_export(lines: Iterable[str], *, noted: Head | None = None) -> Report:
    """Go through an export. Raises ValueError where a line is none of one."""
    examiner = Examiner(noted=noted)
    waiting = 0
    for number, line in enumerate(lines, 1):
        try:
            event = json.loads(line)
            if event["place"] is None:
                waiting += 1
            else:
                examiner.take(event | {"chain_hash": bytes.fromhex(event["chain_hash"] or "")})
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"Line {number} is no line of an export.") from error
    report = examiner.finish()
    report.unchained = waiting
    return report


async def chained_events(database: AsyncConnection[TupleRow]) -> AsyncGenerator[Mapping[str, Any]]:
    """All events of the chain in their places, read page by page."""
    place = 0
    while True:
        cursor = database.cursor(row_factory=dict_row)
        rows = await (await cursor.execute(_CHAINED, {"after": place, "page": _PAGE})).fetchall()
        for row in rows:
            yield row
        if len(rows) < _PAGE:
            return
        place = rows[-1]["place"]


async def waiting_events(database: AsyncConnection[TupleRow]) -> AsyncGenerator[Mapping[str, Any]]:
    """The events that have no place in the chain yet, oldest first."""
    cursor = database.cursor(row_factory=dict_row)
    async for row in await cursor.execute(_WAITING):
        yield row
