"""`bonafide models ensemble declare` and `withdraw`: several models that answer as one."""

from typing import Annotated

import typer
from rich.console import Console

from bentos.cards import Ensemble, Fusion
from bentos.contract import Modality
from scripts.models import ensembles
from scripts.models.commands.console import AsJson, DryRun, Reason, answer, repository, telling, wait_heard
from scripts.models.ensembles import Declaration, Declared, read_member

ensemble = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Have several models answer as one: declare, withdraw."
)


@ensemble.command()
def declare(
    name: Annotated[str, typer.Argument(help="Name of the ensemble; callers ask for it like for a model.")],
    *,
    member: Annotated[
        list[str], typer.Option("--member", "-m", help="A model with traffic, or MODEL:WEIGHT; once for each.")
    ],
    fusion: Annotated[Fusion, typer.Option("--fusion", help="How the members' scores become one.")] = "mean",
    modality: Annotated[
        Modality | None, typer.Option("--modality", help="What it judges; else what its members judge.")
    ] = None,
    low: Annotated[
        float | None, typer.Option("--low", min=0, max=1, help="Below is REAL; else the mean of the members'.")
    ] = None,
    high: Annotated[
        float | None, typer.Option("--high", min=0, max=1, help="From here on is FAKE; else the mean of the members'.")
    ] = None,
    minimum: Annotated[int, typer.Option("--minimum", min=1, help="Fewer answers of members are no answer.")] = 1,
    title: Annotated[str | None, typer.Option("--title", help="Its name for people.")] = None,
    description: Annotated[str | None, typer.Option("--description", help="A sentence for listings.")] = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Declare an ensemble, or change the declaration of one. Its members go on answering by themselves too.

    Example: bonafide models ensemble declare faces --member image_cnn --member vit_faces:2 --fusion weighted
    """
    with telling(as_json=as_json):
        wished = Declaration(
            name=name,
            members=tuple(read_member(text) for text in member),
            fusion=fusion,
            modality=modality,
            low=low,
            high=high,
            minimum=minimum,
            title=title,
            description=description,
            reason=reason,
        )
        declared = ensembles.declare(repository(), wished, dry_run=dry_run)
        if declared.changed and not dry_run:
            wait_heard()
    answer(declared, as_json=as_json, text=lambda console: _tell(console, declared))


@ensemble.command()
def withdraw(
    name: Annotated[str, typer.Argument(help="The ensemble.")],
    *,
    reason: Reason = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Withdraw an ensemble. Its members go on as before.

    Example: bonafide models ensemble withdraw faces --reason "vit_faces alone is as good"
    """
    with telling(as_json=as_json):
        withdrawn = ensembles.withdraw(repository(), name, reason=reason, dry_run=dry_run)
        if not dry_run:
            wait_heard()
    payload = {"name": name, "ensemble": withdrawn, "dry_run": dry_run}
    verb = "would be" if dry_run else "is"
    answer(payload, as_json=as_json, text=lambda console: console.print(f"The ensemble {name} {verb} withdrawn."))


def _tell(console: Console, declared: Declared) -> None:
    it, name = declared.ensemble, declared.name
    if not declared.changed:
        console.print(f"{name} is declared like that already, as version {it.version}.")
        return
    verb = "would be" if declared.dry_run else "is"
    console.print(f"{name} {verb} declared as version {it.version}: {_members(it)}, fusion {it.fusion}, {it.modality}.")
    console.print(
        f"REAL below {it.thresholds.low:g}, FAKE from {it.thresholds.high:g} on; at least {it.minimum} answer."
    )


def _members(it: Ensemble) -> str:
    weighted = it.fusion == "weighted"
    return ", ".join(f"{member.model} x {member.weight:g}" if weighted else member.model for member in it.members)
