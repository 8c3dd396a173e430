"""The tables of the platform. They are what the migrations build, which a test holds; they never leave as answers.

Identifiers are version 7 UUIDs made by Postgres, so that they sort by creation. Admitting and settling are functions
of the database, kept beside the migrations (`db/functions`).
"""

from gateway.db.tables.accounts import Account, Identity, Plan
from gateway.db.tables.audit import AuditEvent
from gateway.db.tables.columns import METADATA, table_of
from gateway.db.tables.detections import DetectionDay, DetectionRow
from gateway.db.tables.idempotency import IdempotencyKey
from gateway.db.tables.keys import ApiKey, Meter
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

__all__ = [
    "METADATA",
    "Account",
    "ApiKey",
    "AuditEvent",
    "DetectionDay",
    "DetectionRow",
    "IdempotencyKey",
    "Identity",
    "Meter",
    "OidcFlow",
    "OneTimeToken",
    "Passkey",
    "PasskeyChallenge",
    "Plan",
    "RefreshToken",
    "Session",
    "SignInFailure",
    "SignInTicket",
    "table_of",
]
