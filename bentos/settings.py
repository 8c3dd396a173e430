"""What a Bento is told by its environment: addresses, secrets, limits. Secrets have no default that works."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from bentos.contract import LONG_MODALITIES, Modality

MEBIBYTE = 1024 * 1024


class BentoSettings(BaseSettings):
    """Settings of every Bento, from environment variables that begin with `BONAFIDE_`."""

    model_config = SettingsConfigDict(env_prefix="BONAFIDE_", frozen=True, extra="ignore", hide_input_in_errors=True)

    home: Path = Path(".bonafide")
    spool: Path | None = None
    triton_address: str = "127.0.0.1:8101"
    model_repository: str = "model_repository"
    bento_token: SecretStr = Field(min_length=32)
    reference_key: SecretStr = Field(min_length=32)

    image_max_bytes: int = Field(default=10 * MEBIBYTE, gt=0)
    video_max_bytes: int = Field(default=100 * MEBIBYTE, gt=0)
    audio_max_bytes: int = Field(default=50 * MEBIBYTE, gt=0)
    text_max_bytes: int = Field(default=MEBIBYTE, gt=0)
    image_max_pixels: int = Field(default=50_000_000, gt=0)
    video_max_seconds: float = Field(default=600, gt=0)
    audio_max_seconds: float = Field(default=1800, gt=0)
    # Ten minutes at a window a second; windows of a longer clip are spread over it, and the answer is partial.
    audio_max_windows: int = Field(default=600, ge=1, le=4000)
    # Those of a longer text are spread over it, and the answer is partial.
    text_max_passages: int = Field(default=200, ge=1, le=2000)

    # What a reference grants that the gateway minted for a job. Images and texts have the limits there that they have
    # elsewhere.
    job_max_bytes: int = Field(default=5 * 1024 * MEBIBYTE, gt=0)
    video_job_max_seconds: float = Field(default=4 * 3600, gt=0)
    audio_job_max_seconds: float = Field(default=4 * 3600, gt=0)
    # Two hours at a stretch every half minute; those of a longer video are spread over it.
    video_job_stretches: int = Field(default=240, ge=1, le=2000)
    job_deadline_s: float = Field(default=3600, gt=0, le=6 * 3600)

    image_deadline_s: float = Field(default=25, gt=0, le=60)
    video_deadline_s: float = Field(default=280, gt=0, le=600)
    audio_deadline_s: float = Field(default=280, gt=0, le=600)
    text_deadline_s: float = Field(default=60, gt=0, le=60)

    media_processes: int = Field(default=2, ge=1, le=64)
    media_memory_mb: int = Field(default=1024, ge=128)
    bento_max_calls: int = Field(default=128, ge=80)
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")

    @property
    def spool_folder(self) -> Path:
        """The folder of large media that the gateway refers to and large bodies wait in."""
        return self.spool or self.home / "spool"

    def max_bytes(self, modality: Modality, *, long: bool = False) -> int:
        """Return the largest medium of this kind, in bytes; `long`: in a job."""
        if long and modality in LONG_MODALITIES:
            return self.job_max_bytes
        return {
            Modality.IMAGE: self.image_max_bytes,
            Modality.VIDEO: self.video_max_bytes,
            Modality.AUDIO: self.audio_max_bytes,
            Modality.TEXT: self.text_max_bytes,
        }[modality]

    def deadline_s(self, modality: Modality, *, long: bool = False) -> float:
        """Return the longest that a call of this kind may take, in seconds; `long`: in a job."""
        if long and modality in LONG_MODALITIES:
            return self.job_deadline_s
        return {
            Modality.IMAGE: self.image_deadline_s,
            Modality.VIDEO: self.video_deadline_s,
            Modality.AUDIO: self.audio_deadline_s,
            Modality.TEXT: self.text_deadline_s,
        }[modality]


def load_settings() -> BentoSettings:
    """Read the environment. Raises `pydantic.ValidationError` where a secret is missing or a value is out of bounds."""
    return BentoSettings()  # pyright: ignore[reportCallIssue]  # The secrets come from the environment.
