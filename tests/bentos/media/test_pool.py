import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import pytest_asyncio

from bentos.errors import (
    DeadlineExceededError,
    DetectionError,
    MediaTooCostlyError,
    OverloadedError,
    UnavailableError,
    UnreadableMediaError,
)
from bentos.media.image import prepare_image
from bentos.media.options import AudioOptions, ImageOptions, VideoOptions
from bentos.media.pool import MediaPool, PoolLimits
from bentos.media.prepared import CropShape
from bentos.media.tasks import PREPARE_AUDIO, PREPARE_IMAGE, PREPARE_VIDEO
from tests.fixtures import media_tasks as tasks
from tests.fixtures.media import clip, encoded, frames_of, sound, tone, with_faces
from tests.fixtures.media_tasks import Order

LONG = 30.0
SHORT_LIMITS = PoolLimits(processes=2, waiting=4, task_s=5.0, memory=400 * 1024 * 1024, abandoned_s=0.3)


@pytest.fixture
async def pool() -> AsyncIterator[MediaPool]:
    async with MediaPool(SHORT_LIMITS) as pool:
        yield pool


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lasting() -> AsyncIterator[MediaPool]:
    """A pool for the tests after which its processes are as before; they run on one loop."""
    async with MediaPool(SHORT_LIMITS) as pool:
        yield pool


on_one_loop = pytest.mark.asyncio(loop_scope="module")


async def pid_of(pool: MediaPool) -> int:
    return int((await pool.run(tasks.task(tasks.take_time), b"", Order(), timeout_s=LONG)).codec)


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


@on_one_loop
async def test_a_picture_comes_back_as_it_would_here(lasting: MediaPool) -> None:
    options = ImageOptions(shape=CropShape(height=64, width=64, resize_filter="area", margin=0.3))
    medium = encoded(with_faces(300))
    there = await lasting.run(PREPARE_IMAGE, medium, options, timeout_s=LONG)
    here = prepare_image(medium, options)
    assert there.faces == here.faces
    assert (there.crops == here.crops).all()


@on_one_loop
async def test_videos_and_sounds_come_back_too(lasting: MediaPool, tmp_path: Path) -> None:
    shape = CropShape(height=32, width=32, resize_filter="bilinear", margin=0.2)
    path = tmp_path / "clip"
    path.write_bytes(clip(frames_of(with_faces(160, width=480, height=320), 10)))
    video = await lasting.run(PREPARE_VIDEO, path, VideoOptions(shape=shape, frames=4), timeout_s=LONG)
    assert video.crops.shape == (4, 32, 32, 3)
    assert video.crops.dtype == np.uint8
    assert [crop.index for crop in video.tracks[0]] == [0, 1, 2, 3]
    audio = await lasting.run(PREPARE_AUDIO, sound(tone(2)), AudioOptions(samples=16_000, hop=8_000), timeout_s=LONG)
    assert audio.windows.shape == (3, 16_000)
    assert audio.windows.dtype == np.float32
    assert audio.spans[1] == (0.5, 1.5)


async def test_a_pool_that_cannot_start_processes_says_so() -> None:
    async with MediaPool(SHORT_LIMITS, preload=("bentos.no_such_module",)) as broken:
        with pytest.raises(UnavailableError, match="could be started"):
            await broken.run(tasks.task(tasks.take_time), b"", Order(), timeout_s=LONG)


async def test_nothing_starts_before_it_is_needed(pool: MediaPool) -> None:
    assert pool.pids == ()
    await pid_of(pool)
    assert len(pool.pids) == 1


@on_one_loop
async def test_bytes_and_paths_arrive_whole(lasting: MediaPool, tmp_path: Path) -> None:
    medium = os.urandom(3_000_000)
    path = tmp_path / "medium"
    path.write_bytes(medium)
    size = tasks.task(tasks.tell_size)
    assert (await lasting.run(size, medium, Order(), timeout_s=LONG)).codec == "3000000"
    assert (await lasting.run(size, path, Order(), timeout_s=LONG)).codec == "3000000"


