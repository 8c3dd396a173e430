"""What can go wrong with a model, each in a sentence that says what to do.

ModelsError             exit status 1
├── UnknownVersionError     there is no such model or version
├── RefusedError            it was looked at and is not good enough; nothing was changed
├── InUseError              it gets traffic, so it cannot be taken away
└── BusyError               another command is changing the repository
"""

from typing import ClassVar


class ModelsError(Exception):
    """A command on models could not do what it was asked; the message says why and what to do."""

    code: ClassVar[str] = "failed"


class UnknownVersionError(ModelsError):
    """There is no model or version of that name."""

    code = "unknown_version"


class RefusedError(ModelsError):
    """What was offered is not good enough, or not safe; nothing was changed."""

    code = "refused"


class InUseError(ModelsError):
    """The version gets traffic or is needed by one that does."""

    code = "in_use"


class BusyError(ModelsError):
    """Another command is changing the repository."""

    code = "busy"
