"""What the detectors share: the resources of their process, and how BentoML opens, asks and closes them.

Each detector is the entry service of a process of its own, because BentoML lets no other refuse pickled bodies.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final, TypeVar

import bentoml
import msgspec
import numpy as np
from starlette.types import Receive, Scope, Send

from bentos.asking import ask_members, split_call
from bentos.cards import Card, Ensemble
from bentos.catalogue import Catalogue, Served
from bentos.contract import Detection, Figures, Modality, ModelDetails, ModelList, Part
from bentos.deadline import Deadline
from bentos.ensembles import conclude_together
from bentos.errors import InferenceUnavailableError
from bentos.figures import Book
from bentos.http.app import DetectionApp
from bentos.http.auth import TokenMiddleware
from bentos.http.calls import Call
from bentos.inference import Tensor, Tensors, TensorSpec
from bentos.listing import Listing
from bentos.logs import configure_logs
from bentos.media.prepared import (
    PreparedAudio,
    PreparedImage,
    PreparedPassage,
    PreparedText,
    PreparedVideo,
    SoundLength,
    VideoLength,
)
from bentos.media.tasks import MediaTask
from bentos.parts import Parts, open_parts
from bentos.readiness import Readiness
from bentos.repository import ModelRepository
from bentos.samples import MAKE_SAMPLE, SampleOptions
from bentos.settings import load_settings
from bentos.shadow import SealedError, Shadows
from bentos.verdict import Finding, Heard, conclude

_PORTS: Final = {Modality.IMAGE: 3001, Modality.VIDEO: 3002, Modality.AUDIO: 3003, Modality.TEXT: 3004}

_SERVER_TIMEOUT_S: Final = {Modality.IMAGE: 70, Modality.VIDEO: 610, Modality.AUDIO: 610, Modality.TEXT: 70}
"""BentoML's own time-out until an answer begins: later than deadlines of calls can be, because its answer is not ours.

