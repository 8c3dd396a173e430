"""What the detection site shows of an account's history, and the camera frames that its verdicts are steadied with."""

import base64
from datetime import datetime
from typing import Any, Final, Literal, LiteralString
from uuid import UUID

import msgspec

from bentos.contract import Modality, Verdict
from gateway.compat.steadying import MOST_FRAMES, WINDOW_S
from gateway.compat.verdicts import is_fake
from gateway.db.engine import Pool
from gateway.db.paging import read_cursor, write_cursor
from gateway.detections.schemas import confidence_percent

CAMERA: Final = "camera"
"""The channel of camera frames."""
MODALITIES: Final = (Modality.IMAGE, Modality.VIDEO)
"""What the site's clients know of; what the account had judged beside it is in the history of `/v1` alone."""

_LAST: Final[LiteralString] = "'ffffffff-ffff-ffff-ffff-ffffffffffff'"
_PAGE: Final[LiteralString] = f"""
    SELECT id, number, modality, channel, p_fake, verdict, model, version, filename, created_at, thumbnail,
        CASE WHEN modality = 'video' THEN (answer #>> '{{evidence,duration_s}}')::float8 END
    FROM detections
    WHERE account_id = %(account_id)s AND status = 'succeeded' AND deleted_at IS NULL
        AND modality = ANY (%(modalities)s) AND id < coalesce(%(after)s::uuid, {_LAST})
    ORDER BY id DESC LIMIT %(limit)s
"""  # noqa: S608 - The inserted text is a constant.
_FRAMES: Final[LiteralString] = """
    SELECT extract(epoch FROM d.created_at)::float8, d.p_fake FROM detections d
    WHERE d.account_id = %(account_id)s AND d.id > (SELECT uuidv7(make_interval(secs => -%(window_s)s::float8)))
        AND d.id < %(of)s AND d.channel = %(channel)s AND d.status = 'succeeded' AND d.deleted_at IS NULL
        AND d.model = %(model)s AND d.version = %(version)s
    ORDER BY d.id DESC LIMIT %(limit)s
"""

DetectionType = Literal["image", "video", "camera"]


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A detection as the site lists it; `content_id` is its `image_id` or `video_id`.

    `duration` (seconds) and `thumbnail` (a data URL) are those of a video, and null for everything else.
    """

    id: int
    content_id: int
    detection_id: UUID
    detection_type: DetectionType
    is_fake: bool
    confidence: float
    verdict: Verdict
    p_fake: float
    model: str
    model_version: str
    filename: str
    created_at: datetime
    duration: float | None
    thumbnail: str | None


class SiteHistory:
    """Reads detections that have their verdict."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(
        self, account_id: UUID, *, cursor: str | None, limit: int
    ) -> tuple[tuple[HistoryEntry, ...], str | None]:
        """Up to `limit` detections of an account, newest first, and the cursor of the page after them.

        Raises:
            InvalidCursorError: The cursor is none of ours.
        """
        after = read_cursor(cursor) if cursor else None
        parameters = {"account_id": account_id, "modalities": list(MODALITIES), "after": after, "limit": limit + 1}
        async with self._pool.connection() as database:
            rows = await (await database.execute(_PAGE, parameters)).fetchall()
        entries = tuple(_entry(row) for row in rows[:limit])
        return entries, write_cursor(entries[-1].detection_id) if len(rows) > limit else None

    async def frames_before(
        self, account_id: UUID, detection_id: UUID, *, model: str, version: int
    ) -> tuple[tuple[float, float], ...]:
        """The camera frames of the last seconds before one: Unix time of their admission, and p_fake.

        Only what the same version of the same model said is comparable. The row's id holds the time, so that the
        index finds them however long the history is; and any process finds them.
        """
        parameters = {
            "account_id": account_id,
            "of": detection_id,
            "window_s": WINDOW_S,
            "channel": CAMERA,
            "model": model,
            "version": version,
            "limit": MOST_FRAMES,
        }
        async with self._pool.connection() as database:
            rows = await (await database.execute(_FRAMES, parameters)).fetchall()
        return tuple((row[0], row[1]) for row in rows)


def _entry(row: tuple[Any, ...]) -> HistoryEntry:
    p_fake: float = row[4]
    return HistoryEntry(
        id=row[1],
        content_id=row[1],
        detection_id=row[0],
        detection_type="camera" if row[3] == CAMERA else row[2],
        is_fake=is_fake(p_fake),
        confidence=confidence_percent(p_fake),
        verdict=Verdict(row[5]),
        p_fake=p_fake,
        model=row[6],
        model_version=f"{row[6]} v{row[7]}",
        filename=row[8],
        created_at=row[9],
        duration=row[11],
        thumbnail=None if row[10] is None else f"data:image/jpeg;base64,{base64.b64encode(row[10]).decode()}",
    )
