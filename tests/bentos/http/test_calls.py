import asyncio
import os
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from bentos.contract import Modality, Reference, mint_reference
from bentos.errors import (
    BadReferenceError,
    DeadlineExceededError,
    EmptyMediaError,
    InvalidOptionError,
    MediaTooLargeError,
    OverloadedError,
)
from bentos.http.calls import MEMORY_BYTES, Call, ClientGoneError, Headers, open_call
from bentos.settings import BentoSettings


@pytest.fixture
def settings(tmp_path: Path) -> BentoSettings:
    return BentoSettings(
        bento_token=SecretStr("t" * 32),
        reference_key=SecretStr("r" * 32),
        spool=tmp_path,
        image_max_bytes=3 * MEMORY_BYTES,
    )


def count_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Wire:
    """The receiving end of a request whose body comes in these chunks."""

    def __init__(self, *chunks: bytes, hangs_up: bool = False) -> None:
        self.chunks = list(chunks)
        self.hangs_up = hangs_up

    async def __call__(self):
        if not self.chunks:
            assert self.hangs_up
            return {"type": "http.disconnect"}
        chunk = self.chunks.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(self.chunks) or self.hangs_up}


async def read(settings: BentoSettings, wire: Wire, **headers: str) -> tuple[Call, bytes]:
    given = Headers({name.replace("_", "-"): value for name, value in headers.items()})
    async with open_call(given, wire, request_id="r", modality=Modality.IMAGE, settings=settings) as call:
        return call, call.medium if isinstance(call.medium, bytes) else call.medium.read_bytes()


async def test_a_small_body_stays_in_memory(settings):
    call, body = await read(settings, Wire(b"one", b"", b"two"))
    assert call.medium == body == b"onetwo"


async def test_a_large_body_waits_on_disk_and_leaves_nothing(settings):
    chunks = [os.urandom(MEMORY_BYTES // 2) for _ in range(5)]
    descriptors = count_descriptors()
    call, body = await read(settings, Wire(*chunks))
    assert isinstance(call.medium, Path)
    assert body == b"".join(chunks)
    assert not any(settings.spool_folder.iterdir())
    assert count_descriptors() == descriptors


async def test_a_body_that_announces_too_much_is_refused_before_it_is_read(settings):
    wire = Wire(b"x")
    with pytest.raises(MediaTooLargeError):
        await read(settings, wire, content_length=str(3 * MEMORY_BYTES + 1))
    assert wire.chunks == [b"x"]


async def test_a_body_that_grows_too_large_is_refused_and_leaves_nothing(settings):
    with pytest.raises(MediaTooLargeError):
        await read(settings, Wire(*[bytes(MEMORY_BYTES)] * 4))
    assert not any(settings.spool_folder.iterdir())


async def test_no_body_is_an_empty_medium(settings):
    with pytest.raises(EmptyMediaError):
        await read(settings, Wire(b""))


async def test_a_caller_that_hangs_up_while_sending_is_noticed(settings):
    with pytest.raises(ClientGoneError):
        await read(settings, Wire(b"half", hangs_up=True))


async def test_a_body_that_does_not_come_in_time_is_given_up(settings):
    async def stall():
        await asyncio.sleep(0.005)
        return {"type": "http.request", "body": b"x", "more_body": True}

    with pytest.raises(DeadlineExceededError):
        await read(settings, stall, x_bonafide_deadline_ms="10")


async def test_a_full_disk_is_our_fault(settings, tmp_path):
    (tmp_path / "file").touch()
    full = settings.model_copy(update={"spool": tmp_path / "file"})
    with pytest.raises(OverloadedError):
        await read(full, Wire(bytes(2 * MEMORY_BYTES)))


async def test_a_reference_stands_in_place_of_a_body(settings):
    with pytest.raises(BadReferenceError):
        await read(settings, Wire(b"ignored"), x_bonafide_reference="forged")


@pytest.mark.parametrize("value", ["0", "-5", "soon", "1e3", "", "9" * 30])
async def test_a_malformed_deadline_is_refused(settings, value):
    with pytest.raises(InvalidOptionError):
        await read(settings, Wire(b"x"), x_bonafide_deadline_ms=value)


@pytest.mark.parametrize(("given", "seconds"), [("1500", 1.5), ("9999999", 25.0), (None, 25.0)])
async def test_the_shorter_deadline_counts(settings, given, seconds):
    headers = {} if given is None else {"x_bonafide_deadline_ms": given}
    call, _ = await read(settings, Wire(b"x"), **headers)
    assert call.deadline.ends - call.deadline.started == pytest.approx(seconds)


@pytest.mark.parametrize("name", ["", "a/b", "ü", "x" * 200])
async def test_a_model_that_is_no_name_is_refused(settings, name):
    with pytest.raises(InvalidOptionError):
        await read(settings, Wire(b"x"), x_bonafide_model=name)


def test_a_harmless_request_id_is_kept_and_any_other_replaced():
    assert Headers({"x-request-id": "abc-1.2"}).request_id == "abc-1.2"
    for given in ("", "a b", 'x"\n', "x" * 200):
        assert len(Headers({"x-request-id": given}).request_id) == 32


async def test_a_reference_grants_the_limits_of_jobs_where_it_says_so(settings):
    def referred(*, long: bool) -> str:
        reference = Reference(name="clip", size=6, long=long)
        return mint_reference(reference, key="r" * 32, lifetime=timedelta(seconds=60))

    async def opened(modality: Modality, *, long: bool, **more: str) -> Call:
        headers = Headers({"x-bonafide-reference": referred(long=long), "x-bonafide-deadline-ms": "9999999", **more})
        async with open_call(headers, Wire(), request_id="r", modality=modality, settings=tight) as call:
            return call

    (settings.spool_folder / "clip").write_bytes(b"moving")
    tight = settings.model_copy(update={"video_max_bytes": 5, "image_max_bytes": 5, "job_deadline_s": 900})
    with pytest.raises(MediaTooLargeError):
        await opened(Modality.VIDEO, long=False)
    granted = await opened(Modality.VIDEO, long=True, **{"x-bonafide-progress": "1"})
    assert granted.long
    assert granted.deadline.ends - granted.deadline.started == pytest.approx(900, abs=1)
    # What says nothing until it is done has no longer than any other call.
    silent = await opened(Modality.VIDEO, long=True)
    assert silent.deadline.ends - silent.deadline.started == pytest.approx(settings.video_deadline_s, abs=1)
    # A picture of a job is no larger than any other.
    with pytest.raises(MediaTooLargeError):
        await opened(Modality.IMAGE, long=True)


async def test_an_unsigned_wish_for_long_media_is_not_granted(settings):
    call, _ = await read(settings, Wire(b"x"), x_bonafide_long="1")
    assert not call.long


async def test_progress_is_asked_for_by_one_and_nothing_else(settings):
    call, _ = await read(settings, Wire(b"x"), x_bonafide_progress="1")
    assert call.course.wanted
    with pytest.raises(InvalidOptionError):
        await read(settings, Wire(b"x"), x_bonafide_progress="yes")
