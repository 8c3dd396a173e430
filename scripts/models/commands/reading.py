"""`bonafide models list`, `show` and `history`: what there is, what is served, and what happened."""

from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from bentos.cards import Card, Route
from scripts.models import history as log
from scripts.models.commands.console import NAME_VERSION, AsJson, answer, repository, telling
from scripts.models.errors import ModelsError
from scripts.models.names import Target
from scripts.models.repository import Repository

_DIGITS: Final = 19
"""Characters of a digest that are shown in tables: its kind, a colon and twelve digits."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A version in a listing; `roles` says what it is asked for, `loaded` whether Triton is told to load it."""

    model: str
    version: int
    modality: str
    roles: tuple[str, ...]
    loaded: bool
    precision: str
    auc: float | None
    digest: str
    demo: bool
    problem: str = ""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A version, where it lies, and what it is asked for."""

    card: Card
    route: Route | None
    roles: tuple[str, ...]
    loaded: bool
    folder: str


def list_models(*, as_json: AsJson = False) -> None:
    """List all models with their versions and traffic.

    Example: bonafide models list --json
    """
    with telling(as_json=as_json):
        here = repository()
        rows = [_row(here, model, version) for model in here.models() for version in here.versions(model)]

    def text(console: Console) -> None:
        table = Table("model", "version", "modality", "traffic", "loaded", "precision", "AUC", "digest")
        for row in rows:
            table.add_row(
                row.model,
                str(row.version),
                row.modality or "?",
                row.problem or ", ".join(row.roles) or "staged",
                "yes" if row.loaded else "",
                row.precision,
                "" if row.auc is None else f"{row.auc:.3f}",
                row.digest[:_DIGITS] + (" (demo weights)" if row.demo else ""),
            )
        console.print(table)

    answer(rows, as_json=as_json, text=text)


def show(target: Annotated[str, typer.Argument(help=NAME_VERSION)], *, as_json: AsJson = False) -> None:
    """Show the card and the traffic of a version.

    Example: bonafide models show image_cnn:1
    """
    with telling(as_json=as_json):
        here = repository()
        model, version = here.resolve(Target.parse(target))
        shown = Shown(
            card=here.card(model, version),
            route=here.route(model),
            roles=roles_of(here.route(model), version),
            loaded=version in here.listed(model),
            folder=str(here.folder(model, version)),
        )
    answer(shown, as_json=as_json, text=lambda console: console.print_json(data=msgspec.to_builtins(shown)))


def history(
    model: Annotated[str | None, typer.Argument(help="Only what happened to this model or ensemble.")] = None,
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Most events to show, the newest.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show who changed what, when and why, oldest first.

    Example: bonafide models history image_cnn
    """
    with telling(as_json=as_json):
        events = log.read(repository().root, model=model)[-limit:]

    def text(console: Console) -> None:
        table = Table("when", "who", "what", "model", "version", "why")
        for event in events:
            version = "" if event.version is None else str(event.version)
            table.add_row(event.at, event.who, event.action, event.model, version, event.reason)
        console.print(table)

    answer(events, as_json=as_json, text=text)


def roles_of(route: Route | None, version: int) -> tuple[str, ...]:
    """Return what a version of a model with this route is asked for: stable, canary, shadow, previous."""
    if route is None:
        return ()
    canary = route.canary.version if route.canary else None
    named = {"stable": route.stable, "canary": canary, "shadow": route.shadow, "previous": route.previous}
    return tuple(role for role, number in named.items() if number == version)


def _row(here: Repository, model: str, version: int) -> Row:
    roles, loaded = roles_of(here.route(model), version), version in here.listed(model)
    try:
        card = here.card(model, version)
    except ModelsError as error:
        return Row(
            model=model,
            version=version,
            modality="",
            roles=roles,
            loaded=loaded,
            precision="",
            auc=None,
            digest="",
            demo=False,
            problem=str(error),
        )
    return Row(
        model=model,
        version=version,
        modality=card.modality,
        roles=roles,
        loaded=loaded,
        precision=card.precision,
        auc=card.metrics.auc if card.metrics else None,
        digest=card.digest,
        demo=card.demo,
    )
