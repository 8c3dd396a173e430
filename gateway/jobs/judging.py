"""Has the medium of a job judged: brings it to where a Bento can read it, and notes how far that is."""

from dataclasses import dataclass
from typing import Final, LiteralString, Protocol
from uuid import UUID

import msgspec
import psycopg
import structlog

from bentos.contract import LONG_MODALITIES, Modality, Progress
from gateway.db.engine import Pool
from gateway.detections.client import BentoAnswer, BentoClient
from gateway.detections.media import MediaStore, SpooledMedia
from gateway.errors import BytesExceededError, MediumGoneError, NotFoundError, UrlsNotAllowedError
from gateway.limits.refusals import KEY_BYTES
from gateway.storage.shelf import Shelf

_WEIGH: Final[LiteralString] = """
    SELECT weigh_detection(%(id)s, %(attempt)s, %(size)s, %(digest)s, %(media_type)s, %(filename)s)
"""
_PROGRESS: Final[LiteralString] = "SELECT progress_job(%s, %s, %s::text::jsonb)"

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobMedium:
    """What a job is about: a medium in the store, or one at an address."""

    job_id: UUID
    account_id: UUID
    key_id: UUID | None
    detection_id: UUID
    attempt: UUID
    medium_id: UUID | None
    source_url: str | None
    modality: Modality
    filename: str
    model: str | None
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A medium that was fetched from an address."""

    media: SpooledMedia
    media_type: str
    filename: str


class Fetching(Protocol):
    """Where media at addresses come from."""

    async def fetch(self, url: str, *, modality: Modality) -> Fetched:
        """Bring a medium into the spool folder. Raises GatewayError."""
        ...


class Judging:
    """Judges the media of jobs."""

    def __init__(
        self, pool: Pool, shelf: Shelf, store: MediaStore, bentos: BentoClient, fetching: Fetching | None
    ) -> None:
        self._pool = pool
        self._shelf = shelf
        self._store = store
        self._bentos = bentos
        self._fetching = fetching

    async def judge(self, job: JobMedium) -> BentoAnswer:
        """The verdict on the medium of a job, as far as this attempt has it.

        Raises:
            GatewayError: There is none, for this reason.
        """
        media = await self._bring(job)
        try:
            if job.modality not in LONG_MODALITIES:
                return await self._bentos.detect(
                    job.modality, media, model=job.model, request_id=job.request_id, caller=job.account_id
                )
            return await self._bentos.detect(
                job.modality,
                media,
                model=job.model,
                request_id=job.request_id,
                caller=job.account_id,
                long=True,
                on_progress=ProgressNotes(self._pool, job).note,
            )
        finally:
            await self._store.release(media)

    async def _bring(self, job: JobMedium) -> SpooledMedia:
        if job.source_url is not None:
            return await self._fetch(job, job.source_url)
        if job.medium_id is None:
            raise MediumGoneError
        try:
            medium = await self._shelf.ready(job.account_id, job.medium_id)
        except NotFoundError as error:
            raise MediumGoneError from error
        return await self._shelf.to_spool(medium)

    async def _fetch(self, job: JobMedium, url: str) -> SpooledMedia:
        if self._fetching is None:
            raise UrlsNotAllowedError
        fetched = await self._fetching.fetch(url, modality=job.modality)
        try:
            await self._weigh(job, fetched)
        except BaseException:
            await self._store.release(fetched.media)
            raise
        return fetched.media

    async def _weigh(self, job: JobMedium, fetched: Fetched) -> None:
        """Charge the bytes of what was fetched. Raises BytesExceededError."""
        parameters = {
            "id": job.detection_id,
            "attempt": job.attempt,
            "size": fetched.media.size,
            "digest": fetched.media.digest,
            "media_type": fetched.media_type,
            "filename": fetched.filename,
        }
        async with self._pool.connection() as database:
            row = await (await database.execute(_WEIGH, parameters)).fetchone()
        if row and row[0]:
            raise BytesExceededError(KEY_BYTES) if row[0] == "key_bytes" else BytesExceededError()


class ProgressNotes:
    """Notes how far a job is, for those who look at it or follow it."""

    def __init__(self, pool: Pool, job: JobMedium) -> None:
        self._pool = pool
        self._job = job
        self._done = -1.0

    async def note(self, progress: Progress) -> None:
        """Note it, where there is news. It is worth less than the work, which goes on where it cannot be noted."""
        if progress.total <= 0 or (progress.done <= self._done and not progress.scores):
            return
        self._done = progress.done
        document = msgspec.json.encode(progress).decode()
        try:
            async with self._pool.connection() as database:
                await database.execute(_PROGRESS, (self._job.job_id, self._job.attempt, document))
        except psycopg.OperationalError as error:
            _log.warning("progress_not_noted", job_id=str(self._job.job_id), reason=str(error))
