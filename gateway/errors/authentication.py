"""Errors of who calls: it is not known."""

from gateway.errors.root import GatewayError


class AuthenticationError(GatewayError):
    """The caller is not known."""

    status = 401
    code = "unauthenticated"
    kind = "authentication_error"


class MissingKeyError(AuthenticationError):
    """An API key or an access token is needed, as `x-api-key` or as `Authorization: Bearer`."""

    code = "missing_api_key"


class InvalidKeyError(AuthenticationError):
    """The API key is not valid."""

    code = "invalid_api_key"


class InvalidTokenError(AuthenticationError):
    """The access token is not valid."""

    code = "invalid_token"


class WrongPasswordError(AuthenticationError):
    """The e-mail or the password is wrong."""

    code = "invalid_credentials"


class InvalidPasskeyError(AuthenticationError):
    """The passkey is not accepted."""

    code = "invalid_passkey"


class SignInRefusedError(AuthenticationError):
    """The provider did not confirm this sign-in."""

    code = "sign_in_refused"
