"""Which versions Triton has loaded: a new one is brought in and asked before anything points to it.

An old one goes when nothing needs it any more.
`version_policy` in a model's `config.pbtxt` lists them. Loading a model whose list has changed starts what is new and
ends what is gone, and leaves the processes of the versions that stay alone.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bentos.cards import Card
from bentos.deadline import Deadline
from bentos.errors import DetectionError
from bentos.triton import TritonClient
from scripts.models.errors import ModelsError, RefusedError
from scripts.models.publish import MODEL_FILE, as_sent, digest_of, read_golden
from scripts.models.repository import Repository
from scripts.models.serving import Platform, require_triton
from scripts.models.tolerance import TOLERANCE
from scripts.stack.control import ModelError, TritonControl, TritonUnreachableError, Version
from scripts.stack.loads import load_listed
from scripts.stack.repository import RepositoryError, served

LOAD_DEADLINE_S: Final = 300.0
_ASK_DEADLINE_S: Final = 120.0
_SHORT_DEADLINE_S: Final = 10.0
_COMPARED: Final = ("p_fake", "features")
"""Outputs that every version answers, one of them; the others may be of any length."""


def unit_of(repository: Repository, model: str, version: int) -> tuple[Card, ...]:
    """Return the cards of what has to be loaded for a version, in order: the encoder that it pins, then itself.

    Raises:
        UnknownVersionError: There is no such version, or none that is pinned.
        RefusedError: Files of it are not those that its card names, or the encoder is another than the pinned one.
        ModelsError: A card is broken.
    """
    card = repository.card(model, version)
    cards = (card,)
    if card.encoder is not None:
        encoder = repository.card(card.encoder.model, card.encoder.version)
        if encoder.digest != card.encoder.digest:
            raise RefusedError(
                f"{model}:{version} was trained on another {encoder.model} than version {encoder.version} that is "
                "here. Import the encoder that belongs to it."
            )
        cards = (encoder, card)
    for each in cards:
        _check_files(repository, each)
    return cards


def needed(repository: Repository) -> dict[str, tuple[int, ...]]:
    """Return the versions by model that the traffic table needs loaded. Raises `ModelsError` where it is broken."""
    try:
        return served(repository.root)
    except RepositoryError as error:
        raise ModelsError(str(error)) from error


def list_unit(
    repository: Repository, unit: Collection[Card], loaded: Collection[Version] | None = None
) -> dict[str, tuple[int, ...]]:
    """Have the versions of a unit loaded beside those that are needed; return what was listed before, by model.

    A model that gets no traffic may list versions that nobody loads; they are not kept. Where it is known which are
    `loaded`, neither are those that a command which was killed had listed and that are not: one of them that cannot be
    loaded would keep every other from being loaded.
    """
    in_use = needed(repository)
    with repository.changing():
        before = {card.model: repository.listed(card.model) for card in unit}
        if loaded is not None:
            there = {(version.model, version.number) for version in loaded}
            for model, needs in in_use.items():
                if model in before:
                    before[model] = tuple(n for n in before[model] if n in needs or (model, n) in there)
        for card in unit:
            needs = in_use.get(card.model, ())
            kept = {*before[card.model], *needs} if needs else set[int]()
            repository.list_versions(card.model, tuple({*kept, card.version}))
    return before


def list_needed(repository: Repository) -> None:
    """Have the lists name what the traffic table needs and nothing else, for the next start of Triton."""
    with repository.changing():
        for model, versions in needed(repository).items():
            repository.list_versions(model, versions)


def unlist(repository: Repository, before: Mapping[str, tuple[int, ...]]) -> None:
    """Put lists back as they were; what the traffic table needs stays listed in any case."""
    with repository.changing():
        in_use = needed(repository)
        for model, versions in before.items():
            repository.list_versions(model, tuple({*versions, *in_use.get(model, ())}))


async def bring(repository: Repository, platform: Platform, unit: Collection[Card]) -> dict[str, tuple[int, ...]]:
    """Load a unit into the running Triton and hold it to its golden answers; return what was listed before.

    Whoever calls it holds `Repository.loading`. Where it raises, the lists are as before, and Triton was told.

    Raises:
        NotRunningError: No Triton answers.
        RefusedError: It cannot be loaded, or does not give its golden answers; with the reason.
    """
    async with platform.control() as control:
        await require_triton(control)
        before = list_unit(repository, unit, await _loaded(control))
        try:
            for card in unit:
                await _load(repository, control, card)
            await check_golden(repository, platform, unit)
        except BaseException:
            await take_back(repository, control, before)
            raise
    return before


async def take_back(repository: Repository, control: TritonControl, before: Mapping[str, tuple[int, ...]]) -> None:
    """Put lists back as they were, and have Triton follow where it can be reached: it serves the old versions on."""
    unlist(repository, before)
    in_use = needed(repository)
    for model in before:
        # It holds what it held before in any case, and the next command tries again.
        try:
            if model in in_use:
                await load_listed(control, repository.root, model, deadline_s=LOAD_DEADLINE_S)
            else:
                await control.unload(model, deadline_s=LOAD_DEADLINE_S)
        except (ModelError, TritonUnreachableError):
            continue


async def check_golden(repository: Repository, platform: Platform, unit: Collection[Card]) -> None:
    """Send golden inputs to the running Triton and compare what it answers with what was recorded.

    Raises:
        RefusedError: The answers differ by more than the precision allows, or none came.
    """
    client = TritonClient(platform.triton_address)
    try:
        for card in unit:
            await _check_answers(repository, client, card)
    finally:
        await client.close()


async def drop_unneeded(
    repository: Repository, control: TritonControl, busy: Collection[tuple[str, int]]
) -> tuple[list[Version], list[Version]]:
    """Have Triton hold exactly what the traffic table needs, and what is `busy`: calls are still in flight with it.

    Returns what was unloaded, and what stays although nothing points to it. Whoever calls it holds
    `Repository.loading`.

    Raises:
        TritonUnreachableError: Triton is away.
        ModelError: A model could not be loaded or unloaded.
    """
    loaded = await control.loaded(deadline_s=_SHORT_DEADLINE_S)
    in_use = needed(repository)
    held = _with_encoders(repository, busy)
    dropped, kept = list[Version](), list[Version]()
    by_model: dict[str, set[int]] = defaultdict(set)
    for version in loaded:
        by_model[version.model].add(version.number)
    for model in repository.models():
        there = by_model.get(model, set())
        # What is not loaded any more is held by nobody, and may be deleted by now.
        wanted = set(in_use.get(model, ())) | {number for number in there if (model, number) in held}
        kept += [Version(model, number) for number in sorted(wanted & there - set(in_use.get(model, ())))]
        if wanted:
            changed = set(repository.listed(model)) != wanted
            if changed:
                with repository.changing():
                    repository.list_versions(model, tuple(wanted))
            if changed or there != wanted:
                await load_listed(control, repository.root, model, deadline_s=LOAD_DEADLINE_S)
        elif there:
            await control.unload(model, deadline_s=LOAD_DEADLINE_S)
        dropped += [Version(model, number) for number in sorted(there - wanted)]
    return dropped, kept


def _with_encoders(repository: Repository, versions: Collection[tuple[str, int]]) -> set[tuple[str, int]]:
    found = set(versions)
    for model, version in versions:
        if version in repository.versions(model):
            encoder = repository.card(model, version).encoder
            found |= {(encoder.model, encoder.version)} if encoder else set()
    return found


def _check_files(repository: Repository, card: Card) -> None:
    folder = repository.folder(card.model, card.version)
    for name, digest in {MODEL_FILE: card.digest, **card.files}.items():
        try:
            data = (folder / name).read_bytes()
        except OSError as error:
            raise RefusedError(f"{folder / name} cannot be read: {error.strerror}. Import the version anew.") from error
        if digest_of(data) != digest:
            raise RefusedError(
                f"{folder / name} is not the file that the card of {card.model}:{card.version} names. "
                "Import the version anew."
            )


async def _loaded(control: TritonControl) -> frozenset[Version]:
    try:
        return await control.loaded(deadline_s=_SHORT_DEADLINE_S)
    except (ModelError, TritonUnreachableError) as error:
        raise RefusedError(
            f"Triton does not say what it has loaded, and nothing was changed. It says: {error}"
        ) from error


async def _load(repository: Repository, control: TritonControl, card: Card) -> None:
    try:
        await load_listed(control, repository.root, card.model, deadline_s=LOAD_DEADLINE_S)
        await control.ask(Version(card.model, card.version), deadline_s=_ASK_DEADLINE_S)
    except (ModelError, TritonUnreachableError) as error:
        raise RefusedError(
            f"Triton does not load {card.model}:{card.version}, and serves on what it served. It says: {error}"
        ) from error


async def _check_answers(repository: Repository, client: TritonClient, card: Card) -> None:
    name = f"{card.model}:{card.version}"
    try:
        inputs, wanted = await asyncio.to_thread(read_golden, repository.root, card.model, card.version)
    except (OSError, ValueError) as error:
        raise RefusedError(f"The golden answers of {name} cannot be read: {error}. Import it anew.") from error
    try:
        deadline = Deadline.after(_ASK_DEADLINE_S)
        answers = await client.infer(card.model, card.version, as_sent(inputs), deadline)
    except DetectionError as error:
        raise RefusedError(f"{name} does not answer its golden inputs: {error}") from error
    for output in _COMPARED:
        if output in wanted:
            _compare(card, answers.get(output), wanted[output])


def _compare(card: Card, answer: NDArray | None, wanted: NDArray) -> None:
    name, allowed = f"{card.model}:{card.version}", TOLERANCE[card.precision]
    if answer is None or answer.shape != wanted.shape:
        raise RefusedError(f"{name} answers its golden inputs in another shape than was recorded. Import it anew.")
    worst = float(np.abs(answer.astype(np.float64) - wanted).max())
    if not worst <= allowed:
        raise RefusedError(
            f"{name} does not give its golden answers: they differ by {worst:.1e}, in {card.precision} they may by "
            f"{allowed:.0e}. Import it anew."
        )
