"""What a Bento serves: the traffic table, the cards and Triton's own signatures, brought together and cross-checked."""

import contextlib
from dataclasses import dataclass

from bentos.cards import Card, CropInput, Ensemble, FeatureInput, TextInput, WaveformInput
from bentos.contract import Modality
from bentos.deadline import Deadline
from bentos.ensembles import suits
from bentos.errors import BrokenModelError, UnavailableError, UnknownModelError
from bentos.inference import InferenceClient, Signature, TensorSpec
from bentos.repository import ModelRepository
from bentos.routing import Choice, choose_version


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A version that answers a call: its card, and its encoder's where it is the head of a video model.

    Without an encoder, what judges a video is an image model.
    """

    card: Card
    encoder: Card | None = None


class Catalogue:
    """The models of one modality."""

    def __init__(self, modality: Modality, repository: ModelRepository, inference: InferenceClient) -> None:
        self._modality = modality
        self._repository = repository
        self._inference = inference

    @property
    def named(self) -> frozenset[tuple[str, int]]:
        """Every version and ensemble that the traffic table names, of any modality; none while there is no table."""
        if not self._repository.known:
            return frozenset()
        table = self._repository.table
        models = {(name, version) for name, route in table.models.items() for version in route.versions}
        return frozenset(models | {(name, ensemble.version) for name, ensemble in table.ensembles.items()})

    def name_of(self, model: str | None) -> str:
        """Return the name of the model that is asked for, that of the default where none is named.

        Raises:
            UnknownModelError: This modality has no default.
            InferenceUnavailableError: The repository could not be read so far.
        """
        name = model or self._repository.table.defaults.get(self._modality)
        if name is None:
            raise UnknownModelError
        return name

    def ensemble(self, name: str) -> Ensemble | None:
        """Return the ensemble of that name, if it judges this kind of medium.

        Raises:
            InferenceUnavailableError: The repository could not be read so far.
        """
        ensemble = self._repository.table.ensembles.get(name)
        return ensemble if ensemble is not None and ensemble.modality is self._modality else None

    def has_shadow(self, model: str, version: int) -> bool:
        """Whether this version is the shadow of its model right now."""
        route = self._repository.table.models.get(model)
        return route is not None and route.shadow == version

    def route(self, model: str, key: str) -> Choice:
        """Return which versions of `model` a call with this routing key is for, as the table says at this moment.

        Raises:
            UnknownModelError: No model of that name has a route.
            InferenceUnavailableError: The repository could not be read so far.
        """
        route = self._repository.table.models.get(model)
        if route is None:
            raise UnknownModelError
        return choose_version(model, route, key)

    async def served(self, model: str, version: int, deadline: Deadline) -> Served:
        """Return a version with its encoder, if it has one, once they were held to Triton's signatures.

        Raises:
            UnknownModelError: It does not judge this kind of medium.
            BrokenModelError: The card, the encoder that it pins and Triton's signature do not belong together.
            InferenceUnavailableError: The repository or Triton is away.
            DeadlineExceededError: They did not answer in time.
        """
        card = await self._repository.card(model, version)
        if not suits(self._modality, card):
            raise UnknownModelError
        return await self._check(card, deadline)

    async def choose(self, model: str | None, key: str, deadline: Deadline) -> Served:
        """Return the version of `model` (None: the default) that answers the call with this routing key.

        Of an ensemble it is that of its first member which can be asked.

        Raises:
            UnknownModelError: No model of that name judges this kind of medium.
            BrokenModelError: The card, the encoder that it pins and Triton's signature do not belong together.
            InferenceUnavailableError: The repository or Triton is away.
            DeadlineExceededError: They did not answer in time.
        """
        name = self.name_of(model)
        ensemble = self.ensemble(name)
        if ensemble is None:
            return await self.served(name, self.route(name, key).version, deadline)
        *others, last = (member.model for member in ensemble.members)
        for member in others:
            with contextlib.suppress(UnavailableError, UnknownModelError):
                return await self.served(member, self.route(member, key).version, deadline)
        return await self.served(last, self.route(last, key).version, deadline)

    async def _check(self, card: Card, deadline: Deadline) -> Served:
        signature = await self._inference.signature(card.model, card.version, deadline)
        check_signature(card, signature)
        if not isinstance(card.input, FeatureInput):
            return Served(card=card)
        if card.encoder is None:
            raise BrokenModelError(f"The card of {card.model} pins no encoder.")
        encoder = await self._repository.card(card.encoder.model, card.encoder.version)
        if encoder.digest != card.encoder.digest:
            raise BrokenModelError(f"{card.model} was trained on another {encoder.model} than the one that is here.")
        encoder_signature = await self._inference.signature(encoder.model, encoder.version, deadline)
        check_signature(encoder, encoder_signature)
        if _shape(encoder_signature.outputs.get("features")) != (card.input.features,):
            raise BrokenModelError(f"{encoder.model} does not give the features that {card.model} takes.")
        return Served(card=card, encoder=encoder)


def check_signature(card: Card, signature: Signature) -> None:
    """Check that Triton's version takes what its card says.

    Raises:
        BrokenModelError: It does not.
    """
    match card.input:
        case CropInput(height=height, width=width):
            wanted = {"crop": (height, width, 3)}
        case FeatureInput(frames=frames, features=features):
            wanted = {"features": (frames, features), "mask": (frames,)}
        case WaveformInput(samples=samples):
            wanted = {"waveform": (samples,)}
        case TextInput():
            wanted = {"text": (1,)}
    if {name: _shape(spec) for name, spec in signature.inputs.items()} != wanted:
        raise BrokenModelError(f"The card of {card.model} version {card.version} and its graph want different inputs.")


def _shape(spec: TensorSpec | None) -> tuple[int, ...] | None:
    return None if spec is None else spec.shape
