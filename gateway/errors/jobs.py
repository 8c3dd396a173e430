"""Errors of work that was handed over."""

from gateway.errors.requests import RequestError


class MediumGoneError(RequestError):
    """The medium is not there any more."""

    status = 410
    code = "medium_gone"


class UrlsNotAllowedError(RequestError):
    """This platform does not fetch media from addresses; upload the file."""

    status = 403
    code = "urls_not_allowed"


class UrlNotAllowedError(RequestError):
    """This address is not called from here."""

    code = "url_not_allowed"


class UrlRefusedError(RequestError):
    """The address answered with something else than a file."""

    status = 422
    code = "url_refused"
