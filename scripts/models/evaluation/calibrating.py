"""Fits a version's temperature and thresholds to labelled media, and stages the result as a new version.

What is calibrated is the score of the whole medium. The temperature itself stands in the graph and divides the
log-odds of each part, a face or a window; that comes to the same, because every rule by which `bentos.scoring` makes
one score of many takes the highest, or a mean of log-odds, and both let a common factor through. Only scores within
1e-6 of 0 or 1 are cut off there, which no threshold can tell.

One half of the set, drawn by a seed, is fitted to; the figures are those of the other half.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray

from bentos.cards import Calibration, Card
from bentos.contract import Modality, Thresholds
from scripts.models import history, triton_config
from scripts.models.calibration import fit_temperature, log_odds, temper, thresholds_for
from scripts.models.errors import ModelsError, RefusedError
from scripts.models.evaluation.figures import METHOD, SEED, Interval, with_intervals
from scripts.models.evaluation.judging import CALLS_AT_ONCE, Unjudged
from scripts.models.evaluation.labelled import LabelledSet, split
from scripts.models.evaluation.measuring import EVALUATIONS, judged_by, scores_of, write_report
from scripts.models.evaluation.report import NAMES, SetInfo, list_unjudged, table
from scripts.models.graph_temperature import SCORES, heat
from scripts.models.metrics import measure
from scripts.models.publish import CONFIG_FILE, MODEL_FILE, read_golden
from scripts.models.repository import Repository
from scripts.models.session import run_graph
from scripts.models.staging import ASSIGNED, Candidate, stage
from scripts.models.stand import Numbered
from scripts.models.text.packing import TOKENIZER_FILE, read_input, score_texts
from scripts.models.tolerance import TOLERANCE
from scripts.stack.settings import StackSettings

FEWEST: Final = 20
"""Genuine media, and fakes, below which halves say nothing."""

_COLDEST: Final = 0.051
_HOTTEST: Final = 19.9
"""A search that ends here has found no temperature: the classes do not overlap, or cannot be told apart."""


class Calibrated(msgspec.Struct, frozen=True, kw_only=True):
    """What was fitted to one half (`fitted` media), and figures of the other before and after it, with intervals.

    `version` is the new one (with a dry run, the one that there would be); `factor` is what the former temperature was
    multiplied by, 1 where it was left alone. `notes` say what the set cannot tell.
    """

    model: str
    derived_from: int
    version: int
    created: str
    set: SetInfo
    seed: int
    fitted: int
    factor: float
    temperature: float
    before: Thresholds
    after: Thresholds
    max_fpr: float
    max_fnr: float
    figures_before: dict[str, Interval]
    figures_after: dict[str, Interval]
    bootstrap: str
    notes: tuple[str, ...]
    unjudged: tuple[Unjudged, ...]
    dry_run: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked for: the largest shares of genuine media called FAKE, and of fakes called REAL."""

    max_fpr: float = 0.01
    max_fnr: float = 0.05
    seed: int = SEED
    reason: str = ""
    dry_run: bool = False


