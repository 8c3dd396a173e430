"""From stored rows to what is answered about jobs. Every query on jobs selects these columns in this order."""

from typing import Any, Final, LiteralString

import msgspec

from bentos.contract import Modality, Verdict
from gateway.detections.schemas import DetectionFailure
from gateway.jobs.schemas import JobProgress, JobSummary

JOB_COLUMNS: Final[LiteralString] = """j.id, j.status, j.class, j.detection_id, j.batch_id, j.medium_id, j.source_url,
    d.modality, d.filename, d.size_bytes, d.client_reference, d.tags, d.verdict, d.p_fake, j.attempts, j.dead,
    j.error_code, j.error_message, j.progress, j.created_at, j.run_at, j.started_at, j.ended_at"""
JOBS: Final[LiteralString] = "jobs j JOIN detections d ON d.id = j.detection_id"


def read_job(row: Any) -> JobSummary:
    """The summary of a row of `JOB_COLUMNS`."""
    return JobSummary(
        id=row[0],
        status=row[1],
        priority=row[2],
        detection_id=row[3],
        batch_id=row[4],
        upload_id=row[5],
        source_url=row[6],
        modality=Modality(row[7]),
        filename=row[8],
        size_bytes=row[9],
        client_reference=row[10],
        tags=tuple(row[11]),
        verdict=Verdict(row[12]) if row[12] else None,
        p_fake=row[13],
        attempts=row[14],
        dead=row[15],
        error=DetectionFailure(code=row[16], message=row[17]) if row[16] else None,
        progress=msgspec.convert(row[18], JobProgress) if row[18] else None,
        created_at=row[19],
        run_at=row[20],
        started_at=row[21],
        ended_at=row[22],
    )
