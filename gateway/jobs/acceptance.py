"""Takes work over: detections are admitted and charged, jobs opened and queued, in one transaction or not at all."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bentos.contract import Modality
from gateway.access.credentials import Credentials
from gateway.db.transactions import transaction
from gateway.detections.orders import refusal_of
from gateway.detections.statements import ADMIT
from gateway.errors import GatewayError, IdempotencyMismatchError, InvalidKeyError, InvalidTokenError
from gateway.jobs.schemas import JobClass
from gateway.limits.allowance import Allowance, read_allowance
from gateway.models.service import Models
from gateway.storage.shelf import ReadyMedium

_ADMIT: Final = text(ADMIT.replace("%(orders)s::text::jsonb", "CAST(CAST(:orders AS text) AS jsonb)"))
_NEW_IDS: Final = text("SELECT uuidv7() FROM generate_series(1, :count)")
_OPEN: Final = text("SELECT open_jobs(:account, :class, CAST(CAST(:documents AS text) AS jsonb))")
_CLAIMED: Final = text("""
    SELECT c.fingerprint, j.id, j.detection_id, j.created_at
    FROM find_claim(:account, :key) c JOIN jobs j ON j.detection_id = c.detection_id
""")
_IS_CLAIMED: Final = text("SELECT (find_claim(:account, :key)).detection_id IS NOT NULL")
_JOB_OF: Final = text("SELECT id FROM jobs WHERE detection_id = :detection")


@dataclass(frozen=True, slots=True, kw_only=True)
class OnBehalf:
    """An account, with the key that it used, for which a worker hands over work that was accepted before."""

    account_id: UUID
    key_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOrder:
    """One medium to be judged later: one that is in the store, or one that is at an address.

    `fingerprint` is the SHA-256 of what the client asks for under its `idempotency_key`, both or neither. `place` is
    its number in its batch.
    """

    modality: Modality
    filename: str
    medium: ReadyMedium | None = None
    source_url: str | None = None
    model: str | None = None
    client_reference: str | None = None
    tags: tuple[str, ...] = ()
    place: int | None = None
    idempotency_key: str | None = None
    fingerprint: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A job that is queued, or (`replayed`) that its idempotency key led to before, at `created_at` where looked up."""

    job_id: UUID
    detection_id: UUID
    account_id: UUID
    allowance: Allowance
    replayed: bool = False
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """Why an order was not accepted; nothing was charged. No allowance: nobody is known."""

    error: GatewayError
    allowance: Allowance | None


