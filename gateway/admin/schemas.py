"""What `/v1/admin` takes and answers."""

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

from gateway.detections.schemas import Schema

LARGEST: Final = 2**31 - 1
_LARGEST_BYTES: Final = 2**53 - 1
_DAY_S: Final = 86_400
_ONE_LINE: Final = r"^[^\x00-\x1f\x7f]*$"
PLAN_NAME: Final = r"^[a-z0-9][a-z0-9_-]{0,63}$"

Count = Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]
Bytes = Annotated[int, msgspec.Meta(ge=0, le=_LARGEST_BYTES)]
Burst = Annotated[int, msgspec.Meta(ge=1, le=LARGEST)]
Period = Annotated[int, msgspec.Meta(ge=1, le=_DAY_S)]
Role = Literal["user", "super_admin"]
Status = Literal["active", "suspended", "deleted"]
TaskStatus = Literal["waiting", "running", "succeeded", "failed", "cancelled", "aborted"]
PlanName = Annotated[str, msgspec.Meta(pattern=PLAN_NAME, examples=["standard"])]


class Limits(Schema, frozen=True):
    """Limits of an account of its own; null: that of its plan holds. Sizes in bytes, times in seconds."""

    daily_limit: int | None
    daily_bytes: int | None
    burst_limit: int | None
    burst_period_s: int | None
    concurrent_limit: int | None
    storage_bytes: int | None


class UserView(Schema, frozen=True):
    """An account as an admin sees it. `number` is its id for clients that know no UUIDs.

    `used_today` is what was charged on the current UTC day, `used_total` ever.
    """

    id: UUID
    number: int
    email: str | None
    email_verified: bool
    username: str | None
    role: Role
    status: Status
    status_reason: str | None
    plan: str
    limits: Limits
    used_today: int
    used_total: int
    created_at: datetime
    deleted_at: datetime | None


class UserPage(Schema, frozen=True):
    """One page, newest first. `next_cursor` asks for the following page; null on the last one."""

    data: tuple[UserView, ...]
    next_cursor: str | None


class UserChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is left out stays. A limit that is null becomes the plan's again."""

    role: Role | msgspec.UnsetType = msgspec.UNSET
    plan: PlanName | msgspec.UnsetType = msgspec.UNSET
    daily_limit: Count | msgspec.UnsetType | None = msgspec.UNSET
    daily_bytes: Bytes | msgspec.UnsetType | None = msgspec.UNSET
    burst_limit: Burst | msgspec.UnsetType | None = msgspec.UNSET
    burst_period_s: Period | msgspec.UnsetType | None = msgspec.UNSET
    concurrent_limit: Burst | msgspec.UnsetType | None = msgspec.UNSET
    storage_bytes: Bytes | msgspec.UnsetType | None = msgspec.UNSET


class Suspension(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why an account is suspended: a line that admins read, and its owner, in the export of the account."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=_ONE_LINE)]


class PlanLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of a plan but its name. A limit that is null does not exist. Sizes in bytes, times in seconds."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=_ONE_LINE)]
    daily_limit: Count | None = None
    daily_bytes: Bytes | None = None
    burst_limit: Burst | None = None
    burst_period_s: Period = 60
    concurrent_limit: Burst | None = None
    storage_bytes: Bytes | None = None


class NewPlan(PlanLimits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A plan to make."""

    name: PlanName


class PlanView(Schema, frozen=True):
    """Limits that accounts share. A limit that is null does not exist. `accounts` counts those that have the plan."""

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

    data: tuple[PlanView, ...]


class TaskView(Schema, frozen=True):
    """A task in the queue, without what it was called with. `attempts` are those that have ended.

    `scheduled_at` is when it may run at the earliest, null: at once. `worker` is the number of the worker that has it.
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


class TaskPage(Schema, frozen=True):
    """One page, newest first. `next_cursor` asks for the following page; null on the last one."""

    data: tuple[TaskView, ...]
    next_cursor: str | None
