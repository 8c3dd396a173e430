"""What a Bento tells of the models it serves: all of them in short, and one with its versions, traffic and figures.

A model that cannot be told of right now is left out of the list; the others stay in it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog

from bentos.cards import Card, Ensemble, Member, Route
from bentos.contract import (
    BrokenVersion,
    CalibrationInfo,
    EncoderInfo,
    EnsembleInfo,
    Figures,
    MemberInfo,
    Modality,
    ModelDetails,
    ModelInfo,
    ModelList,
    ParityInfo,
    Share,
    Traffic,
    VersionDetails,
    VersionInfo,
)
from bentos.deadline import Deadline
from bentos.ensembles import digest_of, suits
from bentos.errors import DetectionError, UnavailableError, UnknownModelError
from bentos.inference import InferenceClient
from bentos.repository import ModelRepository

BY_FRAMES: Final = "A model of pictures: it judges a video by its frames, one by one."

_log = structlog.stdlib.get_logger(__name__)


class Listing:
    """The models of one modality, for people."""

    def __init__(self, modality: Modality, repository: ModelRepository, inference: InferenceClient) -> None:
        self._modality = modality
        self._repository = repository
        self._inference = inference

    async def list_models(self, deadline: Deadline) -> ModelList:
        """Return every model and ensemble of this modality with what answers by it, the default one first.

        Raises:
            BrokenModelError: No model can be told of, for the card of one cannot be read.
            InferenceUnavailableError: The repository or Triton is away.
            DeadlineExceededError: They did not answer in time.
        """
        table = self._repository.table
        told = await asyncio.gather(
            *(self._model(name, route, deadline) for name, route in table.models.items()),
            *(self._ensemble(name, ensemble) for name, ensemble in table.ensembles.items()),
            return_exceptions=True,
        )
        failures = [each for each in told if isinstance(each, BaseException)]
        unexpected = [failure for failure in failures if not isinstance(failure, DetectionError)]
        models = [each for each in told if isinstance(each, ModelInfo)]
        if unexpected or (failures and not models):
            raise (unexpected or failures)[0]
        return ModelList(models=tuple(sorted(models, key=lambda model: (not model.default, model.name))))

    async def describe(self, name: str, figures: Figures, deadline: Deadline) -> ModelDetails:
        """Return one model of this modality with everything there is to tell.

        Raises:
            UnknownModelError: No model of that name judges this kind of medium.
            UnavailableError: Its card or signature, or the repository, cannot be read right now.
        """
        table = self._repository.table
        route, ensemble = table.models.get(name), table.ensembles.get(name)
        described: ModelInfo | None = None
        if route is not None:
            described = await self._model(name, route, deadline)
        elif ensemble is not None:
            described = await self._ensemble(name, ensemble)
        if described is None:
            raise UnknownModelError
        versions = [] if route is None else await self._versions(name, route)
        return ModelDetails(
            name=name,
            title=described.title,
            description=described.description,
            modality=self._modality,
            default=described.default,
            versions=tuple(version for version in versions if isinstance(version, VersionDetails)),
            broken=tuple(version for version in versions if isinstance(version, BrokenVersion)),
            traffic=None if route is None else _traffic(route),
            ensemble=None if ensemble is None or route is not None else await self._together(ensemble),
            started=figures.started,
            figures=tuple(version for version in figures.versions if version.model == name),
        )

    async def _model(self, name: str, route: Route, deadline: Deadline) -> ModelInfo | None:
        card = await self._repository.card(name, route.stable)
        if not suits(self._modality, card) or card.thresholds is None:
            return None
        by_frames = card.modality is not self._modality
        signature = await self._inference.signature(name, route.stable, deadline)
        return ModelInfo(
            name=name,
            title=signature.title,
            description=f"{signature.description} {BY_FRAMES}" if by_frames else signature.description,
            modality=self._modality,
            default=self._is_default(name),
            stable=VersionInfo(
                version=card.version,
                digest=card.digest,
                thresholds=card.thresholds,
                metrics=_metrics(card),
                demo=card.demo,
            ),
        )

    async def _ensemble(self, name: str, ensemble: Ensemble) -> ModelInfo | None:
        if ensemble.modality is not self._modality:
            return None
        members = await self._members(ensemble)
        cards = [card for card in members.values() if card is not None]
        return ModelInfo(
            name=name,
            title=ensemble.title,
            description=ensemble.description,
            modality=self._modality,
            default=self._is_default(name),
            stable=VersionInfo(
                version=ensemble.version,
                digest=digest_of(ensemble, cards),
                thresholds=ensemble.thresholds,
                metrics={},
                demo=any(card.demo for card in cards),
            ),
            members=tuple(members),
        )

    async def _members(self, ensemble: Ensemble) -> Mapping[str, Card | None]:
        """The cards of the members' stable versions in the order of the declaration; None where one cannot be asked."""
        return {member.model: await self._stable_card(member) for member in ensemble.members}

    async def _stable_card(self, member: Member) -> Card | None:
        route = self._repository.table.models.get(member.model)
        try:
            card = None if route is None else await self._repository.card(member.model, route.stable)
        except UnavailableError:
            return None
        return card if card is not None and suits(self._modality, card) else None

    async def _together(self, ensemble: Ensemble) -> EnsembleInfo:
        cards = await self._members(ensemble)
        return EnsembleInfo(
            version=ensemble.version,
            fusion=ensemble.fusion,
            minimum=ensemble.minimum,
            thresholds=ensemble.thresholds,
            members=tuple(_member(member, cards[member.model]) for member in ensemble.members),
        )

    async def _versions(self, name: str, route: Route) -> Sequence[VersionDetails | BrokenVersion]:
        return [await self._version(name, version, route) for version in sorted(route.versions)]

    async def _version(self, name: str, version: int, route: Route) -> VersionDetails | BrokenVersion:
        try:
            return _details(await self._repository.card(name, version), route)
        except UnavailableError as error:
            _log.warning("version cannot be told of", model=name, version=version, error=str(error))
            return BrokenVersion(version=version, roles=_roles(route, version), problem=str(error))

    def _is_default(self, name: str) -> bool:
        return self._repository.table.defaults.get(self._modality) == name


