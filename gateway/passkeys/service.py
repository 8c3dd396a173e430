"""The passkeys of an account: list, add, rename, remove."""

import dataclasses
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from webauthn import generate_registration_options, verify_registration_response
from webauthn.helpers import options_to_json_dict
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)
from webauthn.registration.verify_registration_response import VerifiedRegistration

from gateway.accounts.ways_in import keep_a_way_in, lock_account
from gateway.audit.service import Act, Actor, record
from gateway.db.tables import Account, Passkey, table_of
from gateway.db.transactions import transaction
from gateway.errors import ConflictError, InvalidBodyError, NotFoundError
from gateway.passkeys.challenges import Challenge, issue, take
from gateway.passkeys.schemas import CreationOptions, NewCredential, PasskeyList, PasskeyView
from gateway.settings import GatewaySettings

MOST: Final = 20
PARTY_NAME: Final = "Bonafide"

_ACCOUNTS: Final[Any] = table_of(Account)
_PASSKEYS: Final[Any] = table_of(Passkey)
_LONGEST_KEY: Final = 2048
"""Bytes of a public key: a longer one would only cost time at every sign-in."""
_TRANSPORTS: Final = frozenset(one.value for one in AuthenticatorTransport)

_log = structlog.stdlib.get_logger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Party:
    """For whom authenticators sign: the domain of the passkeys, and the origins of the pages that may use them."""

    rp_id: str
    origins: list[str]


def party_of(settings: GatewaySettings) -> Party:
    """What the settings say."""
    return Party(settings.rp_id, settings.origins)


