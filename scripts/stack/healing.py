"""The watchdog of Triton's models: a model whose stub has died says that it is ready and fails every call.

It asks every served version with a synthetic inference now and then, and at once when a stub process ends; what does
not answer is loaded anew, and where that does not help, Triton itself is started anew.
"""

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import psutil

from scripts.stack.control import ModelBusyError, ModelError, TritonControl, TritonUnreachableError, Version
from scripts.stack.repository import RepositoryError
from scripts.stack.triton import STUB

_LAST_RESORT: Final = 8
"""Calls in a row that fail, although the model could be loaded anew meanwhile, before Triton is started anew."""
_RELOAD_DEADLINE_S: Final = 60
_INSTANCE_ARGUMENT: Final = 8
"""Where the stub's command line names its model instance, as in `image_cnn_0_0`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What to watch: how to reach Triton, its process, the versions by model; how often and how patiently to ask."""

    control: Callable[[], TritonControl]
    pid: Callable[[], int | None]
    served: Callable[[], Mapping[str, Sequence[int]]]
    restart: Callable[[], None]
    tell: Callable[[str], None]
    interval_s: float
    deadline_s: float


async def watch_models(watch: Watch) -> None:
    """Watch until cancelled."""
    strikes: Counter[str] = Counter()
    served = watch.served()
    async with watch.control() as control, _dying_stubs(watch) as deaths:
        while True:
            await deaths.wait(watch.interval_s)
            orphaned = {_model_of(instance) for instance in deaths.take() - set(stubs(watch.pid()).values())}
            if watch.pid() is None:
                strikes.clear()  # Its own end is noticed elsewhere.
                continue
            try:
                served = watch.served()
            except RepositoryError as error:
                watch.tell(f"The models of before are watched on: {error}")
            for model, numbers in served.items():
                if model in orphaned:
                    # Asking would only cost the second in which Triton finds out as well.
                    await _heal(watch, control, model, numbers, strikes[model], "its process has died")
                await _check(watch, control, model, numbers, strikes)


async def _check(
    watch: Watch, control: TritonControl, model: str, numbers: Sequence[int], strikes: Counter[str]
) -> None:
    """Ask every version of a model; heal the model where that is due."""
    try:
        for number in numbers:
            await control.ask(Version(model, number), deadline_s=watch.deadline_s)
    except (ModelBusyError, TritonUnreachableError):
        return
    except ModelError as error:
        strikes[model] += 1
        if is_due(strikes[model]):
            await _heal(watch, control, model, numbers, strikes[model], str(error))
    else:
        del strikes[model]


def is_due(strikes: int) -> bool:
    """Tell whether a model that failed `strikes` calls in a row is loaded anew now.

    One failure may be chance; after two the pauses between attempts double.
    """
    return strikes > 1 and strikes & (strikes - 1) == 0


async def _heal(
    watch: Watch, control: TritonControl, model: str, numbers: Sequence[int], strikes: int, reason: str
) -> None:
    watch.tell(f"{model} is loaded anew: {reason}")
    try:
        loaded = await control.loaded(deadline_s=watch.deadline_s)
        if all(Version(model, number) in loaded for number in numbers):
            await control.reload(model, deadline_s=_RELOAD_DEADLINE_S)
        else:
            # What Triton has would only be loaded again; its files name a version that it lacks.
            await control.load(model, deadline_s=_RELOAD_DEADLINE_S)
    except (ModelError, TritonUnreachableError) as error:
        # Neither a reload nor a restart helps a model that cannot be loaded: its publisher must look at it.
        watch.tell(f"{model} cannot be loaded anew: {error}")
        return
    if strikes >= _LAST_RESORT:
        watch.tell(f"{model} still does not answer, Triton is started anew.")
        watch.restart()


class _Deaths:
    """The model instances whose stubs have ended since they were last taken."""

    def __init__(self) -> None:
        self._instances: set[str] = set()
        self._any = asyncio.Event()

    def add(self, instance: str) -> None:
        self._instances.add(instance)
        self._any.set()

    async def wait(self, seconds: float) -> None:
        """Return when there is one, at the latest after so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._any.wait()

    def take(self) -> set[str]:
        taken, self._instances = self._instances, set()
        self._any.clear()
        return taken


@contextlib.asynccontextmanager
async def _dying_stubs(watch: Watch) -> AsyncGenerator[_Deaths]:
    """Follow the stubs of Triton, old and new, and note each that ends, however."""
    deaths = _Deaths()
    task = asyncio.create_task(_follow_stubs(watch, deaths))
    try:
        yield deaths
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _follow_stubs(watch: Watch, deaths: _Deaths) -> None:
    loop = asyncio.get_running_loop()
    followed: dict[int, int] = {}

    def ended(pid: int, instance: str) -> None:
        descriptor = followed.pop(pid)
        loop.remove_reader(descriptor)
        os.close(descriptor)
        deaths.add(instance)

    try:
        while True:
            for pid, instance in stubs(watch.pid()).items():
                if pid not in followed:
                    with contextlib.suppress(ProcessLookupError):
                        followed[pid] = os.pidfd_open(pid)
                        loop.add_reader(followed[pid], ended, pid, instance)
            await asyncio.sleep(watch.interval_s / 3)
    finally:
        for descriptor in followed.values():
            loop.remove_reader(descriptor)
            os.close(descriptor)


def _model_of(instance: str) -> str:
    """Return the model of an instance that Triton has named itself: `image_cnn_0_0` is one of `image_cnn`."""
    return instance.rsplit("_", 2)[0]


def stubs(triton: int | None) -> dict[int, str]:
    """Return the living stubs of a Triton: process number to model instance, as in `image_cnn_0_0`."""
    found: dict[int, str] = {}
    try:
        children = psutil.Process(triton).children() if triton else []
    except psutil.NoSuchProcess:
        return found
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):  # Also a zombie, which is what a killed stub stays.
            command = child.cmdline()
            if len(command) > _INSTANCE_ARGUMENT and command[0].endswith(STUB):
                found[child.pid] = command[_INSTANCE_ARGUMENT]
    return found