def calibrate(
    repository: Repository,
    version: Numbered,
    labelled: LabelledSet,
    settings: StackSettings,
    wish: Wish,
    *,
    at_once: int = CALLS_AT_ONCE,
    tell: Callable[[int, int], None] = lambda _done, _of: None,
) -> Calibrated:
    """Stage a calibrated copy of a version, with its report beside it; with a dry run only say what it would be.

    Raises:
        RefusedError: The set is too small, the scores tell nothing, or no thresholds keep the wished rates.
        ModelsError: The model is broken, or the copy could not be written; nothing of it stays.
        BusyError: Another command is changing the repository.
    """
    card = repository.card(*version)
    _check_size(np.asarray([sample.fake for sample in labelled.samples]))
    judgement, _ = judged_by(repository, [version], labelled, settings, at_once=at_once, tell=tell)
    p_fake, fake = scores_of([each[0] for each in judgement.judged])
    _check_size(fake)
    half, other = split(fake, wish.seed)
    factor, notes = fit(p_fake[half], fake[half])
    calibrated = temper(p_fake, factor)
    try:
        thresholds = thresholds_for(calibrated[half], fake[half], max_fpr=wish.max_fpr, max_fnr=wish.max_fnr)
    except ValueError as error:
        raise RefusedError(f"{error}. Look at these media, or allow more with --max-fpr and --max-fnr.") from error
    assert card.thresholds  # noqa: S101  # Without them nothing would have been judged.
    candidate = _candidate(repository, card, factor, thresholds)
    name = f"{labelled.name}, the half that was not fitted to"
    metrics = measure(calibrated[other], fake[other], name=name)
    candidate = replace(candidate, card=msgspec.structs.replace(candidate.card, metrics=metrics))
    reason = wish.reason or f"calibrated on {labelled.name}"
    staged = stage(repository, candidate, reason=reason, dry_run=wish.dry_run)
    report = Calibrated(
        model=card.model,
        derived_from=card.version,
        version=staged.version,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        set=SetInfo(
            name=labelled.name, real=int(np.count_nonzero(~fake)), fake=int(fake.sum()), digest=labelled.digest
        ),
        seed=wish.seed,
        fitted=len(half),
        factor=round(factor, 5),
        temperature=staged.calibration.temperature if staged.calibration else 1.0,
        before=card.thresholds,
        after=thresholds,
        max_fpr=wish.max_fpr,
        max_fnr=wish.max_fnr,
        figures_before=with_intervals(p_fake[other], fake[other], card.thresholds),
        figures_after=with_intervals(calibrated[other], fake[other], thresholds),
        bootstrap=f"{METHOD}, seed {SEED}",
        notes=(*notes, *_limits_of(fake[half], wish)),
        unjudged=judgement.unjudged,
        dry_run=wish.dry_run,
    )
    if not wish.dry_run:
        _keep(repository, report)
    return report


def _check_size(fake: NDArray[np.bool_]) -> None:
    for label, word in ((False, "genuine media"), (True, "fakes")):
        if (count := int(np.count_nonzero(fake == label))) < FEWEST:
            raise RefusedError(
                f"There are {count} {word} to judge; a calibration needs at least {FEWEST} of each class."
            )


def fit(p_fake: NDArray, fake: NDArray) -> tuple[float, tuple[str, ...]]:
    """What to multiply the temperature by, from scores and truth, and remarks on it.

    Raises:
        RefusedError: The scores tell genuine media and fakes apart no better than a coin.
    """
    factor = fit_temperature(log_odds(p_fake), fake)
    if factor > _HOTTEST:
        raise RefusedError(
            "The scores of these media tell genuine ones from fakes no better than a coin, or the wrong way round. "
            "Look at `bonafide models evaluate`; perhaps the label that means fake is another one."
        )
    if factor < _COLDEST:
        return 1.0, ("The two classes do not overlap here, so that no temperature follows; it was left as it is.",)
    return factor, ()


def _limits_of(fake: NDArray, wish: Wish) -> tuple[str, ...]:
    """What a half is too small to show."""
    notes: list[str] = []
    for label, word, wanted in ((False, "genuine media", wish.max_fpr), (True, "fakes", wish.max_fnr)):
        count = int(np.count_nonzero(fake == label))
        if wanted * count < 1:
            notes.append(
                f"{count} {word} were fitted to: a rate of {wanted:g} could not be seen among them, so the threshold "
                "lies beyond all of them, and may be overstepped by others. Bring more media for such a rate."
            )
    return tuple(notes)


