"""`client.uploads`: send large files straight to the object store, in parts that can be resumed."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final
from uuid import UUID

from bonafide_client.answers import read_nothing, reader_of
from bonafide_client.calls import Call, fresh_key, path_of, query_of
from bonafide_client.errors import ApiError
from bonafide_client.operations import Course, D, Listing, Operation, Procedure, Resource
from bonafide_client.paging import Page, PageCall
from bonafide_client.schemas.uploads import Upload, UploadStatus, UploadSummary
from bonafide_client.uploads import Stretch

_READ = reader_of(Upload)
_READ_PAGE = reader_of(Page[UploadSummary])
_FORBIDDEN: Final = 403
_CONFLICT: Final = 409
_TRIES: Final = 3
"""How often a part is begun at a new address after its former one had ended."""


class Uploads(Resource[D]):
    """Uploads of the caller's account."""

    @Operation
    def create(
        self,
        filename: str,
        size_bytes: int,
        *,
        media_type: str | None = None,
        sha256: str | None = None,
        part_bytes: int | None = None,
        keep: bool | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Upload]:
        """Announce a file, and learn where to send it.

        `part_bytes` is the size of all parts but the last, at least 5 MiB; as large as the file for one piece. Without
        it, files above 64 MiB are divided. `keep`: whether the file is kept, see `client.storage`; by default as the
        account wants it.
        """
        named = {"media_type": media_type, "sha256": sha256, "part_bytes": part_bytes, "keep": keep}
        body = {name: value for name, value in named.items() if value is not None}
        return Call(
            method="POST",
            path=path_of("uploads"),
            read=_READ,
            json={"filename": filename, "size_bytes": size_bytes, **body},
            idempotency_key=fresh_key(idempotency_key),
        )

    @Operation
    def retrieve(self, upload_id: UUID | str) -> Call[Upload]:
        """Read an upload: which parts are there, and new addresses for those that are not."""
        return Call(method="GET", path=path_of("uploads", upload_id), read=_READ)

    @Listing
    def list(
        self, *, status: UploadStatus | None = None, limit: int | None = None, cursor: str | None = None
    ) -> PageCall[UploadSummary]:
        """List uploads, newest first. `limit` is the size of a page, at most 100."""
        query = query_of({"limit": limit, "status": status})
        return PageCall(path=path_of("uploads"), read=_READ_PAGE, query=query, cursor=cursor)

    @Operation
    def complete(self, upload_id: UUID | str, *, sha256: str | None = None) -> Call[Upload]:
        """Have what was sent checked, against `sha256` where it is given. Done again, it answers the same."""
        body = {} if sha256 is None else {"sha256": sha256}
        return Call(method="POST", path=path_of("uploads", upload_id, "complete"), read=_READ, json=body)

    @Operation
    def delete(self, upload_id: UUID | str) -> Call[None]:
        """Give up an upload that is not complete."""
        return Call(method="DELETE", path=path_of("uploads", upload_id), read=read_nothing)

    @Procedure
    def send(
        self,
        path: str | os.PathLike[str],
        *,
        filename: str | None = None,
        media_type: str | None = None,
        part_bytes: int | None = None,
        keep: bool | None = None,
        upload_id: UUID | str | None = None,
        begun: Callable[[Upload], None] | None = None,
    ) -> Course[Upload]:
        """Send a file from beginning to end: announce it, send its parts, have it checked.

        With `upload_id`, go on with an upload that was begun for the same file: only what is missing is sent. `begun`
        is told of the upload before the first part is sent, so that its id can be kept for that.
        """
        file = Path(path)
        digest = yield lambda: _digest_of(file)
        if upload_id is None:
            size = file.stat().st_size
            upload = yield Uploads.create.build(
                self,
                filename or file.name,
                size,
                media_type=media_type,
                sha256=digest,
                part_bytes=part_bytes,
                keep=keep,
            )
        else:
            upload = yield Uploads.retrieve.build(self, upload_id)
        if begun is not None:
            begun(upload)
        if upload.status == "open":
            yield from _send_parts(upload, file)
        return (yield Uploads.complete.build(self, upload.id, sha256=digest))


def _send_parts(upload: Upload, file: Path) -> Course[None]:
    """Send what is not there yet; an address that has ended is asked for anew."""
    start = 0
    for place, size in enumerate([part.size for part in upload.parts or ()] or [upload.size_bytes]):
        for _ in range(_TRIES):
            url = upload.url if upload.parts is None else upload.parts[place].url
            if url is None:
                break
            try:
                yield Call(
                    method="PUT",
                    path="",
                    url=url,
                    read=read_nothing,
                    upload=Stretch(file, start=start, size=size, headers=upload.headers),
                    authenticated=False,
                )
            except ApiError as error:
                # A conflict: it is there, and only the answer to an earlier attempt was lost.
                if error.status == _CONFLICT:
                    break
                if error.status != _FORBIDDEN:
                    raise
                upload = yield Call(method="GET", path=path_of("uploads", upload.id), read=_READ)
            else:
                break
        start += size


def _digest_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
