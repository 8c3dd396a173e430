"""Contract B, the detection site's API, as its clients know it. Its sign-in is in `sign_in`: contract D has the same.

Ids are whole numbers here. `model` may name what is not installed: then our default judges, and `model_used` says so.
"""

from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import Request, Router, get, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from bentos.contract import Modality, Reason, Verdict
from gateway.access.guard import Caller, require
from gateway.access.scopes import DETECT, HISTORY_READ
from gateway.compat.frames import Frames
from gateway.compat.refusals import DETECTING, READING
from gateway.compat.site_history import CAMERA, MODALITIES, HistoryEntry, SiteHistory
from gateway.compat.site_models import FRAMES, UPLOADS, SiteModel, choose_installed, list_site_models, title_of
from gateway.compat.steadying import steady
from gateway.compat.verdicts import is_fake
from gateway.detections.reception import Reception
from gateway.detections.schemas import DetectionView, confidence_percent
from gateway.detections.service import Outcome
from gateway.history.stats import Stats
from gateway.models.service import ModelCatalogue, Models
from gateway.reference.operations import KEYED, FrameOperation, ImageOperation, VideoOperation

_SITE: Final = "site"


class ModelsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The models that can be named."""

    success: bool = True
    models: tuple[SiteModel, ...]


class SiteVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict: `confidence` in percent, `model_used` the title of the model that judged.

    `verdict` is the three-way decision, and `detection_id` the id of the same detection on `/v1`.
    """

    success: bool = True
    is_fake: bool
    confidence: float
    model_used: str
    detection_id: UUID
    verdict: Verdict
    p_fake: float
    model: str
    model_version: str
    partial: bool
    reasons: tuple[Reason, ...]


class ImageVerdict(SiteVerdict, frozen=True, kw_only=True):
    """The verdict on an image."""

    image_id: int


class VideoVerdict(SiteVerdict, frozen=True, kw_only=True):
    """The verdict on a video."""

    video_id: int


class FrameVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the frame itself looks like, without those before it."""

    is_fake: bool
    confidence: float
    verdict: Verdict
    p_fake: float


class CameraVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on what the camera shows: `is_fake`, `confidence` and `p_fake` are steadied over `frames` frames."""

    success: bool = True
    is_fake: bool
    confidence: float
    model_used: str
    image_id: int
    detection_id: UUID
    p_fake: float
    frames: int
    frame: FrameVerdict


class HistoryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The newest detections; `count` is how many are in this answer, `next_cursor` asks for those after them."""

    success: bool = True
    history: tuple[HistoryEntry, ...]
    count: int
    next_cursor: str | None


class StatsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of what the history lists; `accuracy` in percent of the `rated_count` with feedback, 0 where none has."""

    success: bool = True
    total_detections: int
    fake_count: int
    real_count: int
    accuracy: float
    rated_count: int


@get("/detect/models", summary="List the models that can be named")
async def list_models(models: NamedDependency[Models]) -> ModelsAnswer:
    """List the installed models of images and videos. Public."""
    return ModelsAnswer(models=list_site_models(await models.catalogue()))


@post(
    "/detect/image",
    summary="Judge an image",
    status_code=200,
    operation_class=ImageOperation,
    security=KEYED,
    request_max_body_size=None,
    responses=DETECTING,
)
async def detect_image(
    request: Request[Any, Any, Any], reception: NamedDependency[Reception], models: NamedDependency[Models]
) -> ImageVerdict:
    """Judge the image in the field `image`, 10 MB at most, by the model in the field `model`."""
    catalogue = await models.catalogue()
    choice = choose_installed(catalogue, Modality.IMAGE, UPLOADS)
    outcome = await reception.receive(request, Modality.IMAGE, file_field="image", channel=_SITE, models=choice)
    number, fields = _verdict(outcome, catalogue)
    return ImageVerdict(image_id=number, **fields)


@post(
    "/detect/video",
    summary="Judge a video",
    status_code=200,
    operation_class=VideoOperation,
    security=KEYED,
    request_max_body_size=None,
    responses=DETECTING,
)
async def detect_video(
    request: Request[Any, Any, Any], reception: NamedDependency[Reception], models: NamedDependency[Models]
) -> VideoVerdict:
    """Judge the video in the field `video`, 100 MB at most, by the model in the field `model`."""
    catalogue = await models.catalogue()
    choice = choose_installed(catalogue, Modality.VIDEO, UPLOADS)
    outcome = await reception.receive(request, Modality.VIDEO, file_field="video", channel=_SITE, models=choice)
    number, fields = _verdict(outcome, catalogue)
    return VideoVerdict(video_id=number, **fields)


