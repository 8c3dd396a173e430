"""Uploads: files on their way to the platform, or there and whole."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from bonafide_client.schemas import Schema
from bonafide_client.schemas.detections import Modality

UploadStatus = Literal["open", "ready"]


class UploadPart(Schema, frozen=True):
    """A part of a file: `size` bytes, sent to `url`; no `url`: it is there already."""

    number: int
    size: int
    sent: bool
    url: str | None


class UploadSummary(Schema, frozen=True):
    """An upload in a list.

    `size_bytes` and `sha256` are what was announced, and once it is `ready` what came. It has to be complete by
    `expires_at`; once it is, that is until when it stays, None: until it is deleted.
    """

    id: UUID
    status: UploadStatus
    filename: str
    file_path: str
    size_bytes: int
    media_type: str | None
    modality: Modality | None
    sha256: str | None
    keep: bool
    created_at: datetime
    completed_at: datetime | None
    expires_at: datetime | None


class Upload(UploadSummary, frozen=True):
    """An upload and where its bytes are sent.

    While it is `open`, with `method` and `headers` to `url`, or where it has `parts` each of these to its own, until
    `urls_expire_at`; reading the upload gives new addresses.
    """

    headers: dict[str, str]
    method: str = "PUT"
    url: str | None = None
    urls_expire_at: datetime | None = None
    part_bytes: int | None = None
    parts: tuple[UploadPart, ...] | None = None
