"""The tables of the platform. They are what the migrations build, which a test holds; they never leave as answers.

Identifiers are version 7 UUIDs made by Postgres, so that they sort by creation. Admitting and settling are functions
of the database, kept beside the migrations (`db/functions`).
"""

from gateway.db.tables.accounts import Account, Identity, Plan
from gateway.db.tables.audit import AuditEvent
from gateway.db.tables.columns import METADATA, table_of
from gateway.db.tables.detections import DetectionDay, DetectionRow
from gateway.db.tables.idempotency import IdempotencyKey
from gateway.db.tables.jobs import Batch, BatchItem, Job, JobEvent, QueuePause
from gateway.db.tables.keys import ApiKey, Meter
from gateway.db.tables.media import DeletionProof, Medium, StorageMeter
from gateway.db.tables.sign_in import (
    OidcFlow,
    OneTimeToken,
    Passkey,
    PasskeyChallenge,
    RefreshToken,
    Session,
    SignInFailure,
    SignInTicket,
)
from gateway.db.tables.webhooks import WebhookDelivery, WebhookEndpoint, WebhookMessage, WebhookTry

__all__ = [
    "METADATA",
    "Account",
    "ApiKey",
    "AuditEvent",
    "Batch",
    "BatchItem",
    "DeletionProof",
    "DetectionDay",
    "DetectionRow",
    "IdempotencyKey",
    "Identity",
    "Job",
    "JobEvent",
    "Medium",
    "Meter",
    "OidcFlow",
    "OneTimeToken",
    "Passkey",
    "PasskeyChallenge",
    "Plan",
    "QueuePause",
    "RefreshToken",
    "Session",
    "SignInFailure",
    "SignInTicket",
    "StorageMeter",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookMessage",
    "WebhookTry",
    "table_of",
]
