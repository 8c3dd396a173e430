import asyncio

import pytest

from bentos import readiness
from bentos.deadline import Deadline
from bentos.readiness import Readiness


class Path:
    """A path whose probes are counted and fail while `broken`."""

    def __init__(self) -> None:
        self.whole = self.inferences = 0
        self.broken = False
        self.release = asyncio.Event()
        self.release.set()

    async def detect(self, _: Deadline) -> None:
        self.whole += 1
        await self._answer()

    async def infer(self, _: Deadline) -> None:
        self.inferences += 1
        await self._answer()

    async def _answer(self) -> None:
        await self.release.wait()
        if self.broken:
            raise RuntimeError("broken")


@pytest.fixture
def path() -> Path:
    return Path()


@pytest.fixture
def ready(path: Path) -> Readiness:
    return Readiness(whole_path=path.detect, inference=path.infer)


async def test_the_whole_path_is_asked_until_it_worked_and_triton_from_then_on(path, ready, monkeypatch):
    monkeypatch.setattr(readiness, "FRESH_S", 0)
    path.broken = True
    assert not await ready.ask()
    path.broken = False
    assert await ready.ask()
    assert await ready.ask()
    path.broken = True
    assert not await ready.ask()
    assert (path.whole, path.inferences) == (2, 2)


async def test_many_askers_cost_one_probe(path, ready):
    assert all(await asyncio.gather(*(ready.ask() for _ in range(20))))
    assert await ready.ask()
    assert (path.whole, path.inferences) == (1, 0)


async def test_an_asker_does_not_wait_for_ever_and_the_probe_goes_on(path, ready, monkeypatch):
    monkeypatch.setattr(readiness, "PATIENCE_S", 0.01)
    path.release.clear()
    assert not await ready.ask()
    path.release.set()
    await asyncio.sleep(0.01)
    assert await ready.ask()
    assert path.whole == 1


async def test_a_probe_that_hangs_is_given_up(path, ready, monkeypatch):
    monkeypatch.setattr(readiness, "PROBE_S", 0.01)
    path.release.clear()
    assert not await ready.ask()


async def test_closing_ends_a_probe_under_way(path, ready, monkeypatch):
    monkeypatch.setattr(readiness, "PATIENCE_S", 0.01)
    path.release.clear()
    await ready.ask()
    await ready.close()
    assert ready._probing is not None
    assert ready._probing.cancelled()
