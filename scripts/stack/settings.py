"""What `bonafide up` is told by its environment or by `.env` in the checkout: addresses, folders and deadlines."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dotenv import dotenv_values
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

CHECKOUT: Final = Path(__file__).resolve().parents[2]
HOST: Final = "127.0.0.1"
"""Everything but the gateway listens here and nowhere else: Triton and the Bentos trust whoever reaches them."""


class StackSettings(BaseSettings):
    """Settings of the embedded platform, from environment variables that begin with `BONAFIDE_`."""

    model_config = SettingsConfigDict(env_prefix="BONAFIDE_", frozen=True, extra="ignore")

    home: Path = CHECKOUT / ".bonafide"
    model_repository: Path = CHECKOUT / "model_repository"
    triton_python: Path = CHECKOUT / ".venv-triton" / "bin" / "python"

    gateway_host: str = HOST
    gateway_port: int = Field(default=8000, ge=1, le=65535)
    image_port: int = Field(default=3001, ge=1, le=65535)
    video_port: int = Field(default=3002, ge=1, le=65535)
    audio_port: int = Field(default=3003, ge=1, le=65535)
    text_port: int = Field(default=3004, ge=1, le=65535)
    triton_http_port: int = Field(default=8100, ge=1, le=65535)
    triton_grpc_port: int = Field(default=8101, ge=1, le=65535)
    triton_metrics_port: int = Field(default=8102, ge=1, le=65535)

    start_deadline_s: float = Field(default=120, gt=0, le=3600)
    stop_deadline_s: float = Field(default=20, gt=0, le=600)
    watch_interval_s: float = Field(default=3, gt=0, le=300)
    watch_deadline_s: float = Field(default=10, gt=0, le=300)
    restart_limit: int = Field(default=5, ge=0, le=100)
    restart_window_s: float = Field(default=300, gt=0)
    log_max_bytes: int = Field(default=10 * 1024 * 1024, ge=64 * 1024)

    @property
    def ports(self) -> dict[str, tuple[str, int]]:
        """Every address that the platform listens on, by the environment variable that sets its port."""
        return {
            "BONAFIDE_GATEWAY_PORT": (self.gateway_host, self.gateway_port),
            "BONAFIDE_IMAGE_PORT": (HOST, self.image_port),
            "BONAFIDE_VIDEO_PORT": (HOST, self.video_port),
            "BONAFIDE_AUDIO_PORT": (HOST, self.audio_port),
            "BONAFIDE_TEXT_PORT": (HOST, self.text_port),
            "BONAFIDE_TRITON_HTTP_PORT": (HOST, self.triton_http_port),
            "BONAFIDE_TRITON_GRPC_PORT": (HOST, self.triton_grpc_port),
            "BONAFIDE_TRITON_METRICS_PORT": (HOST, self.triton_metrics_port),
        }

    @property
    def triton_address(self) -> str:
        """Host and port of Triton's gRPC service."""
        return f"{HOST}:{self.triton_grpc_port}"

    @property
    def gateway_url(self) -> str:
        """Address at which this machine reaches the gateway."""
        host = HOST if self.gateway_host == "0.0.0.0" else self.gateway_host  # noqa: S104  # Compared, not bound.
        return f"http://{host}:{self.gateway_port}"


def load_environment(checkout: Path = CHECKOUT) -> dict[str, str]:
    """Return this process's environment over what `.env` in the checkout says, for us and for what we start."""
    file = {key: value for key, value in dotenv_values(checkout / ".env").items() if value is not None}
    return {**file, **os.environ}


def load_settings(environment: Mapping[str, str]) -> StackSettings:
    """Read the settings and make every folder absolute. Raises `pydantic.ValidationError` where one is wrong."""
    prefix = "BONAFIDE_"
    given = {
        key[len(prefix) :].lower(): value
        for key, value in environment.items()
        if key.startswith(prefix) and key[len(prefix) :].lower() in StackSettings.model_fields
    }
    settings = StackSettings.model_validate(given)
    return settings.model_copy(
        update={
            # The interpreter is not resolved: a virtual environment is recognised by the path of its link.
            "triton_python": settings.triton_python.absolute(),
            "home": settings.home.resolve(),
            "model_repository": settings.model_repository.resolve(),
        }
    )
