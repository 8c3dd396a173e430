"""What `/v1/admin/audit` answers."""

from datetime import datetime
from typing import Any
from uuid import UUID

from gateway.detections.schemas import Schema


class AuditEventView(Schema, frozen=True):
    """One act. `place` and `chain_hash` (SHA-256, hexadecimal) are null until the worker has chained it.

    `actor_kind` is user, key, system (a command or the worker) or anonymous.
    """

    id: UUID
    at: datetime
    actor_id: UUID | None
    actor_kind: str
    key_id: UUID | None
    address: str | None
    request_id: str | None
    action: str
    target_kind: str
    target_id: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    place: int | None
    chain_hash: str | None


class AuditPage(Schema, frozen=True):
    """One page, newest first. `next_cursor` asks for the following page; null on the last one."""

    data: tuple[AuditEventView, ...]
    next_cursor: str | None
