"""Webhooks: who is told, and what came of it."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from bonafide_client.schemas import Schema

DeliveryStatus = Literal["pending", "delivered", "failed", "skipped"]


class WebhookEndpoint(Schema, frozen=True):
    """An address that is told of events, never its secret.

    It is disabled by its `owner`, for `failing` too long, or as `gone` after it answered 410. No try has succeeded
    since `failing_since`. After a rotation the former secret signs, too, until `former_secret_expires_at`.
    """

    id: UUID
    url: str
    description: str | None
    events: tuple[str, ...]
    enabled: bool
    disabled_reason: str | None
    failing_since: datetime | None
    former_secret_expires_at: datetime | None
    created_at: datetime


class NewWebhookEndpoint(WebhookEndpoint, frozen=True):
    """An endpoint with the secret just made for it, shown this once and left out of what is printed."""

    secret: str

    def __repr__(self) -> str:
        return f"NewWebhookEndpoint(id={self.id!r}, url={self.url!r}, events={self.events!r})"


class DeliverySummary(Schema, frozen=True):
    """An event on its way to an endpoint.

    `message_id` is the header `webhook-id` of every try; `subject_id` is what it is about, such as the job. `pending`:
    the next of its `tries` comes at `next_try_at`; `failed`: it was given up; `skipped`: the endpoint was disabled.
    """

    id: UUID
    endpoint_id: UUID
    message_id: UUID
    event: str
    subject_id: UUID
    status: DeliveryStatus
    tries: int
    next_try_at: datetime | None
    created_at: datetime
    ended_at: datetime | None


class DeliveryTry(Schema, frozen=True):
    """One try: what was sent beside the body, and the status and beginning of the answer, or why there was none."""

    number: int
    at: datetime
    duration_ms: float
    headers: dict[str, str]
    status: int | None
    answer: str | None
    error: str | None


class Delivery(DeliverySummary, frozen=True):
    """A delivery with the body as it is sent and its latest tries, oldest first."""

    body: dict[str, Any]
    attempts: tuple[DeliveryTry, ...]
