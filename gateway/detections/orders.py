"""What is asked to be admitted and what comes of it, in the words of the database's function `admit`."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from psycopg.rows import TupleRow

from bentos.contract import Modality
from gateway.access.credentials import Credentials
from gateway.detections.client import BentoAnswer
from gateway.detections.intake import Upload
from gateway.errors import (
    AccountSuspendedError,
    AddressNotAllowedError,
    BurstExceededError,
    BytesExceededError,
    ConcurrencyExceededError,
    EmailUnverifiedError,
    GatewayError,
    IdempotencyInProgressError,
    IdempotencyMismatchError,
    InvalidKeyError,
    InvalidTokenError,
    MissingScopeError,
    ModelNotAllowedError,
    QuotaExceededError,
    StorageFullError,
)
from gateway.limits.allowance import Allowance, read_allowance
from gateway.limits.refusals import KEY_BYTES, KEY_QUOTA

KEEPING_S: Final = 60.0
"""How long putting a medium into the store may take; its detection may be settled for so much longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be judged, and for whom.

    `channel` tells by which kind of call it came; `idempotency_key` is the client's name for this call and
    `fingerprint` the SHA-256 of what it asks for, both or neither. `charge` is what it counts against the daily limit.
    """

    credentials: Credentials
    upload: Upload
    request_id: str
    channel: str = "api"
    idempotency_key: str | None = None
    fingerprint: bytes | None = None
    model_asked: str | None = None
    charge: int = 1
    cached_from: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A detection that is running and charged; `reserved_id` is the medium for which there is room where it is kept."""

    order: Order
    id: UUID
    attempt: UUID
    created_at: datetime
    account_id: UUID
    key_id: UUID | None
    allowance: Allowance
    reserved_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A detection that this idempotency key already led to."""

    id: UUID
    account_id: UUID
    allowance: Allowance


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why a detection was not admitted. Nothing was charged. No account: nobody is known."""

    error: GatewayError
    allowance: Allowance | None = None
    account_id: UUID | None = None


def refunded(admitted: Admitted) -> Allowance:
    """The allowance once a detection was given back. A burst is not: its slot was taken, whatever came of it."""
    allowance, order = admitted.allowance, admitted.order
    size = order.upload.media.size
    return replace(
        allowance,
        used_today=max(0, allowance.used_today - order.charge),
        bytes_today=max(0, allowance.bytes_today - size),
        running=None if allowance.running is None else max(0, allowance.running - 1),
        key_used_today=max(0, allowance.key_used_today - order.charge),
        key_bytes_today=max(0, allowance.key_bytes_today - size),
    )


def order_document(order: Order, attempt: UUID, lifetime_s: float) -> dict[str, Any]:
    """An order as the function `admit` takes it."""
    credentials, upload = order.credentials, order.upload
    return {
        "key_digest": credentials.key_digest.hex() if credentials.key_digest else None,
        "session_id": credentials.session_id,
        "issuer": credentials.issuer,
        "subject": credentials.subject,
        "address": credentials.address,
        "modality": upload.modality,
        "model": order.model_asked,
        "attempt": attempt,
        "filename": upload.filename,
        "media_type": upload.media_type,
        "size_bytes": upload.media.size,
        "media_digest": upload.media.digest.hex(),
        "request_id": order.request_id,
        "channel": order.channel,
        "client_reference": upload.client_reference,
        "tags": upload.tags,
        "cached_from": order.cached_from,
        "charge": order.charge,
        "lifetime_s": lifetime_s,
        "idempotency_key": order.idempotency_key,
        "fingerprint": order.fingerprint.hex() if order.fingerprint else None,
        "keep": upload.keep,
        "keeping_s": KEEPING_S,
    }


def closing_document(
    detection_id: UUID, attempt: UUID, answer: BentoAnswer, *, medium_id: UUID | None = None
) -> dict[str, Any]:
    """What the statement that settles takes; the Bento's answer goes in as the text it came as.

    `medium_id` is the reserved medium that lies in the store by now.
    """
    detection = answer.detection
    return {
        "id": detection_id,
        "attempt": attempt,
        "verdict": detection.verdict,
        "p_fake": detection.p_fake,
        "model": detection.model,
        "version": detection.version,
        "answer": msgspec.Raw(answer.document),
        "thumbnail": answer.thumbnail,
        "medium_id": medium_id,
    }


def read_admission(order: Order, attempt: UUID, row: TupleRow) -> Admitted | Replayed | Refused:
    """What the function `admit` says about an order."""
    outcome, detection_id, created_at, account_id, key_id = row[1:6]
    if outcome == "unknown":
        return Refused(error=InvalidKeyError() if order.credentials.key_digest else InvalidTokenError())
    allowance = read_allowance(row[6:])
    if outcome == "admitted":
        return Admitted(
            order=order,
            id=detection_id,
            attempt=attempt,
            created_at=created_at,
            account_id=account_id,
            key_id=key_id,
            allowance=allowance,
            reserved_id=row[23],
        )
    if outcome == "replay":
        return Replayed(id=detection_id, account_id=account_id, allowance=allowance)
    refusal = refusal_of(outcome, order.upload.modality, allowance)
    return Refused(error=refusal, allowance=allowance, account_id=account_id)


def refusal_of(outcome: str, modality: Modality, allowance: Allowance) -> GatewayError:
    """The error for what the function `admit` says."""
    tomorrow = allowance.seconds_to_reset
    burst = allowance.burst if outcome == "burst" else allowance.key_burst
    errors: dict[str, GatewayError] = {
        "suspended": AccountSuspendedError(),
        "unverified": EmailUnverifiedError(),
        "scope": MissingScopeError(f"This key lacks the scope `detect:{modality}`."),
        "address": AddressNotAllowedError(),
        "model": ModelNotAllowedError(),
        "mismatch": IdempotencyMismatchError(),
        "in_progress": IdempotencyInProgressError(retry_after_s=1),
        "daily": QuotaExceededError(retry_after_s=tomorrow),
        "key_daily": QuotaExceededError(KEY_QUOTA, retry_after_s=tomorrow),
        "bytes": BytesExceededError(retry_after_s=tomorrow),
        "key_bytes": BytesExceededError(KEY_BYTES, retry_after_s=tomorrow),
        "concurrent": ConcurrencyExceededError(retry_after_s=1),
        "burst": BurstExceededError(retry_after_s=burst.seconds_to_slot if burst else 1),
        "key_burst": BurstExceededError(retry_after_s=burst.seconds_to_slot if burst else 1),
        "storage": StorageFullError(),
    }
    return errors[outcome]
