"""`client.admin`: users, plans, tasks, jobs and the audit log, for super_admins and for keys with the scope `admin`."""

from datetime import datetime
from functools import cached_property
from typing import TypedDict, Unpack
from uuid import UUID

from bonafide_client.answers import Answer, read_nothing, reader_of
from bonafide_client.calls import Call, fresh_key, path_of, query_of
from bonafide_client.operations import D, Listing, Operation, Resource
from bonafide_client.paging import Page, PageCall
from bonafide_client.resources.admin_jobs import ManagedJobs, Queue
from bonafide_client.schemas.admin import AuditEvent, Plan, PlanList, Role, Task, TaskStatus, User, UserStatus
from bonafide_client.schemas.keys import Key

_READ_USER = reader_of(User)
_READ_USERS = reader_of(Page[User])
_READ_KEYS = reader_of(Page[Key])
_READ_PLAN = reader_of(Plan)
_READ_PLANS = reader_of(PlanList)
_READ_TASK = reader_of(Task)
_READ_TASKS = reader_of(Page[Task])
_READ_EVENTS = reader_of(Page[AuditEvent])


class UserChange(TypedDict, total=False):
    """What to change of a user; what is not given stays, a limit that is None becomes the plan's again."""

    role: Role
    plan: str
    daily_limit: int | None
    daily_bytes: int | None
    burst_limit: int | None
    burst_period_s: int | None
    concurrent_limit: int | None
    storage_bytes: int | None


class PlanLimits(TypedDict, total=False):
    """The limits of a plan; one that is None or not given does not exist."""

    daily_limit: int | None
    daily_bytes: int | None
    burst_limit: int | None
    burst_period_s: int
    concurrent_limit: int | None
    storage_bytes: int | None


class Users(Resource[D]):
    """All accounts of the platform."""

    @Listing
    def list(
        self,
        *,
        search: str | None = None,
        status: UserStatus | None = None,
        role: Role | None = None,
        plan: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> PageCall[User]:
        """List users, newest first. `search` is a part of the e-mail or username, or an id or number."""
        query = query_of({"search": search, "status": status, "role": role, "plan": plan, "limit": limit})
        return PageCall(path=path_of("admin", "users"), read=_READ_USERS, query=query, cursor=cursor)

    @Operation
    def retrieve(self, user_id: UUID | str) -> Call[User]:
        """Read a user, also a deleted one."""
        return Call(method="GET", path=path_of("admin", "users", user_id), read=_READ_USER)

    @Operation
    def update(self, user_id: UUID | str, **changes: Unpack[UserChange]) -> Call[User]:
        """Change role, plan or limits, from the user's next request on."""
        return Call(method="PATCH", path=path_of("admin", "users", user_id), read=_READ_USER, json=dict(changes))

    @Operation
    def suspend(self, user_id: UUID | str, reason: str) -> Call[User]:
        """Shut a user out at once: sessions are closed, keys refused. `reason` is a line that admins read."""
        path = path_of("admin", "users", user_id, "suspend")
        return Call(method="POST", path=path, read=_READ_USER, json={"reason": reason}, repeatable=False)

    @Operation
    def activate(self, user_id: UUID | str) -> Call[User]:
        """Let a suspended user in again. Keys work again; sessions that were closed stay so."""
        path = path_of("admin", "users", user_id, "activate")
        return Call(method="POST", path=path, read=_READ_USER, repeatable=False)

    @Listing
    def keys(
        self, user_id: UUID | str, *, revoked: bool = False, limit: int | None = None, cursor: str | None = None
    ) -> PageCall[Key]:
        """List a user's keys, newest first, with the revoked ones where asked for."""
        query = query_of({"revoked": revoked or None, "limit": limit})
        return PageCall(path=path_of("admin", "users", user_id, "keys"), read=_READ_KEYS, query=query, cursor=cursor)

    @Operation
    def revoke_key(self, user_id: UUID | str, key_id: UUID | str) -> Call[None]:
        """End a user's key at once."""
        return Call(method="DELETE", path=path_of("admin", "users", user_id, "keys", key_id), read=read_nothing)


class Plans(Resource[D]):
    """The limits that accounts share."""

    @Operation
    def list(self) -> Call[tuple[Plan, ...]]:
        """List all plans, by name."""
        return Call(method="GET", path=path_of("admin", "plans"), read=_read_plans)

    @Operation
    def retrieve(self, name: str) -> Call[Plan]:
        """Read a plan."""
        return Call(method="GET", path=path_of("admin", "plans", name), read=_READ_PLAN)

    @Operation
    def create(
        self, name: str, title: str, *, idempotency_key: str | None = None, **limits: Unpack[PlanLimits]
    ) -> Call[Plan]:
        """Make a plan."""
        return Call(
            method="POST",
            path=path_of("admin", "plans"),
            read=_READ_PLAN,
            json={"name": name, "title": title, **limits},
            idempotency_key=fresh_key(idempotency_key),
        )

    @Operation
    def replace(self, name: str, title: str, **limits: Unpack[PlanLimits]) -> Call[Plan]:
        """Put other limits into a plan; they hold for its users from their next request on."""
        body = {"title": title, **limits}
        return Call(method="PUT", path=path_of("admin", "plans", name), read=_READ_PLAN, json=body)

    @Operation
    def delete(self, name: str) -> Call[None]:
        """Remove a plan that nobody has."""
        return Call(method="DELETE", path=path_of("admin", "plans", name), read=read_nothing, repeatable=False)


class Tasks(Resource[D]):
    """What workers are to do, do and did."""

    @Listing
    def list(
        self,
        *,
        status: TaskStatus | None = None,
        task: str | None = None,
        queue: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> PageCall[Task]:
        """List tasks, newest first. Finished ones are forgotten after some days."""
        query = query_of({"status": status, "task": task, "queue": queue, "limit": limit})
        return PageCall(path=path_of("admin", "tasks"), read=_READ_TASKS, query=query, cursor=cursor)

    @Operation
    def retrieve(self, number: int) -> Call[Task]:
        """Read a task."""
        return Call(method="GET", path=path_of("admin", "tasks", str(number)), read=_READ_TASK)


class Admin(Resource[D]):
    """What super_admins do."""

    @cached_property
    def users(self) -> Users[D]:
        """All accounts of the platform."""
        return Users(self.driver)

    @cached_property
    def plans(self) -> Plans[D]:
        """The limits that accounts share."""
        return Plans(self.driver)

    @cached_property
    def tasks(self) -> Tasks[D]:
        """What workers are to do, do and did."""
        return Tasks(self.driver)

    @cached_property
    def jobs(self) -> ManagedJobs[D]:
        """Jobs of all accounts."""
        return ManagedJobs(self.driver)

    @cached_property
    def queue(self) -> Queue[D]:
        """The queue of jobs as a whole."""
        return Queue(self.driver)

    @Listing
    def audit(
        self,
        *,
        actor: UUID | str | None = None,
        target: str | None = None,
        action: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> PageCall[AuditEvent]:
        """List who did what, newest first. `action` is one, or the noun of several: `account.suspend`, `account`."""
        query = query_of(
            {"actor": actor, "target": target, "action": action, "from": since, "to": until, "limit": limit}
        )
        return PageCall(path=path_of("admin", "audit"), read=_READ_EVENTS, query=query, cursor=cursor)


def _read_plans(answer: Answer) -> tuple[Plan, ...]:
    return _READ_PLANS(answer).data