@on_one_loop
async def test_a_refusal_keeps_its_kind_and_its_words(lasting: MediaPool) -> None:
    with pytest.raises(UnreadableMediaError, match="just so"):
        await lasting.run(tasks.task(tasks.refuse), b"", Order(codec="just so"), timeout_s=LONG)


@on_one_loop
async def test_an_unforeseen_error_is_ours_and_the_process_goes_on(
    lasting: MediaPool, caplog: pytest.LogCaptureFixture
) -> None:
    before = await pid_of(lasting)
    with pytest.raises(DetectionError) as caught:
        await lasting.run(tasks.task(tasks.stumble), b"", Order(), timeout_s=LONG)
    assert caught.value.status == 500
    assert "ZeroDivisionError" in caplog.text
    assert await pid_of(lasting) == before


@on_one_loop
async def test_an_answer_of_the_wrong_type_is_not_believed(lasting: MediaPool) -> None:
    before = await pid_of(lasting)
    with pytest.raises(DetectionError) as caught:
        await lasting.run(tasks.task(tasks.lie), b"", Order(), timeout_s=LONG)
    assert caught.value.status == 500
    assert await pid_of(lasting) != before


async def test_secrets_stay_with_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BONAFIDE_BENTO_TOKEN", "s" * 32)
    async with MediaPool(SHORT_LIMITS) as pool:
        told = (await pool.run(tasks.task(tasks.tell_environment), b"", Order(), timeout_s=LONG)).codec
    assert "PYTHONPATH" in told
    assert "BONAFIDE" not in told


async def test_a_task_whose_process_is_killed_is_run_again_once(pool: MediaPool) -> None:
    slow = tasks.task(tasks.take_time)
    victim = asyncio.create_task(pool.run(slow, b"", Order(seconds=1.0), timeout_s=LONG))
    killed: set[int] = set()
    while len(killed) < 2:
        await asyncio.sleep(0.05)
        for busy in pool._busy:
            if busy.pid not in killed:
                killed.add(busy.pid)
                os.kill(busy.pid, signal.SIGKILL)
    with pytest.raises(UnavailableError, match="ended from outside"):
        await victim
    assert await pid_of(pool) not in killed


async def test_a_killed_process_costs_no_other_task(pool: MediaPool) -> None:
    slow = tasks.task(tasks.take_time)
    await asyncio.gather(*(pool.run(slow, b"", Order(seconds=0.1), timeout_s=LONG) for _ in range(4)))
    assert await until(lambda: len(pool.pids) == 2)
    victim = asyncio.create_task(pool.run(slow, b"", Order(seconds=1.0), timeout_s=LONG))
    assert await until(lambda: len(pool._busy) == 1)
    (busy,) = pool._busy
    bystander = asyncio.create_task(pool.run(slow, b"", Order(seconds=1.0), timeout_s=LONG))
    assert await until(lambda: len(pool._busy) == 2)
    os.kill(busy.pid, signal.SIGKILL)
    assert (await victim).codec != str(busy.pid)
    assert (await bystander).codec != str(busy.pid)
    assert await pid_of(pool) != busy.pid


async def test_a_crash_of_the_decoder_is_the_fault_of_the_file(pool: MediaPool) -> None:
    with pytest.raises(UnreadableMediaError):
        await pool.run(tasks.task(tasks.crash), b"", Order(), timeout_s=LONG)
    assert await pid_of(pool)


async def test_a_task_that_eats_memory_is_stopped(pool: MediaPool) -> None:
    neighbour = asyncio.create_task(pool.run(tasks.task(tasks.take_time), b"", Order(seconds=1.0), timeout_s=LONG))
    with pytest.raises(MediaTooCostlyError, match="memory"):
        await pool.run(tasks.task(tasks.take_memory), b"", Order(megabytes=2000, seconds=3), timeout_s=LONG)
    assert (await neighbour).codec


async def test_a_task_within_its_memory_is_left_alone(pool: MediaPool) -> None:
    result = await pool.run(tasks.task(tasks.take_memory), b"", Order(megabytes=100, seconds=0.2), timeout_s=LONG)
    assert result.codec == "100"


