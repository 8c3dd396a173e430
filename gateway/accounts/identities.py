"""Identities: accounts as outside issuers know them, by issuer and subject.

An e-mail never leads to an account here. It becomes the new account's own only where the issuer has verified it and no
account has it yet; else it is kept with the identity alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.accounts.names import is_email
from gateway.accounts.service import NOBODY, create_account
from gateway.accounts.ways_in import keep_a_way_in, lock_account
from gateway.audit.service import Act, Actor, record
from gateway.db.tables import Account, Identity, table_of
from gateway.errors import ConflictError, EmailTakenError, NotFoundError

MOST: Final = 20

_ACCOUNTS: Final[Any] = table_of(Account)
_IDENTITIES: Final[Any] = table_of(Identity)
_SHOWN: Final = ("issuer", "subject", "email", "email_verified", "created_at", "last_used_at")

_TAKE_TURN: Final = text("SELECT pg_advisory_xact_lock(hashtextextended(:issuer || ' ' || :subject, 0))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Whom an issuer vouches for; `email` is only set where it is one, `email_verified` is what the issuer says."""

    issuer: str
    subject: str
    email: str | None
    email_verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An identity of an account; `email_verified` is what the issuer says of the e-mail."""

    issuer: str
    subject: str
    email: str | None
    email_verified: bool
    created_at: datetime
    last_used_at: datetime | None


def read_person(claims: Mapping[str, Any]) -> Person:
    """The person that checked claims tell of."""
    email = claims.get("email")
    if not isinstance(email, str) or not is_email(email):
        email = None
    # Some issuers write the truth as a text.
    said = claims.get("email_verified")
    return Person(
        issuer=claims["iss"], subject=claims["sub"], email=email, email_verified=said is True or said == "true"
    )


class Identities:
    """Finds, makes, links and unlinks identities."""

    def __init__(self, engine: AsyncEngine, plan: str) -> None:
        self._engine = engine
        self._plan = plan

    async def meet(self, person: Person, *, actor: Actor = NOBODY, refuse_taken_email: bool = False) -> UUID:
        """The account of a person, made on first sight; however many meet it at once, there is one.

        Raises:
            EmailTakenError: `refuse_taken_email` is set, and the person's verified e-mail is another account's.
        """
        async with self._engine.begin() as connection:
            account_id, known = await _find(connection, person)
            if account_id is not None:
                seen = update(_IDENTITIES).where(_is(person)).values(last_used_at=func.now(), **_told(person))
                await connection.execute(seen)
                return account_id
            account_id = await self._make(connection, person, actor, refuse_taken_email=refuse_taken_email)
            await _attach(connection, person, account_id, actor, known=known)
            return account_id

    async def link(self, person: Person, account_id: UUID, *, actor: Actor) -> None:
        """Let a person sign in to an account that exists already.

        Raises:
            ConflictError: It is another account's, or the account has too many.
        """
        async with self._engine.begin() as connection:
            await lock_account(connection, account_id)
            owner, known = await _find(connection, person)
            if owner == account_id:
                return
            if owner is not None:
                raise ConflictError("This identity belongs to another account.", code="identity_taken")
            count = select(func.count()).where(_IDENTITIES.c.account_id == account_id)
            if (await connection.scalar(count) or 0) >= MOST:
                raise ConflictError(f"An account has at most {MOST} identities.", code="too_many_identities")
            await _attach(connection, person, account_id, actor, known=known)

    async def of_account(self, account_id: UUID) -> list[Known]:
        """The identities of an account, the oldest first; at most `MOST`."""
        query = (
            select(*(_IDENTITIES.c[name] for name in _SHOWN))
            .where(_IDENTITIES.c.account_id == account_id)
            .order_by(_IDENTITIES.c.created_at, _IDENTITIES.c.issuer, _IDENTITIES.c.subject)
            .limit(MOST)
        )
        async with self._engine.connect() as connection:
            return [Known(**row) for row in (await connection.execute(query)).mappings()]

    async def unlink(self, account_id: UUID, issuer: str, subject: str, *, actor: Actor) -> None:
        """Take an identity away from an account.

        Raises:
            NotFoundError: It has none like this.
            ConflictError: It is the last way in.
        """
        mine = (_IDENTITIES.c.issuer == issuer) & (_IDENTITIES.c.subject == subject)
        mine &= _IDENTITIES.c.account_id == account_id
        async with self._engine.begin() as connection:
            await lock_account(connection, account_id)
            if not (await connection.execute(_IDENTITIES.delete().where(mine))).rowcount:
                raise NotFoundError
            await keep_a_way_in(connection, account_id)
            before = {"issuer": issuer, "subject": subject}
            await record(connection, Act(actor, "identity.unlink", "account", str(account_id), before=before))

    async def _make(
        self, connection: AsyncConnection, person: Person, actor: Actor, *, refuse_taken_email: bool
    ) -> UUID:
        values: dict[str, Any] = {"username": None, "password_hash": None, "plan": self._plan, "actor": actor}
        if person.email is not None and person.email_verified:
            try:
                made = await create_account(connection, email=person.email, email_verified=True, **values)
            except EmailTakenError as error:
                if refuse_taken_email:
                    raise EmailTakenError(
                        "An account with this e-mail exists already. Sign in to it and link this identity there.",
                        code="link_required",
                    ) from error
            else:
                return made.account_id
        return (await create_account(connection, email=None, **values)).account_id


async def _find(connection: AsyncConnection, person: Person) -> tuple[UUID | None, bool]:
    """The living account of a person, and whether there is a row of it; others wait for the transaction to end."""
    await connection.execute(_TAKE_TURN, {"issuer": person.issuer, "subject": person.subject})
    query = (
        select(_IDENTITIES.c.account_id, _ACCOUNTS.c.status)
        .join(_ACCOUNTS, _ACCOUNTS.c.id == _IDENTITIES.c.account_id)
        .where(_is(person))
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None, False
    return (None if row.status == "deleted" else row.account_id), True


async def _attach(connection: AsyncConnection, person: Person, account_id: UUID, actor: Actor, *, known: bool) -> None:
    """Write down whose identity it is; `known` says that it was that of an account now deleted."""
    email = {"email": person.email, "email_verified": person.email is not None and person.email_verified}
    values = {"account_id": account_id, **email, "last_used_at": func.now()}
    if known:
        await connection.execute(update(_IDENTITIES).where(_is(person)).values(created_at=func.now(), **values))
    else:
        await connection.execute(insert(_IDENTITIES).values(issuer=person.issuer, subject=person.subject, **values))
    after = {"issuer": person.issuer, "subject": person.subject}
    await record(connection, Act(actor, "identity.link", "account", str(account_id), after=after))


def _told(person: Person) -> dict[str, Any]:
    """The e-mail as the issuer tells it now; where it tells none, the one of before stays."""
    return {} if person.email is None else {"email": person.email, "email_verified": person.email_verified}


def _is(person: Person) -> Any:
    return (_IDENTITIES.c.issuer == person.issuer) & (_IDENTITIES.c.subject == person.subject)
