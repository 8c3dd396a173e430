"""`/v1/admin/plans` and `/v1/admin/jobs`: what the platform gives to everybody, and what it is doing."""

from typing import Annotated, Any, Final

from litestar import Request, Router, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import Body, PathParameter, QueryParameter

from gateway.access.guard import Caller, require_admin
from gateway.admin.handlers import Cursor, Limit, refusals
from gateway.admin.jobs import Jobs
from gateway.admin.plans import Plans
from gateway.admin.schemas import JobPage, JobStatus, JobView, NewPlan, PlanLimits, PlanList, PlanView
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


@get("/", summary="List jobs", responses=refusals(400))
async def list_jobs(
    admin_jobs: NamedDependency[Jobs],
    *,
    status: Annotated[JobStatus | None, QueryParameter(description="In this status.")] = None,
    task: Annotated[str | None, QueryParameter(max_length=128, pattern=_NAME, description="Of this task.")] = None,
    queue: Annotated[str | None, QueryParameter(max_length=128, pattern=_NAME, description="In this queue.")] = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> JobPage:
    """List the jobs of the queue, newest first. Finished ones are forgotten after some days."""
    return await admin_jobs.page(status=status, task=task, queue=queue, cursor=cursor, limit=limit)


@get("/{job_id:int}", summary="Read a job", responses=refusals(404))
async def read_job(
    admin_jobs: NamedDependency[Jobs], job_id: Annotated[int, PathParameter(description="Number of the job.")]
) -> JobView:
    """Read a job of the queue."""
    return await admin_jobs.one(job_id)


plan_routes = Router(
    "/v1/admin/plans",
    route_handlers=[list_plans, make_plan, read_plan, change_plan, remove_plan],
    guards=[require_admin],
    security=KEYED,
    tags=["Admin"],
)
job_routes = Router(
    "/v1/admin/jobs",
    route_handlers=[list_jobs, read_job],
    guards=[require_admin],
    security=KEYED,
    tags=["Admin"],
)