async def test_the_callers_deadline_kills_the_task(pool: MediaPool) -> None:
    before = await pid_of(pool)
    started = time.monotonic()
    with pytest.raises(DeadlineExceededError):
        await pool.run(tasks.task(tasks.take_time), b"", Order(seconds=20), timeout_s=0.3)
    assert time.monotonic() - started < 2
    assert await until(lambda: not psutil.pid_exists(before))
    assert await pid_of(pool) != before


async def test_a_task_over_its_own_limit_is_too_costly() -> None:
    async with MediaPool(PoolLimits(processes=1, task_s=0.3)) as pool:
        with pytest.raises(MediaTooCostlyError):
            await pool.run(tasks.task(tasks.take_time), b"", Order(seconds=20), timeout_s=LONG)


async def test_the_queue_is_bounded_and_waiting_counts(pool: MediaPool) -> None:
    slow = tasks.task(tasks.take_time)
    await pid_of(pool)
    calls = [asyncio.create_task(pool.run(slow, b"", Order(seconds=1.0), timeout_s=LONG)) for _ in range(2)]
    await until(lambda: len(pool._busy) == 2)
    waiting = [asyncio.create_task(pool.run(slow, b"", Order(), timeout_s=0.2)) for _ in range(4)]
    await asyncio.sleep(0.05)
    with pytest.raises(OverloadedError):
        await pool.run(slow, b"", Order(), timeout_s=LONG)
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [DeadlineExceededError] * 4
    assert all(await asyncio.gather(*calls))
    assert pool.waiting == 0


@on_one_loop
async def test_a_short_task_outlives_its_caller_and_the_process_is_used_again(lasting: MediaPool) -> None:
    before = await pid_of(lasting)
    call = asyncio.create_task(lasting.run(tasks.task(tasks.take_time), b"", Order(seconds=0.1), timeout_s=LONG))
    await asyncio.sleep(0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await until(lambda: not lasting._busy)
    assert await pid_of(lasting) == before


async def test_a_long_task_of_a_gone_caller_is_killed_and_its_place_is_free() -> None:
    async with MediaPool(PoolLimits(processes=1, abandoned_s=0.2)) as pool:
        before = await pid_of(pool)
        call = asyncio.create_task(pool.run(tasks.task(tasks.take_time), b"", Order(seconds=20), timeout_s=LONG))
        await asyncio.sleep(0.05)
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        assert await pid_of(pool) != before
        assert await until(lambda: not psutil.pid_exists(before))


async def test_a_caller_that_leaves_the_queue_leaves_no_trace(pool: MediaPool) -> None:
    slow = tasks.task(tasks.take_time)
    calls = [asyncio.create_task(pool.run(slow, b"", Order(seconds=0.2), timeout_s=LONG)) for _ in range(4)]
    await asyncio.sleep(0.05)
    calls[3].cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(outcomes[3], asyncio.CancelledError)
    assert pool.waiting == 0
    assert await pid_of(pool)


async def test_processes_are_replaced_without_a_failure() -> None:
    async with MediaPool(PoolLimits(processes=1, tasks=5)) as pool:
        pids: list[int] = []
        deadline = time.monotonic() + 20
        while len(set(pids)) < 3 and time.monotonic() < deadline:
            pids.append(await pid_of(pool))
            await asyncio.sleep(0.01)
        assert len(set(pids)) >= 3
        assert await until(lambda: len([pid for pid in set(pids) if psutil.pid_exists(pid)]) <= 2)


async def test_closing_fails_what_runs_and_leaves_no_process() -> None:
    pool = MediaPool(SHORT_LIMITS)
    await pid_of(pool)
    slow = tasks.task(tasks.take_time)
    calls = [asyncio.create_task(pool.run(slow, b"", Order(seconds=20), timeout_s=LONG)) for _ in range(4)]
    await until(lambda: len(pool.pids) == 2)
    pids = pool.pids
    await pool.close()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [UnavailableError] * 4
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    with pytest.raises(UnavailableError):
        await pool.run(slow, b"", Order(), timeout_s=LONG)
