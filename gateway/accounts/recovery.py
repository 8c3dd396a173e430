"""What proves or replaces a password: verified e-mails, forgotten passwords, changed ones."""

from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.accounts.back_off import BackOff, clear_failures
from gateway.accounts.endings import cut_off
from gateway.accounts.letters import WRITE_LETTER, Letters
from gateway.accounts.names import is_email
from gateway.accounts.one_time import Purpose, is_good, redeem, void
from gateway.accounts.passwords import Passwords
from gateway.accounts.service import Accounts
from gateway.accounts.sessions import close_sessions, has_password, holds
from gateway.audit.service import Act, Actor, record
from gateway.db.tables import Account, table_of
from gateway.errors import InvalidBodyError, SpentTokenError, WrongPasswordError
from gateway.mail.service import MAIL_QUEUE
from gateway.queue.deferring import defer
from gateway.settings import GatewaySettings

_ACCOUNTS: Final[Any] = table_of(Account)


class Recovery:
    """Verifies e-mails and sets passwords."""

    def __init__(
        self, engine: AsyncEngine, passwords: Passwords, accounts: Accounts, letters: Letters, settings: GatewaySettings
    ) -> None:
        self._engine = engine
        self._passwords = passwords
        self._accounts = accounts
        self._letters = letters
        self._back_off = BackOff(settings)

    async def ask(self, email: str, purpose: Purpose, *, actor: Actor) -> None:
        """Have a mail with a token sent, if there is an account at this e-mail; the work here is the same if not.

        Raises:
            InvalidBodyError: This is no e-mail address.
            TooManyAttemptsError: Too many mails were asked for from this address.
        """
        if not is_email(email):
            raise InvalidBodyError("The e-mail address is not valid.")
        async with self._engine.begin() as connection:
            await self._back_off.count(connection, self._back_off.of_address("mail", actor.address))
            await defer(connection, WRITE_LETTER, {"email": email, "purpose": purpose}, queue=MAIL_QUEUE)

    async def verify_email(self, token: str, *, actor: Actor) -> None:
        """Take the e-mail as its owner's. Raises SpentTokenError."""
        async with self._engine.begin() as connection:
            proven = await redeem(connection, token, purpose="verify_email")
            by = replace(actor, account_id=proven.account_id, kind="user")
            await _mark_verified(connection, proven.account_id, by)

    async def reset_password(self, token: str, password: str, *, keep_access: bool = False, actor: Actor) -> None:
        """Set a new password by a mailed token, which proves the e-mail as well; every session closes.

        Whoever was kept waiting for failed sign-ins is not any more. Keys, passkeys and identities end, for somebody
        else may have made the account and kept a way in. With `keep_access` they stay, but not where the e-mail is
        proven for the first time.

        Raises:
            SpentTokenError: The token is not valid.
            OverloadedError: Too many passwords wait to be hashed.
        """
        async with self._engine.connect() as connection:
            if not await is_good(connection, token, purpose="reset_password"):
                raise SpentTokenError
        password_hash = await self._passwords.hash(password)
        async with self._engine.begin() as connection:
            proven = await redeem(connection, token, purpose="reset_password")
            by = replace(actor, account_id=proven.account_id, kind="user")
            if await _mark_verified(connection, proven.account_id, by) or not keep_access:
                await cut_off(connection, proven.account_id)
            await self._set_password(connection, proven.account_id, password_hash, email=proven.email, actor=by)
            await clear_failures(connection, [proven.email, proven.username])

    async def change_password(
        self, account_id: UUID, current: str, new: str, *, session_id: UUID | None, actor: Actor
    ) -> None:
        """Set a new password by the current one; every session but the one that asks closes.

        Raises:
            NoPasswordError: The account has none.
            WrongPasswordError: The current one is wrong.
            TooManyAttemptsError: It was wrong too often.
            OverloadedError: Too many passwords wait to be hashed.
        """
        confirmed = await self._accounts.confirm(account_id, current, actor=actor)
        password_hash = await self._passwords.hash(new)
        async with self._engine.begin() as connection:
            query = select(_ACCOUNTS.c.email).where(_ACCOUNTS.c.id == account_id)
            email: str | None = await connection.scalar(query.with_for_update(key_share=True))
            if not await holds(connection, account_id, has_password(confirmed)):
                raise WrongPasswordError("The password is wrong.", status=403)
            await self._set_password(
                connection, account_id, password_hash, email=email, actor=actor, but_session=session_id
            )

    async def _set_password(
        self,
        connection: AsyncConnection,
        account_id: UUID,
        password_hash: str,
        *,
        email: str | None,
        actor: Actor,
        but_session: UUID | None = None,
    ) -> None:
        by_id = _ACCOUNTS.c.id == account_id
        await connection.execute(update(_ACCOUNTS).where(by_id).values(password_hash=password_hash))
        await void(connection, account_id, purpose="reset_password")
        closed = await close_sessions(connection, account_id, but=but_session)
        act = Act(actor, "account.set_password", "account", str(account_id), after={"sessions_closed": closed})
        await record(connection, act)
        if email is not None:
            await self._letters.post_changed(connection, email)


async def _mark_verified(connection: AsyncConnection, account_id: UUID, actor: Actor) -> bool:
    """Note the first time that the e-mail was proven; whether this is it."""
    unverified = (_ACCOUNTS.c.id == account_id) & _ACCOUNTS.c.email_verified_at.is_(None)
    marked = await connection.execute(update(_ACCOUNTS).where(unverified).values(email_verified_at=func.now()))
    if marked.rowcount:
        await record(connection, Act(actor, "account.verify_email", "account", str(account_id)))
    return bool(marked.rowcount)
