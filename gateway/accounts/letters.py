"""The mails that accounts get: what they say, and the task of the worker that writes those asked for by anybody.

A forgotten password is asked for by e-mail. Whether there is an account must not show, also not in the time that the
answer takes: the gateway puts the same job into the queue for every e-mail, and the worker looks it up.
"""

from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.accounts.one_time import Purpose, issue, was_issued_within
from gateway.db.tables import Account, table_of
from gateway.mail.service import MAIL_QUEUE, Mail, post
from gateway.queue.tasks import Task
from gateway.settings import GatewaySettings

WRITE_LETTER: Final = "write_letter"

_ACCOUNTS: Final[Any] = table_of(Account)
_NOT_MORE_OFTEN: Final = timedelta(minutes=1)

_VERIFY: Final = """Hello,

an account was made with this e-mail address. To confirm that it is yours, open

{url}/api/auth/verify-email?token={token}

or send the token to POST {url}/v1/auth/verify-email:

{token}

It is good once, for {hours}. If this was not you, there is nothing to do.
"""
_RESET: Final = """Hello,

a new password was asked for the account with this e-mail address. To set it, send this token with the new password to
POST {url}/v1/auth/password/reset:

{token}

It is good once, for {hours}. If this was not you, there is nothing to do; your password stays as it is.
"""
_LETTERS: Final[dict[Purpose, tuple[str, str]]] = {
    "verify_email": ("Confirm your e-mail address", _VERIFY),
    "reset_password": ("Set a new password", _RESET),
}
_CHANGED: Final = """Hello,

the password of your account was changed just now, and other sessions were closed. If this was not you, ask for a new
password at POST {url}/v1/auth/password/forgot.
"""


class Letters:
    """Writes mails to accounts and posts them."""

    def __init__(self, engine: AsyncEngine, settings: GatewaySettings) -> None:
        self._engine = engine
        self._url = settings.public_url.rstrip("/")
        self._lifetimes: dict[Purpose, timedelta] = {
            "verify_email": timedelta(seconds=settings.verification_token_s),
            "reset_password": timedelta(seconds=settings.reset_token_s),
        }

    async def post_token(self, connection: AsyncConnection, account_id: UUID, email: str, purpose: Purpose) -> None:
        """Make a token for an account and post the mail that carries it, in the caller's transaction."""
        lifetime = self._lifetimes[purpose]
        token = await issue(connection, account_id, email, purpose=purpose, lifetime=lifetime)
        subject, text = _LETTERS[purpose]
        filled = text.format(url=self._url, token=quote(token), hours=_hours(lifetime))
        await post(connection, Mail(to=email, subject=subject, text=filled))

    async def post_changed(self, connection: AsyncConnection, email: str) -> None:
        """Tell the owner that the password was changed, in the caller's transaction."""
        await post(connection, Mail(to=email, subject="Your password was changed", text=_CHANGED.format(url=self._url)))

    async def write(self, email: str, purpose: Purpose) -> None:
        """Post the mail that somebody asked for, where there is an active account that it is of use to.

        Within a minute of the last one there is no other: neither for a job that runs twice nor for whoever wants to
        fill the mailbox of somebody else.
        """
        named = (func.lower(_ACCOUNTS.c.email) == func.lower(email)) & (_ACCOUNTS.c.status == "active")
        if purpose == "verify_email":
            named &= _ACCOUNTS.c.email_verified_at.is_(None)
        async with self._engine.begin() as connection:
            query = select(_ACCOUNTS.c.id, _ACCOUNTS.c.email).where(named).with_for_update()
            account = (await connection.execute(query)).one_or_none()
            if account is None:
                return
            if await was_issued_within(connection, account.id, purpose=purpose, period=_NOT_MORE_OFTEN):
                return
            await self.post_token(connection, account.id, account.email, purpose)


def letter_task(letters: Letters) -> Task:
    """The task that writes what was asked for."""
    return Task(name=WRITE_LETTER, work=letters.write, queue=MAIL_QUEUE)


def _hours(lifetime: timedelta) -> str:
    hours = lifetime / timedelta(hours=1)
    return "1 hour" if hours == 1 else f"{hours:g} hours"
