"""Accounts, their sessions and tokens."""

from bonafide_client.schemas import Schema


class TokenAnswer(Schema, frozen=True):
    """What a sign-in hands out; `expires_in` are the seconds that the access token lives."""

    access_token: str
    refresh_token: str | None = None
    expires_in: float | None = None
