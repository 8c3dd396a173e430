"""Errors of following jobs live."""

from gateway.errors.limits import LimitError
from gateway.errors.requests import RequestError


class TooManyStreamsError(LimitError):
    """This account has too many open streams; close one, or try again shortly."""

    code = "too_many_streams"


class UpgradeRequiredError(RequestError):
    """This path is for WebSockets; ask for the upgrade, or follow the job by its events."""

    status = 426
    code = "upgrade_required"
