"""Who calls: an API key, or the tokens of a session, which are renewed as they expire."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

_LEEWAY_S: Final = 20.0


@dataclass(frozen=True)
class Tokens:
    """The tokens of a session. `expires_at` is when the access token ends, in seconds since 1970 UTC."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    expires_at: float | None = None


class Credentials:
    """What calls are signed with at the moment; tokens, where there are some, go before a key.

    `on_tokens` is told of new tokens, and of None after logging out, so that a program can keep them.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        tokens: Tokens | None = None,
        on_tokens: Callable[[Tokens | None], None] | None = None,
    ) -> None:
        self._api_key = api_key
        self._tokens = tokens
        self._on_tokens = on_tokens

    @property
    def tokens(self) -> Tokens | None:
        """The tokens of the session that there is."""
        return self._tokens

    @property
    def bearer(self) -> str | None:
        """What goes into the header `Authorization: Bearer`."""
        tokens = self._tokens
        return tokens.access_token if tokens else self._api_key

    @property
    def refresh_token(self) -> str | None:
        """What new tokens can be had for; None with a key, or with an access token alone."""
        tokens = self._tokens
        return tokens.refresh_token if tokens else None

    @property
    def expired(self) -> bool:
        """Whether the access token has ended, or will have before a call arrives."""
        tokens = self._tokens
        return bool(tokens and tokens.expires_at is not None and tokens.expires_at - _LEEWAY_S < time.time())

    def adopt(self, tokens: Tokens | None) -> None:
        """Sign with these tokens from now on; with None as before there were any."""
        self._tokens = tokens
        if self._on_tokens is not None:
            self._on_tokens(tokens)