class Passkeys:
    """What can be done with the passkeys of an account that is signed in."""

    def __init__(self, engine: AsyncEngine, party: Party) -> None:
        self._engine = engine
        self._party = party

    async def list(self, account_id: UUID) -> PasskeyList:
        """All of them, the oldest first."""
        async with self._engine.connect() as connection:
            rows = (await connection.execute(_owned(account_id))).all()
        return PasskeyList(data=tuple(_view(row) for row in rows))

    async def begin(self, account_id: UUID) -> CreationOptions:
        """What an authenticator is asked for a new passkey; those that have one already are left out.

        Raises:
            ConflictError: The account has as many as it may.
        """
        async with self._engine.begin() as connection:
            rows = (await connection.execute(_owned(account_id))).all()
            _check_room(len(rows))
            names = select(_ACCOUNTS.c.email, _ACCOUNTS.c.username, _ACCOUNTS.c.number)
            account = (await connection.execute(names.where(_ACCOUNTS.c.id == account_id))).one()
            challenge = await issue(connection, "register", account_id)
        options = generate_registration_options(
            rp_id=self._party.rp_id,
            rp_name=PARTY_NAME,
            user_id=account_id.bytes,
            user_name=account.email or account.username or f"account {account.number}",
            challenge=challenge,
            exclude_credentials=[describe(row) for row in rows],
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
        )
        return msgspec.convert(options_to_json_dict(options), CreationOptions)

    async def finish(self, account_id: UUID, credential: NewCredential, name: str, *, actor: Actor) -> PasskeyView:
        """Keep the passkey that an authenticator made.

        Raises:
            InvalidBodyError: The answer is wrong, or is not one to a challenge of this account.
            ConflictError: The passkey is known already, or the account has as many as it may.
        """
        if not name.isprintable():
            raise InvalidBodyError("The name is not printable.")
        async with transaction(self._engine) as connection:
            challenge = await take(connection, credential.response.client_data)
        if challenge is None or challenge.purpose != "register" or challenge.account_id != account_id:
            raise InvalidBodyError("The challenge is not known; begin anew.", code="invalid_passkey")
        verified = self._verify(credential, challenge)
        values = {
            "account_id": account_id,
            "credential_id": verified.credential_id,
            "public_key": verified.credential_public_key,
            "sign_count": verified.sign_count,
            "transports": [one for one in credential.response.transports if one in _TRANSPORTS],
            "name": name,
        }
        async with transaction(self._engine) as connection:
            await lock_account(connection, account_id)
            count = select(func.count()).where(_PASSKEYS.c.account_id == account_id)
            _check_room(await connection.scalar(count) or 0)
            try:
                row = (await connection.execute(_PASSKEYS.insert().values(values).returning(*_COLUMNS))).one()
            except IntegrityError as error:
                raise ConflictError("This passkey is known already.", code="passkey_taken") from error
            await record(connection, Act(actor, "passkey.add", "passkey", str(row.id), after={"name": name}))
        return _view(row)

    async def rename(self, account_id: UUID, passkey_id: UUID, name: str, *, actor: Actor) -> PasskeyView:
        """Call it something else.

        Raises:
            NotFoundError: The account has no such passkey.
            InvalidBodyError: The name is not printable.
        """
        if not name.isprintable():
            raise InvalidBodyError("The name is not printable.")
        renamed = update(_PASSKEYS).where(_is(account_id, passkey_id)).values(name=name).returning(*_COLUMNS)
        async with self._engine.begin() as connection:
            row = (await connection.execute(renamed)).one_or_none()
            if row is None:
                raise NotFoundError
            await record(connection, Act(actor, "passkey.rename", "passkey", str(passkey_id), after={"name": name}))
        return _view(row)

    async def remove(self, account_id: UUID, passkey_id: UUID, *, actor: Actor) -> None:
        """Remove it: it cannot be used any more. Sessions that it opened go on.

        Raises:
            NotFoundError: The account has no such passkey.
            ConflictError: It is the last way in.
        """
        removed = _PASSKEYS.delete().where(_is(account_id, passkey_id)).returning(_PASSKEYS.c.name)
        async with self._engine.begin() as connection:
            await lock_account(connection, account_id)
            name: str | None = await connection.scalar(removed)
            if name is None:
                raise NotFoundError
            await keep_a_way_in(connection, account_id)
            await record(connection, Act(actor, "passkey.remove", "passkey", str(passkey_id), before={"name": name}))

    def _verify(self, credential: NewCredential, challenge: Challenge) -> VerifiedRegistration:
        try:
            verified = verify_registration_response(
                credential=msgspec.to_builtins(credential),
                expected_challenge=challenge.value,
                expected_rp_id=self._party.rp_id,
                expected_origin=self._party.origins,
                require_user_verification=True,
            )
        except Exception as error:
            # The library takes apart what a stranger sent; however it fails at that, this is no passkey.
            _log.info("passkey_refused", reason=f"{type(error).__name__}: {error}")
            raise InvalidBodyError("The passkey could not be verified.", code="invalid_passkey") from error
        if len(verified.credential_public_key) > _LONGEST_KEY:
            raise InvalidBodyError("The key of this passkey is too long.", code="invalid_passkey")
        return verified


_COLUMNS: Final = [_PASSKEYS.c[name] for name in ("id", "name", "transports", "created_at", "last_used_at")]


async def passkeys_of(connection: AsyncConnection, account_id: UUID) -> list[PublicKeyCredentialDescriptor]:
    """An account's passkeys as its authenticators know them."""
    return [describe(row) for row in (await connection.execute(_owned(account_id))).all()]


def describe(row: Any) -> PublicKeyCredentialDescriptor:
    """A stored passkey as an authenticator knows it."""
    return PublicKeyCredentialDescriptor(
        id=row.credential_id, transports=[AuthenticatorTransport(one) for one in row.transports]
    )


def _owned(account_id: UUID) -> Any:
    query = select(*_COLUMNS, _PASSKEYS.c.credential_id).where(_PASSKEYS.c.account_id == account_id)
    return query.order_by(_PASSKEYS.c.id).limit(MOST)


def _is(account_id: UUID, passkey_id: UUID) -> Any:
    return (_PASSKEYS.c.id == passkey_id) & (_PASSKEYS.c.account_id == account_id)


def _check_room(count: int) -> None:
    if count >= MOST:
        raise ConflictError(f"An account has at most {MOST} passkeys.", code="too_many_passkeys")


def _view(row: Any) -> PasskeyView:
    return PasskeyView(
        id=row.id,
        name=row.name,
        transports=tuple(row.transports),
        created_at=row.created_at,
        last_used_at=row.last_used_at,
    )
