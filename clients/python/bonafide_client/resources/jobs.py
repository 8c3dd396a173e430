"""`client.jobs`: hand media over, and see what becomes of them."""

import math
import time
from collections.abc import Sequence
from typing import Any, Final, TypedDict, Unpack
from uuid import UUID

from bonafide_client.answers import reader_of
from bonafide_client.calls import Call, fresh_key, path_of, query_of
from bonafide_client.errors import CallTimeoutError
from bonafide_client.following import FollowCall
from bonafide_client.operations import Course, D, Listing, Live, Operation, Procedure, Resource
from bonafide_client.paging import Page, PageCall
from bonafide_client.schemas.detections import Modality
from bonafide_client.schemas.jobs import Job, JobStatus, JobSummary
from bonafide_client.steps import Wait
from bonafide_client.uploads import File, Upload

_READ = reader_of(Job)
_READ_PAGE = reader_of(Page[JobSummary])
_FIRST_LOOK_S: Final = 0.1
_SLOWEST_LOOK_S: Final = 2.0


class JobOptions(TypedDict, total=False):
    """How a medium is judged and kept.

    `store`: whether it is kept once it is judged; what is not given is as the upload or the account says.
    """

    modality: Modality | None
    model: str | None
    tags: Sequence[str]
    client_reference: str | None
    store: bool | None


class Jobs(Resource[D]):
    """Jobs of the caller's account."""

    @Operation
    def create(
        self,
        file: File | None = None,
        *,
        upload_id: UUID | str | None = None,
        url: str | None = None,
        filename: str | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[JobOptions],
    ) -> Call[Job]:
        """Hand over a file, an upload that is complete, or an address, where the platform fetches addresses.

        `file` is what `client.detections.create` takes. A call with the `idempotency_key` of an earlier one is
        answered with the same job; without, each call has its own.
        """
        if sum(one is not None for one in (file, upload_id, url)) > 1:
            raise ValueError("give one of: a file, an upload_id, a url")
        path, key = path_of("jobs"), fresh_key(idempotency_key)
        if file is not None:
            upload = Upload(file, filename=filename, fields=_fields(options))
            return Call(method="POST", path=path, read=_READ, upload=upload, idempotency_key=key)
        if filename is not None:
            raise ValueError("only a file is given a name here")
        named = {"upload_id": None if upload_id is None else str(upload_id), "url": url}
        body: dict[str, Any] = {name: value for name, value in {**named, **options}.items() if value is not None}
        return Call(method="POST", path=path, read=_READ, json=body, idempotency_key=key)

    @Operation
    def retrieve(self, job_id: UUID | str) -> Call[Job]:
        """Read one job: how far it is, and its verdict once it has one."""
        return Call(method="GET", path=path_of("jobs", job_id), read=_READ)

    @Listing
    def list(
        self,
        *,
        status: JobStatus | None = None,
        batch_id: UUID | str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> PageCall[JobSummary]:
        """List jobs, newest first. `limit` is the size of a page, at most 100."""
        query = query_of({"limit": limit, "status": status, "batch_id": batch_id})
        return PageCall(path=path_of("jobs"), read=_READ_PAGE, query=query, cursor=cursor)

    @Live
    def follow(self, job_id: UUID | str, *, after: int = 0) -> FollowCall:
        """Iterate over what happens to a job, each event as soon as it has, up to the one that ends it.

        `after` is the id of the last event that you have had already. A stream that breaks off is gone on with.
        """
        return FollowCall(path_of("jobs", job_id, "events"), after)

    @Procedure
    def wait(self, job_id: UUID | str, *, timeout: float | None = None) -> Course[Job]:
        """Wait until a job has ended, and read it: it `succeeded`, `failed` or is `cancelled`.

        It is asked for now and then. Raises CallTimeoutError where it takes longer than `timeout` seconds; it goes on
        then.
        """
        until = math.inf if timeout is None else time.monotonic() + timeout
        pause = _FIRST_LOOK_S
        while True:
            job: Job = yield Jobs.retrieve.build(self, job_id)
            if job.ended:
                return job
            left = until - time.monotonic()
            if left <= 0:
                raise CallTimeoutError("The job has not ended in this time.")
            yield Wait(min(pause, left))
            pause = min(1.5 * pause, _SLOWEST_LOOK_S)

    @Operation
    def cancel(self, job_id: UUID | str, *, idempotency_key: str | None = None) -> Call[Job]:
        """Cancel a job that has not ended; it is not charged."""
        return Call(
            method="POST",
            path=path_of("jobs", job_id, "cancel"),
            read=_READ,
            idempotency_key=fresh_key(idempotency_key),
        )


def _fields(options: JobOptions) -> list[tuple[str, str]]:
    """The options as the fields of a form."""
    single = (("modality", options.get("modality")), ("model", options.get("model")))
    fields = [*single, ("client_reference", options.get("client_reference"))]
    store = options.get("store")
    fields += [("store", None if store is None else str(store).lower())]
    fields += [("tag", tag) for tag in options.get("tags", ())]
    return [(name, value) for name, value in fields if value]