def _candidate(repository: Repository, card: Card, factor: float, thresholds: Thresholds) -> Candidate:
    folder = repository.folder(card.model, card.version)
    weights = (folder / MODEL_FILE).read_bytes()
    if factor != 1.0:
        weights = heat(onnx.load_model_from_string(weights), factor).SerializeToString()
    files = {name: (folder / name).read_bytes() for name in card.files}
    inputs, before = read_golden(repository.root, card.model, card.version)
    answers = _answers(card, weights, files, inputs)
    for name, values in before.items():
        wanted = np.where(values < 0, values, temper(values, factor)) if name in SCORES else values
        if not np.abs(answers[name] - wanted).max() <= TOLERANCE[card.precision]:
            raise ModelsError(f"The graph of {card.model}:{card.version} cannot be tempered: {name} would be another.")
    former = card.calibration.temperature if card.calibration else 1.0
    calibration = Calibration(method="temperature", temperature=round(former * factor, 5))
    return Candidate(
        card=msgspec.structs.replace(
            card,
            version=ASSIGNED,
            created=datetime.now(UTC).date().isoformat(),
            calibration=calibration if factor != 1.0 else card.calibration,
            thresholds=thresholds,
            derived_from=card.version,
        ),
        weights=weights,
        config=triton_config.read_model((repository.root / card.model / CONFIG_FILE).read_bytes(), card.modality),
        golden_inputs=inputs,
        golden_outputs={name: answers[name] for name in before},
        files=files,
    )


def _answers(card: Card, weights: bytes, files: dict[str, bytes], inputs: dict[str, NDArray]) -> dict[str, Any]:
    """What the graph answers to its golden inputs, by the names of its outputs."""
    if card.modality is Modality.TEXT:
        return score_texts(weights, files[TOKENIZER_FILE].decode(), read_input(inputs["text"]))
    return dict(run_graph(weights, inputs))


def _keep(repository: Repository, report: Calibrated) -> None:
    """Put the report beside the new version. Raises `ModelsError` where it cannot be written."""
    files = {
        "report.json": msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n",
        "report.md": to_markdown(report).encode(),
    }
    here = repository.folder(report.model, report.version)
    with repository.changing():
        try:
            write_report(here / EVALUATIONS, f"{report.created[:10]}-calibration-{report.set.name}", files)
        except OSError as error:
            raise ModelsError(
                f"{report.model}:{report.version} is staged, but its report could not be written to {here}: "
                f"{error.strerror}."
            ) from error
        event = history.new_event(
            "calibrate",
            report.model,
            report.version,
            derived_from=report.derived_from,
            set=report.set.name,
            temperature=report.temperature,
            thresholds=[report.after.low, report.after.high],
        )
        history.append(repository.root, event)


def rows_of(report: Calibrated) -> list[tuple[str, ...]]:
    """Rows of figure, before, after and its interval, on the half that was not fitted to."""
    return [
        (
            NAMES[name],
            f"{report.figures_before[name].value:.4f}",
            f"{after.value:.4f}",
            f"{after.low:.4f} to {after.high:.4f}",
        )
        for name, after in report.figures_after.items()
    ]


def to_markdown(report: Calibrated) -> str:
    """The report for people."""
    others = report.set.real + report.set.fake - report.fitted
    lines = [
        f"# {report.model}:{report.version}: {report.model}:{report.derived_from} calibrated on {report.set.name}",
        "",
        f"{report.fitted} of {report.set.real} genuine media and {report.set.fake} fakes were fitted to, drawn by the",
        f"seed {report.seed}; the figures are those of the other {others}. Set `{report.set.digest}`.",
        "",
        f"The temperature is {report.temperature:g}, {report.factor:g} times the former one",
        '(Guo et al., 2017, "On Calibration of Modern Neural Networks").',
        f"The thresholds are {report.after.low:g} and {report.after.high:g}, formerly {report.before.low:g} and",
        f"{report.before.high:g}: at most {100 * report.max_fpr:g} % of genuine media called FAKE and",
        f"{100 * report.max_fnr:g} % of fakes called REAL among those fitted to.",
        "",
        *table(("figure", "before", "after", "95 % interval"), rows_of(report)),
        "",
        f"Intervals: {report.bootstrap}.",
    ]
    lines += [f"\nNote: {note}" for note in report.notes]
    if report.unjudged:
        lines += ["", "## Not judged", "", *list_unjudged(report.unjudged)]
    return "\n".join(lines) + "\n"
