"""Keeps a medium that was judged right now: puts it under the room that was reserved for it when it was admitted.

Where it is and that it is there is committed with the verdict; see the functions `reserve_medium` and `admit`.
"""

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.detections.media import Media, MemoryMedia
from gateway.errors import StorageFullError, StorageUnavailableError
from gateway.settings import MIB
from gateway.storage.objects import ObjectStore

_LONGEST_S: Final = 45.0
"""Less than how much later a detection whose medium is kept may be settled (`KEEPING_S`)."""
_NAMED: Final = 3
_LONGEST_NAME: Final = 60
_ROOM: Final = text("""
    SELECT coalesce(a.storage_bytes, p.storage_bytes), coalesce(s.kept_bytes, 0)
    FROM accounts a JOIN plans p ON p.name = a.plan LEFT JOIN storage_meters s ON s.account_id = a.id
    WHERE a.id = :account_id
""")
_LARGEST: Final = text("""
    SELECT filename, size_bytes FROM media WHERE account_id = :account_id AND kept AND state = 'ready'
    ORDER BY size_bytes DESC LIMIT :most
""")


class Keeping:
    """Puts media into the object store, or says why there is no room for them."""

    def __init__(self, engine: AsyncEngine, objects: ObjectStore) -> None:
        self._engine = engine
        self._objects = objects

    async def put(self, reserved_id: UUID, media: Media) -> None:
        """Put a medium where its room was reserved. It is kept once its detection is settled.

        Raises:
            StorageUnavailableError: The store does not take it, or not soon enough.
        """
        path = kept_path(reserved_id)
        try:
            async with asyncio.timeout(_LONGEST_S):
                if isinstance(media, MemoryMedia):
                    await self._objects.put_bytes(path, media.data)
                else:
                    await self._objects.put_file(path, media.path)
        except (TimeoutError, OSError) as error:
            raise StorageUnavailableError(retry_after_s=5) from error

    async def refusal(self, account_id: UUID, size: int) -> StorageFullError:
        """Why an account has no room for `size` more bytes."""
        async with self._engine.connect() as connection:
            return await storage_full(connection, account_id, size)


async def storage_full(connection: AsyncConnection, account_id: UUID, size: int) -> StorageFullError:
    """Why an account has no room for `size` more bytes: how much is missing, and what takes up most of it."""
    allowance, used = (await connection.execute(_ROOM, {"account_id": account_id})).one()
    largest = (await connection.execute(_LARGEST, {"account_id": account_id, "most": _NAMED})).all()
    return StorageFullError(
        full_message(size, allowance=allowance or 0, used=used, largest=[(row[0], row[1]) for row in largest])
    )


def kept_path(medium_id: UUID) -> str:
    """Where the object of a medium is that is kept or judged; the function `reserve_medium` says the same."""
    return f"media/{medium_id}"


def full_message(size: int, *, allowance: int, used: int, largest: Sequence[tuple[str, int]]) -> str:
    """What somebody is told whose storage is full; `largest` are names and sizes of what could go."""
    told = [f"{mib(size)} do not fit: {mib(used)} of {mib(allowance)} are used."]
    missing = used + size - allowance
    if size > allowance:
        told.append("The file is larger than the whole storage.")
    elif largest and missing > 0:
        names = ", ".join(f"{_short(name)} ({mib(one)})" for name, one in largest)
        told.append(f"Delete {mib(missing)} or more; the largest files are {names}.")
    return " ".join(told)


def mib(size: int) -> str:
    """A size for people; never less than it is."""
    return f"{-(-size * 10 // MIB) / 10:.1f} MiB"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
