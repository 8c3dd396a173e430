"""Where the running platform is, for commands on models: its Triton with the control key, its Bentos with their token.

What is said here is true of `bonafide up` on this machine; where the parts run elsewhere, the environment names them
as it does for the other programs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bentos.contract import Modality
from scripts.models.errors import ModelsError
from scripts.stack.control import ModelError, TritonControl, TritonUnreachableError
from scripts.stack.folder import DataFolder
from scripts.stack.settings import HOST, StackSettings

PREFIX: Final = "BONAFIDE_"
_LIVE_DEADLINE_S: Final = 3.0


class NotRunningError(ModelsError):
    """No Triton answers, so nothing can be loaded."""

    code = "not_running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Addresses and secrets. A Bento's address is that of its HTTP service, without a path."""

    triton_address: str
    control_key: str | None = field(repr=False)
    bentos: Mapping[Modality, str]
    token: str | None = field(repr=False)

    def control(self) -> TritonControl:
        """Return a connection with the right to load models. Raises `NotRunningError` where no key is known."""
        if self.control_key is None:
            raise NotRunningError(
                "No Triton was ever started in this data folder, and BONAFIDE_TRITON_CONTROL_KEY names no key of one "
                "elsewhere. Start the platform (make up), or add --offline to have the version loaded at the next "
                "start."
            )
        return TritonControl(self.triton_address, self.control_key)


def locate(settings: StackSettings, environment: Mapping[str, str]) -> Platform:
    """Return where the platform of these settings is, whether it runs or not; nothing is asked or made."""
    secrets = DataFolder(settings.home).secrets

    def secret(variable: str, name: str) -> str | None:
        file = secrets / name
        return environment.get(PREFIX + variable) or (file.read_text().strip() if file.is_file() else None)

    bentos = {
        modality: environment.get(f"{PREFIX}{modality.upper()}_BENTO_URL", "").rstrip("/")
        or f"http://{HOST}:{settings.ports[port][1]}"
        for modality in Modality
        if (port := f"{PREFIX}{modality.upper()}_PORT") in settings.ports
    }
    return Platform(
        triton_address=environment.get(PREFIX + "TRITON_ADDRESS") or settings.triton_address,
        control_key=secret("TRITON_CONTROL_KEY", "triton-control-key"),
        bentos=bentos,
        token=secret("BENTO_TOKEN", "bento-token"),
    )


async def require_triton(control: TritonControl) -> None:
    """Return where Triton answers. Raises `NotRunningError` where it does not."""
    try:
        await control.live(deadline_s=_LIVE_DEADLINE_S)
    except (ModelError, TritonUnreachableError) as error:
        raise NotRunningError(
            "No Triton answers, so nothing can be loaded. Start the platform (make up), or add --offline to have the "
            "version loaded at the next start."
        ) from error


async def is_running(platform: Platform) -> bool:
    """Tell whether a Triton answers."""
    if platform.control_key is None:
        return False
    async with platform.control() as control:
        try:
            await control.live(deadline_s=_LIVE_DEADLINE_S)
        except (ModelError, TritonUnreachableError):
            return False
    return True
