"""Finds how a version is best run on this machine: threads, instances, batches; and which precision of it is fastest.

Each setting is tried on a second Triton under closed-loop load; then the best ones and what is there take turns for
some rounds, so that what else the machine does hits all alike, and medians decide. What counts is throughput with a
p95 under the limit. It ends when its time is up, with the best so far.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from numpy.typing import NDArray

from bentos.cards import Card
from scripts.models.calibrating_inputs import inputs_of
from scripts.models.errors import ModelsError, RefusedError
from scripts.models.pressing import press
from scripts.models.publish import CONFIG_FILE, as_sent, read_golden, write_file
from scripts.models.repository import Repository
from scripts.models.stand import Stand, stand
from scripts.models.trials import Optimised, Trial, Wish, conclude, rank, trial_of
from scripts.models.tuning import Tuning, read_tuning, write_tuning
from scripts.stack.control import ModelError, TritonUnreachableError
from scripts.stack.settings import StackSettings

WINDOW_S: Final = 1.5
ROUNDS: Final = 3
"""Of the finals; an odd number, so that a median is a round."""
WARMUP_S: Final = 0.5

_FINALISTS: Final = 2
_LOAD_DEADLINE_S: Final = 120.0
_RELOADING_S: Final = 2.0
"""What a change of setting takes beside its window, to tell whether another one fits into the time."""
_MOST_THREADS: Final = 16
_BUSY: Final = 0.5
"""Share of the cores at work before anything is measured, from which on the machine counts as busy."""

Inputs = Mapping[str, NDArray[Any]]


def optimise(
    repository: Repository, wish: Wish, settings: StackSettings, *, tell: Callable[[str], None] = lambda _: None
) -> Optimised:
    """Try settings of a version and of its other precisions. Nothing is written.

    Raises:
        RefusedError: It cannot be served, or no setting keeps the limit.
        ModelsError: The time was up before a single one was tried, or a card or configuration cannot be read.
    """
    cards = _relatives(repository, repository.card(wish.model, wish.version))
    search = _Search(wish, tell)
    if os.getloadavg()[0] > _BUSY * (os.cpu_count() or 1):
        tell("Others are using this machine: what is found now may not hold when it is calm.")
    try:
        for card in cards:
            if search.has_time():
                with stand(repository, [(card.model, card.version)], settings) as here:
                    search.explore(here, card, _inputs(repository, card, wish))
    except KeyboardInterrupt:
        tell("stopped; what was found so far counts")
        search.complete = False
    return conclude(wish, search.trials, complete=search.complete)


class _Search:
    """The trials of a run, and the time that is left."""

    def __init__(self, wish: Wish, tell: Callable[[str], None]) -> None:
        self.wish = wish
        self.tell = tell
        self.until = time.monotonic() + wish.budget_s
        self.trials: list[Trial] = []
        self.complete = True

    def has_time(self) -> bool:
        """Tell whether another window fits in; the first always does."""
        fits = not self.trials or time.monotonic() + WINDOW_S + WARMUP_S + _RELOADING_S <= self.until
        self.complete = self.complete and fits
        return fits

    def explore(self, here: Stand, card: Card, inputs: Inputs) -> None:
        """Try how many threads and instances, then how batches are gathered, then the best of both in turns."""
        config = Repository(here.triton.repository).root / card.model / CONFIG_FILE
        there = read_tuning(config.read_bytes())
        tried: set[Tuning] = set()

        def look(tunings: Iterable[Tuning]) -> None:
            for tuning in tunings:
                if tuning not in tried and self.has_time():
                    tried.add(tuning)
                    self.try_one(here, card, config, tuning, inputs, final=False)

        look([there, *_crews(there)])
        look(_gatherings(self.ranked(card)[0].tuning, there))
        best = [trial.tuning for trial in self.ranked(card) if trial.tuning != there][:_FINALISTS]
        for _ in range(ROUNDS):
            for tuning in [there, *best]:
                if self.has_time():
                    self.try_one(here, card, config, tuning, inputs, final=True)

    def try_one(self, here: Stand, card: Card, config: Path, tuning: Tuning, inputs: Inputs, *, final: bool) -> None:
        """Have the second Triton run the model so, and measure it."""
        _reload(here, card.model, config, write_tuning(config.read_bytes(), tuning))
        pressed = asyncio.run(
            press(
                here.triton.address,
                (card.model, card.version),
                inputs,
                callers=self.wish.callers,
                seconds=WINDOW_S,
                warmup_s=WARMUP_S,
            )
        )
        if not pressed.latencies_s and pressed.failed:
            raise RefusedError(f"{card.model}:{card.version} answers none of the calls that try it: {pressed.trouble}")
        trial = trial_of(card, tuning, pressed, limit_ms=self.wish.p95_ms, final=final)
        self.trials.append(trial)
        self.tell(
            f"{card.model}:{card.version} {card.precision}, {tuning}: {trial.throughput:.1f}/s, "
            f"p95 {trial.p95_ms:.0f} ms{'' if trial.within else ', over the limit'}"
        )

    def ranked(self, card: Card) -> list[Trial]:
        """The first looks at a version, the best first."""
        mine = [trial for trial in self.trials if trial.version == card.version and not trial.final]
        return sorted(mine, key=rank, reverse=True)


def write_optimised(repository: Repository, found: Optimised, report: Mapping[str, bytes]) -> None:
    """Put the best setting into the model's `config.pbtxt`, and the report's files beside it. Raises `ModelsError`."""
    folder = repository.root / found.model
    with repository.changing():
        try:
            if found.best is not None:
                config = folder / CONFIG_FILE
                write_file(config, write_tuning(config.read_bytes(), found.best.tuning))
            for name, data in report.items():
                write_file(folder / name, data)
        except OSError as error:
            raise ModelsError(f"{folder} cannot be written: {error.strerror}.") from error


def _relatives(repository: Repository, card: Card) -> list[Card]:
    """The version itself, and those of its model that are the same in another precision."""
    origin = card.derived_from if card.precision != "fp32" else card.version
    others = (repository.card(card.model, number) for number in repository.versions(card.model))
    kin = [
        other
        for other in others
        if other.version != card.version
        and other.precision != card.precision
        and (other.derived_from if other.precision != "fp32" else other.version) == origin
    ]
    return [card, *kin]


def _inputs(repository: Repository, card: Card, wish: Wish) -> Inputs:
    """Real rows to ask with: of the media in `wish.data`, else the golden inputs of the model."""
    if wish.data is None:
        return as_sent(read_golden(repository.root, card.model, card.version)[0])
    media = sorted(path for path in wish.data.rglob("*") if path.is_file() and not path.name.startswith("."))
    return inputs_of(card, media)


def _crews(there: Tuning) -> Iterator[Tuning]:
    """Ways to share the cores among instances and their threads; with a GPU the threads matter little."""
    cores = os.cpu_count() or 1
    for instances in sorted({1, 2, cores} & set(range(1, _MOST_THREADS + 1))):
        for threads in sorted({1, max(1, cores // instances)}):
            yield msgspec.structs.replace(there, threads=min(threads, _MOST_THREADS), instances=instances)


def _gatherings(best: Tuning, there: Tuning) -> Iterator[Tuning]:
    """Ways to gather batches, from none to patient."""
    for delay_us, preferred in ((0, (1,)), (0, there.preferred), (500, (4, 8)), (2000, (8, 16)), (5000, (16,))):
        yield msgspec.structs.replace(best, delay_us=delay_us, preferred=preferred)


def _reload(here: Stand, model: str, config: Path, text: bytes) -> None:
    """Have the second Triton run the model as this text says."""
    if config.read_bytes() == text:
        return

    async def load() -> None:
        async with here.triton.control() as control:
            await control.load(model, deadline_s=_LOAD_DEADLINE_S)

    write_file(config, text)
    try:
        asyncio.run(load())
    except (ModelError, TritonUnreachableError) as error:
        raise RefusedError(f"Triton cannot run {model} so: {error}") from error
