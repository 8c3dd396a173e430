"""Checks the audit log against its chain, and tells where it was tampered with."""

from collections.abc import AsyncGenerator, Mapping
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


async def verify(database: AsyncConnection[TupleRow], *, noted: Head | None = None) -> Report:
    """Go through the whole chain; where `noted` is given, its event has to be in it.

    Without a head that was noted elsewhere the removal of the last events cannot be told.
    """
    report = Report()
    previous, place, known = GENESIS, 0, True
    async for event in chained_events(database):
        report.events += 1
        if event["place"] != place + 1:
            report.findings.append(Finding(place + 1, event["place"] - 1, "missing"))
            known = False
        place, chain_hash = event["place"], bytes(event["chain_hash"] or b"")
        # What follows a missing event cannot be told right from wrong, as its predecessor's hash is gone.
        if known and link(previous, event) != chain_hash:
            report.findings.append(Finding(place, place, "changed"))
        if noted is not None and place == noted.place and chain_hash != noted.chain_hash:
            report.findings.append(Finding(place, place, "not_the_noted_one"))
        previous, known = chain_hash, True
        report.head = Head(place=place, chain_hash=chain_hash)
    if noted is not None and noted.place > place:
        report.findings.append(Finding(place + 1, noted.place, "missing"))
    row = await (await database.execute(_UNCHAINED)).fetchone()
    if row is not None:
        report.unchained, report.oldest_unchained = row
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
