"""Sends files of a folder to the platform as uploads, and goes on with those that were begun before."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from bonafide_client import ApiError, AsyncBonafide, NotFoundError
from bonafide_client.schemas.uploads import Upload, UploadPart
from scripts.detect.ledger import Ledger, Sent

_PIECE: Final = 256 * 1024
_TRIES: Final = 4
_PAUSE_S: Final = 0.5
_REFUSED_FROM: Final = 400
_OURS_FROM: Final = 500
_CONFLICT: Final = 409
_EXPIRED: Final = 403


class SendingError(Exception):
    """A file did not get through; its text says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Sends files; `progress` is told the bytes that are there, as they get there."""

    client: AsyncBonafide
    http: httpx.AsyncClient
    ledger: Ledger
    store: bool | None
    progress: Callable[[int], None]

    async def send(self, name: str, path: Path) -> None:
        """Make sure that a file is there as an upload that is complete; the ledger knows it then.

        Raises:
            SendingError, BonafideError, OSError: It is not.
        """
        known = await self._known(name, path)
        if known is not None and known.ready:
            self.progress(known.size)
            return
        upload = await self._begun(known) or await self._begin(name, path)
        if upload.status == "open":
            await self._send_parts(upload, path)
            await self.client.uploads.complete(upload.id)
        self.ledger.end_upload(name)

    async def _known(self, name: str, path: Path) -> Sent | None:
        """What is known of a file that is still as it was."""
        known = self.ledger.sent.get(name)
        if known is None:
            return None
        status = await asyncio.to_thread(path.stat)
        if known.is_like(status):
            return known
        if known.size == status.st_size and await asyncio.to_thread(digest_of, path) == known.sha256:
            self.ledger.touch(name, status.st_mtime_ns)
            return known
        return None

    async def _begun(self, known: Sent | None) -> Upload | None:
        """The upload that was begun for a file, where there still is one."""
        if known is None:
            return None
        try:
            return await self.client.uploads.retrieve(known.upload_id)
        except NotFoundError:
            return None

    async def _begin(self, name: str, path: Path) -> Upload:
        status = await asyncio.to_thread(path.stat)
        if status.st_size == 0:
            raise SendingError("empty_file", "the file is empty")
        digest = await asyncio.to_thread(digest_of, path)
        upload = await self.client.uploads.create(
            filename=path.name, size_bytes=status.st_size, sha256=digest, keep=self.store
        )
        sent = Sent(name, status.st_size, status.st_mtime_ns, digest, str(upload.id))
        self.ledger.begin_upload(sent)
        return upload

    async def _send_parts(self, upload: Upload, path: Path) -> None:
        if upload.parts is None:
            await self._put(upload, path, 0, upload.size_bytes, upload.url)
            return
        start = 0
        for part in upload.parts:
            if part.sent:
                self.progress(part.size)
            else:
                await self._put(upload, path, start, part.size, part.url)
            start += part.size

    async def _put(self, upload: Upload, path: Path, start: int, size: int, url: str | None) -> None:
        """Send a stretch of a file to its own address, again where that breaks off."""
        failure = SendingError("upload_failed", "the file could not be sent")
        for attempt in range(_TRIES):
            if url is None:
                break
            headers = {**upload.headers, "content-length": str(size)}
            try:
                answer = await self.http.put(url, content=_pieces(path, start, size), headers=headers)
            except httpx.TransportError as error:
                failure = SendingError("connection_failed", str(error) or type(error).__name__)
            else:
                # A conflict: it got through the last time, and only the answer did not.
                if answer.status_code < _REFUSED_FROM or answer.status_code == _CONFLICT:
                    self.progress(size)
                    return
                failure = SendingError("upload_refused", f"the store answered with {answer.status_code}")
                if answer.status_code == _EXPIRED:
                    url = await self._new_address(upload, start)
                elif answer.status_code < _OURS_FROM:
                    break
            await asyncio.sleep(_PAUSE_S * 2**attempt)
        raise failure

    async def _new_address(self, upload: Upload, start: int) -> str | None:
        """Where a stretch is sent now that its first address has expired."""
        fresh = await self.client.uploads.retrieve(upload.id)
        return fresh.url if fresh.parts is None else _part_at(fresh.parts, start).url


def _part_at(parts: tuple[UploadPart, ...], start: int) -> UploadPart:
    at = 0
    for part in parts:
        if at == start:
            return part
        at += part.size
    raise SendingError("upload_changed", "the upload is divided in another way now")


async def _pieces(path: Path, start: int, size: int) -> AsyncGenerator[bytes]:
    """A stretch of a file. Raises SendingError where the file became shorter."""
    with path.open("rb") as file:
        await asyncio.to_thread(file.seek, start)
        left = size
        while left:
            piece = await asyncio.to_thread(file.read, min(_PIECE, left))
            if not piece:
                raise SendingError("file_changed", "the file became shorter while it was sent")
            left -= len(piece)
            yield piece


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal. Blocks: call it in a thread."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_refusal(error: ApiError) -> bool:
    """Whether the file is at fault, and not the moment."""
    return error.status in {400, 413, 415}
