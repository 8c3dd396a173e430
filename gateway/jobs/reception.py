"""From a request to a job: a file in a form, an upload that is complete, or an address."""

import asyncio
import hashlib
from dataclasses import replace
from functools import partial
from typing import Any, Final, NoReturn

import msgspec
from litestar import Request
from sqlalchemy.ext.asyncio import AsyncEngine

from bentos.contract import Modality
from gateway.access.guard import Caller, Guard
from gateway.access.scopes import MEDIA_WRITE, allows
from gateway.db.transactions import joinable_transaction
from gateway.detections.forms import RequestBody, read_client_reference, read_model_name, read_tags
from gateway.detections.intake import Intake
from gateway.detections.media import MediaStore
from gateway.errors import (
    GatewayError,
    InvalidBodyError,
    MediaTooLargeError,
    MissingScopeError,
    NotFoundError,
    OverloadedError,
    UnsupportedMediaError,
    UrlsNotAllowedError,
)
from gateway.idempotency.headers import note_replay, read_idempotency_key
from gateway.jobs.acceptance import Acceptance, Accepted, Declined, JobOrder, claim_of_upload
from gateway.jobs.addresses import look_at_address
from gateway.jobs.schemas import JobClass, NewJob
from gateway.limits.headers import note_allowance
from gateway.limits.refusals import refuse_over_limit
from gateway.outbound.client import Outbound
from gateway.rendering import request_id_of
from gateway.settings import GatewaySettings
from gateway.storage.shelf import ReadyMedium, Shelf

_JSON_BYTES: Final = 64 * 1024
_BODY_S: Final = 30.0
_NEW_JOB = msgspec.json.Decoder(NewJob)


class JobReception:
    """Turns requests into jobs."""

    def __init__(
        self,
        *,
        engine: AsyncEngine,
        intake: Intake,
        store: MediaStore,
        shelf: Shelf,
        acceptance: Acceptance,
        guard: Guard,
        outbound: Outbound,
        settings: GatewaySettings,
    ) -> None:
        self._engine = engine
        self._intake = intake
        self._store = store
        self._shelf = shelf
        self._acceptance = acceptance
        self._guard = guard
        self._outbound = outbound
        self._from_urls = settings.jobs_from_urls

    async def receive(
        self, request: Request[Caller, Any, Any], *, of_class: JobClass = "api", channel: str = "job"
    ) -> Accepted:
        """Accept what a request hands over, whose caller a guard has found.

        Raises:
            GatewayError: It is refused; nothing was charged.
        """
        if request.headers.get("content-type", "").startswith("multipart/"):
            return await self.receive_file(request, of_class=of_class, channel=channel)
        body = await _read(RequestBody(request.receive))
        what = hashlib.sha256(body).hexdigest()
        try:
            order, keep = await self._order(request.user, body)
        except NotFoundError:
            # An upload goes once its job has ended; who asks again under the same key is answered with the job.
            accepted = await self._replay(request, what)
            if accepted is None:
                raise
            return accepted
        return await self._accept(request, order, of_class, channel, what, keep=keep)

    async def receive_file(
        self, request: Request[Caller, Any, Any], *, of_class: JobClass, channel: str = "job"
    ) -> Accepted:
        """Accept the file of a form. Raises GatewayError."""
        body = RequestBody(request.receive)
        try:
            key = read_idempotency_key(request)
            upload = await self._intake.read(
                body,
                content_type=request.headers.get("content-type", ""),
                content_length=request.content_length,
                modality=None,
                authorise=partial(self._authorise, request.user, key),
            )
        except GatewayError:
            await body.drain()
            raise
        try:
            medium = await self._shelf.shelve(
                upload, account_id=request.user.account_id, key_id=request.user.key_id, keep=upload.keep
            )
        finally:
            await self._store.release(upload.media)
        order = JobOrder(
            modality=upload.modality,
            filename=upload.filename,
            medium=medium,
            model=upload.model,
            client_reference=upload.client_reference,
            tags=upload.tags,
        )
        try:
            said = (order.modality, order.filename, order.model, order.client_reference, order.tags)
            accepted = await self._accept(request, order, of_class, channel, (medium.digest.hex(), *said))
        except BaseException:
            await self._shelf.let_go(medium)
            raise
        if accepted.replayed:
            await self._shelf.let_go(medium)
        return accepted

    async def accept_upload(
        self, request: Request[Caller, Any, Any], medium: ReadyMedium, *, path: str, filename: str, channel: str
    ) -> Accepted:
        """Accept an upload that is complete, sent to a path of the caller's; handed over again, it is the same job.

        Raises:
            GatewayError: It is refused; nothing was charged.
        """
        key, fingerprint = claim_of_upload(path)
        order = JobOrder(
            modality=modality_of(medium),
            filename=filename,
            medium=medium,
            # Where the client names no key: it knows its contract's answer, and asks again when that was lost.
            idempotency_key=key,
            fingerprint=fingerprint,
        )
        return await self._accept(request, order, "api", channel, (path, filename))

    async def replay_upload(self, request: Request[Caller, Any, Any], *, path: str, filename: str) -> Accepted | None:
        """The job that the upload at a path led to, also when its file is gone; None where there was none of late.

        Raises:
            IdempotencyMismatchError: The client's own key was used for another call.
        """
        caller = request.user
        accepted = await self._replay(request, (path, filename))
        if accepted is None:
            found = await self._acceptance.replay(caller.account_id, *claim_of_upload(path), caller.allowance)
            accepted = None if found is None else _answered(request, found)
        return accepted

    async def _order(self, caller: Caller, body: bytes) -> tuple[JobOrder, bool | None]:
        """What a body asks for, and whether its medium is to be kept from now on; None: it stays as it is.

        Raises:
            GatewayError: It cannot be had.
        """
        try:
            asked = _NEW_JOB.decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidBodyError(f"The body is not what a job is made from: {error}.") from error
        if (asked.upload_id is None) == (asked.url is None):
            raise InvalidBodyError("Name either an `upload_id` or a `url`.")
        model = None if asked.model is None else read_model_name(asked.model)
        reference = None if asked.client_reference is None else read_client_reference(asked.client_reference)
        tags = tuple(read_tags(asked.tags))
        if asked.upload_id is not None:
            medium = await self._shelf.ready(caller.account_id, asked.upload_id)
            if medium.kept and asked.store is False:
                refuse_letting_go(caller)
            order = JobOrder(
                modality=modality_of(medium),
                filename=medium.filename,
                medium=medium,
                model=model,
                client_reference=reference,
                tags=tags,
            )
            return order, None if asked.store == medium.kept else asked.store
        url = asked.url or ""
        if not self._from_urls:
            raise UrlsNotAllowedError
        filename, modality = look_at_address(url, asked.modality)
        await self._outbound.check(url)
        order = JobOrder(
            modality=modality, filename=filename, source_url=url, model=model, client_reference=reference, tags=tags
        )
        return order, None

    async def _authorise(self, caller: Caller, key: str | None, size: int, charge: int) -> None:
        """Let in a large file of a caller who has room for it; nothing is charged yet. Raises LimitError.

        A call that is sent again needs no room: whether it is the same tells only the digest of its file.
        """
        if key is None or not await self._acceptance.is_claimed(caller.account_id, key):
            refuse_over_limit(caller.allowance, size=size, charge=charge)

    async def _replay(self, request: Request[Caller, Any, Any], what: object) -> Accepted | None:
        """The job that this very call led to before, under its idempotency key. Raises IdempotencyMismatchError."""
        key = read_idempotency_key(request)
        if key is None:
            return None
        caller = request.user
        fingerprint = _fingerprint(request, what)
        accepted = await self._acceptance.replay(caller.account_id, key, fingerprint, caller.allowance)
        return None if accepted is None else _answered(request, accepted)

    async def _accept(
        self,
        request: Request[Caller, Any, Any],
        order: JobOrder,
        of_class: JobClass,
        channel: str,
        what: object,
        *,
        keep: bool | None = None,
    ) -> Accepted:
        key = read_idempotency_key(request)
        if key is not None:
            order = replace(order, idempotency_key=key, fingerprint=_fingerprint(request, what))
        credentials = await self._guard.credentials(request)
        accept = partial(
            self._acceptance.accept,
            credentials,
            request_id=request_id_of(request.scope),
            of_class=of_class,
            channel=channel,
        )
        if keep is None or order.medium is None:
            return _answered(request, await accept(order))
        # Where the job is refused its medium stays as it was.
        async with joinable_transaction(self._engine):
            medium = await self._shelf.keep(order.medium, keep=keep)
            return _answered(request, await accept(replace(order, medium=medium)))


