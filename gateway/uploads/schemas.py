"""What `/v1/uploads` takes and answers."""

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

from gateway.detections.schemas import Schema

_LARGEST: Final = 2**53 - 1
_Size = Annotated[int, msgspec.Meta(ge=1, le=_LARGEST, description="Size of the file in bytes.")]
_Filename = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
_MediaType = Annotated[str, msgspec.Meta(pattern=r"^[a-z]+/[A-Za-z0-9.+-]{1,100}$")]
_Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-fA-F]{64}$", description="SHA-256 of the file, in hexadecimal.")]
_PartBytes = Annotated[int, msgspec.Meta(ge=1, le=_LARGEST)]

UploadStatus = Literal["open", "ready"]


class NewUpload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that is announced.

    `part_bytes`: the size of all parts but the last, at least 5 MiB and such that there are at most 1000; as large as
    the file for one piece. Left out, files above 64 MiB are divided. `keep`: whether the file is kept in the account's
    storage; as the account has it where left out.
    """

    filename: _Filename
    size_bytes: _Size
    media_type: _MediaType | None = None
    sha256: _Digest | None = None
    part_bytes: _PartBytes | None = None
    keep: bool | None = None


class Completion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That all of a file was sent."""

    sha256: _Digest | None = None


class PartView(Schema, frozen=True):
    """A part of a file: `size` bytes, sent to `url`; no `url`: it is here already."""

    number: int
    size: int
    sent: bool
    url: str | None


class UploadView(Schema, frozen=True):
    """An upload.

    While it is `open`, the file is sent with `method` and `headers` to `url`, or where it has `parts` each of these to
    its own, until `urls_expire_at`; reading the upload gives new ones. It has to be complete by `expires_at`; once it
    is `ready`, that is until when it stays (null: until it is deleted). `size_bytes` and `sha256` are what was
    announced, and once it is ready what came.
    """

    id: UUID
    status: UploadStatus
    filename: str
    file_path: str
    size_bytes: int
    media_type: str | None
    modality: str | None
    sha256: str | None
    keep: bool
    created_at: datetime
    completed_at: datetime | None
    expires_at: datetime | None
    headers: dict[str, str]
    method: Literal["PUT"] = "PUT"
    url: str | None = None
    urls_expire_at: datetime | None = None
    part_bytes: int | None = None
    parts: tuple[PartView, ...] | None = None


class UploadSummary(Schema, frozen=True):
    """An upload in a list."""

    id: UUID
    status: UploadStatus
    filename: str
    file_path: str
    size_bytes: int
    media_type: str | None
    modality: str | None
    sha256: str | None
    keep: bool
    created_at: datetime
    completed_at: datetime | None
    expires_at: datetime | None


class UploadPage(Schema, frozen=True):
    """One page of uploads, newest first; `next_cursor` is null on the last one."""

    data: tuple[UploadSummary, ...]
    next_cursor: str | None


class SentView(Schema, frozen=True):
    """That so many bytes have arrived."""

    size: int
