"""Media at addresses are fetched from real servers, of which most mean no good."""

import asyncio
import gzip
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from bentos.contract import Modality
from gateway.detections.media import MediaStore, MemoryBudget
from gateway.errors import (
    EmptyFileError,
    GatewayError,
    MediaTooLargeError,
    UnsupportedMediaError,
    UrlNotAllowedError,
    UrlRefusedError,
    UrlUnreachableError,
)
from gateway.jobs import fetching
from gateway.jobs.fetching import UrlFetching
from gateway.outbound.client import open_outbound
from gateway.settings import MIB, GatewaySettings

JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000") + b"\x00" * 60_000
HTML = b"<!doctype html><title>Sign in</title>" + b" " * 60_000
LIMIT = MIB

Say = Callable[[asyncio.StreamWriter], Awaitable[None]]
Served = Callable[[Say | bytes], Awaitable[str]]
Fetch = Callable[..., Awaitable[Any]]


def names_in(folder: Path) -> list[str]:
    return [one.name for one in folder.iterdir()]


def head(status: str = "200 OK", **headers: object) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "connection: close", "", ""]).encode()


@pytest.fixture
async def served() -> AsyncGenerator[Served]:
    """Servers, each of which says one thing to whoever connects; their addresses, and what each was asked."""
    answering: set[asyncio.Task[None]] = set()

    async def finish() -> None:
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)

    async with AsyncExitStack() as stack:
        stack.push_async_callback(finish)

        async def serve(say: Say | bytes) -> str:
            async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = asyncio.current_task()
                assert task
                answering.add(task)
                with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                    asked.append(await reader.readuntil(b"\r\n\r\n"))
                    if isinstance(say, bytes):
                        writer.write(say)
                        await writer.drain()
                    else:
                        await say(writer)
                writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

            server = await asyncio.start_server(answer, "127.0.0.1", 0)
            stack.callback(server.close)
            return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/some/picture.jpg?signature=secret"

        yield serve


asked: list[bytes] = []


@pytest.fixture(autouse=True)
def forget_what_was_asked() -> None:
    asked.clear()


def settings_of(folder: Path, **changed: object) -> GatewaySettings:
    values: dict[str, object] = {
        "database_url": "postgresql+psycopg://nobody@/nothing",
        "bento_token": "a-made-up-token-for-the-tests-only",
        "token_key": "made-up-token-key-of-all-the-tests",
        "reference_key": "made-up-reference-key-of-the-tests",
        "spool": folder,
        "image_max_bytes": LIMIT,
        "outbound_allowed_networks": ["127.0.0.1/32"],
    }
    return GatewaySettings.model_validate(values | changed)


@asynccontextmanager
async def open_fetching(folder: Path, **changed: object) -> AsyncIterator[UrlFetching]:
    settings = settings_of(folder, **changed)
    store = MediaStore(folder, memory_limit=8 * MIB, budget=MemoryBudget(64 * MIB))
    async with open_outbound(settings) as outbound:
        yield UrlFetching(outbound, store, settings)


@pytest.fixture
def fetch(tmp_path: Path) -> Fetch:
    """Fetches, and sees that nothing is left in the spool folder where that fails."""

    async def work(url: str, modality: Modality = Modality.IMAGE, **changed: object) -> Any:
        async with open_fetching(tmp_path, **changed) as opened:
            try:
                return await opened.fetch(url, modality=modality)
            except BaseException:
                assert not names_in(tmp_path)
                raise

    return work


async def test_a_medium_comes_as_a_file_with_its_digest_and_kind(fetch: Fetch, served: Served) -> None:
    fetched = await fetch(await served(head(content_length=len(JPEG), content_type="text/plain") + JPEG))
    assert fetched.media.path.read_bytes() == JPEG
    assert fetched.media.size == len(JPEG)
    assert fetched.media.digest == hashlib.sha256(JPEG).digest()
    assert (fetched.media_type, fetched.filename) == ("image/jpeg", "picture.jpg")
    assert fetched.media.path.stat().st_mode & 0o077 == 0
    request = asked[0].lower()
    assert request.startswith(b"get /some/picture.jpg?signature=secret http/1.1\r\n")
    assert b"accept-encoding: identity" in request
    assert b"cookie" not in request
    assert b"authorization" not in request


async def test_a_small_one_without_a_length_comes_too(fetch: Fetch, served: Served) -> None:
    fetched = await fetch(await served(head() + JPEG[:100]))
    assert (fetched.media.size, fetched.media_type) == (100, "image/jpeg")


async def test_a_redirect_is_not_followed(fetch: Fetch, served: Served) -> None:
    behind = await served(head(content_length=len(JPEG)) + JPEG)
    for status in ("301 Moved", "302 Found", "307 Temporary", "308 Permanent"):
        asked.clear()
        with pytest.raises(UrlRefusedError, match=status[:3]):
            await fetch(await served(head(status, location=behind)))
        assert len(asked) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("404 Not Found", UrlRefusedError),
        ("401 Unauthorized", UrlRefusedError),
        ("206 Partial Content", UrlRefusedError),
        ("204 No Content", UrlRefusedError),
        ("500 Oh", UrlUnreachableError),
        ("503 Busy", UrlUnreachableError),
        ("429 Slowly", UrlUnreachableError),
    ],
)
async def test_what_is_no_file_is_told_by_its_status(
    fetch: Fetch, served: Served, status: str, error: type[GatewayError]
) -> None:
    with pytest.raises(error, match=status[:3]):
        await fetch(await served(head(status, content_length=0)))


