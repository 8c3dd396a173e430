"""`bonafide models list`, `show`, `history` and `diff`: what there is, what is served, and what happened."""

import contextlib
import sys
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bentos.cards import Card, Ensemble, Route, TrafficTable
from scripts.models import history as log
from scripts.models.commands.console import NAME_VERSION, AsJson, answer, repository, telling
from scripts.models.differing import Differences, differences
from scripts.models.errors import ModelsError
from scripts.models.names import Target
from scripts.models.repository import Repository
from scripts.models.traffic import pins

_DIGITS: Final = 8
"""Hexadecimal digits of a digest that are shown in tables."""
_WIDTH: Final = 80
"""Characters of a line that tables keep to; what is not a terminal has no width of its own."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A version in a listing.

    `roles` say what it is asked for: stable, canary, shadow, previous, or "pinned by" the models whose encoder it is;
    none of a version that is only staged. `needed` says whether Triton has to have it loaded.
    """

    model: str
    version: int
    modality: str
    roles: tuple[str, ...]
    needed: bool
    precision: str
    auc: float | None
    digest: str
    demo: bool
    problem: str = ""


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be asked: versions, the ensembles by name, and the default of each modality."""

    versions: tuple[Row, ...]
    ensembles: dict[str, Ensemble]
    defaults: dict[str, str]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A version, where it lies, and what it is asked for; `roles` and `needed` as in a listing."""

    card: Card
    route: Route | None
    roles: tuple[str, ...]
    needed: bool
    folder: str


def list_models(*, as_json: AsJson = False) -> None:
    """List all models with their versions and traffic.

    Example: bonafide models list --json
    """
    with telling(as_json=as_json):
        here = repository()
        table = here.table()
        pinned = _pinned(here)
        listing = Listing(
            versions=tuple(
                _row(here, table, pinned, model, version) for model in here.models() for version in here.versions(model)
            ),
            ensembles=table.ensembles,
            defaults={str(modality): name for modality, name in table.defaults.items()},
        )
    answer(listing, as_json=as_json, text=lambda console: _print(console, listing))


def show(target: Annotated[str, typer.Argument(help=NAME_VERSION)], *, as_json: AsJson = False) -> None:
    """Show the card and the traffic of a version.

    Example: bonafide models show image_cnn:1
    """
    with telling(as_json=as_json):
        here = repository()
        model, version = here.resolve(Target.parse(target))
        roles = roles_of(here.table(), _pinned(here), model, version)
        shown = Shown(
            card=here.card(model, version),
            route=here.route(model),
            roles=roles,
            needed=bool(roles),
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
        table = _table("when (UTC)", "who", "what", "which", "why")
        for event in events:
            which = event.model if event.version is None else f"{event.model}:{event.version}"
            when = event.at[:19].replace("T", " ")
            table.add_row(*map(Text, (when, event.who, event.action, which, event.reason)))
        console.print(table)

    answer(events, as_json=as_json, text=text)


def diff(
    first: Annotated[str, typer.Argument(help=NAME_VERSION)],
    second: Annotated[str, typer.Argument(help=NAME_VERSION)],
    *,
    as_json: AsJson = False,
) -> None:
    """Show where two versions differ: their cards, their sizes, and how they answer the golden inputs.

    Example: bonafide models diff image_cnn:1 image_cnn:2
    """
    with telling(as_json=as_json):
        here = repository()
        found = differences(here, here.resolve(Target.parse(first)), here.resolve(Target.parse(second)))
    answer(found, as_json=as_json, text=lambda console: _print_differences(console, found))


def roles_of(
    table: TrafficTable, pinned: Mapping[tuple[str, int], frozenset[str]], model: str, version: int
) -> tuple[str, ...]:
    """Return what a version is asked for: stable, canary, shadow, previous, or by the models that it is pinned by."""
    route = table.models.get(model)
    roles: list[str] = []
    if route is not None:
        canary = route.canary.version if route.canary else None
        named = {"stable": route.stable, "canary": canary, "shadow": route.shadow, "previous": route.previous}
        roles = [role for role, number in named.items() if number == version]
        if route.canary and canary == version:
            roles[roles.index("canary")] = f"canary {route.canary.percent:g} %"
    return (*roles, *(f"pinned by {head}" for head in sorted(pinned.get((model, version), ()))))


def _pinned(here: Repository) -> Mapping[tuple[str, int], frozenset[str]]:
    """The encoders that versions with traffic need; a broken card pins none and is told of in its own row."""
    cards: dict[tuple[str, int], Card] = {}
    for model, route in here.table().models.items():
        for version in route.versions:
            with contextlib.suppress(ModelsError):
                cards[model, version] = here.card(model, version)
    return pins(here.table(), cards)


def _row(
    here: Repository,
    table: TrafficTable,
    pinned: Mapping[tuple[str, int], frozenset[str]],
    model: str,
    version: int,
) -> Row:
    roles = roles_of(table, pinned, model, version)
    try:
        card = here.card(model, version)
    except ModelsError as error:
        return Row(
            model=model,
            version=version,
            modality="",
            roles=roles,
            needed=bool(roles),
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
        needed=bool(roles),
        precision=card.precision,
        auc=card.metrics.auc if card.metrics else None,
        digest=card.digest,
        demo=card.demo,
    )


def _print(console: Console, listing: Listing) -> None:
    table = _table("version", "media", "traffic", "type", "AUC", "digest")
    for row in listing.versions:
        default = ["default"] if _is_default(listing, row) else []
        table.add_row(
            Text(f"{row.model}:{row.version}"),
            row.modality or "?",
            Text(row.problem or ", ".join((*row.roles, *default)) or "staged"),
            row.precision + (" demo" if row.demo else ""),
            "" if row.auc is None else f"{row.auc:.3f}",
            row.digest.removeprefix("sha256:")[:_DIGITS],
        )
    console.print(table)
    for name, ensemble in listing.ensembles.items():
        members = ", ".join(f"{member.model} ({member.weight:g})" for member in ensemble.members)
        text = f"Ensemble {name}:{ensemble.version} of {ensemble.modality}, {ensemble.fusion} of {members}."
        console.print(text, highlight=False, markup=False)


def _is_default(listing: Listing, row: Row) -> bool:
    return listing.defaults.get(row.modality) == row.model and "stable" in row.roles


def _print_differences(console: Console, found: Differences) -> None:
    table = _table("", found.first, found.second)
    for each in found.card:
        table.add_row(each.field, *(Text("" if value is None else str(value)) for value in (each.first, each.second)))
    table.add_row("model.onnx", *(f"{size:g} MB" for size in found.megabytes))
    console.print(table)
    golden = found.golden
    if golden is None:
        text = "They have no golden inputs in common."
    else:
        others = "" if golden.verdicts is None else f", other verdicts: {golden.verdicts}"
        text = f"Of {golden.n} golden inputs: |Δ p_fake| at most {golden.largest:.4f}, mean {golden.mean:.4f}{others}."
    console.print(text, highlight=False, markup=False)


def _table(*columns: str) -> Table:
    """A table that fits a terminal of 80 characters: what is longer goes on in the next line of its cell."""
    table = Table(*columns, box=SIMPLE, width=None if sys.stdout.isatty() else _WIDTH, pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"
    return table
