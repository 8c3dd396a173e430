"""What an account keeps: its media, the room they take, and proofs of what is gone."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from bonafide_client.schemas import Schema

DeletionReason = Literal["owner", "retention", "unused", "never_completed", "account_deleted"]


class Medium(Schema, frozen=True):
    """A medium in the store. One that is not `kept` goes by itself once nothing needs it.

    `expires_at` is when it goes, None: never. `detection_id` is the newest detection that it was judged in.
    """

    id: UUID
    filename: str
    media_type: str | None
    modality: Literal["image", "video", "audio", "text"] | None
    size_bytes: int
    sha256: str
    kept: bool
    stored_at: datetime
    expires_at: datetime | None
    detection_id: UUID | None


class StorageReport(Schema, frozen=True):
    """What an account has in the store, in bytes, and what becomes of it. No allowance: as much as it likes.

    `keeps_media`: what is judged is kept where a call does not say otherwise; `retention_days`: for how long, None: for
    ever. `largest` are the ten largest that are kept; `passing_bytes` what is on its way in or out.
    """

    used_bytes: int
    allowance_bytes: int | None
    count: int
    passing_bytes: int
    passing_count: int
    keeps_media: bool
    retention_days: int | None
    largest: tuple[Medium, ...]


class Cleared(Schema, frozen=True):
    """What was deleted. `in_use` are those that jobs still need, and that stay; `more`: call again for the rest."""

    deleted_count: int
    deleted_bytes: int
    in_use: int
    more: bool


class DeletionProof(Schema, frozen=True):
    """That a medium is gone. `sha256` is None where it was never known."""

    medium_id: UUID
    sha256: str | None
    size_bytes: int
    reason: DeletionReason
    stored_at: datetime
    deleted_at: datetime
