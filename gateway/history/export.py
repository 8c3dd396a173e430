"""The history as a file: CSV for spreadsheets, JSON lines for programs, made while it is sent."""

import csv
import io
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

from gateway.detections.schemas import DetectionSummary

COLUMNS: Final = (
    *("id", "created_at", "settled_at", "status", "modality", "filename", "media_type", "size_bytes", "sha256"),
    *("verdict", "p_fake", "confidence", "model", "version", "error_code", "error_message", "client_reference"),
    *("tags", "key_id", "cached_from", "feedback", "feedback_note", "feedback_at", "deleted_at"),
)
_FORMULA: Final = tuple("=+-@\t\r\n")
_FULL_WIDTH: Final = str.maketrans({"\uff1d": "=", "\uff0b": "+", "\uff0d": "-", "\uff20": "@"})
"""Spreadsheets of some languages take these for the plain ones."""


class ExportFormat(StrEnum):
    """How an export is written."""

    CSV = "csv"
    JSONL = "jsonl"

    @property
    def media_type(self) -> str:
        """Its media type, with the charset where the type has one."""
        return "text/csv; charset=utf-8; header=present" if self is ExportFormat.CSV else "application/jsonl"


async def write_export(
    batches: AsyncIterable[Sequence[DetectionSummary]], written_as: ExportFormat
) -> AsyncGenerator[bytes]:
    """The file, a piece for each batch."""
    if written_as is ExportFormat.CSV:
        yield _lines([COLUMNS])
    async for batch in batches:
        if written_as is ExportFormat.CSV:
            yield _lines([_cells(one) for one in batch])
        else:
            yield msgspec.json.Encoder().encode_lines(batch)


def guard_cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula: one that could be gets an apostrophe in front."""
    risky = text.startswith(_FORMULA) or text.lstrip().translate(_FULL_WIDTH).startswith(_FORMULA)
    return f"'{text}" if risky else text


def _lines(rows: Sequence[Sequence[Any]]) -> bytes:
    """Rows as RFC 4180 wants them."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode()


def _cells(one: DetectionSummary) -> tuple[Any, ...]:
    """A detection in the order of `COLUMNS`; whatever a client chose is guarded."""
    error, feedback = one.error, one.feedback
    cells = (
        *(one.id, one.created_at, one.settled_at, one.status, one.modality, one.filename, one.media_type),
        *(one.size_bytes, one.sha256, one.verdict, one.p_fake, one.confidence, one.model, one.version),
        *((error.code, error.message) if error else (None, None)),
        *(one.client_reference, ";".join(one.tags), one.key_id, one.cached_from),
        *((feedback.label, feedback.note, feedback.at) if feedback else (None, None, None)),
        one.deleted_at,
    )
    return tuple(_cell(value) for value in cells)


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return guard_cell(value)
    return value.isoformat() if hasattr(value, "isoformat") else value
