"""The data folder: where the platform keeps its state, and the secrets it makes for itself on first start."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SECRET_NAMES: Final = ("bento-token", "database-password", "reference-key", "token-key", "triton-control-key")
_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Paths under `$BONAFIDE_HOME`."""

    root: Path

    @property
    def postgres(self) -> Path:
        """The database cluster."""
        return self.root / "postgres"

    @property
    def logs(self) -> Path:
        """One log file a process."""
        return self.root / "logs"

    @property
    def secrets(self) -> Path:
        """One file a secret, readable by the owner alone."""
        return self.root / "secrets"

    @property
    def run(self) -> Path:
        """What is true only while the platform runs: locks, process numbers, state."""
        return self.root / "run"

    @property
    def spool(self) -> Path:
        """Large media on their way from the gateway to a Bento."""
        return self.root / "spool"

    @property
    def triton(self) -> Path:
        """The backend folder assembled for Triton."""
        return self.root / "triton"

    @property
    def mail(self) -> Path:
        """Mail that would have been sent, while no mail server is named."""
        return self.root / "mail"

    @property
    def bentoml(self) -> Path:
        """BentoML's own store, kept out of the user's home."""
        return self.root / "bentoml"

    @property
    def api_key(self) -> Path:
        """Key of the local account."""
        return self.root / "api-key"

    def create(self) -> None:
        """Make the folders. The root can be passed through, because Postgres may run as a user of its own."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o711)
        for folder in (self.logs, self.secrets, self.run, self.spool, self.triton, self.bentoml):
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)

    def secret(self, name: str) -> str:
        """Return a secret, made at random (256 bits, URL-safe text) when it is first asked for."""
        file = self.secrets / name
        if not file.exists():
            write_private(file, secrets.token_urlsafe(_SECRET_BYTES))
        return file.read_text().strip()


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:  # noqa: PTH123  # A mode.
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(file)
