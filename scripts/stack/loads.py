"""Which versions of a model Triton loads, and in which order: never more than one new one at a time.

Where one version of a load fails and another one of it has to be started, because it is new or its files have changed,
Triton takes the started one down again, and now and then ends with signal 11 at that (seen with 24.10, in one of seven
such loads). A load that starts a single version can fail as it likes.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from scripts.stack.control import ModelError, TritonControl, Version

_CONFIG_FILE: Final = "config.pbtxt"
_LEAST_S: Final = 0.1


async def load_listed(control: TritonControl, repository: Path, model: str, *, deadline_s: float) -> None:
    """Load the versions that a model's config.pbtxt lists, new ones one after the other.

    Raises:
        ModelError: One of them cannot be loaded, with Triton's words. What is there already is served on; of new ones,
            those before the one that failed stay loaded until the next load.
        TritonUnreachableError: Nothing answers at that address.
    """
    until = time.monotonic() + deadline_s
    try:
        config = await asyncio.to_thread((repository / model / _CONFIG_FILE).read_bytes)
        numbers = _listed(config)
    except (OSError, ValueError, text_format.ParseError):
        # Triton finds the same, and says so.
        numbers, config = (), b""
    if numbers:
        await _load_in_turn(control, model, config, numbers, until)
    else:
        await control.load(model, deadline_s=_left(until))


async def load_served(
    control: TritonControl, repository: Path, served: Mapping[str, Sequence[int]], *, deadline_s: float
) -> AsyncIterator[str]:
    """Load models side by side and ask every version; yield each model's name when all its versions have answered.

    A file may list a version that nobody serves, because a command was killed while it tried it, or lack one that is
    served, because the traffic table was put back by hand. Triton is then told the served ones.

    Raises:
        ModelError: One of them could not be loaded or did not answer.
    """

    async def one(model: str) -> str:
        try:
            await load_listed(control, repository, model, deadline_s=deadline_s)
            await _require(control, model, served[model], deadline_s=deadline_s)
        except ModelError as error:
            try:
                config = await asyncio.to_thread((repository / model / _CONFIG_FILE).read_bytes)
                until = time.monotonic() + deadline_s
                await _load_in_turn(control, model, config, served[model], until)
            except (OSError, ValueError, text_format.Error, ModelError):
                raise error from None
        for number in served[model]:
            await control.ask(Version(model, number), deadline_s=deadline_s)
        return model

    tasks = [asyncio.create_task(one(model)) for model in served]
    try:
        for done in asyncio.as_completed(tasks):
            yield await done
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _load_in_turn(
    control: TritonControl, model: str, config: bytes, numbers: Sequence[int], until: float
) -> None:
    """Load these versions by a configuration: what is there already and may have changed, then one after the other.

    All by the configuration and none by the file: Triton takes a file for known that was written before the last load.
    """
    loaded = await control.loaded(deadline_s=_left(until))
    there = sorted(set(numbers) & {each.number for each in loaded if each.model == model})
    if there:
        await control.load_exactly(model, config, there, deadline_s=_left(until))
    for number in sorted(set(numbers) - set(there)):
        there.append(number)
        await control.load_exactly(model, config, there, deadline_s=_left(until))


async def _require(control: TritonControl, model: str, numbers: Sequence[int], *, deadline_s: float) -> None:
    loaded = await control.loaded(deadline_s=deadline_s)
    for number in numbers:
        if Version(model, number) not in loaded:
            raise ModelError(f"{model}: version {number} is served, and config.pbtxt does not list it.")


def _listed(config: bytes) -> Sequence[int]:
    parsed: Any = text_format.Parse(config.decode(), model_config_pb2.ModelConfig())
    return tuple(parsed.version_policy.specific.versions)


def _left(until: float) -> float:
    return max(until - time.monotonic(), _LEAST_S)
