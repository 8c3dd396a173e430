"""`client.batches`: hand many media over at once, and fetch what has become of them."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, TypedDict, Unpack
from uuid import UUID

from bonafide_client.answers import read_nothing, reader_of
from bonafide_client.calls import Call, fresh_key, path_of, query_of
from bonafide_client.operations import D, Listing, Operation, Resource, Streaming
from bonafide_client.paging import Page, PageCall
from bonafide_client.schemas.batches import Batch, BatchItem, BatchSummary
from bonafide_client.schemas.detections import Modality
from bonafide_client.schemas.jobs import JobStatus
from bonafide_client.uploads import Body, File

_READ = reader_of(Batch)
_READ_PAGE = reader_of(Page[BatchSummary])
_READ_ITEMS = reader_of(Page[BatchItem])
_ZIP: Final = "application/zip"


class NewItem(TypedDict, total=False):
    """What is to be judged: an upload that is complete, or an address where the platform fetches addresses."""

    upload_id: UUID | str
    url: str
    modality: Modality
    model: str
    client_reference: str
    tags: Sequence[str]


class BatchOptions(TypedDict, total=False):
    """`model` is asked for where an item names none; `store`: whether the media are kept, as they are if not given."""

    name: str | None
    model: str | None
    store: bool | None


class Batches(Resource[D]):
    """Batches of the caller's account."""

    @Operation
    def create(
        self,
        items: Iterable[NewItem] | None = None,
        *,
        archive_id: UUID | str | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[BatchOptions],
    ) -> Call[Batch]:
        """Hand over up to 10 000 items, or an upload that is a zip archive, of which each file is an item.

        A call with the `idempotency_key` of an earlier one is answered with the same batch; without, each call has its
        own.
        """
        if items is not None and archive_id is not None:
            raise ValueError("give one of: items, an archive_id")
        body: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        if archive_id is None:
            body["items"] = [_plain(item) for item in items or ()]
        else:
            body["archive"] = str(archive_id)
        key = fresh_key(idempotency_key)
        return Call(method="POST", path=path_of("batches"), read=_READ, json=body, idempotency_key=key)

    @Operation
    def create_from_zip(
        self, file: File, *, idempotency_key: str | None = None, **options: Unpack[BatchOptions]
    ) -> Call[Batch]:
        """Hand over a zip archive as it is, of which each file is an item; a large one is better uploaded first."""
        return Call(
            method="POST",
            path=path_of("batches"),
            read=_READ,
            query=query_of(options),
            upload=Body(file, media_type=_ZIP),
            idempotency_key=fresh_key(idempotency_key),
        )

    @Operation
    def retrieve(self, batch_id: UUID | str) -> Call[Batch]:
        """Read one batch: how far it is, and which verdicts there are."""
        return Call(method="GET", path=path_of("batches", batch_id), read=_READ)

    @Listing
    def list(self, *, limit: int | None = None, cursor: str | None = None) -> PageCall[BatchSummary]:
        """List batches, newest first. `limit` is the size of a page, at most 100."""
        query = query_of({"limit": limit})
        return PageCall(path=path_of("batches"), read=_READ_PAGE, query=query, cursor=cursor)

    @Listing
    def items(
        self,
        batch_id: UUID | str,
        *,
        status: JobStatus | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> PageCall[BatchItem]:
        """List the items of a batch in their order, each with its verdict or the reason why it has none."""
        query = query_of({"limit": limit, "status": status})
        return PageCall(path=path_of("batches", batch_id, "items"), read=_READ_ITEMS, query=query, cursor=cursor)

    @Streaming
    def results(
        self,
        batch_id: UUID | str,
        format: Literal["csv", "jsonl"] = "jsonl",  # noqa: A002 - The name of the API's own parameter.
        *,
        status: JobStatus | None = None,
    ) -> Call[None]:
        """Read all items of a batch as a file, in their order: a JSON document on each line, or a table.

        In a table, a text that a spreadsheet might run as a formula has an apostrophe in front.
        """
        query = query_of({"format": format, "status": status})
        return Call(method="GET", path=path_of("batches", batch_id, "results"), read=read_nothing, query=query)

    @Operation
    def cancel(self, batch_id: UUID | str) -> Call[Batch]:
        """Cancel all items of a batch that have not ended; they are not charged."""
        return Call(method="POST", path=path_of("batches", batch_id, "cancel"), read=_READ)


def _plain(item: NewItem) -> dict[str, Any]:
    """An item as JSON has it."""
    return {name: str(value) if isinstance(value, UUID) else value for name, value in item.items()}
