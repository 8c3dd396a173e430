"""What super_admins see of a platform."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from bonafide_client.schemas import Schema

Role = Literal["user", "super_admin"]
UserStatus = Literal["active", "suspended", "deleted"]
TaskStatus = Literal["waiting", "running", "succeeded", "failed", "cancelled", "aborted"]


class Limits(Schema, frozen=True):
    """Limits of an account of its own; None: that of its plan holds. Sizes in bytes, times in seconds."""

    daily_limit: int | None
    daily_bytes: int | None
    burst_limit: int | None
    burst_period_s: int | None
    concurrent_limit: int | None
    storage_bytes: int | None


class User(Schema, frozen=True):
    """An account as an admin sees it. `number` is its id for clients that know no UUIDs.

    `used_today` is what was charged on the current UTC day, `used_total` ever.
    """

    id: UUID
    number: int
    email: str | None
    email_verified: bool
    username: str | None
    role: Role
    status: UserStatus
    status_reason: str | None
    plan: str
    limits: Limits
    used_today: int
    used_total: int
    created_at: datetime
    deleted_at: datetime | None


class Plan(Schema, frozen=True):
    """Limits that accounts share. A limit that is None does not exist. `accounts` counts those that have the plan."""

    name: str
    title: str
    daily_limit: int | None
    daily_bytes: int | None
    burst_limit: int | None
    burst_period_s: int
    concurrent_limit: int | None
    storage_bytes: int | None
    accounts: int
    created_at: datetime


class PlanList(Schema, frozen=True):
    """All plans, by name."""

    data: tuple[Plan, ...]


class Task(Schema, frozen=True):
    """A task in the queue. `attempts` are those that have ended; `worker` is the number of the worker that has it.

    `scheduled_at` is when it may run at the earliest, None: at once.
    """

    id: int
    task: str
    queue: str
    status: TaskStatus
    attempts: int
    worker: int | None
    created_at: datetime | None
    scheduled_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None


class AuditEvent(Schema, frozen=True):
    """One act. `place` and `chain_hash` (SHA-256, hexadecimal) are None until the act is chained to those before.

    `actor_kind` is user, key, system (a command or the worker) or anonymous.
    """

    id: UUID
    at: datetime
    actor_id: UUID | None
    actor_kind: str
    key_id: UUID | None
    address: str | None
    request_id: str | None
    action: str
    target_kind: str
    target_id: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    place: int | None
    chain_hash: str | None