class Acceptance:
    """Accepts jobs."""

    def __init__(self, engine: AsyncEngine, models: Models) -> None:
        self._engine = engine
        self._models = models

    async def accept(
        self, who: Credentials | OnBehalf, order: JobOrder, *, request_id: str, of_class: JobClass, channel: str = "job"
    ) -> Accepted | Declined:
        """Accept one job, in a transaction of its own or in the one that this task is in."""
        async with transaction(self._engine) as connection:
            outcomes = await self.accept_many(
                connection, who, [order], request_id=request_id, of_class=of_class, channel=channel
            )
            return outcomes[0]

    async def is_claimed(self, account_id: UUID, key: str) -> bool:
        """Whether an idempotency key led to a detection already."""
        async with transaction(self._engine) as connection:
            return bool((await connection.execute(_IS_CLAIMED, {"account": account_id, "key": key})).scalar_one())

    async def replay(self, account_id: UUID, key: str, fingerprint: bytes, allowance: Allowance) -> Accepted | None:
        """The job that an idempotency key led to, whatever has become of its medium; None where it led to none.

        Raises:
            IdempotencyMismatchError: The key was used for another call.
        """
        async with transaction(self._engine) as connection:
            row = (await connection.execute(_CLAIMED, {"account": account_id, "key": key})).one_or_none()
        if row is None:
            return None
        if bytes(row.fingerprint) != fingerprint:
            raise IdempotencyMismatchError
        return Accepted(
            job_id=row.id,
            detection_id=row.detection_id,
            account_id=account_id,
            allowance=allowance,
            replayed=True,
            created_at=row.created_at,
        )

    async def accept_many(
        self,
        connection: AsyncConnection,
        who: Credentials | OnBehalf,
        orders: Sequence[JobOrder],
        *,
        request_id: str,
        of_class: JobClass,
        channel: str = "job",
        batch_id: UUID | None = None,
    ) -> list[Accepted | Declined]:
        """Accept jobs of one caller in a transaction, each for itself; the outcomes are in the order of the orders."""
        ids = list((await connection.execute(_NEW_IDS, {"count": len(orders)})).scalars())
        asked = [replace(order, model=order.model or self._models.default_of(order.modality)) for order in orders]
        documents = [
            _document(who, order, job_id, place=place, request_id=request_id, channel=channel)
            for place, (order, job_id) in enumerate(zip(asked, ids, strict=True))
        ]
        rows = (await connection.execute(_ADMIT, {"orders": msgspec.json.encode(documents).decode()})).all()
        outcomes: list[Accepted | Declined] = []
        opened: list[dict[str, Any]] = []
        for row, order, job_id in zip(sorted(rows, key=lambda row: row[0]), orders, ids, strict=True):
            outcome = await self._outcome(connection, who, order, job_id, row)
            outcomes.append(outcome)
            if isinstance(outcome, Accepted) and not outcome.replayed:
                opened.append(
                    {
                        "id": job_id,
                        "key_id": row[5],
                        "batch_id": batch_id,
                        "place": order.place,
                        "detection_id": outcome.detection_id,
                        "medium_id": order.medium.id if order.medium else None,
                        "source_url": order.source_url,
                        "model": order.model,
                        "request_id": request_id,
                    }
                )
        if opened:
            parameters = {
                "account": next(one.account_id for one in outcomes if isinstance(one, Accepted)),
                "class": of_class,
                "documents": msgspec.json.encode(opened).decode(),
            }
            await connection.execute(_OPEN, parameters)
        return outcomes

    async def _outcome(
        self, connection: AsyncConnection, who: Credentials | OnBehalf, order: JobOrder, job_id: UUID, row: Any
    ) -> Accepted | Declined:
        outcome, detection_id, account_id = row[1], row[2], row[4]
        if outcome == "unknown":
            by_token = isinstance(who, Credentials) and who.key_digest is None
            return Declined(error=InvalidTokenError() if by_token else InvalidKeyError(), allowance=None)
        allowance = read_allowance(row[6:])
        if outcome not in {"admitted", "replay"}:
            return Declined(error=refusal_of(outcome, order.modality, allowance), allowance=allowance)
        replayed = outcome == "replay"
        if replayed:
            job_id = (await connection.execute(_JOB_OF, {"detection": detection_id})).scalar_one()
        return Accepted(
            job_id=job_id, detection_id=detection_id, account_id=account_id, allowance=allowance, replayed=replayed
        )


def claim_of_upload(path: str) -> tuple[str, bytes]:
    """The idempotency key that stands for the upload at a path, and its fingerprint."""
    digest = hashlib.sha256(path.encode())
    return f"upload:{digest.hexdigest()}", digest.digest()


def _document(
    who: Credentials | OnBehalf, order: JobOrder, job_id: UUID, *, place: int, request_id: str, channel: str
) -> dict[str, Any]:
    """An order as the function `admit` takes it. What is fetched from an address is weighed when it is there."""
    medium = order.medium
    caller: dict[str, Any]
    if isinstance(who, OnBehalf):
        caller = {"for_account": who.account_id, "for_key": who.key_id}
    else:
        caller = {
            "key_digest": who.key_digest.hex() if who.key_digest else None,
            "session_id": who.session_id,
            "issuer": who.issuer,
            "subject": who.subject,
            "address": who.address,
        }
    return caller | {
        "place": place,
        "job_id": job_id,
        "medium_id": medium.id if medium and medium.kept else None,
        "modality": order.modality,
        "model": order.model,
        "attempt": uuid4(),
        "filename": order.filename,
        "media_type": medium.media_type if medium else "application/octet-stream",
        "size_bytes": medium.size if medium else 0,
        "media_digest": medium.digest.hex() if medium else None,
        "request_id": request_id,
        "channel": channel,
        "client_reference": order.client_reference,
        "tags": order.tags,
        "charge": 1,
        "idempotency_key": order.idempotency_key,
        "fingerprint": order.fingerprint.hex() if order.fingerprint else None,
    }
