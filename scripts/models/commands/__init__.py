"""`bonafide models`: the life of a model's versions, from where the field publishes them to live traffic and back."""

from typing import Final

import typer

from scripts.lazy import Commands, lazy_group

COMMANDS: Final[Commands] = {
    "import": ("scripts.models.commands.importing", "import_command"),
    "quantise": ("scripts.models.commands.precision", "quantise"),
    "optimise": ("scripts.models.commands.precision", "optimise"),
    "list": ("scripts.models.commands.reading", "list_models"),
    "show": ("scripts.models.commands.reading", "show"),
    "history": ("scripts.models.commands.reading", "history"),
    "diff": ("scripts.models.commands.reading", "diff"),
    "rollout": ("scripts.models.commands.rollout", "rollout"),
    "promote": ("scripts.models.commands.rolling", "promote"),
    "rollback": ("scripts.models.commands.rolling", "rollback"),
    "retire": ("scripts.models.commands.rolling", "retire"),
    "default": ("scripts.models.commands.rolling", "default"),
    "ensemble": ("scripts.models.commands.ensembles", "ensemble"),
    "validate": ("scripts.models.commands.proving", "validate"),
    "evaluate": ("scripts.models.commands.measuring", "evaluate"),
    "calibrate": ("scripts.models.commands.measuring", "calibrate"),
    "compare": ("scripts.models.commands.measuring", "compare"),
}

models = typer.Typer(
    cls=lazy_group(COMMANDS),
    no_args_is_help=True,
    add_completion=False,
    help="Bring a model, prove it, roll it out, take it back.",
)


@models.callback()
def _models() -> None:
    """Bring a model, prove it, roll it out, take it back."""
