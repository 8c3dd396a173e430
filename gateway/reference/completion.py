"""Completes the OpenAPI document with what holds for every route, so that no route has to say it again.

That is: who may be refused and how, in the error shape of its path; the idempotency key; the headers of answers;
an example for every body; the codes of errors; what the groups of routes are for, in the order of a reader's interest.
"""

from collections.abc import Collection
from copy import deepcopy
from http import HTTPStatus
from typing import Any, Final

import msgspec

from gateway.errors import (
    ConflictError,
    DatabaseUnavailableError,
    DeadlineExceededError,
    GatewayError,
    IdempotencyMismatchError,
    InvalidBodyError,
    MediaTooLargeError,
    MissingKeyError,
    MissingScopeError,
    NotFoundError,
    QuotaExceededError,
    StorageFullError,
    UnsupportedMediaError,
)
from gateway.reference.codes import every_code
from gateway.reference.examples import example_of
from gateway.rendering import PROBLEM_TYPE, compat_error, is_problem_path, problem

Document = dict[str, Any]

TAGS: Final = {
    "Detections": "Judge files, and read back, search, export, correct and rate what was judged.",
    "Storage": "Keep what was judged or not: allowance, retention, download, deletion with proof.",
    "Jobs": "Hand a medium over, follow how far it is, and fetch its verdict.",
    "Batches": "Hand many media over at once, and fetch what has become of them.",
    "Uploads": "Send large files to signed addresses, in one piece or in parts that can be resumed.",
    "Webhooks": "Be told when jobs and batches have ended: endpoints, signatures, and what came of each delivery.",
    "Models": "Which models judge, and how good they are.",
    "Usage": "What was used of the limits, and what is left.",
    "Statistics": "Detections counted over time.",
    "Keys": "API keys: make, restrict, rotate, revoke.",
    "Sign-in": "Register, log in, refresh, verify an e-mail, recover a password.",
    "Account": "One's own account: profile, password, passkeys, sessions, export, deletion.",
    "Admin": "For super_admins: users, plans, everybody's jobs and their queue, tasks, the audit log.",
    "Keys and quota": "The key-and-quota contract, for clients written for it.",
    "Detection site": "The detection site's contract, for clients written for it.",
    "Uploads and jobs": "The upload-and-job contract, for clients written for it.",
    "Collection and review": "The collection-and-review contract, for clients written for it.",
    "Sign-in of the older contracts": "The sign-in that the older contracts share.",
    "Health": "Whether the service is alive and fit to serve; public.",
}
_EXAMPLES: Final[dict[int, type[GatewayError]]] = {
    400: InvalidBodyError,
    401: MissingKeyError,
    403: MissingScopeError,
    404: NotFoundError,
    409: ConflictError,
    413: MediaTooLargeError,
    415: UnsupportedMediaError,
    422: IdempotencyMismatchError,
    429: QuotaExceededError,
    503: DatabaseUnavailableError,
    504: DeadlineExceededError,
    507: StorageFullError,
}
_MEANINGS: Final = {
    400: "A parameter, a header or the body is at fault.",
    401: "No valid API key or access token.",
    403: "The account is suspended, or the key may not do this.",
    404: "There is no such thing, or it is not yours.",
    413: "The body is too large.",
    503: "The service cannot answer right now; see Retry-After.",
}
_METHODS: Final = ("get", "put", "post", "delete", "patch")
_JSON: Final = "application/json"
_REQUEST_ID: Final = "3f0c9c1a5b7e4d2f8a6b1c0d9e8f7a6b"
_HEADERS: Final[Document] = {
    "X-Request-ID": {
        "description": "Names the request in the logs: the caller's own where it sent one, else a new one.",
        "schema": {"type": "string"},
    },
    "RateLimit": {
        "description": "What is left of each limit (draft-ietf-httpapi-ratelimit-headers).",
        "schema": {"type": "string"},
        "example": '"daily";r=99;t=43200',
    },
    "Retry-After": {"description": "Seconds after which to try again.", "schema": {"type": "integer"}},
    "Idempotency-Replayed": {
        "description": "`true` where the answer was given before, to the first call under this idempotency key.",
        "schema": {"type": "string", "const": "true"},
    },
}
_IDEMPOTENCY_KEY: Final[Document] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": (
        "Your own name for this call, such as a UUID. The same call again under it, within 24 hours, is answered "
        "with the first answer and neither done nor charged again."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


def complete(document: Document, idempotent: Collection[tuple[str, str]]) -> Document:
    """The document with everything that its routes have in common.

    Args:
        document: The OpenAPI document as the routes make it.
        idempotent: The (method, path) that take part in idempotency.
    """
    done = deepcopy(document)
    components = done["components"]
    schemas: dict[str, Document] = components["schemas"]
    components["headers"] = _HEADERS
    components["parameters"] = {"IdempotencyKey": _IDEMPOTENCY_KEY}
    _tell_codes(schemas)
    for path, operations in done["paths"].items():
        for method in _METHODS:
            if method in operations:
                _complete_operation(operations[method], path, schemas, idempotent=(method, path) in idempotent)
    used = {tag for operations in done["paths"].values() for one in operations.values() for tag in _tags(one)}
    done["tags"] = [{"name": tag, "description": text} for tag, text in TAGS.items() if tag in used]
    return done