def _details(card: Card, route: Route) -> VersionDetails:
    return VersionDetails(
        version=card.version,
        roles=_roles(route, card.version),
        digest=card.digest,
        demo=card.demo,
        precision=card.precision,
        thresholds=card.thresholds,
        metrics=_metrics(card),
        calibration=_as(CalibrationInfo, card.calibration),
        parity=_as(ParityInfo, card.parity),
        encoder=_as(EncoderInfo, card.encoder),
        derived_from=card.derived_from,
        label_order=card.label_order,
        source=card.source,
        licence=card.licence,
        intended_use=card.intended_use,
        limits=card.limits,
        created=card.created,
    )


def _as(kind: type[Any], record: msgspec.Struct | None) -> Any:
    """Return a part of a card as the wire type with the same fields."""
    return None if record is None else kind(**msgspec.structs.asdict(record))


def _metrics(card: Card) -> dict[str, float | int | str]:
    return {} if card.metrics is None else msgspec.to_builtins(card.metrics)


def _roles(route: Route, version: int) -> tuple[str, ...]:
    canary = route.canary.version if route.canary else None
    named = {"stable": route.stable, "canary": canary, "shadow": route.shadow, "previous": route.previous}
    return tuple(role for role, number in named.items() if number == version)


def _traffic(route: Route) -> Traffic:
    canary = route.canary
    return Traffic(
        stable=route.stable,
        canary=None if canary is None else Share(version=canary.version, percent=canary.percent),
        shadow=route.shadow,
        previous=route.previous,
    )


def _member(member: Member, card: Card | None) -> MemberInfo:
    return MemberInfo(
        model=member.model,
        weight=member.weight,
        version=None if card is None else card.version,
        digest=None if card is None else card.digest,
    )