async def test_an_announced_size_above_the_limit_is_refused_before_it_comes(fetch: Fetch, served: Served) -> None:
    async def wait(writer: asyncio.StreamWriter) -> None:
        writer.write(head(content_length=LIMIT + 1))
        await writer.drain()
        await asyncio.sleep(30)

    async with asyncio.timeout(5):
        with pytest.raises(MediaTooLargeError):
            await fetch(await served(wait))


async def test_a_body_without_an_end_is_cut_off_at_the_limit(fetch: Fetch, served: Served) -> None:
    sent = 0

    async def pour(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(head() + JPEG)
        while True:
            writer.write(b"\x00" * 65536)
            await writer.drain()
            sent += 65536

    async with asyncio.timeout(10):
        with pytest.raises(MediaTooLargeError):
            await fetch(await served(pour))
    # What was in the buffers of both ends when it was cut off may come on top.
    assert sent < LIMIT + 16 * MIB


async def test_a_page_without_an_end_is_refused_by_its_beginning(fetch: Fetch, served: Served) -> None:
    async def pour(writer: asyncio.StreamWriter) -> None:
        writer.write(head(content_type="text/html; charset=utf-8") + HTML)
        await writer.drain()
        await asyncio.sleep(30)

    async with asyncio.timeout(5):
        with pytest.raises(UnsupportedMediaError, match="text/html"):
            await fetch(await served(pour))


async def test_a_picture_is_no_video(fetch: Fetch, served: Served) -> None:
    with pytest.raises(UnsupportedMediaError, match="image/jpeg"):
        await fetch(await served(head() + JPEG), Modality.VIDEO)


async def test_a_length_that_is_too_long_breaks_off(fetch: Fetch, served: Served) -> None:
    with pytest.raises(UrlUnreachableError, match="broke off"):
        await fetch(await served(head(content_length=len(JPEG) + 1) + JPEG))


async def test_a_length_that_is_too_short_is_no_http(fetch: Fetch, served: Served) -> None:
    with pytest.raises(UrlUnreachableError):
        await fetch(await served(head(content_length=100) + JPEG))


async def test_a_compressed_body_is_not_unpacked(fetch: Fetch, served: Served) -> None:
    packed = gzip.compress(JPEG + b"\x00" * 100 * MIB)
    assert len(packed) < LIMIT
    with pytest.raises(UnsupportedMediaError, match="compressed"):
        await fetch(await served(head(content_encoding="gzip", content_length=len(packed)) + packed))
    # As a file it is what it is, and for the Bento to refuse.
    fetched = await fetch(await served(head(content_length=len(packed)) + packed))
    assert (fetched.media.size, fetched.media_type) == (len(packed), "application/octet-stream")


async def test_nothing_is_refused(fetch: Fetch, served: Served) -> None:
    with pytest.raises(EmptyFileError):
        await fetch(await served(head(content_length=0)))


async def test_a_trickle_ends_with_the_time(fetch: Fetch, served: Served) -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(head() + JPEG[:5000])
        while True:
            writer.write(b"\x00")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with asyncio.timeout(5):
        with pytest.raises(UrlUnreachableError, match=r"within 0\.5 s"):
            await fetch(await served(trickle), url_timeout_s=0.5)


async def test_headers_that_trickle_end_with_the_time(fetch: Fetch, served: Served) -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(1000):
            writer.write(f"x-{number}: a\r\n".encode())
            await writer.drain()
            await asyncio.sleep(0.05)

    async with asyncio.timeout(5):
        with pytest.raises(UrlUnreachableError):
            await fetch(await served(trickle), url_timeout_s=0.5)


async def test_a_body_that_stands_still_is_given_up(
    fetch: Fetch, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_STALL_S", 0.3)

    async def stall(writer: asyncio.StreamWriter) -> None:
        writer.write(head(content_length=len(JPEG)) + JPEG[:5000])
        await writer.drain()
        await asyncio.sleep(30)

    async with asyncio.timeout(5):
        with pytest.raises(UrlUnreachableError, match="nothing came"):
            await fetch(await served(stall))


async def test_who_does_not_answer_is_unreachable(fetch: Fetch, served: Served) -> None:
    async def hang_up(writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    with pytest.raises(UrlUnreachableError):
        await fetch(await served(hang_up))
    with pytest.raises(UrlUnreachableError):
        await fetch(await served(b"SSH-2.0-OpenSSH_9.9\r\n"))
    with pytest.raises(UrlUnreachableError):
        await fetch("http://127.0.0.1:1/picture.jpg")


async def test_what_is_not_on_the_internet_is_not_called(fetch: Fetch, served: Served) -> None:
    url = await served(head(content_length=len(JPEG)) + JPEG)
    for one in (url, url.replace("127.0.0.1", "localhost"), url.replace("127.0.0.1", "[::ffff:127.0.0.1]")):
        with pytest.raises(UrlNotAllowedError):
            await fetch(one, outbound_allowed_networks=[])
    with pytest.raises(UrlNotAllowedError):
        await fetch("file:///etc/passwd.jpg")
    assert asked == []


async def test_who_is_told_to_stop_leaves_nothing(served: Served, tmp_path: Path) -> None:
    reached = asyncio.Event()

    async def wait(writer: asyncio.StreamWriter) -> None:
        writer.write(head(content_length=2 * len(JPEG)) + JPEG)
        await writer.drain()
        reached.set()
        await asyncio.sleep(30)

    async with open_fetching(tmp_path) as opened:
        work = asyncio.create_task(opened.fetch(await served(wait), modality=Modality.IMAGE))
        await asyncio.wait_for(reached.wait(), 5)
        await asyncio.sleep(0.1)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(work, 2)
    assert not names_in(tmp_path)
