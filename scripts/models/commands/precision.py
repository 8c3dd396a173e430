"""`bonafide models quantise` and `optimise`: fewer bits where the verdicts stay, and what serves best here."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from scripts.models import optimising, optimising_report
from scripts.models.commands.console import (
    NAME_VERSION,
    AsJson,
    DryRun,
    Reason,
    answer,
    repository,
    say,
    settings,
    telling,
)
from scripts.models.history import append, new_event
from scripts.models.importing.training import load
from scripts.models.names import Target
from scripts.models.publish import CONFIG_FILE
from scripts.models.trials import Wish


class Bits(StrEnum):
    """What a version can be brought to."""

    INT8 = "int8"
    FP16 = "fp16"


def quantise(
    target: Annotated[str, typer.Argument(help=NAME_VERSION)],
    *,
    precision: Annotated[Bits, typer.Option(help="int8 for processors, fp16 for GPUs.")],
    data: Annotated[
        Path, typer.Option(exists=True, help="Labelled media: a folder with real/ and fake/ in it, or a CSV.")
    ],
    calibration_data: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Media for the ranges of int8; by default each fourth of --data, which then does not count.",
        ),
    ] = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Stage a version in fewer bits, if its verdicts are those of the version that it is made of.

    Both judge --data on a second Triton: at least 99 % of their verdicts must be equal and the AUC may drop by 0.005
    at most, or nothing is staged and the figures are told.

    Example: bonafide models quantise vit_faces:1 --precision int8 --data media/evaluation
    """
    with telling(as_json=as_json):
        quantising = load("scripts.models.quantising")
        here = repository()
        model, version = here.resolve(Target.parse(target))
        order = quantising.Order(
            model=model,
            version=version,
            precision=precision.value,
            data=data,
            calibration_data=calibration_data,
            reason=reason,
            dry_run=dry_run,
        )
        done = quantising.quantise(here, order, settings(), tell=say)

    def text(console: Console) -> None:
        table = Table("way", "equal verdicts", "AUC before", "after", "largest Δ", "MB", "")
        for each in done.attempts:
            found = each.agreement
            table.add_row(
                each.way,
                f"{found.agreement:.2%} of {found.n}",
                f"{found.auc_before:.4f}",
                f"{found.auc_after:.4f}",
                f"{found.largest:.3f}",
                f"{each.megabytes} of {done.megabytes_before}",
                "kept" if each.holds else "refused",
            )
        console.print(table)
        name = f"{done.card.model}:{done.card.version}"
        console.print(f"{'Would stage' if done.dry_run else 'Staged'} {name}.", highlight=False)
        if not done.dry_run:
            console.print(f"Next: bonafide models optimise {name} --p95-ms 200", highlight=False)

    answer(done, as_json=as_json, text=text)


def optimise(
    target: Annotated[str, typer.Argument(help=NAME_VERSION)],
    *,
    p95_ms: Annotated[float, typer.Option("--p95-ms", min=1.0, help="What 95 of 100 answers may take at most.")],
    callers: Annotated[
        int, typer.Option(min=1, max=256, help="Callers who ask again as soon as they are answered.")
    ] = 8,
    budget: Annotated[float, typer.Option(min=5.0, help="Seconds that may be spent on it.")] = 120.0,
    data: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Media to ask with; else the golden inputs.")
    ] = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Try threads, instances, batching and staged precisions on this machine, and write the best into config.pbtxt.

    The table of what was tried is put beside it, as optimised.md and optimised.json. A running Triton takes the new
    settings over when the model is loaded again. Ctrl-C ends it with the best so far.

    Example: bonafide models optimise vit_faces:1 --p95-ms 250
    """
    with telling(as_json=as_json):
        here = repository()
        model, version = here.resolve(Target.parse(target))
        wish = Wish(model=model, version=version, p95_ms=p95_ms, callers=callers, budget_s=budget, data=data)
        found = optimising.optimise(here, wish, settings(), tell=say)
        found = msgspec.structs.replace(found, dry_run=dry_run)
        if not dry_run:
            optimising.write_optimised(here, found, optimising_report.render(found))
            event = new_event("optimise", model, version, reason=reason or optimising_report.sentence(found))
            append(here.root, event)

    def text(console: Console) -> None:
        table = Table(*optimising_report.HEADS)
        for trial in found.trials:
            table.add_row(*optimising_report.cells(trial))
        console.print(table)
        console.print(optimising_report.sentence(found), highlight=False, markup=False)
        if found.best is not None:
            done = "Would write it" if dry_run else "Written"
            console.print(f"{done} into {here.root / model / CONFIG_FILE}.", highlight=False, markup=False)

    answer(found, as_json=as_json, text=text)
