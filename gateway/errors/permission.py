"""Errors of what the caller may do."""

from gateway.errors.root import GatewayError


class ForbiddenError(GatewayError):
    """This is not allowed to you."""

    status = 403
    code = "forbidden"
    kind = "permission_error"


class AccountSuspendedError(ForbiddenError):
    """This account is suspended."""

    code = "account_suspended"


class EmailUnverifiedError(ForbiddenError):
    """The e-mail address of this account has to be verified first."""

    code = "email_unverified"


class StaleSignInError(ForbiddenError):
    """For this the password is needed, or a session that has just begun."""

    code = "fresh_sign_in_needed"


class MissingScopeError(ForbiddenError):
    """This key lacks the scope for that."""

    code = "missing_scope"


class AddressNotAllowedError(ForbiddenError):
    """This key may not be used from this address."""

    code = "address_not_allowed"


class ModelNotAllowedError(ForbiddenError):
    """This key may not be used with this model."""

    code = "model_not_allowed"
