"""`client.uploads`: announce large files, learn where to send them, and have them checked once they are there."""

from uuid import UUID

from bonafide_client.answers import read_nothing, reader_of
from bonafide_client.calls import Call, fresh_key, path_of, query_of
from bonafide_client.operations import D, Listing, Operation, Resource
from bonafide_client.paging import Page, PageCall
from bonafide_client.schemas.uploads import Upload, UploadStatus, UploadSummary

_READ = reader_of(Upload)
_READ_PAGE = reader_of(Page[UploadSummary])


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
        """Announce a file; its bytes are sent to `url`, or where it has `parts` each of these to its own.

        `sha256` is in hexadecimal. Without `part_bytes` only large files are divided. `keep`: whether the file stays in
        the account's storage; as the account has it where that is None.
        """
        values = {"media_type": media_type, "sha256": sha256, "part_bytes": part_bytes, "keep": keep}
        body = {"filename": filename, "size_bytes": size_bytes}
        body |= {name: value for name, value in values.items() if value is not None}
        return Call(
            method="POST",
            path=path_of("uploads"),
            read=_READ,
            json=body,
            idempotency_key=fresh_key(idempotency_key),
        )

    @Operation
    def retrieve(self, upload_id: UUID | str) -> Call[Upload]:
        """Read one upload: which parts are there, and new addresses for what is missing."""
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
        """Have what was sent checked against what was announced. Done again, it answers the same."""
        body = None if sha256 is None else {"sha256": sha256}
        return Call(method="POST", path=path_of("uploads", upload_id, "complete"), read=_READ, json=body)

    @Operation
    def delete(self, upload_id: UUID | str) -> Call[None]:
        """Give up an upload that is not complete."""
        return Call(method="DELETE", path=path_of("uploads", upload_id), read=read_nothing)
