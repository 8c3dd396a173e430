"""`/v1/admin/plans` and `/v1/admin/tasks`: what the platform gives to everybody, and what it is doing."""

from typing import Annotated, Any, Final

from litestar import Request, Router, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import Body, PathParameter, QueryParameter

from gateway.access.guard import Caller, require_admin
from gateway.admin.handlers import Cursor, Limit, refusals
from gateway.admin.plans import Plans
from gateway.admin.queue_tasks import QueueTasks
from gateway.admin.schemas import NewPlan, PlanLimits, PlanList, PlanView, TaskPage, TaskStatus, TaskView
from gateway.audit.service import actor_of
from gateway.idempotency.handlers import idempotent
from gateway.reference.operations import KEYED

Call = Request[Caller, Any, Any]
PlanPath = Annotated[str, PathParameter(max_length=64, description="Name of the plan.")]
_NAME: Final = r"^[A-Za-z0-9:._-]*$"


@get("/", summary="List plans", responses=refusals())
async def list_plans(plans: NamedDependency[Plans]) -> PlanList:
    """List all plans, by name."""
    return await plans.all()


@post("/", summary="Make a plan", responses=refusals(400, 409))
@idempotent
async def make_plan(request: Call, data: Annotated[NewPlan, Body()], plans: NamedDependency[Plans]) -> PlanView:
    """Make a plan."""
    return await plans.make(data, actor=actor_of(request))


@get("/{name:str}", summary="Read a plan", responses=refusals(400, 404))
async def read_plan(plans: NamedDependency[Plans], name: PlanPath) -> PlanView:
    """Read a plan."""
    return await plans.one(name)


@put("/{name:str}", summary="Change a plan", responses=refusals(400, 404))
async def change_plan(
    request: Call, data: Annotated[PlanLimits, Body()], plans: NamedDependency[Plans], name: PlanPath
) -> PlanView:
    """Put other limits into a plan; they hold for its users from their next request on."""
    return await plans.change(name, data, actor=actor_of(request))


@delete("/{name:str}", summary="Remove a plan", responses=refusals(400, 404, 409))
async def remove_plan(request: Call, plans: NamedDependency[Plans], name: PlanPath) -> None:
    """Remove a plan that nobody has."""
    await plans.remove(name, actor=actor_of(request))


@get("/", summary="List tasks", responses=refusals(400))
async def list_tasks(
    queue_tasks: NamedDependency[QueueTasks],
    *,
    status: Annotated[TaskStatus | None, QueryParameter(description="In this status.")] = None,
    task: Annotated[str | None, QueryParameter(max_length=128, pattern=_NAME, description="Of this task.")] = None,
    queue: Annotated[str | None, QueryParameter(max_length=128, pattern=_NAME, description="In this queue.")] = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> TaskPage:
    """List what workers are to do, do and did, newest first. Finished ones are forgotten after some days."""
    return await queue_tasks.page(status=status, task=task, queue=queue, cursor=cursor, limit=limit)


@get("/{task_id:int}", summary="Read a task", responses=refusals(404))
async def read_task(
    queue_tasks: NamedDependency[QueueTasks], task_id: Annotated[int, PathParameter(description="Number of the task.")]
) -> TaskView:
    """Read a task in the queue."""
    return await queue_tasks.one(task_id)


plan_routes = Router(
    "/v1/admin/plans",
    route_handlers=[list_plans, make_plan, read_plan, change_plan, remove_plan],
    guards=[require_admin],
    security=KEYED,
    tags=["Admin"],
)
task_routes = Router(
    "/v1/admin/tasks",
    route_handlers=[list_tasks, read_task],
    guards=[require_admin],
    security=KEYED,
    tags=["Admin"],
)
