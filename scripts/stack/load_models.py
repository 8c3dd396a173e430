"""`python -m scripts.stack.load_models`: load what the traffic table serves into a Triton that runs elsewhere.

`bonafide up` does the same for the Triton of its own; this is for containers, where Triton starts empty as well, and
again after each of its restarts: `--keep` stays and loads what does not answer, `--check` only asks.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import Final

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from scripts.stack.control import (
    ModelBusyError,
    ModelError,
    TritonControl,
    TritonUnreachableError,
    Version,
)
from scripts.stack.loads import load_served
from scripts.stack.repository import RepositoryError, served

_PROBLEMS: Final = (ModelError, TritonUnreachableError, RepositoryError)


class LoadSettings(BaseSettings):
    """Where Triton is, the key of its restricted calls, and where the repository lies, from the environment."""

    model_config = SettingsConfigDict(env_prefix="BONAFIDE_", frozen=True, extra="ignore")

    triton_address: str = "127.0.0.1:8101"
    triton_control_key: SecretStr
    model_repository: Path = Path("model_repository")
    load_deadline_s: float = Field(default=120, gt=0, le=3600)
    watch_interval_s: float = Field(default=3, gt=0, le=300)
    watch_deadline_s: float = Field(default=10, gt=0, le=300)

    def control(self) -> TritonControl:
        """Open a connection with the right to load models."""
        return TritonControl(self.triton_address, self.triton_control_key.get_secret_value())


async def load(settings: LoadSettings) -> None:
    """Wait for Triton, load every served model, and ask every version.

    Raises:
        TritonUnreachableError: Triton did not answer in time.
        ModelError: A model could not be loaded or did not answer.
        RepositoryError: The traffic table or a card is missing or broken.
    """
    until = time.monotonic() + settings.load_deadline_s
    models = await asyncio.to_thread(served, settings.model_repository)
    async with settings.control() as control:
        while True:
            try:
                await control.live(deadline_s=2)
                break
            except (ModelError, TritonUnreachableError):
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(0.5)
        async for model in load_served(control, settings.model_repository, models, deadline_s=until - time.monotonic()):
            print(f"{model} answers", flush=True)


async def check(settings: LoadSettings) -> None:
    """Ask every served version once. Raises as `load` does."""
    async with settings.control() as control:
        for model, numbers in (await asyncio.to_thread(served, settings.model_repository)).items():
            for number in numbers:
                await control.ask(Version(model, number), deadline_s=settings.watch_deadline_s)


async def keep(settings: LoadSettings) -> None:
    """Load, and load again whenever a model does not answer, until cancelled. Raises only where the first load does."""
    await load(settings)
    while True:
        await asyncio.sleep(settings.watch_interval_s)
        try:
            await check(settings)
        except ModelBusyError:
            continue
        except _PROBLEMS as problem:
            print(f"loading again: {problem}", flush=True)
            try:
                await load(settings)
            except _PROBLEMS as error:
                print(error, flush=True)


def main() -> None:
    """Do what the argument says, and tell what went wrong in one line."""
    task = {"": load, "--check": check, "--keep": keep}.get(" ".join(sys.argv[1:]))
    if task is None:
        sys.exit("usage: python -m scripts.stack.load_models [--check | --keep]")
    try:
        asyncio.run(task(LoadSettings()))  # pyright: ignore[reportCallIssue]  # The key comes from the environment.
    except _PROBLEMS as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