It holds a timer for each request for as long as that, so it is not longer for jobs: answers to those begin at once.
"""

_READINESS: Final = "readiness"

Options = TypeVar("Options")
P = TypeVar("P", PreparedImage, PreparedVideo, PreparedAudio, PreparedPassage, PreparedText, VideoLength, SoundLength)


def service_options(modality: Modality) -> dict[str, Any]:
    """Return how BentoML runs the service of a modality: one process, on the loopback interface, with nothing extra.

    Batching is Triton's, cores are the decoding processes'. BentoML's access log, tracing and figures cost seven times
    what the rest of an empty call does, and its figures take any path that is asked for as a label; ours replace them.
    """
    return {
        "workers": 1,
        "traffic": {"timeout": _SERVER_TIMEOUT_S[modality]},
        "http": {"host": "127.0.0.1", "port": _PORTS[modality]},
        "metrics": {"enabled": False},
        "logging": {"access": {"enabled": False}},
        "tracing": {"excluded_urls": ".*"},
    }


def publish(service: bentoml.Service[Any]) -> None:
    """Put our HTTP surface under a service, behind the token."""
    service.add_asgi_middleware(TokenMiddleware)  # pyright: ignore[reportArgumentType]  # Its protocol is that of a function.
    service.mount_asgi_app(_answer, path="/", name="detection")


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    await bentoml.get_current_service().app(scope, receive, send)


class Detector(ABC):
    """A detector of one kind of media; a subclass says how a call becomes a verdict."""

    modality: ClassVar[Modality]

    def __init__(self) -> None:
        self._parts: Parts | None = None

    @abstractmethod
    async def examine(self, served: Served, call: Call) -> Finding:
        """Have one version judge the medium of a call. Raises what `bentos.errors` lists."""

    async def detect(self, call: Call) -> Detection:
        """Give a verdict. Raises what `bentos.errors` lists."""
        name = self._catalogue.name_of(call.model)
        ensemble = self._catalogue.ensemble(name)
        if ensemble is not None:
            return await self._ask_together(name, ensemble, call)
        heard = await self._ask(name, call)
        return conclude(modality=self.modality, card=heard.card, finding=heard.finding, timings=call.timings())

    async def _ask(self, model: str, call: Call, *, part: Part | None = None) -> Heard:
        """Have a model judge the medium of a call by the version that its route says; `part`: other than the route's.

        What comes of it is counted, and its shadow is asked afterwards.
        """
        choice = self._catalogue.route(model, call.caller)
        tally = self._book.tally(model, choice.version, part or choice.part)
        with tally.counting(call.laps) as outcome:
            heard = await self._hear(model, choice.version, call)
            outcome.p_fake = heard.finding.p_fake
        if choice.shadow is not None:
            shadow = self._book.tally(model, choice.shadow, "shadow")
            self._shadows.offer(shadow, call, heard.finding.p_fake, heard.verdict)
        return heard

    async def _hear(self, model: str, version: int, call: Call) -> Heard:
        """Have one version judge the medium of a call."""
        with call.laps.checking():
            served = await self._catalogue.served(model, version, call.deadline)
        return Heard(card=served.card, finding=await self.examine(served, call))

    async def _ask_together(self, name: str, ensemble: Ensemble, call: Call) -> Detection:
        """Have all members of an ensemble judge the medium of a call at once."""
        with self._book.tally(name, ensemble.version, "stable").counting(call.laps) as outcome:
            calls = split_call(call, len(ensemble.members))
            answers = await ask_members(ensemble, calls, lambda model, own: self._ask(model, own, part="member"))
            call.laps.take_longest(own.laps for own in calls)
            detection = conclude_together(name, ensemble, answers, timings=call.timings())
            outcome.p_fake = detection.p_fake
        return detection

    def figures(self) -> Figures:
        """Say what was counted of each version, and by which traffic table calls are routed now."""
        return msgspec.structs.replace(self._book.figures(), table=self.parts.repository.digest)

    async def list_models(self, deadline: Deadline) -> ModelList:
        """Say which models are served."""
        return await self._listing.list_models(deadline)

    async def describe_model(self, name: str, deadline: Deadline) -> ModelDetails:
        """Say everything of one model."""
        return await self._listing.describe(name, self.figures(), deadline)

    # What BentoML calls.

    @bentoml.on_deployment
    @staticmethod
    def check_environment() -> None:
        """Refuse to start, in the parent process and in words, where a setting is missing or wrong."""
        ModelRepository.at(load_settings().model_repository)

    @bentoml.on_startup
    async def open(self) -> None:
        """Open the resources that the environment names."""
        settings = load_settings()
        configure_logs(settings.log_level)
        self.use(await open_parts(settings, self.modality))

    @bentoml.on_shutdown
    async def close(self) -> None:
        """Close the resources."""
        if self._parts is not None:
            await self._readiness.close()
            await self._shadows.close()
            await self._parts.close()

    async def __is_ready__(self) -> bool:
        """Whether a synthetic detection went through."""
        return await self._readiness.ask()

    def use(self, parts: Parts) -> None:
        """Work with these parts from now on."""
        self._parts = parts
        self._catalogue = Catalogue(self.modality, parts.repository, parts.inference)
        self._listing = Listing(self.modality, parts.repository, parts.inference)
        self._book = Book(lambda: self._catalogue.named)
        self._shadows = Shadows(self._hear, self._catalogue.has_shadow)
        self._readiness = Readiness(whole_path=self._detect_sample, inference=self._infer_ones)
        self.app = DetectionApp(self.modality, self, parts.settings)

    # The steps that the detectors share.

    @property
    def parts(self) -> Parts:
        """The opened resources."""
        if self._parts is None:
            raise InferenceUnavailableError
        return self._parts

    async def prepare(self, task: MediaTask[Options, P], call: Call, options: Options) -> P:
        """Decode the medium as `decode` does, once a call: whoever asks for the same again gets the same, or its error.

        So models that judge the same medium with the same options share its crops.
        """
        key = (task, options)
        if key not in call.prepared:
            if call.sealed:
                raise SealedError
            call.prepared[key] = asyncio.ensure_future(self.decode(task, call, options))
        return await call.prepared[key]

    async def decode(self, task: MediaTask[Options, P], call: Call, options: Options) -> P:
        """Decode the medium in a child process; what that took beside its own steps was waiting.

        Raises:
            SealedError: The call is over, and only a shadow still judges what was decoded.
        """
        if call.sealed:
            raise SealedError
        started = time.monotonic()
        prepared = await self.parts.media.run(task, call.medium, options, timeout_s=call.deadline.remaining_s())
        wall_ms = (time.monotonic() - started) * 1000
        laps = call.laps
        faces_ms = prepared.faces_ms if isinstance(prepared, PreparedImage | PreparedVideo) else 0.0
        laps.decode_ms += prepared.decode_ms
        laps.faces_ms += faces_ms
        laps.queue_ms += max(0.0, wall_ms - prepared.decode_ms - faces_ms)
        return prepared

    async def infer(self, card: Card, call: Call, **inputs: Tensor) -> Tensors:
        """Ask Triton for exactly the version of this card."""
        call.deadline.remaining_s()
        with call.laps.inferring():
            return await self.parts.inference.infer(card.model, card.version, inputs, call.deadline)

    async def _detect_sample(self, deadline: Deadline) -> None:
        options = SampleOptions(self.modality)
        sample = await self.parts.media.run(MAKE_SAMPLE, b"", options, timeout_s=deadline.remaining_s())
        served = await self._catalogue.choose(None, _READINESS, deadline)
        medium = sample.data.tobytes()
        # It is nobody's medium, so it is not counted among the calls of the version.
        await self.examine(
            served, Call(medium=medium, model=None, deadline=deadline, request_id=_READINESS, caller=_READINESS)
        )

    async def _infer_ones(self, deadline: Deadline) -> None:
        served = await self._catalogue.choose(None, _READINESS, deadline)
        for card in filter(None, (served.encoder, served.card)):
            signature = await self.parts.inference.signature(card.model, card.version, deadline)
            ones = {name: _ones(spec) for name, spec in signature.inputs.items()}
            await self.parts.inference.infer(card.model, card.version, ones, deadline)


def _ones(spec: TensorSpec) -> Tensor:
    """One row of ones; of texts, one that a model can read."""
    return np.full((1, *spec.shape), b"ready" if spec.dtype == np.object_ else 1, spec.dtype)
