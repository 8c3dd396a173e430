"""Writes down what is to be told, in the transaction of what it is about, and has the worker deliver it.

Rolled back, nothing is told; committed, everything is, whatever dies in between. A subject has each event once, so that
what ends twice by a race or a retry is told once.
"""

from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

DELIVER: Final = "deliver_webhook"
"""The worker's task; the database puts it into the queue `webhooks` (`0003_webhooks.sql`)."""

_TELL: Final = text("SELECT tell_webhooks(:account_id, :event, :subject_id, :body, :endpoint_id)")


async def tell(
    connection: AsyncConnection,
    *,
    account_id: UUID,
    event: str,
    subject_id: UUID,
    body: bytes,
    endpoint_id: UUID | None = None,
) -> list[UUID]:
    """Tell an account of an event once the transaction of the connection is committed.

    Args:
        connection: In whose transaction the thing happens.
        account_id: Whose enabled endpoints are told, as far as they want the event.
        event: `job.succeeded` and the like.
        subject_id: What it is about: of each subject an event is told once.
        body: JSON in UTF-8, sent as it is.
        endpoint_id: The one endpoint that is told, whichever events it wants; None: all that want this one.

    Returns:
        The deliveries: none where nobody wants to know, or the subject's event was told before.
    """
    parameters: dict[str, Any] = {
        "account_id": account_id,
        "event": event,
        "subject_id": subject_id,
        "body": body.decode(),
        "endpoint_id": endpoint_id,
    }
    return list((await connection.execute(_TELL, parameters)).scalars().all())
