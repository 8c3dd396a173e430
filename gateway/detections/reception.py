"""What every route that takes a file does: read the key, take the file in, have it judged, note the limits."""

from functools import partial
from typing import Any

from litestar import Request

from bentos.contract import Modality
from gateway.detections.forms import RequestBody
from gateway.detections.intake import Intake
from gateway.detections.schemas import DetectionView
from gateway.detections.service import Detections, Order
from gateway.errors import AuthenticationError, ClientGoneError, GatewayError
from gateway.keys.guard import KeyGuard, presented_key
from gateway.limits.headers import note_allowance
from gateway.rendering import request_id_of


class Reception:
    """Turns a request with a file into a verdict."""

    def __init__(self, intake: Intake, detections: Detections, guard: KeyGuard) -> None:
        self._intake = intake
        self._detections = detections
        self._guard = guard

    async def receive(self, request: Request[Any, Any, Any], modality: Modality | None = None) -> DetectionView:
        """Judge the file that a request carries, as `modality` where one is given.

        Raises:
            GatewayError: The request is refused, or judging failed; the caller's limits are noted where it is known.
        """
        body = RequestBody(request.receive)
        try:
            key_digest = presented_key(request)
            upload = await self._intake.read(
                body,
                content_type=request.headers.get("content-type", ""),
                content_length=request.content_length,
                modality=modality,
                authorise=partial(self._guard.identify, request),
            )
        except GatewayError as error:
            if not isinstance(error, AuthenticationError | ClientGoneError):
                await self._guard.identify(request)
            await body.drain()
            raise
        order = Order(key_digest=key_digest, upload=upload, request_id=request_id_of(request.scope))
        outcome = await self._detections.detect(order)
        if outcome.allowance is not None:
            note_allowance(request.scope, outcome.allowance)
        if outcome.view is None:
            raise outcome.error or GatewayError()
        return outcome.view
