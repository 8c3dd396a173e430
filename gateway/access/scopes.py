"""What an API key may be allowed to do. A session may do whatever its account may."""

from typing import Final

from bentos.contract import Modality

EVERYTHING_ORDINARY: Final = "*"
"""Every scope but the guarded ones, also those that come later; the scope of an account's primary key."""
DETECT: Final = {modality: f"detect:{modality}" for modality in Modality}
HISTORY_READ: Final = "history:read"
HISTORY_WRITE: Final = "history:write"
MEDIA_READ: Final = "media:read"
"""See and download what is kept."""
MEDIA_WRITE: Final = "media:write"
"""Delete what is kept, and change how long it is."""
MODELS_READ: Final = "models:read"
USAGE_READ: Final = "usage:read"
WEBHOOKS: Final = "webhooks"
"""Say who is told of what has ended, and read what was told."""
ACCOUNT: Final = "account"
"""Read and change the account itself: profile, password, passkeys, sessions, export, deletion."""
KEYS: Final = "keys"
"""Make, list, rotate and revoke keys."""
ADMIN: Final = "admin"
"""The admin API; of use only to a super_admin."""

ORDINARY: Final = (
    *DETECT.values(),
    HISTORY_READ,
    HISTORY_WRITE,
    MEDIA_READ,
    MEDIA_WRITE,
    MODELS_READ,
    USAGE_READ,
    WEBHOOKS,
)
GUARDED: Final = (ACCOUNT, KEYS, ADMIN)
"""What a key has only where it was given by name."""
ALL: Final = frozenset((EVERYTHING_ORDINARY, *ORDINARY, *GUARDED))


def allows(scopes: frozenset[str] | None, scope: str) -> bool:
    """Whether scopes (None: those of a session) hold the one that is asked for."""
    return scopes is None or scope in scopes or (EVERYTHING_ORDINARY in scopes and scope not in GUARDED)
