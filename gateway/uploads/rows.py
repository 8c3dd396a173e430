"""The rows of uploads in the table `media`, and what is shown of them."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.tables import Medium, table_of
from gateway.errors import NotFoundError
from gateway.uploads.schemas import PartView, UploadSummary, UploadView

MEDIA: Final[Any] = table_of(Medium)
UploadRow = Row[Any]

_STATES: Final = ("open", "ready")
# What was judged at once and kept has no path of its own: nobody ever sent it anywhere.
_SENT: Final = MEDIA.c.object_path.is_(None) | (MEDIA.c.path != MEDIA.c.object_path)


def uploads_of(account_id: UUID) -> Select[Any]:
    """The uploads of an account that are open or ready."""
    return select(MEDIA).where(MEDIA.c.account_id == account_id, MEDIA.c.state.in_(_STATES), _SENT)


async def find(connection: AsyncConnection, account_id: UUID, upload_id: UUID, *, lock: bool = False) -> UploadRow:
    """One upload of an account, with `lock` for oneself until the transaction ends. Raises NotFoundError."""
    query = uploads_of(account_id).where(MEDIA.c.id == upload_id)
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise NotFoundError("This account has no such upload.")
    return row


def summary_of(row: UploadRow) -> UploadSummary:
    """An upload as lists show it."""
    return UploadSummary(**_shown(row))


def view_of(
    row: UploadRow,
    *,
    headers: dict[str, str],
    url: str | None = None,
    urls_expire_at: datetime | None = None,
    parts: tuple[PartView, ...] | None = None,
) -> UploadView:
    """An upload with the addresses that it is sent to."""
    return UploadView(
        **_shown(row),
        headers=headers,
        url=url,
        urls_expire_at=urls_expire_at,
        part_bytes=row.part_bytes,
        parts=parts,
    )


def _shown(row: UploadRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "status": row.state,
        "filename": row.filename,
        "file_path": row.path,
        "size_bytes": row.size_bytes,
        "media_type": row.media_type,
        "modality": row.modality,
        "sha256": row.digest.hex() if row.digest else None,
        "keep": row.kept,
        "created_at": row.created_at,
        "completed_at": row.completed_at,
        "expires_at": row.expires_at,
    }
