"""`client.auth`: sign up, in and out. Signing in signs all later calls of the client with the session's tokens."""

import time

from bonafide_client.answers import Answer, reader_of
from bonafide_client.calls import Call, path_of
from bonafide_client.credentials import Tokens
from bonafide_client.schemas.accounts import TokenAnswer

_READ_TOKENS = reader_of(TokenAnswer)


def read_tokens(answer: Answer) -> Tokens:
    """The tokens that an answer hands out."""
    read = _READ_TOKENS(answer)
    expires_at = None if read.expires_in is None else time.time() + read.expires_in
    return Tokens(read.access_token, read.refresh_token, expires_at)


def refresh_call(refresh_token: str) -> Call[Tokens]:
    """Exchange a refresh token for new tokens.

    It may be repeated though the API takes a second use for a theft and closes the session: where the first answer was
    lost, the next token is lost with it, and the session is of no use any more.
    """
    return Call(
        method="POST",
        path=path_of("auth", "refresh"),
        read=read_tokens,
        json={"refresh_token": refresh_token},
        authenticated=False,
    )
