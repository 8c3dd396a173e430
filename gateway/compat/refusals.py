"""How the routes of the older contracts refuse, for the OpenAPI document: every status with the one body they share."""

from typing import Final

from litestar.openapi.datastructures import ResponseSpec

from gateway.rendering import CompatError

_MEANINGS: Final = {
    400: "The body or the file is at fault.",
    401: "The key, the token or the password is missing or wrong.",
    403: "The caller may not do this.",
    404: "There is no such thing.",
    413: "The file is too large.",
    429: "A limit is used up, or too many attempts to sign in failed; see Retry-After.",
    503: "The detector or the database does not answer; nothing was charged; see Retry-After.",
    504: "Judging took too long; nothing was charged.",
    507: "There is no room for the file in the account's storage.",
}


def refusals(*statuses: int) -> dict[int, ResponseSpec]:
    """The refusals of a route by status."""
    return {status: ResponseSpec(data_container=CompatError, description=_MEANINGS[status]) for status in statuses}


SIGNING_IN: Final = refusals(400, 401, 403, 429, 503)
READING: Final = refusals(400, 401, 403, 503)
DETECTING: Final = refusals(400, 401, 403, 413, 429, 503, 504)
