"""What every route that takes a file does: read who calls, take the file in, have it judged, note the limits."""

import hashlib
from functools import partial
from typing import Any

import msgspec
from litestar import Request

from bentos.contract import Modality
from gateway.access.credentials import Credentials
from gateway.access.guard import Guard
from gateway.detections.forms import ANY_MODEL, ModelChoice, RequestBody
from gateway.detections.intake import Intake, Upload
from gateway.detections.orders import Order
from gateway.detections.service import Detections, Outcome
from gateway.errors import AuthenticationError, ClientGoneError, GatewayError
from gateway.idempotency.headers import note_replay, read_idempotency_key
from gateway.limits.headers import note_allowance
from gateway.limits.refusals import refuse_over_limit
from gateway.models.service import Models
from gateway.rendering import request_id_of


class Reception:
    """Turns a request with a medium into a verdict."""

    def __init__(self, intake: Intake, detections: Detections, guard: Guard, models: Models) -> None:
        self._intake = intake
        self._detections = detections
        self._guard = guard
        self._models = models

    async def receive(
        self,
        request: Request[Any, Any, Any],
        modality: Modality | None = None,
        *,
        file_field: str = "file",
        channel: str = "api",
        models: ModelChoice = ANY_MODEL,
    ) -> Outcome:
        """Judge the file that a request carries in a form, as `modality` where one is given; the outcome has its view.

        `models` says what the name of a model in the form means.

        Raises:
            GatewayError: The request is refused, or judging failed; the caller's limits are noted where it is known.
        """
        body = RequestBody(request.receive)
        try:
            credentials = await self._guard.credentials(request)
            read_idempotency_key(request)
            upload = await self._intake.read(
                body,
                content_type=request.headers.get("content-type", ""),
                content_length=request.content_length,
                modality=modality,
                authorise=partial(self._authorise, request),
                file_field=file_field,
                models=models,
            )
        except GatewayError as error:
            if not isinstance(error, AuthenticationError | ClientGoneError):
                await self._guard.identify(request)
            await body.drain()
            raise
        return await self._judge(request, credentials, upload, channel)

    async def judge(
        self,
        request: Request[Any, Any, Any],
        data: bytes,
        *,
        modality: Modality,
        filename: str,
        model: str | None,
        channel: str,
    ) -> Outcome:
        """Judge a medium that a request carried in some other way; the outcome has its view.

        Raises:
            GatewayError: As from `receive`.
        """
        credentials = await self._guard.credentials(request)
        upload = await self._intake.accept(data, modality=modality, filename=filename, model=model)
        return await self._judge(request, credentials, upload, channel)

    async def _authorise(self, request: Request[Any, Any, Any], size: int, charge: int) -> None:
        """Let in a large medium of a known caller who has room for it; nothing is charged yet.

        A repeated call may get its first answer, which needs no room: whether it is the same tells only its digest.

        Raises:
            GatewayError: The caller is not known, or what it may use today is used up.
        """
        caller = await self._guard.identify(request)
        key = read_idempotency_key(request)
        if key is None or not await self._detections.is_claimed(caller.account_id, key):
            refuse_over_limit(caller.allowance, size=size, charge=charge)

    async def _judge(
        self, request: Request[Any, Any, Any], credentials: Credentials, upload: Upload, channel: str
    ) -> Outcome:
        key = read_idempotency_key(request)
        order = Order(
            credentials=credentials,
            upload=upload,
            request_id=request_id_of(request.scope),
            channel=channel,
            idempotency_key=key,
            fingerprint=_fingerprint(request, upload) if key else None,
            model_asked=upload.model or self._models.default_of(upload.modality),
        )
        outcome = await self._detections.detect(order)
        if outcome.allowance is not None:
            note_allowance(request.scope, outcome.allowance)
        if outcome.view is None:
            raise outcome.error or GatewayError()
        if outcome.replayed:
            note_replay(request.scope)
        return outcome


def _fingerprint(request: Request[Any, Any, Any], upload: Upload) -> bytes:
    """SHA-256 of all that a call asks for: two calls with the same one want the same."""
    parts = (
        request.scope["path"],
        upload.media.digest.hex(),
        upload.modality,
        upload.filename,
        upload.model,
        upload.client_reference,
        upload.tags,
        upload.reuse,
        *(() if upload.keep is None else (upload.keep,)),
    )
    return hashlib.sha256(msgspec.json.encode(parts)).digest()
