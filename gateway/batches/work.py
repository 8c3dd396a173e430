"""A batch as the worker goes on with it."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A batch that is not done with, as far as it has come."""

    id: UUID
    account_id: UUID
    key_id: UUID | None
    status: str
    total: int
    next_place: int
    archive_id: UUID | None
    options: dict[str, Any]
    request_id: str
    failures: int
    unpacked: int