def _fingerprint(request: Request[Caller, Any, Any], what: object) -> bytes:
    """What a call asks for, of which `what` is all that its client has said."""
    return hashlib.sha256(msgspec.json.encode((request.scope["path"], what))).digest()


def refuse_letting_go(caller: Caller) -> None:
    """Pass for callers who may have what is kept go; it goes once the job has ended. Raises MissingScopeError."""
    if not allows(caller.scopes, MEDIA_WRITE):
        raise MissingScopeError(f"This key lacks the scope `{MEDIA_WRITE}`, so that it cannot let go of what is kept.")


def _answered(request: Request[Caller, Any, Any], outcome: Accepted | Declined) -> Accepted:
    """What was accepted, noted for the headers of the answer. Raises GatewayError where nothing was."""
    if outcome.allowance is not None:
        note_allowance(request.scope, outcome.allowance)
    match outcome:
        case Declined(error=error):
            raise error
        case Accepted():
            if outcome.replayed:
                note_replay(request.scope)
            return outcome


def modality_of(medium: ReadyMedium) -> Modality:
    """What a complete upload is judged as. Raises UnsupportedMediaError."""
    if medium.modality is None:
        raise UnsupportedMediaError("This upload is an archive; hand it over as a batch.")
    return medium.modality


async def _read(body: RequestBody) -> bytes:
    """A body that is no file, up to a size and within a time. Raises GatewayError."""
    document = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            while not body.complete:
                document += await body.next()
                if len(document) > _JSON_BYTES:
                    await _refuse(body)
    except TimeoutError as error:
        raise OverloadedError("The body did not arrive in time.", code="upload_timeout", status=408) from error
    return bytes(document)


async def _refuse(body: RequestBody) -> NoReturn:
    await body.drain()
    raise MediaTooLargeError(f"A job is described in at most {_JSON_BYTES} bytes.", code="body_too_large")
