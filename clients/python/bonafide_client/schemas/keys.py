"""API keys."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from bonafide_client.schemas import Schema


class Key(Schema, frozen=True):
    """A key, never its text: `prefix` and `last4` tell it from others. A limit or list that is None does not restrict.

    `primary` marks the account's first key. `rotated_from` names the key whose place this one took.
    """

    id: UUID
    name: str
    prefix: str
    last4: str
    status: Literal["active", "expired", "revoked"]
    primary: bool
    scopes: tuple[str, ...]
    allowed_addresses: tuple[str, ...] | None
    allowed_models: tuple[str, ...] | None
    daily_limit: int | None
    daily_bytes: int | None
    burst_limit: int | None
    burst_period_s: int | None
    rotated_from: UUID | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class NewKey(Key, frozen=True):
    """A key just made; `key` is its text, shown this once and left out of what is printed."""

    key: str

    def __repr__(self) -> str:
        return f"NewKey(id={self.id!r}, name={self.name!r}, prefix={self.prefix!r}, last4={self.last4!r})"
