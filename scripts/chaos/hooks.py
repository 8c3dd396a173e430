"""A webhook endpoint of the run's account at a real receiver on this machine, and what came there."""

import functools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, LiteralString
from uuid import UUID

from scripts.chaos.clients import Client
from scripts.chaos.figures import Report
from scripts.chaos.ledger import Books
from scripts.chaos.receiver import Receiver, receiving
from scripts.chaos.waiting import until

SETTINGS: Final = {"OUTBOUND_ALLOWED_NETWORKS": '["127.0.0.0/8"]', "WEBHOOKS_OVER_HTTP": "true"}
"""The receiver is on this machine, where webhooks are not sent to otherwise."""
EVENTS: Final = ("job.succeeded", "job.failed", "job.cancelled")
_WITHIN_S: Final = 120.0

_PENDING: Final[LiteralString] = """
    SELECT count(*) FROM webhook_deliveries d JOIN webhook_messages m ON m.id = d.message_id
    WHERE m.account_id = %s AND d.status = 'pending'
"""
_TOLD: Final[LiteralString] = """
    SELECT m.id::text, extract(epoch FROM j.ended_at)::float8 FROM webhook_messages m JOIN jobs j ON j.id = m.subject_id
    WHERE m.account_id = %s
"""


@dataclass(frozen=True, slots=True)
class Hook:
    """An endpoint, by its receiver."""

    receiver: Receiver

    async def delivered(self, report: Report, books: Books, account: UUID, jobs: int) -> None:
        """Wait until nothing is to be delivered any more, and note whether each job was told of under one id."""
        all_delivered = await until(functools.partial(_is_delivered, books, account), within_s=_WITHIN_S)
        report.exactly("deliveries still pending", 0 if all_delivered else await books.number(_PENDING, (account,)), 0)
        report.exactly("jobs that the receiver was told of", len(self.receiver.arrived_at), jobs)
        repeated = sum(self.receiver.times.values()) - len(self.receiver.times)
        report.tell("deliveries repeated under the same webhook-id", repeated)

    async def seconds_after_end(self, books: Books, account: UUID) -> list[float]:
        """Seconds from the end of each job to the first byte of its webhook."""
        rows = await books.rows(_TOLD, (account,))
        arrived = self.receiver.arrived_at
        return [arrived[message] - ended_at for message, ended_at in rows if message in arrived]


@asynccontextmanager
async def hooked(client: Client) -> AsyncGenerator[Hook]:
    """Have the account of a client told of its jobs, for the length of a block."""
    async with receiving() as receiver:
        await client.post("/v1/webhooks/endpoints", {"url": receiver.url, "events": list(EVENTS)})
        yield Hook(receiver)


async def _is_delivered(books: Books, account: UUID) -> bool:
    return await books.number(_PENDING, (account,)) == 0
