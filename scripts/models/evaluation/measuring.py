"""Evaluates a version: its stand judges a labelled set, figures are made of the scores, and a report is kept."""

import asyncio
import csv
import io
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.cards import Card, Metrics
from bentos.contract import Modality, Verdict
from scripts.models import history
from scripts.models.errors import ModelsError, RefusedError
from scripts.models.evaluation.figures import METHOD, SEED, by_slice, confusion, with_intervals
from scripts.models.evaluation.judging import CALLS_AT_ONCE, Judged, Judgement, judge
from scripts.models.evaluation.labelled import LabelledSet
from scripts.models.evaluation.report import Evaluation, SetInfo, Speed, to_markdown
from scripts.models.evaluation.slices import slices_of
from scripts.models.importing.training import load
from scripts.models.metrics import measure
from scripts.models.publish import replace_card, write_file
from scripts.models.repository import Repository
from scripts.models.stand import Numbered, stand
from scripts.stack.settings import StackSettings

EVALUATIONS: Final = "evaluation"
"""Folder beside a version's weights that its reports lie in; Triton and the Bentos pass over what is in it.

But Triton sees that something in the version's folder is new, and when next told to load the model, loads the version
anew beside the one that serves: seconds of work, no call that fails.
"""

Tell = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """An evaluation, the figures of it that a card gives, and the files that it is kept as, by name."""

    report: Evaluation
    metrics: Metrics
    files: Mapping[str, bytes]


def judged_by(
    repository: Repository,
    versions: list[Numbered],
    labelled: LabelledSet,
    settings: StackSettings,
    *,
    at_once: int = CALLS_AT_ONCE,
    tell: Tell = lambda _done, _of: None,
) -> tuple[Judgement, Modality]:
    """Have versions of one modality judge a set on a stand of their own.

    Raises:
        RefusedError: They are of different modalities, or one gives no verdicts, or too little could be judged.
        ModelsError: A model is broken.
    """
    cards = [repository.card(model, version) for model, version in versions]
    for card in cards:
        if card.thresholds is None:
            raise RefusedError(
                f"{card.model}:{card.version} gives no verdicts; name the model that takes its features."
            )
    modalities = {card.modality for card in cards}
    if len(modalities) > 1:
        raise RefusedError(f"They judge different media: {', '.join(sorted(modalities))}.")
    [modality] = modalities
    with stand(repository, versions, settings, bentos=[modality]) as here:
        judgement = asyncio.run(judge(here, modality, versions, labelled.samples, at_once=at_once, tell=tell))
    for label, word in ((False, "genuine"), (True, "fake")):
        if not any(each[0].sample.fake is label for each in judgement.judged):
            first = judgement.unjudged[0]
            raise RefusedError(f"No {word} medium could be judged; {first.name}: {first.message}")
    return judgement, modality


