"""Contract A, the key-and-quota API, as its clients know it. `GET /` is served by `gateway.health`."""

from datetime import date
from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Request, Router, get, post
from litestar.di import NamedDependency
from litestar.params import Body

from bentos.contract import Modality, Reason, Verdict
from gateway.access.guard import Caller, require
from gateway.access.scopes import USAGE_READ
from gateway.accounts.passwords import LONGEST, SHORTEST
from gateway.accounts.service import Accounts
from gateway.audit.service import actor_of
from gateway.compat.refusals import DETECTING, READING, SIGNING_IN
from gateway.compat.verdicts import is_fake
from gateway.detections.reception import Reception
from gateway.detections.schemas import DetectionView
from gateway.limits.addresses import limit_by_address
from gateway.limits.usage import Usage
from gateway.reference.operations import KEYED, FixedFileOperation

_EMAIL_LENGTH: Final = 254
_KEEP: Final = "Keep this key; it is not shown again."
_VERIFY: Final = "It works once you have confirmed your e-mail address; a mail is on its way."


class NewCredentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `/signup`."""

    email: Annotated[str, msgspec.Meta(max_length=_EMAIL_LENGTH, extra_json_schema={"format": "email"})]
    password: Annotated[str, msgspec.Meta(min_length=SHORTEST, max_length=LONGEST)]


class Credentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `/login` and `/regenerate-key`."""

    email: Annotated[str, msgspec.Meta(max_length=_EMAIL_LENGTH)]
    password: Annotated[str, msgspec.Meta(max_length=LONGEST)]


class KeyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A key: in full when it is new, only its prefix and `...` after a login (null: the account has none)."""

    success: bool = True
    message: str
    email: str
    api_key: str | None


class UsageAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of `/usage`; `rate_limit` and `remaining` are null for an account without a daily limit."""

    success: bool = True
    requests_today: int
    remaining: int | None
    rate_limit: int | None
    total_requests: int
    last_request_date: date | None


class PredictionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of `/predict_…`; `confidence` in percent, the same as on `/v1`; `verdict` is the three-way decision."""

    success: bool = True
    prediction: Literal["REAL", "FAKE"]
    confidence: float
    verdict: Verdict
    p_fake: float
    id: str
    modality: Modality
    model: str
    version: int
    partial: bool
    reasons: tuple[Reason, ...]
    filename: str


@post("/signup", summary="Sign up", status_code=200, guards=[limit_by_address], responses=SIGNING_IN)
async def sign_up(
    request: Request[Any, Any, Any], data: Annotated[NewCredentials, Body()], accounts: NamedDependency[Accounts]
) -> KeyAnswer:
    """Make an account and answer its key, shown this once."""
    made = await accounts.register(email=data.email, password=data.password, actor=actor_of(request))
    message = f"{_KEEP} {_VERIFY}" if made.awaits_verification else _KEEP
    return KeyAnswer(message=message, email=data.email, api_key=made.key.secret)


@post("/login", summary="Log in", status_code=200, responses=SIGNING_IN)
async def log_in(
    request: Request[Any, Any, Any], data: Annotated[Credentials, Body()], accounts: NamedDependency[Accounts]
) -> KeyAnswer:
    """Check e-mail and password, and answer the prefix of the key, which cannot be recovered."""
    by = actor_of(request)
    member = await accounts.log_in(data.email, data.password, address=by.address, actor=by, method="key-and-quota")
    return KeyAnswer(
        message="Welcome back.",
        email=member.email or data.email,
        api_key=None if member.key_prefix is None else f"{member.key_prefix}...",
    )


@post("/regenerate-key", summary="Regenerate the key", status_code=200, responses=SIGNING_IN)
async def regenerate_key(
    request: Request[Any, Any, Any], data: Annotated[Credentials, Body()], accounts: NamedDependency[Accounts]
) -> KeyAnswer:
    """Make a new key, shown this once; the old one is dead at once."""
    by = actor_of(request)
    key = await accounts.regenerate_key(data.email, data.password, address=by.address, actor=by)
    return KeyAnswer(message=_KEEP, email=data.email, api_key=key.secret)


@get("/usage", summary="Read usage", guards=[require(USAGE_READ)], security=KEYED, responses=READING)
async def read_usage(request: Request[Caller, Any, Any], usage: NamedDependency[Usage]) -> UsageAnswer:
    """Read how many requests were counted today and ever."""
    caller = request.user
    so_far = await usage.so_far(caller.account_id)
    return UsageAnswer(
        requests_today=caller.allowance.used_today,
        remaining=caller.allowance.daily_remaining,
        rate_limit=caller.allowance.daily_limit,
        total_requests=so_far.total,
        last_request_date=so_far.last_day,
    )


@post(
    "/predict_image",
    summary="Judge an image",
    status_code=200,
    operation_class=FixedFileOperation,
    security=KEYED,
    request_max_body_size=None,
    responses=DETECTING,
)
async def predict_image(request: Request[Any, Any, Any], reception: NamedDependency[Reception]) -> PredictionAnswer:
    """Judge a JPG or PNG file."""
    return _prediction((await reception.receive(request, Modality.IMAGE)).view)


@post(
    "/predict_video",
    summary="Judge a video",
    status_code=200,
    operation_class=FixedFileOperation,
    security=KEYED,
    request_max_body_size=None,
    responses=DETECTING,
)
async def predict_video(request: Request[Any, Any, Any], reception: NamedDependency[Reception]) -> PredictionAnswer:
    """Judge an MP4, MOV or AVI file."""
    return _prediction((await reception.receive(request, Modality.VIDEO)).view)


@post(
    "/predict_audio",
    summary="Judge an audio file",
    status_code=200,
    operation_class=FixedFileOperation,
    security=KEYED,
    request_max_body_size=None,
    responses=DETECTING,
)
async def predict_audio(request: Request[Any, Any, Any], reception: NamedDependency[Reception]) -> PredictionAnswer:
    """Judge a WAV, MP3, FLAC, OGG or M4A file."""
    return _prediction((await reception.receive(request, Modality.AUDIO)).view)


def _prediction(view: DetectionView | None) -> PredictionAnswer:
    """The two-way answer to a detection that has its verdict."""
    if view is None or view.p_fake is None or view.confidence is None or view.verdict is None:
        raise ValueError("a detection without a verdict has no prediction")
    return PredictionAnswer(
        prediction="FAKE" if is_fake(view.p_fake) else "REAL",
        confidence=view.confidence,
        verdict=view.verdict,
        p_fake=view.p_fake,
        id=str(view.id),
        modality=view.modality,
        model=view.model or "",
        version=view.version or 0,
        partial=view.partial,
        reasons=view.reasons,
        filename=view.filename,
    )


keys_and_quota_routes = Router(
    "/",
    route_handlers=[sign_up, log_in, regenerate_key, read_usage, predict_image, predict_video, predict_audio],
    tags=["Keys and quota"],
)
