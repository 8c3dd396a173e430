"""From a stored row to what is answered. Every query on the history selects these columns in this order."""

from typing import Any, Final, LiteralString

import msgspec

from bentos.contract import Detection, Modality, Verdict
from gateway.detections.schemas import (
    DetectionFailure,
    DetectionSummary,
    DetectionView,
    Feedback,
    confidence_percent,
    view_of_answer,
)

SUMMARY_COLUMNS: Final[LiteralString] = """id, status, modality, filename, media_type, size_bytes, created_at,
    settled_at, verdict, p_fake, model, version, error_code, error_message, media_digest, client_reference, tags,
    key_id, cached_from, feedback, feedback_note, feedback_at, deleted_at,
    CASE WHEN status = 'succeeded' THEN medium_id END"""
VIEW_COLUMNS: Final[LiteralString] = f"{SUMMARY_COLUMNS}, number, answer::text"
ID: Final = 0
NUMBER: Final = 24
_ANSWER_TEXT: Final = 25

_ANSWER = msgspec.json.Decoder(Detection)


def read_summary(row: tuple[Any, ...]) -> DetectionSummary:
    """The summary of a row of `SUMMARY_COLUMNS` or more."""
    p_fake: float | None = row[9]
    return DetectionSummary(
        id=row[ID],
        status=row[1],
        modality=Modality(row[2]),
        filename=row[3],
        media_type=row[4],
        size_bytes=row[5],
        created_at=row[6],
        settled_at=row[7],
        verdict=Verdict(row[8]) if row[8] else None,
        p_fake=p_fake,
        confidence=None if p_fake is None else confidence_percent(p_fake),
        model=row[10],
        version=row[11],
        error=DetectionFailure(code=row[12], message=row[13]) if row[12] else None,
        sha256=row[14].hex() if row[14] else None,
        client_reference=row[15],
        tags=tuple(row[16]),
        key_id=row[17],
        cached_from=row[18],
        feedback=Feedback(label=row[19], note=row[20], at=row[21]) if row[19] else None,
        deleted_at=row[22],
        medium_id=row[23],
    )


def read_view(row: tuple[Any, ...]) -> DetectionView:
    """The view of a row of `VIEW_COLUMNS`."""
    summary, answer = read_summary(row), row[_ANSWER_TEXT]
    if answer is None:
        return DetectionView(**msgspec.structs.asdict(summary))
    return view_of_answer(_ANSWER.decode(answer), summary)
