"""Signing in with a passkey, with or without saying first who one is.

Whether a name is known does not show: one that is not gets a made-up passkey to look for, always the same, and a
challenge that nobody's answer is right for.
"""

import hashlib
import hmac
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog
from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from webauthn import generate_authentication_options, verify_authentication_response
from webauthn.authentication.verify_authentication_response import VerifiedAuthentication
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, options_to_json_dict
from webauthn.helpers.structs import (
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    UserVerificationRequirement,
)

from gateway.accounts.back_off import BackOff
from gateway.accounts.names import is_login
from gateway.audit.service import Act, Actor, record
from gateway.db.tables import Account, Passkey, table_of
from gateway.errors import InvalidPasskeyError
from gateway.passkeys.challenges import Challenge, issue, take
from gateway.passkeys.schemas import Assertion, RequestOptions
from gateway.passkeys.service import Party, passkeys_of
from gateway.settings import GatewaySettings

_ACCOUNTS: Final[Any] = table_of(Account)
_PASSKEYS: Final[Any] = table_of(Passkey)

_log = structlog.stdlib.get_logger(__name__)


class PasskeySignIn:
    """Asks authenticators, and finds the account whose passkey answered."""

    def __init__(self, engine: AsyncEngine, party: Party, settings: GatewaySettings) -> None:
        self._engine = engine
        self._party = party
        self._back_off = BackOff(settings)
        self._key = settings.token_key.get_secret_value().encode()

    async def begin(self, login: str | None) -> RequestOptions:
        """What an authenticator is asked: of the account of this name, or, without one, of whichever it offers."""
        async with self._engine.begin() as connection:
            if login is None:
                known: list[PublicKeyCredentialDescriptor] = []
                challenge = await issue(connection, "login", None)
            else:
                account_id, known = await self._known(connection, login)
                challenge = await issue(connection, "login" if known else "nobody", account_id)
                known = known or [self._made_up(login)]
        options = generate_authentication_options(
            rp_id=self._party.rp_id,
            challenge=challenge,
            allow_credentials=known,
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return msgspec.convert(options_to_json_dict(options), RequestOptions)

    async def finish(self, assertion: Assertion, *, actor: Actor) -> UUID:
        """The account whose passkey answered. Whether it may sign in is for its session to say.

        Raises:
            InvalidPasskeyError: The passkey is not known, or the answer is wrong or is not one to our challenge.
            TooManyAttemptsError: Too many answers from this address were wrong.
        """
        subjects = self._back_off.of_address("passkey", actor.address)
        async with self._engine.begin() as connection:
            await self._back_off.count(connection, subjects)
            challenge = await take(connection, assertion.response.client_data)
            query = select(_PASSKEYS).where(_PASSKEYS.c.credential_id == _bytes_of(assertion.raw_id))
            passkey: Any = (await connection.execute(query)).one_or_none()
        try:
            verified = self._verify(assertion, challenge, passkey)
            await self._use(passkey, verified.new_sign_count, actor)
        except InvalidPasskeyError:
            target = None if passkey is None else str(passkey.account_id)
            async with self._engine.begin() as connection:
                await record(connection, Act(actor, "session.refuse", "account", target, after={"method": "passkey"}))
            raise
        async with self._engine.begin() as connection:
            await self._back_off.take_back(connection, subjects)
        return passkey.account_id

    async def _known(
        self, connection: AsyncConnection, login: str
    ) -> tuple[UUID | None, list[PublicKeyCredentialDescriptor]]:
        if not is_login(login):
            return None, []
        name = _ACCOUNTS.c.email if "@" in login else _ACCOUNTS.c.username
        query = select(_ACCOUNTS.c.id).where(func.lower(name) == func.lower(login), _ACCOUNTS.c.status != "deleted")
        account_id: UUID | None = await connection.scalar(query)
        return account_id, [] if account_id is None else await passkeys_of(connection, account_id)

    def _made_up(self, login: str) -> PublicKeyCredentialDescriptor:
        """The passkey of a name that has none."""
        made = hmac.digest(self._key, b"passkey of nobody " + login.lower().encode(errors="replace"), hashlib.sha256)
        transports = [AuthenticatorTransport.HYBRID, AuthenticatorTransport.INTERNAL]
        return PublicKeyCredentialDescriptor(id=made, transports=transports)

    def _verify(self, assertion: Assertion, challenge: Challenge | None, passkey: Any) -> VerifiedAuthentication:
        if challenge is None or passkey is None or not _belongs(passkey, challenge, assertion):
            raise InvalidPasskeyError
        try:
            return verify_authentication_response(
                credential=msgspec.to_builtins(assertion),
                expected_challenge=challenge.value,
                expected_rp_id=self._party.rp_id,
                expected_origin=self._party.origins,
                credential_public_key=passkey.public_key,
                # The count is compared when the use is written down: after the signature, and safe among many at once.
                credential_current_sign_count=0,
                require_user_verification=True,
            )
        except Exception as error:
            # The library takes apart what a stranger sent; however it fails at that, this is no right answer.
            _log.info("passkey_refused", reason=f"{type(error).__name__}: {error}")
            raise InvalidPasskeyError from error

    async def _use(self, passkey: Any, sign_count: int, actor: Actor) -> None:
        """Write the use down, unless the count says that there are two of this authenticator.

        Authenticators that do not count say 0 always. Nobody can tell which of two is the owner's, so neither is let
        in that falls behind; the audit log has it.

        Raises:
            InvalidPasskeyError: This one falls behind.
        """
        ahead = or_(_PASSKEYS.c.sign_count < sign_count, (_PASSKEYS.c.sign_count == 0) & (sign_count == 0))
        used = update(_PASSKEYS).where(_PASSKEYS.c.id == passkey.id, ahead)
        async with self._engine.begin() as connection:
            counted = await connection.execute(used.values(sign_count=sign_count, last_used_at=func.now()))
            if not counted.rowcount:
                counts = {"sign_count": passkey.sign_count}, {"sign_count": sign_count}
                await record(connection, Act(actor, "passkey.suspect_clone", "passkey", str(passkey.id), *counts))
        if not counted.rowcount:
            raise InvalidPasskeyError


def _bytes_of(text: str) -> bytes:
    """What base64url stands for; nothing where it is none, which no passkey is called."""
    try:
        return base64url_to_bytes(text)
    except ValueError:
        return b""


def _belongs(passkey: Any, challenge: Challenge, assertion: Assertion) -> bool:
    """Whether this passkey was asked, and its authenticator means the same account as we do."""
    handle = assertion.response.user_handle
    same = not handle or handle == bytes_to_base64url(passkey.account_id.bytes)
    return same and challenge.purpose == "login" and challenge.account_id in {None, passkey.account_id}
