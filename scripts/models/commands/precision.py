"""`bonafide models quantise`: the same model in fewer bits, where its verdicts stay what they were."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

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
from scripts.models.importing.training import load
from scripts.models.names import Target


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
