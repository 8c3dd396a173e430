"""`python -m scripts.stack.load_models`: load what the traffic table serves into a Triton that runs elsewhere.

`bonafide up` does the same for the Triton of its own; this is for containers, where Triton starts empty as well.
"""

import asyncio
import sys
import time
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from scripts.stack.control import ModelError, TritonControl, TritonUnreachableError, load_served
from scripts.stack.repository import RepositoryError, served


class LoadSettings(BaseSettings):
    """Where Triton is, the key of its restricted calls, and where the repository lies, from the environment."""

    model_config = SettingsConfigDict(env_prefix="BONAFIDE_", frozen=True, extra="ignore")

    triton_address: str = "127.0.0.1:8101"
    triton_control_key: SecretStr
    model_repository: Path = Path("model_repository")
    load_deadline_s: float = Field(default=120, gt=0, le=3600)


async def load(settings: LoadSettings) -> None:
    """Wait for Triton, load every served model, and ask every version.

    Raises:
        TritonUnreachableError: Triton did not answer in time.
        ModelError: A model could not be loaded or did not answer.
        RepositoryError: The traffic table or a card is missing or broken.
    """
    until = time.monotonic() + settings.load_deadline_s
    models = await asyncio.to_thread(served, settings.model_repository)
    async with TritonControl(settings.triton_address, settings.triton_control_key.get_secret_value()) as control:
        while True:
            try:
                await control.live(deadline_s=2)
                break
            except (ModelError, TritonUnreachableError):
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(0.5)
        async for model in load_served(control, models, deadline_s=until - time.monotonic()):
            print(f"{model} answers", flush=True)


def main() -> None:
    """Load, and say what went wrong in one line."""
    try:
        asyncio.run(load(LoadSettings()))  # pyright: ignore[reportCallIssue]  # The key comes from the environment.
    except (ModelError, TritonUnreachableError, RepositoryError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
