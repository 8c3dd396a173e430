"""How models and versions are written on a command line: NAME, or NAME:VERSION."""

import re
from dataclasses import dataclass
from typing import Final, Self

from bentos.contract import FIGURES_PATH
from scripts.models.errors import RefusedError

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_TAKEN: Final = frozenset({FIGURES_PATH.rsplit("/", 1)[1]})
_VERSION: Final = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Target:
    """A model, and one of its versions where one was named."""

    model: str
    version: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read NAME or NAME:VERSION. Raises `RefusedError` where it is neither."""
        name, colon, version = text.partition(":")
        if colon and not _VERSION.fullmatch(version):
            raise RefusedError(f"{text!r} is not NAME:VERSION: a version is a whole number from 1 on, as in {name}:2.")
        return cls(check_name(name), int(version) if colon else None)

    def __str__(self) -> str:
        return self.model if self.version is None else f"{self.model}:{self.version}"


def check_name(name: str) -> str:
    """Return the name. Raises `RefusedError` where it cannot be that of a model."""
    if not _NAME.fullmatch(name):
        raise RefusedError(
            f"{name!r} cannot be the name of a model: use small letters, digits and _, a letter first, as in vit_faces."
        )
    if name in _TAKEN:
        raise RefusedError(f"{name!r} cannot be the name of a model: the Bentos answer something else at that address.")
    return name
