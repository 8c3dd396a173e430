"""How a job ends or goes back into the queue: statements that change nothing unless the attempt still has the job."""

from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.detections.client import BentoAnswer
from gateway.detections.orders import closing_document
from gateway.detections.statements import SETTLE
from gateway.errors import GatewayError

_END: Final = text("SELECT end_job(:id, :attempt, :status, :code, :message, :dead, CAST(CAST(:data AS text) AS jsonb))")
_RETRY: Final = text("SELECT retry_job(:id, :attempt, :code, :message, :pause_s, :failed)")
_SETTLE: Final = text(SETTLE.replace("%(closings)s::text::jsonb", "CAST(CAST(:closings AS text) AS jsonb)"))
_FAIL: Final = text("SELECT fail_detection(:id, :attempt, :code, :message)")


async def succeed_job(
    connection: AsyncConnection, job_id: UUID, detection_id: UUID, attempt: UUID, answer: BentoAnswer
) -> bool:
    """End a job with its verdict; false, and nothing is changed, where this attempt has it no more."""
    found = answer.detection
    told = {
        "detection_id": detection_id,
        "verdict": found.verdict,
        "p_fake": found.p_fake,
        "confidence": found.confidence,
        "model": found.model,
        "version": found.version,
    }
    parameters = _ended(job_id, attempt, "succeeded") | {"data": msgspec.json.encode(told).decode()}
    if not (await connection.execute(_END, parameters)).scalar_one():
        return False
    closings = msgspec.json.encode([closing_document(detection_id, attempt, answer)]).decode()
    (await connection.execute(_SETTLE, {"closings": closings})).one()
    return True


async def fail_job(
    connection: AsyncConnection, job_id: UUID, detection_id: UUID, attempt: UUID, error: GatewayError, *, dead: bool
) -> bool:
    """End a job as failed and refund it; false, and nothing is changed, where this attempt has it no more.

    `dead`: another try might succeed.
    """
    told = msgspec.json.encode({"code": error.code, "message": error.message, "dead": dead}).decode()
    parameters = _ended(job_id, attempt, "failed") | {
        "code": error.code,
        "message": error.message,
        "dead": dead,
        "data": told,
    }
    if not (await connection.execute(_END, parameters)).scalar_one():
        return False
    await connection.execute(
        _FAIL, {"id": detection_id, "attempt": attempt, "code": error.code, "message": error.message}
    )
    return True


async def retry_job(
    connection: AsyncConnection, job_id: UUID, attempt: UUID, error: GatewayError, *, pause_s: float, failed: bool
) -> bool:
    """Give a job back for another try after a pause; false, and nothing is changed, where it is not ours any more.

    `failed`: it counts as a failure of the job.
    """
    parameters = {
        "id": job_id,
        "attempt": attempt,
        "code": error.code,
        "message": error.message,
        "pause_s": pause_s,
        "failed": failed,
    }
    return (await connection.execute(_RETRY, parameters)).scalar_one()


def _ended(job_id: UUID, attempt: UUID, status: str) -> dict[str, object]:
    return {"id": job_id, "attempt": attempt, "status": status, "code": None, "message": None, "dead": False}
