"""What `/v1/webhooks` takes and answers."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, get_args
from uuid import UUID

import msgspec

from gateway.detections.schemas import Schema
from gateway.outbound.addresses import LONGEST_URL

Event = Literal["job.succeeded", "job.failed", "job.cancelled", "batch.finished"]
"""What an endpoint may want to know."""
EVENTS: Final[tuple[Event, ...]] = get_args(Event)
TEST: Final = "webhook.test"
"""What an endpoint is told on request."""
AnyEvent = Literal["job.succeeded", "job.failed", "job.cancelled", "batch.finished", "webhook.test"]
DeliveryStatus = Literal["pending", "delivered", "failed", "skipped"]
DisabledReason = Literal["owner", "failing", "gone"]

_DAY_S: Final = 86_400
_MOST_OVERLAP_S: Final = 30 * _DAY_S

_Url = Annotated[str, msgspec.Meta(min_length=8, max_length=LONGEST_URL, extra_json_schema={"format": "uri"})]
_Description = Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Events = Annotated[tuple[Event, ...], msgspec.Meta(min_length=1, max_length=16)]


class NewEndpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address to tell; of all `events` where none are named."""

    url: _Url
    events: _Events | msgspec.UnsetType = msgspec.UNSET
    description: _Description | None = None


class EndpointChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change of an endpoint; what is left out stays."""

    url: _Url | msgspec.UnsetType = msgspec.UNSET
    events: _Events | msgspec.UnsetType = msgspec.UNSET
    description: _Description | msgspec.UnsetType | None = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET


class SecretRotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the former secret still signs beside the new one, in seconds; 0: not a moment."""

    overlap_s: Annotated[int, msgspec.Meta(ge=0, le=_MOST_OVERLAP_S)] = _DAY_S


class EndpointView(Schema, frozen=True):
    """An address that is told of events, never its secret.

    It is disabled by its `owner`, for `failing` too long, or as `gone` after it answered 410. No try has succeeded
    since `failing_since`. After a rotation the former secret signs, too, until `former_secret_expires_at`.
    """

    id: UUID
    url: str
    description: str | None
    events: tuple[str, ...]
    enabled: bool
    disabled_reason: DisabledReason | None
    failing_since: datetime | None
    former_secret_expires_at: datetime | None
    created_at: datetime


class NewEndpointView(EndpointView, frozen=True):
    """An endpoint with the secret just made for it, `whsec_…`, shown this once."""

    secret: str


class EndpointPage(Schema, frozen=True):
    """One page, newest first. `next_cursor` asks for the following page; null on the last one."""

    data: tuple[EndpointView, ...]
    next_cursor: str | None


class DeliverySummary(Schema, frozen=True):
    """An event on its way to an endpoint.

    `message_id` is the header `webhook-id` of every try; `subject_id` is what it is about, such as the job. `pending`:
    the next of its `tries` comes at `next_try_at`; `failed`: it was given up; `skipped`: the endpoint was disabled.
    """

    id: UUID
    endpoint_id: UUID
    message_id: UUID
    event: AnyEvent
    subject_id: UUID
    status: DeliveryStatus
    tries: int
    next_try_at: datetime | None
    created_at: datetime
    ended_at: datetime | None


class TryView(Schema, frozen=True):
    """One try: what was sent beside the body, and the status and beginning of the answer, or why there was none."""

    number: int
    at: datetime
    duration_ms: float
    headers: dict[str, str]
    status: int | None
    answer: str | None
    error: str | None


class DeliveryView(DeliverySummary, frozen=True):
    """A delivery with the body as it is sent and its latest tries, oldest first."""

    body: dict[str, Any]
    attempts: tuple[TryView, ...]


class DeliveryPage(Schema, frozen=True):
    """One page, newest first. `next_cursor` asks for the following page; null on the last one."""

    data: tuple[DeliverySummary, ...]
    next_cursor: str | None
