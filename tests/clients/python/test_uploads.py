"""Where media come from: each kind arrives whole, and only what can be read again is sent again."""

import io
import tracemalloc

import pytest
from aiohttp import web

from bonafide_client import Bonafide, ConnectionLostError, UnavailableError
from tests.fixtures.clients import DETECTION, answer, hang_up, problem

DATA = b"RIFF" + bytes(range(256)) * 3000


async def pieces():
    for begun in range(0, len(DATA), 100_000):
        yield DATA[begun : begun + 100_000]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def opened(path):
    with path.open("rb") as file:
        yield file


@pytest.mark.parametrize("kind", ["path", "text", "bytes", "file", "memory", "stream", "raw"])
async def test_every_kind_of_file_arrives_whole(either, wayward, path, opened, kind):
    wayward.will(answer())
    raw = path.open("rb", buffering=0)
    stream = iter([DATA[:10], DATA[10:]])
    kinds = {"path": path, "text": str(path), "bytes": DATA, "file": opened, "raw": raw, "stream": stream}

    with raw:
        await either(either.client(wayward.url).detections.create, kinds.get(kind) or io.BytesIO(DATA))

    (sent,) = wayward.received
    assert DATA in sent.body
    name = "clip.wav" if kind in {"path", "text", "file", "raw"} else "upload"
    assert f'name="file"; filename="{name}"'.encode() in sent.body
    assert ("content-length" in sent.headers) == (kind != "stream")


async def test_a_file_is_read_from_where_it_stands_each_time_and_left_open(either, wayward, opened):
    wayward.will(problem(503, "overloaded"), hang_up, answer())
    opened.seek(1000)

    await either(either.client(wayward.url).detections.create, opened)

    assert len(wayward.received) == 3
    for sent in wayward.received:
        assert DATA[1000:] in sent.body
        assert DATA[999:] not in sent.body
    assert not opened.closed


async def test_a_stream_cannot_be_sent_again(either, wayward):
    wayward.will(problem(503, "overloaded"))

    with pytest.raises(UnavailableError):
        await either(either.client(wayward.url).detections.create, iter([DATA]))

    assert len(wayward.received) == 1


async def test_a_broken_stream_is_a_lost_connection(either, wayward):
    wayward.will(hang_up)

    with pytest.raises(ConnectionLostError):
        await either(either.client(wayward.url).detections.create, iter([DATA]))


async def test_an_asynchronous_stream_needs_the_asynchronous_client(either, wayward):
    wayward.otherwise = answer()
    client = either.client(wayward.url)

    if either.blocking:
        with pytest.raises(TypeError, match="asynchronous client"):
            await either(client.detections.create, pieces())
    else:
        await either(client.detections.create, pieces())
        assert DATA in wayward.received[0].body


async def test_what_goes_wrong_in_the_callers_stream_is_raised_as_it_is(either, wayward):
    wayward.otherwise = answer()

    def failing():
        yield DATA
        raise LookupError("the disk is gone")

    with pytest.raises(LookupError, match="the disk is gone"):
        await either(either.client(wayward.url).detections.create, failing())


async def test_a_missing_file_is_the_callers_error(either, wayward, tmp_path):
    with pytest.raises(FileNotFoundError):
        await either(either.client(wayward.url).detections.create, tmp_path / "nothing.jpg")


async def test_the_form_says_all_that_was_asked(either, wayward):
    received = {}

    async def keep(request: web.Request) -> web.StreamResponse:
        form = await request.post()
        received.update({name: form.getall(name) for name in form})
        received["file"] = [(file.filename, file.file.read()) for file in received["file"]]
        return web.json_response(DETECTION)

    keep.unread = True
    wayward.will(keep)
    await either(
        either.client(wayward.url).detections.create,
        b"RIFF",
        filename='Zoë "live".wav',
        modality="audio",
        model="audio_transformer",
        tags=["a b", "ü"],
        client_reference="order 7",
        reuse=True,
        idempotency_key="mine-1",
    )

    assert received == {
        "file": [("Zoë %22live%22.wav", b"RIFF")],
        "modality": ["audio"],
        "model": ["audio_transformer"],
        "client_reference": ["order 7"],
        "tag": ["a b", "ü"],
        "reuse": ["true"],
    }
    assert wayward.received[0].headers["idempotency-key"] == "mine-1"
    assert wayward.received[0].headers["user-agent"].startswith("bonafide-client/")


@pytest.mark.parametrize("key", ["", "with space", "ümlaut", "x" * 256, "line\nbreak"])
def test_a_key_that_is_none_is_refused_before_anything_is_sent(key):
    with Bonafide(base_url="http://127.0.0.1:9") as client, pytest.raises(ValueError, match="idempotency key"):
        client.detections.create(b"RIFF", idempotency_key=key)


async def test_a_large_file_is_never_whole_in_memory(either, wayward, tmp_path):
    large = tmp_path / "large.mp4"
    with large.open("wb") as file:
        file.truncate(200 * 1024 * 1024)

    async def swallow(request: web.Request) -> web.StreamResponse:
        size = 0
        async for chunk in request.content.iter_any():
            size += len(chunk)
        assert size > 200 * 1024 * 1024
        return web.json_response(DETECTION)

    swallow.unread = True
    wayward.will(swallow)
    tracemalloc.start()
    try:
        await either(either.client(wayward.url).detections.create, large)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 20 * 1024 * 1024
