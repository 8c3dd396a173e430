"""Finds how a version is best run on this machine: threads, instances, batches; and which precision of it is fastest.

Each setting is tried on a second Triton under closed-loop load; then the best ones and what is there take turns for
some rounds, so that what else the machine does hits all alike, and medians decide. What counts is throughput with a
p95 under the limit. It ends when its time is up, with the best so far.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.cards import Card
from scripts.models.calibrating_inputs import inputs_of
from scripts.models.errors import ModelsError, RefusedError
from scripts.models.pressing import Pressed, press
from scripts.models.publish import CONFIG_FILE, read_golden, write_file
from scripts.models.repository import Repository
from scripts.models.stand import Stand, stand
from scripts.models.tuning import Tuning, read_tuning, write_tuning
from scripts.stack.control import ModelError, TritonUnreachableError
from scripts.stack.settings import StackSettings

WINDOW_S: Final = 1.5
ROUNDS: Final = 3
"""Of the finals; an odd number, so that a median is a round."""
WARMUP_S: Final = 0.5
WORTHWHILE: Final = 1.05
"""How much faster a setting must be than what is there to be written; less is noise."""

_FINALISTS: Final = 2
_LOAD_DEADLINE_S: Final = 120.0
_RELOADING_S: Final = 2.0
"""What a change of setting takes beside its window, to tell whether another one fits into the time."""
_MOST_THREADS: Final = 16
_BUSY: Final = 0.5
"""Share of the cores at work before anything is measured, from which on the machine counts as busy."""

Inputs = Mapping[str, NDArray[Any]]


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One setting under load: answers a second, percentiles in ms, failed calls; `final` are the rounds of the best."""

    version: int
    precision: str
    tuning: Tuning
    throughput: float
    p50_ms: float
    p95_ms: float
    failed: int
    final: bool
    within: bool


class Optimised(msgspec.Struct, frozen=True, kw_only=True):
    """What was tried, what is best for the version (None: nothing beats what is there), and the fastest version of all.

    `complete` is false where the time was up, or Ctrl-C came, before everything was tried.
    """

    model: str
    version: int
    p95_ms: float
    callers: int
    before: Trial
    best: Trial | None
    fastest: Trial
    trials: tuple[Trial, ...]
    complete: bool
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Which version is to be run under which limit, by how many callers, and how long may be spent on finding out."""

    model: str
    version: int
    p95_ms: float
    callers: int = 8
    budget_s: float = 120.0
    data: Path | None = None


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
    return search.conclude()


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
        trial = _trial(card, tuning, pressed, limit_ms=self.wish.p95_ms, final=final)
        self.trials.append(trial)
        self.tell(
            f"{card.model}:{card.version} {card.precision}, {tuning}: {trial.throughput:.1f}/s, "
            f"p95 {trial.p95_ms:.0f} ms{'' if trial.within else ', over the limit'}"
        )

    def ranked(self, card: Card) -> list[Trial]:
        """The first looks at a version, the best first."""
        mine = [trial for trial in self.trials if trial.version == card.version and not trial.final]
        return sorted(mine, key=_rank, reverse=True)

    def conclude(self) -> Optimised:
        """Choose. Raises as `optimise` does."""
        if not self.trials:
            raise ModelsError("Nothing was tried before it was stopped; give it more time with --budget.")
        found = {
            number: _medians(self.trials, number) for number in dict.fromkeys(each.version for each in self.trials)
        }
        mine = found[self.wish.version]
        before, best = mine[0], max(mine, key=_rank)
        fastest = max((each for some in found.values() for each in some), key=_rank)
        if not best.within:
            quickest = min(
                (each for each in self.trials if each.version == self.wish.version), key=lambda one: one.p95_ms
            )
            raise RefusedError(
                f"No setting keeps p95 under {self.wish.p95_ms:g} ms with {self.wish.callers} callers; the quickest, "
                f"{quickest.tuning}, had {quickest.p95_ms:.0f} ms. Allow more with --p95-ms, ask with fewer --callers, "
                "or stage an int8 version with `bonafide models quantise`."
            )
        gains = not before.within or best.throughput >= WORTHWHILE * before.throughput
        return Optimised(
            model=self.wish.model,
            version=self.wish.version,
            p95_ms=self.wish.p95_ms,
            callers=self.wish.callers,
            before=before,
            best=best if gains and best.tuning != before.tuning else None,
            fastest=fastest,
            trials=tuple(self.trials),
            complete=self.complete,
        )


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


def _rank(trial: Trial) -> tuple[bool, float, float]:
    """Within the limit before beyond it; there the more throughput the better, beyond it the lower the p95."""
    return (trial.within, trial.throughput if trial.within else -trial.p95_ms, -trial.p95_ms)


def _medians(trials: Sequence[Trial], version: int) -> list[Trial]:
    """The settings of a version that came into the finals, what was there first; without finals all that were tried."""
    mine = [trial for trial in trials if trial.version == version]
    finals: dict[Tuning, list[Trial]] = {}
    for trial in [each for each in mine if each.final] or mine:
        finals.setdefault(trial.tuning, []).append(trial)
    return [
        msgspec.structs.replace(
            rounds[0],
            throughput=float(np.median([each.throughput for each in rounds])),
            p50_ms=float(np.median([each.p50_ms for each in rounds])),
            p95_ms=float(np.median([each.p95_ms for each in rounds])),
            failed=sum(each.failed for each in rounds),
            within=2 * sum(each.within for each in rounds) > len(rounds),
        )
        for rounds in finals.values()
    ]


def _trial(card: Card, tuning: Tuning, pressed: Pressed, *, limit_ms: float, final: bool) -> Trial:
    p50_ms, p95_ms = pressed.percentile_ms(50), pressed.percentile_ms(95)
    return Trial(
        version=card.version,
        precision=card.precision,
        tuning=tuning,
        throughput=round(pressed.throughput, 2),
        p50_ms=round(p50_ms, 2),
        p95_ms=round(p95_ms, 2),
        failed=pressed.failed,
        final=final,
        within=p95_ms <= limit_ms and not pressed.failed,
    )


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
        return read_golden(repository.root, card.model, card.version)[0]
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
