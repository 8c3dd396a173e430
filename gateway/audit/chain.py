"""Chains the audit log: each event gets a place, and the SHA-256 of its predecessor's hash and of itself.

The worker does it a moment after the events were committed. Whoever changes, removes or swaps events afterwards has to
write every later hash anew, and still fails against a hash that was noted elsewhere, as the worker's log does.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, LiteralString
from uuid import UUID

import structlog
from psycopg.rows import dict_row

from gateway.db.engine import Pool

GENESIS: Final = bytes(32)
"""What stands for the hash before the first event."""
FIELDS: Final = (
    "id",
    "at",
    "actor_id",
    "actor_kind",
    "key_id",
    "address",
    "request_id",
    "action",
    "target_kind",
    "target_id",
    "before",
    "after",
    "place",
)
"""What the hash of an event covers: all that is known of it."""
COLUMNS: Final[LiteralString] = ", ".join((*FIELDS, "chain_hash"))  # pyright: ignore[reportAssignmentType] - Constants.

_AT_ONCE: Final = 500
_TURN: Final = "SELECT pg_try_advisory_xact_lock(hashtext('bonafide.audit'))"
_HEAD: Final = "SELECT place, chain_hash FROM audit_events WHERE place IS NOT NULL ORDER BY place DESC LIMIT 1"
_WAITING: Final[LiteralString] = f"SELECT {COLUMNS} FROM audit_events WHERE place IS NULL ORDER BY id LIMIT %(most)s"  # noqa: S608 - Constants.
_CHAIN: Final = """
    UPDATE audit_events e SET place = c.place, chain_hash = c.chain_hash
    FROM unnest(%(ids)s::uuid[], %(places)s::bigint[], %(hashes)s::bytea[]) AS c (id, place, chain_hash)
    WHERE e.id = c.id
"""

_log = structlog.stdlib.get_logger(__name__)


class Chainer:
    """Gives places to events that have none yet, one chainer at a time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def catch_up(self) -> int:
        """Chain all that is there, in one transaction after the other. Returns how many events there were."""
        total = 0
        while True:
            chained = await self.chain()
            total += chained
            if chained < _AT_ONCE:
                return total

    async def chain(self) -> int:
        """Chain what is there, up to some hundreds; another chainer's turn is left to it.

        Returns:
            How many events were chained.
        """
        async with self._pool.connection() as database, database.transaction():
            cursor = database.cursor(row_factory=dict_row)
            turn = await (await database.execute(_TURN)).fetchone()
            if turn is None or not turn[0]:
                return 0
            waiting = await (await cursor.execute(_WAITING, {"most": _AT_ONCE})).fetchall()
            if not waiting:
                return 0
            head = await (await cursor.execute(_HEAD)).fetchone()
            place, previous = (head["place"], head["chain_hash"]) if head else (0, GENESIS)
            places: list[int] = []
            hashes: list[bytes] = []
            for event in waiting:
                place += 1
                previous = link(previous, {**event, "place": place})
                places.append(place)
                hashes.append(previous)
            ids = [event["id"] for event in waiting]
            await cursor.execute(_CHAIN, {"ids": ids, "places": places, "hashes": hashes})
        _log.info("audit_chained", events=len(waiting), head=f"{place}:{previous.hex()}")
        return len(waiting)


def link(previous: bytes, event: Mapping[str, Any]) -> bytes:
    """The hash of an event that follows the one with the hash `previous`."""
    return hashlib.sha256(previous + canonical(event)).digest()


def canonical(event: Mapping[str, Any]) -> bytes:
    """An event as JSON in UTF-8, always the same: names sorted, no spaces, times in UTC with microseconds."""
    return _json({name: event[name] for name in FIELDS}).encode()


def export_line(event: Mapping[str, Any]) -> str:
    """An event as a line of an export, from which its hash can be computed again."""
    digest: bytes | None = event["chain_hash"]
    return _json({**{name: event[name] for name in FIELDS}, "chain_hash": None if digest is None else digest.hex()})


def _json(values: Mapping[str, Any]) -> str:
    plain = {name: _plain(value) for name, value in values.items()}
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return str(value) if isinstance(value, UUID) else value
