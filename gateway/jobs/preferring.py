"""`Prefer: respond-async` (RFC 7240): a file is handed over as a job instead of being judged while the client waits.

With `wait=N` the answer is the verdict where it comes within so many seconds, and else the job that goes on: a call
that would take too long becomes a job instead of failing.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from litestar import Request, Response

from gateway.access.guard import Caller, Guard
from gateway.errors import FailureError, GatewayError, RequestError
from gateway.jobs.reception import JobReception
from gateway.jobs.schemas import JobView
from gateway.jobs.service import Jobs
from gateway.reference.codes import every_error

LONGEST_WAIT_S: Final = 60
APPLIED: Final = "preference-applied"

_RESPOND_ASYNC: Final = re.compile(r"respond-async", re.IGNORECASE)
_WAIT: Final = re.compile(r'wait\s*=\s*"?([0-9]{1,6})"?', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Preference:
    """That the client takes a job for an answer, after `wait_s` seconds at the latest."""

    wait_s: int

    @property
    def applied(self) -> str:
        """What was made of it, for the answer."""
        return f"respond-async, wait={self.wait_s}" if self.wait_s else "respond-async"


def read_preference(request: Request[Any, Any, Any]) -> Preference | None:
    """What a request prefers; None where it wants its verdict, however long that takes. Others are not minded."""
    wanted = [part.strip() for value in request.headers.getall("prefer", []) for part in value.split(",")]
    # Parameters of a preference stand behind a semicolon; none is defined for these two.
    names = [part.partition(";")[0].strip() for part in wanted]
    if not any(_RESPOND_ASYNC.fullmatch(name) for name in names):
        return None
    waits = [int(match[1]) for name in names if (match := _WAIT.fullmatch(name))]
    return Preference(wait_s=min(waits[0], LONGEST_WAIT_S) if waits else 0)


class LaterDetections:
    """Answers calls that prefer a job."""

    def __init__(self, guard: Guard, reception: JobReception, jobs: Jobs) -> None:
        self._guard = guard
        self._reception = reception
        self._jobs = jobs

    async def receive(self, request: Request[Any, Any, Any], preference: Preference) -> Response[Any]:
        """Hand a file over; answers 200 with its verdict where that comes in time, else 202 with the job.

        Raises:
            GatewayError: The request is refused, or judging failed in time to say so.
        """
        caller: Caller = await self._guard.identify(request)
        request.scope["user"] = caller
        accepted = await self._reception.receive_file(request, of_class="interactive", channel="api")
        if preference.wait_s:
            await self._jobs.wait(accepted.account_id, accepted.job_id, preference.wait_s)
        job = await self._jobs.one(accepted.account_id, accepted.job_id)
        headers = {APPLIED: preference.applied, "location": f"/v1/jobs/{job.id}", "vary": "prefer"}
        if job.status in {"failed", "cancelled"} and preference.wait_s:
            raise _failure(job)
        if job.detection is not None and preference.wait_s:
            return Response(job.detection, status_code=200, headers=headers)
        return Response(job, status_code=202, headers=headers)


def _failure(job: JobView) -> GatewayError:
    """The error of a job, as it would have been answered to a call that waited."""
    code, message = (job.error.code, job.error.message) if job.error else (job.status, "The job was cancelled.")
    kind: type[GatewayError] = FailureError if job.dead else RequestError
    status = next((one.status for one in every_error() if one.code == code), kind.status)
    return kind(message, code=code, status=status)