def _tags(operation: Any) -> list[str]:
    return operation.get("tags", []) if isinstance(operation, dict) else []


def _tell_codes(schemas: dict[str, Document]) -> None:
    """Describe the codes of errors, and drop the examples that are made up at random for declared answers."""
    told = "Stable, for programs; more may be added. " + ", ".join(f"`{code}`" for code in every_code())
    for name in ("Problem", "InvalidField", "CompatError", "CompatErrorDetail", "Readiness"):
        schema = schemas.get(name, {})
        schema.pop("examples", None)
        for field, value in schema.get("properties", {}).items():
            value.pop("examples", None)
            if field == "code":
                value["description"] = told


def _complete_operation(operation: Document, path: str, schemas: dict[str, Document], *, idempotent: bool) -> None:
    responses: Document = operation["responses"]
    for status in _refused_with(operation, path):
        if str(status) not in responses or _is_frameworks(responses[str(status)]):
            responses[str(status)] = {"description": _MEANINGS[status]}
    if idempotent:
        _take_keys(operation)
    for status, response in responses.items():
        _complete_response(int(status), response, path, schemas, keyed=bool(operation.get("security")))
    sent: Document = operation.get("requestBody", {}).get("content", {}).get(_JSON, {})
    if sent:
        _close(sent["schema"], schemas)
        sent.setdefault("example", example_of(sent["schema"], schemas, whole=False))
    operation["responses"] = dict(sorted(responses.items()))


def _close(schema: Document, schemas: dict[str, Document]) -> None:
    """Say that a body has no fields but its own: the others are refused."""
    for one in (schema, *schema.get("oneOf", ()), *schema.get("allOf", ())):
        if "$ref" in one:
            schemas[one["$ref"].rpartition("/")[2]]["additionalProperties"] = False


def _refused_with(operation: Document, path: str) -> set[int]:
    """With which statuses a route may refuse for reasons that are not its own."""
    if path.startswith("/health") or path == "/":
        return set()
    statuses = {400, 503}
    if operation.get("security"):
        statuses |= {401, 403}
    if "{" in path:
        statuses.add(404)
    if operation.get("requestBody"):
        statuses.add(413)
    return statuses


def _take_keys(operation: Document) -> None:
    """Tell of the idempotency key, and of how a call under one may be refused."""
    operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/IdempotencyKey"})
    responses: Document = operation["responses"]
    conflict = responses.setdefault("409", {"description": ""})
    told = [conflict["description"], "A call under this idempotency key is in progress; see Retry-After."]
    conflict["description"] = " ".join(filter(None, told))
    responses["422"] = {"description": "The idempotency key was used for another call."}
    for status, response in responses.items():
        if int(status) < HTTPStatus.BAD_REQUEST:
            response.setdefault("headers", {})["Idempotency-Replayed"] = {
                "$ref": "#/components/headers/Idempotency-Replayed"
            }


def _is_frameworks(response: Document) -> bool:
    """Whether a refusal is described in the framework's own shape, which is never answered here."""
    return any(
        {"status_code", "extra"} <= content.get("schema", {}).get("properties", {}).keys()
        for content in response.get("content", {}).values()
    )


def _complete_response(
    status: int, response: Document, path: str, schemas: dict[str, Document], *, keyed: bool
) -> None:
    headers: Document = response.setdefault("headers", {})
    names = ["X-Request-ID"]
    if keyed:
        names.append("RateLimit")
    if status in {429, 503}:
        names.append("Retry-After")
    headers.update({name: {"$ref": f"#/components/headers/{name}"} for name in names})
    if status >= HTTPStatus.BAD_REQUEST and not _is_readiness(response):
        response["content"] = _refusal(status, path)
        return
    for content in response.get("content", {}).values():
        content.get("schema", {}).pop("examples", None)  # Made up at random by the framework.
    answered: Document = response.get("content", {}).get(_JSON, {})
    if answered.get("schema"):
        answered.setdefault("example", example_of(answered["schema"], schemas))


def _is_readiness(response: Document) -> bool:
    """Whether this is how `/health/ready` says no, which is an answer and no refusal."""
    return any(
        content.get("schema", {}).get("$ref", "").endswith("/Readiness")
        for content in response.get("content", {}).values()
    )


def _refusal(status: int, path: str) -> Document:
    """How a refusal looks on this path, with an example."""
    error: GatewayError = _EXAMPLES.get(status, GatewayError)()
    name, media_type = ("Problem", PROBLEM_TYPE) if is_problem_path(path) else ("CompatError", _JSON)
    told = problem(error, (), path, _REQUEST_ID) if name == "Problem" else compat_error(error, (), _REQUEST_ID)
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{name}"}, "example": msgspec.to_builtins(told)}}
