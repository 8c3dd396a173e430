"""`@idempotent`: a handler that answers a repeated call with its first answer.

It takes part only for known callers: a key is one account's own. Where nobody has signed in yet (registering, logging
in, asking for a mail) there is no account to keep an answer for, and an answer kept under a name that anybody may
choose would be there for anybody to fetch. Those calls are safe to repeat by what they do: an e-mail address is
registered once.
"""

import hashlib
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.serialization import encode_json

from gateway.access.guard import Caller
from gateway.idempotency.headers import note_replay, read_idempotency_key
from gateway.idempotency.sealing import Answer
from gateway.idempotency.service import Call, Idempotency

Handler = Callable[..., Awaitable[Any]]

_JSON: Final = "application/json"
IDEMPOTENT: Final = "__idempotent__"
"""The mark of a handler that takes part."""
_BODY: Final = "body_digest"


def idempotent(handler: Handler) -> Handler:
    """Let a handler take part; stands beneath `@post`, and the handler has a `request` whose user a guard has found.

    What the handler changes, it has to change within `db.transactions.transaction`.
    """

    @wraps(handler)
    async def once(*args: Any, **arguments: Any) -> Any:
        request: Request[Caller, Any, Any] = arguments["request"]
        key = read_idempotency_key(request)
        if key is None:
            return await handler(*args, **arguments)

        async def effect() -> Answer:
            return _answer(await handler(*args, **arguments), request)

        service: Idempotency = request.app.state["idempotency"]
        call = Call(account_id=request.user.account_id, key=key, fingerprint=await _fingerprint(request))
        answer, replayed = await service.once(call, effect)
        if replayed:
            note_replay(request.scope)
        return Response(answer.body, status_code=answer.status, headers=answer.headers, media_type=answer.media_type)

    setattr(once, IDEMPOTENT, True)
    return once


def note_body(request: Request[Any, Any, Any], digest: bytes) -> None:
    """Leave with a request the SHA-256 of its body, which a dependency has read before the handler is called."""
    request.scope["state"][_BODY] = digest


def _answer(outcome: Any, request: Request[Any, Any, Any]) -> Answer:
    """What a handler has returned, as it goes out."""
    if not isinstance(outcome, Response):
        status: int = request.route_handler.status_code  # pyright: ignore[reportAttributeAccessIssue] - HTTP handlers have it.
        return Answer(status=status, headers={}, body=_encode(outcome), media_type=_JSON)
    response: Response[Any] = outcome
    return Answer(
        status=response.status_code or 200,
        headers=dict(response.headers),
        body=_encode(response.content),
        media_type=str(response.media_type or _JSON),
    )


def _encode(content: Any) -> bytes:
    if content is None:
        return b""
    return content if isinstance(content, bytes) else encode_json(content)


async def _fingerprint(request: Request[Caller, Any, Any]) -> bytes:
    """SHA-256 of all that a call asks for: two calls with the same one want the same."""
    # The key that a call came with is part of it: what was answered to one key is not for another, lesser one.
    key_id = str(request.user.key_id)
    noted: bytes | None = request.scope["state"].get(_BODY)
    body = await request.body() if noted is None else noted
    parts = (request.method, request.scope["path"], request.scope["query_string"], key_id, body)
    return hashlib.sha256(msgspec.msgpack.encode(parts)).digest()
