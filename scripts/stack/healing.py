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
    async with watch.control() as control, _dying_stubs(watch) as died:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(watch.interval_s):
                    await died.wait()
            at_once = died.is_set()
            died.clear()
            if watch.pid() is None:
                strikes.clear()
                continue
            for model, numbers in watch.served().items():
                try:
                    for number in numbers:
                        await control.ask(Version(model, number), deadline_s=watch.deadline_s)
                except ModelBusyError:
                    continue
                except TritonUnreachableError:
                    break  # Its own end is noticed elsewhere.
                except ModelError as error:
                    strikes[model] += 1
                    if is_due(strikes[model], at_once=at_once):
                        await _heal(watch, control, model, strikes[model], str(error))
                else:
                    del strikes[model]


def is_due(strikes: int, *, at_once: bool) -> bool:
    """Tell whether a model that failed `strikes` calls in a row is loaded anew now.

    One failure may be chance, unless a stub has just died; after two the pauses between attempts double.
    """
    return (strikes == 1 and at_once) or (strikes > 1 and strikes & (strikes - 1) == 0)


async def _heal(watch: Watch, control: TritonControl, model: str, strikes: int, reason: str) -> None:
    watch.tell(f"{model} is loaded anew: {reason}")
    try:
        await control.reload(model, deadline_s=_RELOAD_DEADLINE_S)
    except (ModelError, TritonUnreachableError) as error:
        # Neither a reload nor a restart helps a model that cannot be loaded: its publisher must look at it.
        watch.tell(f"{model} cannot be loaded anew: {error}")
        return
    if strikes >= _LAST_RESORT:
        watch.tell(f"{model} still does not answer, Triton is started anew.")
        watch.restart()


@contextlib.asynccontextmanager
async def _dying_stubs(watch: Watch) -> AsyncGenerator[asyncio.Event]:
    """Yield an event that is set whenever a stub of Triton ends, however."""
    died = asyncio.Event()
    task = asyncio.create_task(_follow_stubs(watch, died))
    try:
        yield died
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _follow_stubs(watch: Watch, died: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    followed: dict[int, int] = {}

    def ended(pid: int) -> None:
        descriptor = followed.pop(pid)
        loop.remove_reader(descriptor)
        os.close(descriptor)
        died.set()

    try:
        while True:
            for pid in stubs(watch.pid()):
                if pid not in followed:
                    with contextlib.suppress(ProcessLookupError):
                        followed[pid] = os.pidfd_open(pid)
                        loop.add_reader(followed[pid], ended, pid)
            await asyncio.sleep(watch.interval_s / 3)
    finally:
        for descriptor in followed.values():
            loop.remove_reader(descriptor)
            os.close(descriptor)


def stubs(triton: int | None) -> dict[int, str]:
    """Return the living stubs of a Triton: process number to model instance, as in `image_cnn_0_0`."""
    found: dict[int, str] = {}
    try:
        children = psutil.Process(triton).children() if triton else []
    except psutil.NoSuchProcess:
        return found
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            command = child.cmdline()
            if len(command) > _INSTANCE_ARGUMENT and command[0].endswith(STUB):
                found[child.pid] = command[_INSTANCE_ARGUMENT]
    return found
