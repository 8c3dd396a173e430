"""`client.detections`: judge media, and read back what was judged."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Literal, TypedDict, Unpack
from uuid import UUID

from bonafide_client.answers import Answer, read_nothing, reader_of
from bonafide_client.calls import Call, Query, fresh_key, path_of, query_of
from bonafide_client.operations import D, Listing, Operation, Resource, Streaming
from bonafide_client.paging import Page, PageCall
from bonafide_client.schemas.detections import Detection, DetectionSummary, Modality, Rating, Status, Verdict
from bonafide_client.uploads import File, Upload

_READ = reader_of(Detection)
_READ_PAGE = reader_of(Page[DetectionSummary])


_PARAMETERS: Final = {"since": "from", "until": "to", "tags": "tag"}
"""Parameters of the API that are called otherwise here."""


class Filters(TypedDict, total=False):
    """What detections must be to be found: all that is given.

    `since` is the first moment, `until` the first that is too late; `tags` must all be there; `sha256` is the digest of
    the medium, in hexadecimal; `deleted` looks into the bin instead.
    """

    since: datetime | None
    until: datetime | None
    modality: Modality | None
    verdict: Verdict | None
    status: Status | None
    model: str | None
    version: int | None
    key_id: UUID | str | None
    tags: Sequence[str] | None
    client_reference: str | None
    sha256: str | None
    deleted: bool


class Labels(TypedDict, total=False):
    """An account's own words about a detection."""

    client_reference: str | None
    tags: Sequence[str]


class Detections(Resource[D]):
    """Detections of the caller's account."""

    @Operation
    def create(
        self,
        file: File,
        *,
        filename: str | None = None,
        modality: Modality | None = None,
        model: str | None = None,
        tags: Iterable[str] = (),
        client_reference: str | None = None,
        reuse: bool = False,
        store: bool | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Detection]:
        """Judge an image, a video, an audio file or a text, whose name ends in .txt or .md.

        `file` is a path, the bytes, an open binary file or a stream of pieces; only a stream cannot be sent again
        where an attempt fails. `modality` is found from the content where it is not given. `reuse` allows the answer
        to repeat a verdict that the account already has for the same medium by the same version of the model.
        `store` says whether the file is kept, see `client.storage`; by default as the account wants it.
        A call with the `idempotency_key` of an earlier one is answered as that one was; without, each call has its own.
        """
        fields = [("modality", modality), ("model", model), ("client_reference", client_reference)]
        fields += [("tag", tag) for tag in tags]
        fields += [("reuse", "true")] if reuse else []
        fields += [] if store is None else [("store", "true" if store else "false")]
        return Call(
            method="POST",
            path=path_of("detections"),
            read=_READ,
            upload=Upload(file, filename=filename, fields=[(name, value) for name, value in fields if value]),
            idempotency_key=fresh_key(idempotency_key),
        )

    @Operation
    def create_text(
        self,
        text: str,
        *,
        filename: str | None = None,
        model: str | None = None,
        tags: Iterable[str] = (),
        client_reference: str | None = None,
        reuse: bool = False,
        store: bool | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Detection]:
        """Judge a text, which need not be in a file; what else is given means what it does for `create`."""
        given = {"filename": filename, "model": model, "client_reference": client_reference, "store": store}
        body = {"text": text, "tags": list(tags), "reuse": reuse}
        return Call(
            method="POST",
            path=path_of("detections"),
            read=_READ,
            json=body | {name: value for name, value in given.items() if value is not None},
            idempotency_key=fresh_key(idempotency_key),
        )

    @Operation
    def retrieve(self, detection_id: UUID | str) -> Call[Detection]:
        """Read one detection with its evidence."""
        return Call(method="GET", path=path_of("detections", detection_id), read=_READ)

    @Listing
    def list(
        self, *, limit: int | None = None, cursor: str | None = None, **filters: Unpack[Filters]
    ) -> PageCall[DetectionSummary]:
        """List the detections that pass all filters, newest first. `limit` is the size of a page, at most 100."""
        query = (*query_of({"limit": limit}), *_query(filters))
        return PageCall(path=path_of("detections"), read=_READ_PAGE, query=query, cursor=cursor)

    @Streaming
    def export(
        self,
        format: Literal["csv", "jsonl"] = "jsonl",  # noqa: A002 - The name of the API's own parameter.
        **filters: Unpack[Filters],
    ) -> Call[None]:
        """Read all detections that pass the filters as a file, newest first: a table, or a JSON document on each line.

        In a table, a text that a spreadsheet might run as a formula has an apostrophe in front.
        """
        query = (("format", format), *_query(filters))
        return Call(method="GET", path=path_of("detections", "export"), read=read_nothing, query=query)

    @Operation
    def thumbnail(self, detection_id: UUID | str) -> Call[bytes]:
        """Read the small JPEG that was kept of a video, where one was."""
        return Call(method="GET", path=path_of("detections", detection_id, "thumbnail"), read=_read_bytes)

    @Operation
    def update(self, detection_id: UUID | str, **labels: Unpack[Labels]) -> Call[Detection]:
        """Set your own reference (None removes it) and tags of a detection; what is left out stays."""
        return Call(method="PATCH", path=path_of("detections", detection_id), read=_READ, json=dict(labels))

    @Operation
    def delete(self, detection_id: UUID | str) -> Call[None]:
        """Put a detection into the bin, where `list(deleted=True)` finds it; what was charged stays charged."""
        return Call(method="DELETE", path=path_of("detections", detection_id), read=read_nothing)

    @Operation
    def restore(self, detection_id: UUID | str) -> Call[Detection]:
        """Take a detection out of the bin."""
        return Call(method="POST", path=path_of("detections", detection_id, "restore"), read=_READ)

    @Operation
    def feedback(self, detection_id: UUID | str, label: Rating, *, note: str | None = None) -> Call[Detection]:
        """Say what the medium really is, instead of what was said before; the accuracy in `stats` comes from this."""
        body = {"label": label, "note": note}
        return Call(method="PUT", path=path_of("detections", detection_id, "feedback"), read=_READ, json=body)

    @Operation
    def withdraw_feedback(self, detection_id: UUID | str) -> Call[None]:
        """Forget what was said about a verdict."""
        return Call(method="DELETE", path=path_of("detections", detection_id, "feedback"), read=read_nothing)


def _query(filters: Filters) -> Query:
    return query_of({_PARAMETERS.get(name, name): value for name, value in filters.items()})


def _read_bytes(answer: Answer) -> bytes:
    return answer.body
