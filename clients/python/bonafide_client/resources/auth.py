"""`client.auth`: sign up, in and out. Signing in signs all later calls of the client with the session's tokens."""

import time

from bonafide_client.answers import Answer, read_nothing, reader_of
from bonafide_client.calls import Call, path_of
from bonafide_client.credentials import Tokens
from bonafide_client.errors import BonafideError
from bonafide_client.operations import D, Operation, Resource
from bonafide_client.schemas.accounts import Account, Provider, ProviderList, SignInAnswer, TokenAnswer

_READ_ACCOUNT = reader_of(Account)
_READ_SIGN_IN = reader_of(SignInAnswer)
_READ_PROVIDERS = reader_of(ProviderList)
_READ_TOKENS = reader_of(TokenAnswer)


class Auth(Resource[D]):
    """Ways in and out."""

    @Operation
    def register(self, email: str, password: str, *, username: str | None = None) -> Call[Account]:
        """Make an account, and have a token mailed that verifies its e-mail. This does not sign in."""
        body = {"email": email, "password": password} | ({"username": username} if username else {})
        path = path_of("auth", "register")
        return Call(method="POST", path=path, read=_READ_ACCOUNT, json=body, repeatable=False, authenticated=False)

    @Operation
    def login(self, login: str, password: str) -> Call[Account]:
        """Open a session by e-mail or username and password, and call with its tokens from now on."""
        body = {"login": login, "password": password}
        return Call(method="POST", path=path_of("auth", "login"), read=self._enter, json=body, authenticated=False)

    @Operation
    def providers(self) -> Call[tuple[Provider, ...]]:
        """List the outside providers that one can sign in at, with a browser."""
        read = _READ_PROVIDERS
        return Call(
            method="GET", path=path_of("auth", "oidc"), read=lambda answer: read(answer).data, authenticated=False
        )

    @Operation
    def exchange(self, code: str, verifier: str) -> Call[Account]:
        """Open a session by the code that came back from a provider and the secret of its challenge."""
        body = {"code": code, "verifier": verifier}
        path = path_of("auth", "oidc", "exchange")
        return Call(method="POST", path=path, read=self._enter, json=body, repeatable=False, authenticated=False)

    @Operation
    def refresh(self) -> Call[Tokens]:
        """Get new tokens now; calls do it by themselves as the access token expires.

        Raises BonafideError where the client has no refresh token.
        """
        if self.driver.context.credentials.refresh_token is None:
            raise BonafideError("There is no refresh token; log in first.")
        return Call(method="POST", path=path_of("auth", "refresh"), read=self._current, renews=True)

    @Operation
    def logout(self) -> Call[None]:
        """Close the session of this client, and forget its tokens."""
        return Call(method="POST", path=path_of("auth", "logout"), read=self._leave, repeatable=False)

    @Operation
    def logout_everywhere(self) -> Call[None]:
        """Close all sessions of the account, and forget the tokens. Keys stay as they are."""
        return Call(method="POST", path=path_of("auth", "logout-everywhere"), read=self._leave, repeatable=False)

    @Operation
    def verify_email(self, token: str) -> Call[None]:
        """Prove by the token of a verification mail that the e-mail is one's own."""
        return _mailed("verify-email", {"token": token}, repeatable=False)

    @Operation
    def resend_verification(self, email: str) -> Call[None]:
        """Have a new token mailed to verify this e-mail, where an account needs it."""
        return _mailed("verify-email/resend", {"email": email})

    @Operation
    def forgot_password(self, email: str) -> Call[None]:
        """Have a token mailed that sets a new password, where there is an account."""
        return _mailed("password/forgot", {"email": email})

    @Operation
    def reset_password(self, token: str, password: str) -> Call[None]:
        """Set a new password by a mailed token. All sessions close, and keys and passkeys end."""
        return _mailed("password/reset", {"token": token, "password": password}, repeatable=False)

    def _enter(self, answer: Answer) -> Account:
        read = _READ_SIGN_IN(answer)
        self.driver.context.credentials.adopt(_tokens(read))
        return read.account

    def _leave(self, answer: Answer) -> None:
        read_nothing(answer)
        self.driver.context.credentials.adopt(None)

    def _current(self, answer: Answer) -> Tokens:
        read_nothing(answer)
        tokens = self.driver.context.credentials.tokens
        if tokens is None:
            raise BonafideError("The session was left meanwhile.")
        return tokens


def refresh_call(refresh_token: str) -> Call[Tokens]:
    """Exchange a refresh token for new tokens.

    It may be repeated though the API takes a second use for a theft and closes the session: where the first answer was
    lost, the next token is lost with it, and the session is of no use any more.
    """
    return Call(
        method="POST",
        path=path_of("auth", "refresh"),
        read=lambda answer: _tokens(_READ_TOKENS(answer)),
        json={"refresh_token": refresh_token},
        authenticated=False,
    )


def _tokens(answer: TokenAnswer) -> Tokens:
    return Tokens(answer.access_token, answer.refresh_token, time.time() + answer.expires_in)


def _mailed(what: str, body: dict[str, str], *, repeatable: bool = True) -> Call[None]:
    path = path_of("auth", *what.split("/"))
    return Call(method="POST", path=path, read=read_nothing, json=body, repeatable=repeatable, authenticated=False)
