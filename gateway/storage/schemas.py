"""What `/v1/storage` takes and answers."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec

from bentos.contract import Modality
from gateway.detections.schemas import Schema

_LONGEST_DAYS: Final = 36_500
_DAYS: Final = msgspec.Meta(ge=1, le=_LONGEST_DAYS)

DeletionReason = Literal["owner", "retention", "unused", "never_completed", "account_deleted"]


class MediumView(Schema, frozen=True):
    """A medium in the store. Where it is not `kept`, it goes by itself once nothing needs it.

    `expires_at` is when it goes, null: never. `detection_id` is the newest detection it was judged in, null where it
    was not, or where that is in the bin.
    """

    id: UUID
    filename: str
    media_type: str | None
    modality: Modality | None
    size_bytes: int
    sha256: str
    kept: bool
    stored_at: datetime
    expires_at: datetime | None
    detection_id: UUID | None


class MediumPage(Schema, frozen=True):
    """One page, newest first. `next_cursor` asks for the following page; null on the last one."""

    data: tuple[MediumView, ...]
    next_cursor: str | None


class StorageReport(Schema, frozen=True):
    """What an account has in the store, in bytes, and what becomes of it.

    `used_bytes` is what it keeps, or is about to keep, `allowance_bytes` what it may, null: as much as it likes.
    `passing_bytes` are uploads on their way, media that are there only to be judged, and what is being deleted.
    `keeps_media`: what is judged is kept where a request does not say otherwise; `retention_days`: for how long, null:
    for ever. `largest` are the ten largest that are kept.
    """

    used_bytes: int
    allowance_bytes: int | None
    count: int
    passing_bytes: int
    passing_count: int
    keeps_media: bool
    retention_days: int | None
    largest: tuple[MediumView, ...]


class StorageChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is left out stays. `retention_days` counts from when a medium was stored; null: for ever."""

    keeps_media: bool | msgspec.UnsetType = msgspec.UNSET
    retention_days: Annotated[int, _DAYS] | msgspec.UnsetType | None = msgspec.UNSET

    def given(self) -> dict[str, Any]:
        """What is to be changed, by name."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not msgspec.UNSET}


class Clearance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which kept media go: those stored so many days ago or longer, or, said in so many words, all of them."""

    older_than_days: Annotated[int, _DAYS] | None = None
    all: bool = False


class Cleared(Schema, frozen=True):
    """What was deleted. `in_use` are those that jobs still need, and that stay; `more`: call again for the rest."""

    deleted_count: int
    deleted_bytes: int
    in_use: int
    more: bool


class ProofView(Schema, frozen=True):
    """That a medium is gone. `sha256` is null where it was never known."""

    medium_id: UUID
    sha256: str | None
    size_bytes: int
    reason: DeletionReason
    stored_at: datetime
    deleted_at: datetime


class ProofPage(Schema, frozen=True):
    """One page, those whose media came last first. `next_cursor` asks for the following page; null on the last one."""

    data: tuple[ProofView, ...]
    next_cursor: str | None
