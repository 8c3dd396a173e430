"""Delivers what the outbox holds: the task `deliver_webhook` of the worker.

A try is claimed before anything is sent, and its number is the token under which its outcome is written: a task that
runs twice sends once. A worker that dies in the middle leaves a claim that lapses; the next try carries the same
`webhook-id`.
"""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog
from sqlalchemy import text
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.transactions import transaction
from gateway.errors import UrlNotAllowedError
from gateway.outbound.client import Outbound, OutboundError, Reply
from gateway.queue.lanes import WEBHOOK_QUEUE
from gateway.queue.tasks import Task
from gateway.settings import GatewaySettings
from gateway.webhooks.failing import Failing
from gateway.webhooks.outbox import DELIVER
from gateway.webhooks.places import Places
from gateway.webhooks.secrets import SecretUnreadableError, Vault, sign

PAUSES_S: Final = (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 21_600, 28_800)
"""Seconds after each failed try: eleven tries in nearly a day."""
MOST_RETRY_AFTER_S: Final = 6 * 3600
MOST_ANSWER: Final = 2048

_JITTER: Final = 0.1
_BUSY_S: Final = (0.5, 5.0)
_SETTLE_PAUSES_S: Final = (0.2, 0.5, 1.0)
_CLAIM_MARGIN_S: Final = 5.0
_OVERDUE_S: Final = 5.0
_REISSUED_AT_ONCE: Final = 200
_USER_AGENT: Final = f"Bonafide-Webhooks/{version('bonafide')}"

_CLAIM: Final = text("SELECT * FROM claim_delivery(:id, :hold_s)")
_POSTPONE: Final = text("SELECT postpone_delivery(:id, :pause_s)")
_REISSUE: Final = text("SELECT reissue_deliveries(:overdue_s, :most)")
_TRIED: Final = text("""
    UPDATE webhook_tries SET duration_ms = :duration_ms, status = :status, error = :error, answer = :answer,
        headers = CAST(CAST(:headers AS text) AS jsonb)
    WHERE delivery_id = :id AND number = :number
""")
# However late it is known: it has arrived.
_DELIVERED: Final = text("""
    UPDATE webhook_deliveries SET status = 'delivered', ended_at = clock_timestamp(), next_try_at = NULL, ticket = NULL
    WHERE id = :id AND status IN ('pending', 'failed')
""")
_AGAIN: Final = text("""
    UPDATE webhook_deliveries SET next_try_at = clock_timestamp() + make_interval(secs => :pause_s)
    WHERE id = :id AND status = 'pending' AND tries = :number
""")
_ENQUEUE: Final = text("SELECT enqueue_delivery(:id)")
_FAILED: Final = text("""
    UPDATE webhook_deliveries SET status = 'failed', ended_at = clock_timestamp(), next_try_at = NULL, ticket = NULL
    WHERE id = :id AND status = 'pending' AND tries = :number
""")

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A try that is ours: of which delivery, the how manyth, where to, with what."""

    delivery_id: UUID
    number: int
    tries_before: int
    endpoint_id: UUID
    account_id: UUID
    url: str
    secret: bytes
    former_secret: bytes | None
    message_id: UUID
    event: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a try."""

    headers: Mapping[str, str]
    duration_ms: float = 0.0
    status: int | None = None
    answer: str | None = None
    error: str | None = None
    retry_after_s: float = 0.0

    @property
    def arrived(self) -> bool:
        """Whether the receiver has taken it."""
        return self.status is not None and HTTPStatus(200) <= self.status < HTTPStatus.MULTIPLE_CHOICES


