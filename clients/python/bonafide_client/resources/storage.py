"""`client.storage`: what the account keeps, for how long, how to get it back, and how to be rid of it."""

from typing import TypedDict, Unpack
from uuid import UUID

from bonafide_client.answers import read_nothing, reader_of
from bonafide_client.calls import Call, fresh_key, path_of, query_of
from bonafide_client.operations import D, Listing, Operation, Resource, Streaming
from bonafide_client.paging import Page, PageCall
from bonafide_client.schemas.detections import Modality
from bonafide_client.schemas.storage import Cleared, DeletionProof, Medium, StorageReport

_READ_REPORT = reader_of(StorageReport)
_READ_MEDIUM = reader_of(Medium)
_READ_MEDIA = reader_of(Page[Medium])
_READ_CLEARED = reader_of(Cleared)
_READ_PROOFS = reader_of(Page[DeletionProof])


class StorageChange(TypedDict, total=False):
    """What to change; what is not given stays. `retention_days` that are None keep media for ever."""

    keeps_media: bool
    retention_days: int | None


class Storage(Resource[D]):
    """The media of the caller's account."""

    @Operation
    def retrieve(self) -> Call[StorageReport]:
        """Read how much is used of the allowance, by what, and for how long media are kept."""
        return Call(method="GET", path=path_of("storage"), read=_READ_REPORT)

    @Operation
    def update(self, **changes: Unpack[StorageChange]) -> Call[StorageReport]:
        """Say whether media are kept where a call says nothing, and for how many days: those there already, too."""
        return Call(method="PATCH", path=path_of("storage"), read=_READ_REPORT, json=dict(changes))

    @Listing
    def list(
        self,
        *,
        kept: bool | None = None,
        modality: Modality | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> PageCall[Medium]:
        """List media, newest first. `limit` is the size of a page, at most 100."""
        query = query_of({"kept": kept, "modality": modality, "limit": limit})
        return PageCall(path=path_of("storage", "media"), read=_READ_MEDIA, query=query, cursor=cursor)

    @Operation
    def medium(self, medium_id: UUID | str) -> Call[Medium]:
        """Read what is known of one medium."""
        return Call(method="GET", path=path_of("storage", "media", medium_id), read=_READ_MEDIUM)

    @Streaming
    def download(self, medium_id: UUID | str) -> Call[None]:
        """Read a medium byte for byte as it came; `save` writes it to a file."""
        return Call(method="GET", path=path_of("storage", "media", medium_id, "content"), read=read_nothing)

    @Operation
    def delete(self, medium_id: UUID | str) -> Call[None]:
        """Delete a medium at once and for good; its verdict stays."""
        return Call(method="DELETE", path=path_of("storage", "media", medium_id), read=read_nothing, repeatable=False)

    @Operation
    def clear(
        self,
        *,
        older_than_days: int | None = None,
        all: bool = False,  # noqa: A002 - The name of the API's own field.
        idempotency_key: str | None = None,
    ) -> Call[Cleared]:
        """Delete all kept media, or those that are old enough, at once and for good; their verdicts stay."""
        return Call(
            method="POST",
            path=path_of("storage", "clear"),
            read=_READ_CLEARED,
            json={"older_than_days": older_than_days, "all": all},
            idempotency_key=fresh_key(idempotency_key),
        )

    @Listing
    def proofs(self, *, limit: int | None = None, cursor: str | None = None) -> PageCall[DeletionProof]:
        """List what is gone: its digest, its size, why and when."""
        query = query_of({"limit": limit})
        return PageCall(path=path_of("storage", "proofs"), read=_READ_PROOFS, query=query, cursor=cursor)