def scores_of(judged: list[Judged]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores [n] and truth [n]."""
    p_fake = np.asarray([each.detection.p_fake for each in judged], np.float64)
    return p_fake, np.asarray([each.sample.fake for each in judged], np.bool_)


def evaluate(
    repository: Repository,
    version: Numbered,
    labelled: LabelledSet,
    settings: StackSettings,
    *,
    at_once: int = CALLS_AT_ONCE,
    tell: Tell = lambda _done, _of: None,
) -> Evaluated:
    """Measure a version on a set; nothing is written.

    Raises:
        RefusedError: It gives no verdicts, or nothing of a class could be judged.
        ModelsError: The model is broken, or matplotlib is not installed.
    """
    plots = load("scripts.models.evaluation.plots")
    judgement, _ = judged_by(repository, [version], labelled, settings, at_once=at_once, tell=tell)
    report = summarise(repository.card(*version), labelled, judgement, at_once=at_once)
    p_fake, fake = scores_of([each[0] for each in judgement.judged])
    title = f"{report.model}:{report.version} on {report.set.name}"
    files = {
        "report.json": msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n",
        "report.md": to_markdown(report).encode(),
        "scores.csv": scores_table([each[0] for each in judgement.judged]),
        **{f"{name}.svg": data for name, data in plots.draw(p_fake, fake, report.thresholds, title=title).items()},
    }
    return Evaluated(report=report, metrics=measure(p_fake, fake, name=labelled.name), files=files)


def summarise(card: Card, labelled: LabelledSet, judgement: Judgement, *, at_once: int) -> Evaluation:
    """Make the report of one version of what was judged."""
    judged = [each[0] for each in judgement.judged]
    p_fake, fake = scores_of(judged)
    thresholds = judged[0].detection.thresholds
    verdicts: list[Verdict] = [each.detection.verdict for each in judged]
    slices = [{**slices_of(each.detection.evidence), **each.sample.slices} for each in judged]
    return Evaluation(
        model=card.model,
        version=card.version,
        digest=card.digest,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        set=SetInfo(
            name=labelled.name, real=int(np.count_nonzero(~fake)), fake=int(fake.sum()), digest=labelled.digest
        ),
        thresholds=thresholds,
        figures=with_intervals(p_fake, fake, thresholds),
        bootstrap=f"{METHOD}, seed {SEED}",
        confusion=confusion(verdicts, fake),
        slices=by_slice(p_fake, fake, verdicts, slices),
        unjudged=judgement.unjudged,
        speed=speed_of(judged, judgement.seconds, at_once=at_once),
        partial=sum(each.detection.partial for each in judged),
    )


def speed_of(judged: list[Judged], seconds: float, *, at_once: int) -> Speed:
    """How fast calls were answered."""
    median, p95 = np.percentile([each.seconds * 1000 for each in judged], [50, 95])
    inference = np.median([each.detection.timings.inference_ms for each in judged])
    return Speed(
        at_once=at_once,
        media_per_s=round(len(judged) / seconds, 2),
        median_ms=round(float(median), 1),
        p95_ms=round(float(p95), 1),
        inference_median_ms=round(float(inference), 1),
    )


def scores_table(judged: list[Judged]) -> bytes:
    """Every medium with its score, as CSV with the columns path, label, p_fake and verdict."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("path", "label", "p_fake", "verdict"))
    for each in judged:
        label = "fake" if each.sample.fake else "real"
        rows.writerow((each.sample.name, label, f"{each.detection.p_fake:.6f}", each.detection.verdict))
    return text.getvalue().encode()


def keep(repository: Repository, evaluated: Evaluated, **details: Any) -> Path:
    """Put a report beside the weights and its figures into the card; return the report's folder.

    Raises:
        ModelsError: It could not be written, or the version is no longer what was measured.
        BusyError: Another command is changing the repository.
    """
    report = evaluated.report
    with repository.changing():
        card = repository.card(report.model, report.version)
        if card.digest != report.digest:
            raise ModelsError(f"{report.model}:{report.version} has other weights than those measured; evaluate again.")
        here = repository.folder(report.model, report.version)
        try:
            folder = write_report(here / EVALUATIONS, f"{report.created[:10]}-{report.set.name}", evaluated.files)
            replace_card(repository.root, msgspec.structs.replace(card, metrics=evaluated.metrics))
        except OSError as error:
            raise ModelsError(f"The report could not be written to {here}: {error.strerror}.") from error
        event = history.new_event(
            "evaluate",
            report.model,
            report.version,
            set=report.set.name,
            auc=report.figures["auc"].value,
            eer=report.figures["eer"].value,
            **details,
        )
        history.append(repository.root, event)
    return folder


def write_report(parent: Path, name: str, files: Mapping[str, bytes]) -> Path:
    """Write files into a new folder, which appears in one step; a number is added to a name that is taken."""
    aside = parent / f".{secrets.token_hex(4)}"
    try:
        for file, data in files.items():
            write_file(aside / file, data)
        folder = next(each for each in _names(parent, name) if not each.exists())
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _names(parent: Path, name: str) -> Iterator[Path]:
    yield parent / name
    for number in range(2, 10_000):
        yield parent / f"{name}-{number}"