@post(
    "/detect/camera",
    summary="Judge a frame of a camera",
    status_code=200,
    operation_class=FrameOperation,
    guards=[require(DETECT[Modality.IMAGE])],
    security=KEYED,
    request_max_body_size=None,
    responses=DETECTING,
)
async def detect_camera(
    request: Request[Caller, Any, Any],
    frames: NamedDependency[Frames],
    reception: NamedDependency[Reception],
    models: NamedDependency[Models],
    site_history: NamedDependency[SiteHistory],
) -> CameraVerdict:
    """Judge a frame, 10 MB at most, and steady the verdict with the account's frames of the last ten seconds."""
    catalogue = await models.catalogue()
    choice = choose_installed(catalogue, Modality.IMAGE, FRAMES)
    async with frames.read(request) as frame:
        outcome = await reception.judge(
            request,
            frame.picture,
            modality=Modality.IMAGE,
            filename="camera",
            model=choice.default if frame.model is None else choice.read(frame.model),
            channel=CAMERA,
        )
    view, p_fake, number = _judged(outcome)
    model, version = view.model or "", view.version or 0
    before = await site_history.frames_before(request.user.account_id, view.id, model=model, version=version)
    now = view.created_at.timestamp()
    steadied = steady([(0.0, p_fake), *((now - at, score) for at, score in before)])
    return CameraVerdict(
        is_fake=is_fake(steadied),
        confidence=confidence_percent(steadied),
        model_used=title_of(catalogue, model),
        image_id=number,
        detection_id=view.id,
        p_fake=steadied,
        frames=1 + len(before),
        frame=FrameVerdict(
            is_fake=is_fake(p_fake),
            confidence=confidence_percent(p_fake),
            verdict=view.verdict or Verdict.UNCERTAIN,
            p_fake=p_fake,
        ),
    )


@get("/history", summary="List what was judged", guards=[require(HISTORY_READ)], security=KEYED, responses=READING)
async def list_history(
    request: Request[Caller, Any, Any],
    site_history: NamedDependency[SiteHistory],
    cursor: Annotated[str | None, QueryParameter(description="`next_cursor` of the answer before.")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=500, description="Most entries in the answer.")] = 100,
) -> HistoryAnswer:
    """List the account's images, videos and frames that have their verdict, newest first."""
    entries, following = await site_history.page(request.user.account_id, cursor=cursor, limit=limit)
    return HistoryAnswer(history=entries, count=len(entries), next_cursor=following)


@get("/stats", summary="Count what was judged", guards=[require(HISTORY_READ)], security=KEYED, responses=READING)
async def read_stats(request: Request[Caller, Any, Any], stats: NamedDependency[Stats]) -> StatsAnswer:
    """Count what `/api/history` lists; `fake_count` and `real_count` add up to the total."""
    summary = await stats.summary(request.user.account_id, MODALITIES)
    return StatsAnswer(
        total_detections=summary.total_detections,
        fake_count=summary.fake_count,
        real_count=summary.real_count,
        accuracy=summary.accuracy,
        rated_count=summary.rated_count,
    )


def _judged(outcome: Outcome) -> tuple[DetectionView, float, int]:
    """The view, the score and the number of a detection that has its verdict."""
    view = outcome.view
    if view is None or view.p_fake is None or outcome.number is None:
        raise ValueError("a detection without a verdict has nothing to say here")
    return view, view.p_fake, outcome.number


def _verdict(outcome: Outcome, catalogue: ModelCatalogue) -> tuple[int, dict[str, Any]]:
    """The number of a detection, and the fields of `SiteVerdict`."""
    view, p_fake, number = _judged(outcome)
    model = view.model or ""
    return number, {
        "is_fake": is_fake(p_fake),
        "confidence": confidence_percent(p_fake),
        "model_used": title_of(catalogue, model),
        "detection_id": view.id,
        "verdict": view.verdict,
        "p_fake": p_fake,
        "model": model,
        "model_version": f"{model} v{view.version}",
        "partial": view.partial,
        "reasons": view.reasons,
    }


site_routes = Router(
    "/api",
    route_handlers=[list_models, detect_image, detect_video, detect_camera, list_history, read_stats],
    tags=["Detection site"],
)
