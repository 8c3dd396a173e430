"""Fetches the media of jobs that name an address: through the guard, to a file in the spool folder, within limits."""

import asyncio
import errno
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Final

import aiohttp

from bentos.contract import Modality
from gateway.detections.media import MediaStore, MediaWriter, SpooledMedia
from gateway.detections.sniffing import SNIFFED_BYTES, settle_modality, sniff
from gateway.errors import (
    EmptyFileError,
    MediaTooLargeError,
    OverloadedError,
    UnsupportedMediaError,
    UrlRefusedError,
    UrlUnreachableError,
)
from gateway.jobs.addresses import look_at_address
from gateway.jobs.judging import Fetched
from gateway.outbound.client import Outbound, OutboundError
from gateway.settings import MIB, GatewaySettings

_PIECE: Final = 256 * 1024
_STALL_S: Final = 15.0
"""A transfer that stands still for so long is given up, however much time there is."""
_HEADERS: Final = {
    "accept": "image/*, video/*, audio/*, text/plain, application/octet-stream;q=0.5",
    # What is compressed on the way may be far larger than what was sent.
    "accept-encoding": "identity",
    "user-agent": "bonafide",
}
_PAGES: Final = ("text/", "application/json", "application/xml", "application/xhtml")
_MAY_PASS: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
"""Beside those of 500 and above: what the other end takes for a passing state."""


class UrlFetching:
    """Fetches media from addresses that clients named."""

    def __init__(self, outbound: Outbound, store: MediaStore, settings: GatewaySettings) -> None:
        self._outbound = outbound
        self._store = store
        self._settings = settings

    async def fetch(self, url: str, *, modality: Modality) -> Fetched:
        """Bring the medium at an address into the spool folder; whoever gets it must release it.

        Raises:
            UrlNotAllowedError: The address leads where nothing is called; no packet was sent.
            UrlUnreachableError: It did not answer, or not completely or not in time; another try may succeed.
            UrlRefusedError: It answered with something else than the medium.
            RequestError: What is there is empty, too large, compressed or of another kind.
            OverloadedError: There is no room for it.
        """
        filename, _ = look_at_address(url, modality.value)
        writer = self._store.writer()
        try:
            try:
                async with self._outbound.opened(
                    "GET", url, headers=_HEADERS, deadline_s=self._settings.url_timeout_s
                ) as answer:
                    _refuse(answer)
                    media, media_type = await self._take(answer, writer, modality)
            except OutboundError as error:
                raise UrlUnreachableError(f"The address could not be fetched: {error}.") from error
        except BaseException:
            await writer.discard()
            raise
        return Fetched(media=media, media_type=media_type, filename=filename)

    async def _take(
        self, answer: aiohttp.ClientResponse, writer: MediaWriter, modality: Modality
    ) -> tuple[SpooledMedia, str]:
        most = self._settings.media_limit(modality)
        if answer.content_length is not None and answer.content_length > most:
            raise _too_large(modality, most)
        head, media_type = b"", ""
        async for piece in _pieces(answer):
            if not media_type:
                head += piece[: SNIFFED_BYTES - len(head)]
                if len(head) >= SNIFFED_BYTES:
                    media_type = _kind(head, modality, answer.content_type)
            if writer.size + len(piece) > most:
                raise _too_large(modality, most)
            await _write(writer, piece)
        if writer.size == 0:
            raise EmptyFileError("There is nothing at the address.")
        media_type = media_type or _kind(head, modality, answer.content_type)
        media = await writer.finish()
        if not isinstance(media, SpooledMedia):
            raise TypeError("the medium is no file")
        return media, media_type


def _refuse(answer: aiohttp.ClientResponse) -> None:
    """Refuse an answer that holds no medium."""
    status = answer.status
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _MAY_PASS:
        raise UrlUnreachableError(f"The address answered with the status {status}.")
    if 300 <= status < 400:  # noqa: PLR2004 - The redirects.
        raise UrlRefusedError(f"The address answered with the status {status}; redirects are not followed.")
    if status != HTTPStatus.OK:
        raise UrlRefusedError(f"The address answered with the status {status}.")
    if answer.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise UnsupportedMediaError("The address sends its file compressed, although it was asked not to.")


async def _pieces(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body as it comes. Raises OutboundError where it stands still."""
    pieces = answer.content.iter_chunked(_PIECE)
    while True:
        try:
            async with asyncio.timeout(_STALL_S):
                piece = await anext(pieces, b"")
        except TimeoutError as error:
            raise OutboundError(f"nothing came for {_STALL_S:g} s") from error
        if not piece:
            return
        yield piece


async def _write(writer: MediaWriter, piece: bytes) -> None:
    try:
        await writer.spool(piece)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise OverloadedError("There is no room for the file right now.", retry_after_s=60) from error
        # The guard would take it for an error of the connection.
        raise RuntimeError("the file could not be written") from error


def _kind(head: bytes, modality: Modality, announced: str) -> str:
    """The media type of what begins so. Raises UnsupportedMediaError."""
    sniffed = sniff(head, announced=announced if modality is Modality.TEXT else "")
    # What is not recognised is for the Bento to try, as with uploads; but no page: most wrong addresses lead to one.
    if sniffed.modality is None and announced.startswith(_PAGES):
        raise UnsupportedMediaError(f"The address answers with {announced}, not with a file.")
    settle_modality(sniffed, modality)
    return sniffed.media_type


def _too_large(modality: Modality, most: int) -> MediaTooLargeError:
    return MediaTooLargeError(f"The {modality.value} at the address is larger than {most / MIB:g} MB.")
