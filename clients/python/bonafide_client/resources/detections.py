"""`client.detections`: judge media, and read back what was judged."""

from collections.abc import Iterable
from uuid import UUID

from bonafide_client.answers import reader_of
from bonafide_client.calls import Call, fresh_key, path_of, query_of
from bonafide_client.operations import D, Listing, Operation, Resource
from bonafide_client.paging import Page, PageCall
from bonafide_client.schemas.detections import Detection, DetectionSummary, Modality
from bonafide_client.uploads import File, Upload

_READ = reader_of(Detection)
_READ_PAGE = reader_of(Page[DetectionSummary])


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
        idempotency_key: str | None = None,
    ) -> Call[Detection]:
        """Judge an image, a video or an audio file.

        `file` is a path, the bytes, an open binary file or a stream of pieces; only a stream cannot be sent again
        where an attempt fails. `modality` is found from the content where it is not given. `reuse` allows the answer
        to repeat a verdict that the account already has for the same medium by the same version of the model.
        A call with the `idempotency_key` of an earlier one is answered as that one was; without, each call has its own.
        """
        fields = [("modality", modality), ("model", model), ("client_reference", client_reference)]
        fields += [("tag", tag) for tag in tags]
        fields += [("reuse", "true")] if reuse else []
        return Call(
            method="POST",
            path=path_of("detections"),
            read=_READ,
            upload=Upload(file, filename=filename, fields=[(name, value) for name, value in fields if value]),
            idempotency_key=fresh_key(idempotency_key),
        )

    @Operation
    def retrieve(self, detection_id: UUID | str) -> Call[Detection]:
        """Read one detection with its evidence."""
        return Call(method="GET", path=path_of("detections", detection_id), read=_READ)

    @Listing
    def list(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> PageCall[DetectionSummary]:
        """List detections, newest first. `limit` is the size of a page."""
        return PageCall(path=path_of("detections"), read=_READ_PAGE, query=query_of({"limit": limit}), cursor=cursor)
