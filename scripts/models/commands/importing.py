"""`bonafide models import`: bring a model from a hub, a folder or a file, and stage it without serving it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer
from rich.console import Console

from bentos.cards import Card, Precision
from bentos.contract import Modality
from scripts.models.commands.console import AsJson, DryRun, Reason, answer, repository, say, settings, telling
from scripts.models.errors import RefusedError
from scripts.models.importing.importer import Imported, import_model
from scripts.models.importing.training import load
from scripts.models.importing.wishes import Wishes
from scripts.models.repository import Repository


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was staged (with a dry run, would be): the cards, encoder first, and how they were read."""

    dry_run: bool
    seconds: float
    versions: list[Card]
    notes: list[str]


def import_command(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="A repository id on the hub, a folder of transformers, a .h5, .keras or .onnx file, "
            "or two files: a frame encoder and its head.",
        ),
    ],
    *,
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="What the model is called in the repository.")],
    modality: Annotated[Modality | None, typer.Option(help="What it judges, where the source does not say.")] = None,
    fake_label: Annotated[
        list[str] | None,
        typer.Option(
            "--fake-label",
            help="The label that means fake, or its number, where the names are unclear; several times for several. "
            "For a single output value: 1 where a high value means fake, 0 where a low one does.",
        ),
    ] = None,
    input_size: Annotated[
        int | None,
        typer.Option(
            min=1, max=4096, help="Side of the square crop in pixels, or seconds of sound, where the source is open."
        ),
    ] = None,
    margin: Annotated[
        float, typer.Option(min=0.0, max=2.0, help="What is added round a face on each side, as a share of it.")
    ] = 0.3,
    scale: Annotated[
        str | None,
        typer.Option(
            help="What was done to media before a Keras or ONNX file: to pixels raw, 1/255, -1..1, imagenet or caffe; "
            "to sound raw or normalised."
        ),
    ] = None,
    output: Annotated[
        Literal["logits", "probabilities"] | None, typer.Option(help="What a file's last layer gives, where unclear.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=2, max=64, help="Frames of a video head that takes any number of them.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="The layer of a frame encoder whose values its head takes, where unclear.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Commit, tag or branch of a repository on the hub.")] = None,
    samples: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Folder of real media to check the conversion with."),
    ] = None,
    trust_pickle: Annotated[
        bool, typer.Option("--trust-pickle", help="Open weights that only Python's pickle can read.")
    ] = False,
    licence: Annotated[str | None, typer.Option(help="Licence of the weights, where the source does not say.")] = None,
    title: Annotated[str | None, typer.Option(help="What listings call the model.")] = None,
    description: Annotated[str | None, typer.Option(help="What listings say of it.")] = None,
    precision: Annotated[
        Precision,
        typer.Option(help="Also stage it in int8 or fp16, where its verdicts over --data stay what they are."),
    ] = "fp32",
    data: Annotated[
        Path | None, typer.Option(exists=True, help="Labelled media for --precision: real/ and fake/, or a CSV.")
    ] = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Bring a model into the repository's contract and stage it; nothing is sent to it until it is rolled out.

    Example: bonafide models import dima806/deepfake_vs_real_image_detection --as vit_faces
    """
    started = time.monotonic()
    with telling(as_json=as_json):
        if precision != "fp32" and data is None:
            raise RefusedError(f"Whether {precision} gives the same verdicts is proved on labelled media: give --data.")
        if trust_pickle:
            say("warning: --trust-pickle opens weights by Python's pickle; bring only what you trust.")
        wishes = Wishes(
            name=name,
            modality=modality,
            fake_labels=tuple(fake_label or ()),
            input_size=input_size,
            trust_pickle=trust_pickle,
            licence=licence,
            title=title,
            description=description,
            samples=samples,
            margin=margin,
            revision=revision,
            scale=scale,
            output=output,
            frames=frames,
            layer=layer,
            tell=_clock(started),
        )
        here = repository()
        imported = import_model(sources, wishes, here, reason=reason, dry_run=dry_run)
        if precision != "fp32" and data is not None and not dry_run:
            imported.append(_in_fewer_bits(here, imported[-1].card, precision, data, wishes.tell))
    report = Report(
        dry_run=dry_run,
        seconds=round(time.monotonic() - started, 1),
        versions=[each.card for each in imported],
        notes=[note for each in imported for note in each.notes],
    )
    answer(report, as_json=as_json, text=lambda console: _print(console, imported, report))


def _in_fewer_bits(
    here: Repository, card: Card, precision: Precision, data: Path, tell: Callable[[str], None]
) -> Imported:
    """Stage what was just imported in another precision too. Raises `RefusedError`; the import itself stays then."""
    quantising = load("scripts.models.quantising")
    order = quantising.Order(model=card.model, version=card.version, precision=precision, data=data)
    done = quantising.quantise(here, order, settings(), tell=tell)
    kept = done.attempts[-1]
    return Imported(card=done.card, notes=(f"{kept.way}: {kept.agreement}.",), megabytes=kept.megabytes)


def _clock(started: float) -> Callable[[str], None]:
    return lambda text: say(f"[{time.monotonic() - started:6.1f} s] {text}")


def _print(console: Console, imported: list[Imported], report: Report) -> None:
    done = "Would stage" if report.dry_run else "Staged"
    for each in imported:
        card = each.card
        parity = card.parity
        checked = f", parity {parity.largest:.1e} over {parity.n} against {parity.framework}" if parity else ""
        _line(console, f"{done} {card.model}:{card.version} ({each.megabytes:.1f} MB{checked}).")
        for note in each.notes:
            _line(console, f"  {note}")
    last = imported[-1].card
    if not report.dry_run:
        _line(console, f"In {report.seconds:.0f} s. Nothing is sent to it yet.")
        _line(console, f"Next: bonafide models validate {last.model}:{last.version}")


def _line(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False)
