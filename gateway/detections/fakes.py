"""A Bento without a model: the same wire as the real ones, the same checks of token and reference, made-up scores.

For tests and for measuring the gateway alone; `python -m gateway.detections.fakes image 3001` serves it.
"""

import asyncio
import sys
from dataclasses import dataclass, field
from typing import Final

import msgspec
from aiohttp import web

from bentos.contract import (
    DETECT_PATH,
    HEADER_CALLER,
    HEADER_MODEL,
    HEADER_PROGRESS,
    HEADER_REFERENCE,
    HEADER_THUMBNAIL,
    LINES,
    MODELS_PATH,
    READY_PATH,
    AudioEvidence,
    Detection,
    ErrorBody,
    Evidence,
    FailureLine,
    ImageEvidence,
    Modality,
    ModelDetails,
    ModelInfo,
    ModelList,
    Progress,
    ProgressLine,
    Reason,
    TextEvidence,
    Thresholds,
    Timings,
    Traffic,
    Verdict,
    VerdictLine,
    VersionDetails,
    VersionInfo,
    VideoEvidence,
    read_reference,
)
from gateway.settings import GatewaySettings

_DIGEST: Final = "sha256:" + "0" * 64
_THRESHOLDS: Final = Thresholds(low=0.35, high=0.65)
_LARGEST_BODY: Final = 1024**3
THUMBNAIL: Final = b"\xff\xd8\xff\xe0 looks like a JPEG from afar \xff\xd9"


@dataclass(slots=True)
class Script:
    """What the fake does next: the score it gives, how long it takes, or how it refuses.

    `models` are the titles of the models that it lists, by their names, the default first; it answers as any model.
    It refuses with `refusal` each `refuse_every`-th call, which is all of them by default. A caller that wants to know
    how far it is is told `progress`, line by line with a pause of `pause_s` after each, and then the rest; where the
    fake `breaks`, it hangs up instead.
    """

    p_fake: float = 0.12
    delay_s: float = 0.0
    refusal: tuple[int, ErrorBody] | None = None
    refuse_every: int = 1
    progress: tuple[Progress, ...] = ()
    pause_s: float = 0.0
    breaks: bool = False
    ready: bool = True
    models: dict[str, str] = field(default_factory=dict[str, str])
    calls: list[int] = field(default_factory=list[int])
    """Sizes of the media that were judged, in bytes."""
    callers: list[str | None] = field(default_factory=list[str | None])
    """For whom they were judged."""
    hung_up: int = 0
    """Callers that hung up while they were told how far it is."""


