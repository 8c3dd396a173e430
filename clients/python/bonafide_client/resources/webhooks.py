"""`client.webhooks`: who is told when jobs and batches have ended, and what came of it."""

from collections.abc import Sequence
from functools import cached_property
from typing import TypedDict, Unpack
from uuid import UUID

from bonafide_client.answers import read_nothing, reader_of
from bonafide_client.calls import Call, fresh_key, path_of, query_of
from bonafide_client.operations import D, Listing, Operation, Resource
from bonafide_client.paging import Page, PageCall
from bonafide_client.schemas.webhooks import (
    Delivery,
    DeliveryStatus,
    DeliverySummary,
    NewWebhookEndpoint,
    WebhookEndpoint,
)

_READ = reader_of(WebhookEndpoint)
_READ_NEW = reader_of(NewWebhookEndpoint)
_READ_PAGE = reader_of(Page[WebhookEndpoint])
_READ_DELIVERY = reader_of(Delivery)
_READ_DELIVERIES = reader_of(Page[DeliverySummary])


class EndpointOptions(TypedDict, total=False):
    """`events`: `job.succeeded`, `job.failed`, `job.cancelled`, `batch.finished`; all of them if not given."""

    events: Sequence[str]
    description: str | None


class EndpointChange(EndpointOptions, total=False):
    """What to change of an endpoint; what is not given stays."""

    url: str
    enabled: bool


class Deliveries(Resource[D]):
    """What was told, or is being told."""

    @Listing
    def list(
        self,
        *,
        endpoint_id: UUID | str | None = None,
        status: DeliveryStatus | None = None,
        event: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> PageCall[DeliverySummary]:
        """List deliveries, newest first. `limit` is the size of a page."""
        query = query_of({"endpoint_id": endpoint_id, "status": status, "event": event, "limit": limit})
        return PageCall(path=path_of("webhooks", "deliveries"), read=_READ_DELIVERIES, query=query, cursor=cursor)

    @Operation
    def retrieve(self, delivery_id: UUID | str) -> Call[Delivery]:
        """Read a delivery with its body and its latest tries."""
        return Call(method="GET", path=path_of("webhooks", "deliveries", delivery_id), read=_READ_DELIVERY)

    @Operation
    def replay(self, delivery_id: UUID | str, *, idempotency_key: str | None = None) -> Call[Delivery]:
        """Send once more what was delivered, given up or skipped, under the same `webhook-id`."""
        return Call(
            method="POST",
            path=path_of("webhooks", "deliveries", delivery_id, "replay"),
            read=_READ_DELIVERY,
            idempotency_key=fresh_key(idempotency_key),
        )


class Webhooks(Resource[D]):
    """The addresses of the caller's account that are told; `bonafide_client.webhooks.verify` is for those who are."""

    @cached_property
    def deliveries(self) -> Deliveries[D]:
        """What was told, or is being told."""
        return Deliveries(self.driver)

    @Operation
    def create(
        self, url: str, *, idempotency_key: str | None = None, **options: Unpack[EndpointOptions]
    ) -> Call[NewWebhookEndpoint]:
        """Make an endpoint; its secret is in `secret`, and not shown again."""
        return Call(
            method="POST",
            path=path_of("webhooks", "endpoints"),
            read=_READ_NEW,
            json={"url": url, **options},
            idempotency_key=fresh_key(idempotency_key),
        )

    @Operation
    def retrieve(self, endpoint_id: UUID | str) -> Call[WebhookEndpoint]:
        """Read one endpoint."""
        return Call(method="GET", path=path_of("webhooks", "endpoints", endpoint_id), read=_READ)

    @Listing
    def list(self, *, limit: int | None = None, cursor: str | None = None) -> PageCall[WebhookEndpoint]:
        """List endpoints, newest first. `limit` is the size of a page."""
        query = query_of({"limit": limit})
        return PageCall(path=path_of("webhooks", "endpoints"), read=_READ_PAGE, query=query, cursor=cursor)

    @Operation
    def update(self, endpoint_id: UUID | str, **changes: Unpack[EndpointChange]) -> Call[WebhookEndpoint]:
        """Change an endpoint, disable it, or enable it again."""
        path = path_of("webhooks", "endpoints", endpoint_id)
        return Call(method="PATCH", path=path, read=_READ, json=dict(changes))

    @Operation
    def delete(self, endpoint_id: UUID | str) -> Call[None]:
        """Delete an endpoint with its log."""
        return Call(method="DELETE", path=path_of("webhooks", "endpoints", endpoint_id), read=read_nothing)

    @Operation
    def rotate(
        self, endpoint_id: UUID | str, *, overlap_s: int | None = None, idempotency_key: str | None = None
    ) -> Call[NewWebhookEndpoint]:
        """Make a new secret; the former one signs beside it for `overlap_s` seconds, by default a day."""
        return Call(
            method="POST",
            path=path_of("webhooks", "endpoints", endpoint_id, "rotate"),
            read=_READ_NEW,
            json={} if overlap_s is None else {"overlap_s": overlap_s},
            idempotency_key=fresh_key(idempotency_key),
        )

    @Operation
    def test(self, endpoint_id: UUID | str, *, idempotency_key: str | None = None) -> Call[Delivery]:
        """Send the event `webhook.test` now; `deliveries.retrieve` tells what came of it."""
        return Call(
            method="POST",
            path=path_of("webhooks", "endpoints", endpoint_id, "test"),
            read=_READ_DELIVERY,
            idempotency_key=fresh_key(idempotency_key),
        )