class Courier:
    """Makes the tries."""

    def __init__(
        self,
        engine: AsyncEngine,
        outbound: Outbound,
        settings: GatewaySettings,
        *,
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        self._engine = engine
        self._outbound = outbound
        self._failing = Failing(settings)
        self._vault = Vault(settings.token_key.get_secret_value())
        self._deadline_s = settings.webhook_deadline_s
        self._https_only = not settings.webhooks_over_http
        self._pauses_s = pauses_s
        self._places = Places()

    async def deliver(self, delivery_id: str, endpoint_id: str, account_id: str) -> None:
        """Make the next try of a delivery that is due; where it is not, or somebody else has it, do nothing."""
        with self._places.one(endpoint=UUID(endpoint_id), account=UUID(account_id)) as free:
            if not free:
                parameters = {"id": UUID(delivery_id), "pause_s": random.uniform(*_BUSY_S)}  # noqa: S311 - It spreads load.
                async with transaction(self._engine) as connection:
                    await connection.execute(_POSTPONE, parameters)
                return
            claim = await self._claim(UUID(delivery_id))
            if claim is not None:
                await self._keep(claim, await self._send(claim))

    async def reissue(self) -> int:
        """Put deliveries back into the queue whose worker died with them; returns how many."""
        async with transaction(self._engine) as connection:
            parameters = {"overdue_s": _OVERDUE_S, "most": _REISSUED_AT_ONCE}
            count: int = (await connection.execute(_REISSUE, parameters)).scalar_one()
        if count:
            _log.warning("deliveries_reissued", count=count)
        return count

    async def _claim(self, delivery_id: UUID) -> Claim | None:
        parameters = {"id": delivery_id, "hold_s": self._deadline_s + _CLAIM_MARGIN_S}
        async with transaction(self._engine) as connection:
            row = (await connection.execute(_CLAIM, parameters)).mappings().one_or_none()
        return None if row is None else Claim(delivery_id=delivery_id, **row)

    async def _send(self, claim: Claim) -> Outcome:
        body = claim.body.encode()
        timestamp = int(time.time())
        headers = {
            "content-type": "application/json",
            "user-agent": _USER_AGENT,
            "webhook-id": str(claim.message_id),
            "webhook-timestamp": str(timestamp),
        }
        try:
            secrets = [
                self._vault.open(sealed, claim.endpoint_id)
                for sealed in (claim.secret, claim.former_secret)
                if sealed is not None
            ]
        except SecretUnreadableError:
            _log.exception("webhook_secret_unreadable", endpoint=str(claim.endpoint_id))
            return Outcome(headers=headers, error="the secret cannot be read any more; rotate it")
        headers["webhook-signature"] = sign(secrets, message_id=str(claim.message_id), timestamp=timestamp, body=body)
        began = time.perf_counter()
        try:
            reply = await self._outbound.post(
                claim.url,
                body,
                headers,
                deadline_s=self._deadline_s,
                most=MOST_ANSWER,
                https_only=self._https_only,
            )
        except UrlNotAllowedError as error:
            return Outcome(headers=headers, duration_ms=_since(began), error=f"{error.code}: {error.message}")
        except OutboundError as error:
            return Outcome(headers=headers, duration_ms=_since(began), error=str(error))
        return Outcome(
            headers=headers,
            duration_ms=_since(began),
            status=reply.status,
            # The database knows no text with this character.
            answer=reply.body.decode(errors="replace").replace("\x00", "\ufffd"),
            retry_after_s=retry_after_s(reply),
        )

    async def _keep(self, claim: Claim, outcome: Outcome) -> None:
        """Write down what came of a try, also where the database is away for a moment: else it would be sent again."""
        for pause_s in _SETTLE_PAUSES_S:
            try:
                await self._settle(claim, outcome)
            except (OperationalError, InterfaceError):
                _log.warning("delivery_not_settled", delivery=str(claim.delivery_id), exc_info=True)
                await asyncio.sleep(pause_s)
            else:
                return
        await self._settle(claim, outcome)

    async def _settle(self, claim: Claim, outcome: Outcome) -> None:
        """Write down what came of a try, and what follows from it."""
        tried: dict[str, Any] = {
            "id": claim.delivery_id,
            "number": claim.number,
            "duration_ms": outcome.duration_ms,
            "status": outcome.status,
            "error": outcome.error,
            "answer": outcome.answer,
            "headers": msgspec.json.encode(dict(outcome.headers)).decode(),
        }
        token = {"id": claim.delivery_id, "number": claim.number}
        made = claim.number - claim.tries_before
        pause_s = self._pause_s(made, outcome)
        async with transaction(self._engine) as connection:
            # Its endpoint before the delivery: whoever removes the endpoint goes that way, too.
            if outcome.arrived:
                await self._failing.forget(connection, claim.endpoint_id)
                await connection.execute(_DELIVERED, {"id": claim.delivery_id})
            else:
                gone = outcome.status == HTTPStatus.GONE
                await self._failing.note(connection, claim.endpoint_id, gone=gone)
                if gone or pause_s is None:
                    await connection.execute(_FAILED, token)
                elif (await connection.execute(_AGAIN, token | {"pause_s": pause_s})).rowcount:
                    await connection.execute(_ENQUEUE, {"id": claim.delivery_id})
            await connection.execute(_TRIED, tried)
        _log.info(
            "webhook_tried",
            delivery=str(claim.delivery_id),
            number=claim.number,
            status=outcome.status,
            error=outcome.error,
            duration_ms=round(outcome.duration_ms, 1),
        )

    def _pause_s(self, made: int, outcome: Outcome) -> float | None:
        """Seconds until the next try after so many; None: there is none."""
        if made > len(self._pauses_s):
            return None
        pause = self._pauses_s[made - 1] * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - It spreads load.
        return max(pause, outcome.retry_after_s)


def delivery_task(courier: Courier) -> Task:
    """The task that delivers."""
    return Task(name=DELIVER, work=courier.deliver, queue=WEBHOOK_QUEUE)


def retry_after_s(reply: Reply) -> float:
    """Seconds for which a receiver wants to be left alone, up to a bound; 0 where it does not say."""
    said = next((value for name, value in reply.headers.items() if name.lower() == "retry-after"), "").strip()
    if said.isascii() and said.isdigit():
        return float(min(int(said[:9]), MOST_RETRY_AFTER_S))
    try:
        moment = parsedate_to_datetime(said)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - datetime.now(UTC)).total_seconds(), 0.0), MOST_RETRY_AFTER_S)


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1000