class FakeBento:
    """One fake; `script` may be changed while it serves."""

    def __init__(self, modality: Modality, settings: GatewaySettings) -> None:
        self.script = Script(models={f"{modality}_fake": "Fake"})
        self._modality = modality
        self._token = settings.bento_token.get_secret_value()
        self._reference_key = settings.reference_key.get_secret_value()
        self._spool = settings.spool

    def app(self) -> web.Application:
        """The routes of a Bento."""
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.router.add_post(DETECT_PATH, self._detect)
        app.router.add_get(MODELS_PATH, self._models)
        app.router.add_get(f"{MODELS_PATH}/{{name}}", self._model)
        app.router.add_get(READY_PATH, self._ready)
        return app

    async def _detect(self, request: web.Request) -> web.StreamResponse:
        script = self.script
        if request.headers.get("authorization") != f"Bearer {self._token}":
            return _answer(ErrorBody(code="unauthorized", message="The bearer token is missing or wrong."), 401)
        size = len(await request.read())
        token = request.headers.get(HEADER_REFERENCE)
        if token is not None:
            reference = read_reference(token, key=self._reference_key)
            size = (self._spool / reference.name).stat().st_size
        script.calls.append(size)
        script.callers.append(request.headers.get(HEADER_CALLER))
        if script.delay_s:
            await asyncio.sleep(script.delay_s)
        refusal = script.refusal if len(script.calls) % script.refuse_every == 0 else None
        model = request.headers.get(HEADER_MODEL, next(iter(script.models)))
        detection = msgspec.json.encode(_made_up(self._modality, script.p_fake, model))
        pictured = self._modality is Modality.VIDEO and HEADER_THUMBNAIL in request.headers
        if script.progress and HEADER_PROGRESS in request.headers:
            last = VerdictLine(detection=msgspec.Raw(detection), thumbnail=THUMBNAIL if pictured else None)
            return await self._tell(request, last if refusal is None else _failure(*refusal))
        if refusal is not None:
            status, body = refusal
            return _answer(body, status)
        if not pictured:
            return web.Response(body=detection, content_type="application/json")
        return web.Response(body=detection + THUMBNAIL, headers={HEADER_THUMBNAIL: str(len(THUMBNAIL))})

    async def _tell(self, request: web.Request, last: VerdictLine | FailureLine) -> web.StreamResponse:
        script = self.script
        response = web.StreamResponse(headers={"content-type": LINES})
        try:
            await response.prepare(request)
            for progress in script.progress:
                await response.write(msgspec.json.encode(ProgressLine(progress=progress)) + b"\n")
                await asyncio.sleep(script.pause_s)
            if script.breaks and request.transport is not None:
                request.transport.abort()
                return response
            await response.write(msgspec.json.encode(last) + b"\n")
        except (ConnectionError, asyncio.CancelledError):
            script.hung_up += 1
            raise
        return response

    async def _models(self, _: web.Request) -> web.Response:
        stable = VersionInfo(version=1, digest=_DIGEST, thresholds=_THRESHOLDS, metrics={"auc": 0.5}, demo=True)
        models = tuple(
            ModelInfo(
                name=name,
                title=title,
                description="Gives made-up scores.",
                modality=self._modality,
                default=place == 0,
                stable=stable,
            )
            for place, (name, title) in enumerate(self.script.models.items())
        )
        return _answer(ModelList(models=models))

    async def _model(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self.script.models:
            return _answer(ErrorBody(code="unknown_model", message="No model of that name is served here."), 404)
        return _answer(_told(self._modality, name, self.script.models))

    async def _ready(self, _: web.Request) -> web.Response:
        return web.Response(status=200 if self.script.ready else 503)


def _answer(body: msgspec.Struct, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


def _failure(status: int, body: ErrorBody) -> FailureLine:
    return FailureLine(status=status, error=body, retry_after_s=None)


def _told(modality: Modality, name: str, models: dict[str, str]) -> ModelDetails:
    version = VersionDetails(
        version=1,
        roles=("stable",),
        digest=_DIGEST,
        demo=True,
        precision="fp32",
        thresholds=_THRESHOLDS,
        metrics={"auc": 0.5},
        calibration=None,
        parity=None,
        encoder=None,
        derived_from=None,
        label_order=(),
        source="made up",
        licence="Apache-2.0",
        intended_use="To test the gateway.",
        limits="It looks at nothing.",
        created="2026-11-21",
    )
    return ModelDetails(
        name=name,
        title=models[name],
        description="Gives made-up scores.",
        modality=modality,
        default=name == next(iter(models)),
        versions=(version,),
        broken=(),
        traffic=Traffic(stable=1, canary=None, shadow=None, previous=None),
        ensemble=None,
        started=0.0,
        figures=(),
    )


def _made_up(modality: Modality, p_fake: float, model: str) -> Detection:
    if p_fake >= _THRESHOLDS.high:
        verdict = Verdict.FAKE
    else:
        verdict = Verdict.REAL if p_fake < _THRESHOLDS.low else Verdict.UNCERTAIN
    return Detection(
        modality=modality,
        verdict=verdict,
        p_fake=p_fake,
        confidence=round(100 * max(p_fake, 1 - p_fake), 2),
        reasons=(Reason(code="no_face_found", message="No face was found."),),
        partial=False,
        unscored=(),
        model=model,
        version=1,
        digest=_DIGEST,
        thresholds=_THRESHOLDS,
        evidence=_EVIDENCE[modality],
        timings=Timings(queue_ms=0, decode_ms=0, faces_ms=0, inference_ms=0, total_ms=0),
    )


_EVIDENCE: Final[dict[Modality, Evidence]] = {
    Modality.IMAGE: ImageEvidence(width=1, height=1, format="jpeg", faces_found=0, faces=()),
    Modality.VIDEO: VideoEvidence(
        width=1, height=1, duration_s=1, codec="h264", frames_sampled=1, faces_found=0, tracks=()
    ),
    Modality.AUDIO: AudioEvidence(duration_s=1, sample_rate=16000, channels=1, codec="pcm_s16le", windows=()),
    Modality.TEXT: TextEvidence(characters=1, words=1, encoding="utf-8", passages=()),
}


def main() -> None:
    """Serve a fake of the modality and on the port given, with the settings of the gateway."""
    modality, port = Modality(sys.argv[1]), int(sys.argv[2])
    settings = GatewaySettings()  # pyright: ignore[reportCallIssue] - pydantic reads the rest from the environment.
    web.run_app(FakeBento(modality, settings).app(), host="127.0.0.1", port=port, access_log=None, print=None)


if __name__ == "__main__":
    main()
