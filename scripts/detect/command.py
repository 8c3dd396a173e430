"""The `bonafide detect` command: expands its arguments, sends a few files at a time, shows what came back."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bonafide_client import AsyncBonafide, Timeouts
from bonafide_client.schemas.detections import Modality
from scripts.detect.handing_over import EXIT_FAKE_FOUND, EXIT_NO_VERDICT, EXIT_USAGE, Request, detect_folder
from scripts.detect.outcomes import UNREACHABLE, Options, Outcome, detect
from scripts.detect.rendering import as_record, as_table
from scripts.detect.sources import MissingSourceError, Source, find_sources


def detect_command(
    files: Annotated[list[str], typer.Argument(help="Files, folders (searched recursively), or - for standard input.")],
    url: Annotated[str, typer.Option(envvar="BONAFIDE_URL", help="Address of the gateway.")] = "http://127.0.0.1:8000",
    key: Annotated[
        str | None,
        typer.Option(envvar="BONAFIDE_API_KEY", help="API key. Default: the local one that `bonafide up` wrote."),
    ] = None,
    modality: Annotated[
        str | None,
        typer.Option(help="image, video, audio or text. Default: found from the content, and for texts from the name."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model to ask. Default: the default of the modality.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Files under way at once.")] = 4,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for one file.")] = 300.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line instead of a table.")] = False,
    fail_on_fake: Annotated[bool, typer.Option(help="Exit with 3 when a file is judged FAKE.")] = False,
    as_async: Annotated[
        bool, typer.Option("--async", help="Hand a folder over as a batch, and go on with it where it was stopped.")
    ] = False,
    recursive: Annotated[bool, typer.Option(help="With --async: look into folders within the folder.")] = True,
    wait: Annotated[bool, typer.Option(help="With --async: wait for the verdicts; else print the batches.")] = True,
    store: Annotated[
        bool | None, typer.Option("--store/--no-store", help="With --async: whether the files are kept there.")
    ] = None,
    anew: Annotated[bool, typer.Option("--anew", help="With --async: forget what was handed over before.")] = False,
    jsonl: Annotated[Path | None, typer.Option(help="With --async: file for the results as JSON lines.")] = None,
    csv: Annotated[Path | None, typer.Option(help="With --async: file for the results as a table.")] = None,
) -> None:
    """Ask for verdicts on files.

    A file that the gateway cannot take at the moment is sent again, as long as it is worth waiting.

    Exit status: 0 when every file got a verdict, 1 when one did not, 2 when the call itself is wrong, and with
    --fail-on-fake 3 when every file got a verdict and one of them is FAKE.

    With --async a folder is sent as uploads and judged by the workers of the platform. After Ctrl-C, or when anything
    else broke it off, the same command goes on: no file is sent or charged twice. Files that have not changed since
    are not handed over again, unless --anew says so.

    Example: bonafide detect holiday.jpg interview.mp4 recordings/

    Example: bonafide detect --async recordings/ --csv verdicts.csv
    """
    errors = Console(stderr=True)
    if as_async:
        folder = Path(files[0])
        if len(files) > 1 or not folder.is_dir() or modality is not None:
            errors.print("[red]--async takes one folder, and finds the modality of each file by itself[/]")
            raise typer.Exit(EXIT_USAGE)
        request = Request(
            folder=folder,
            url=url,
            key=key or _local_key(errors),
            model=model,
            store=store,
            recursive=recursive,
            anew=anew,
            wait=wait,
            concurrency=concurrency,
            jsonl=jsonl,
            csv=csv,
            as_json=as_json,
            fail_on_fake=fail_on_fake,
        )
        raise typer.Exit(detect_folder(request, errors))
    try:
        sources = find_sources(files, sys.stdin.buffer, texts=modality == "text")
    except MissingSourceError as error:
        errors.print(f"[red]{error}[/]")
        raise typer.Exit(EXIT_USAGE) from error
    # Which modalities there are is the gateway's to say.
    asked = cast("Modality | None", modality)
    options = Options(url=url, key=key or _local_key(errors), modality=asked, model=model, timeout_s=timeout)
    try:
        outcomes = asyncio.run(_detect_all(sources, options, concurrency, errors))
    except ValueError as error:
        errors.print(f"[red]{error}[/]")
        raise typer.Exit(EXIT_USAGE) from error
    if as_json:
        for outcome in outcomes:
            print(json.dumps(as_record(outcome)))
    else:
        Console().print(as_table(outcomes))
    if any(outcome.detection is None for outcome in outcomes):
        raise typer.Exit(EXIT_NO_VERDICT)
    if fail_on_fake and any(outcome.detection and outcome.detection.verdict == "FAKE" for outcome in outcomes):
        raise typer.Exit(EXIT_FAKE_FOUND)


async def _detect_all(sources: Sequence[Source], options: Options, concurrency: int, errors: Console) -> list[Outcome]:
    """Send the sources, at most `concurrency` at once; the outcomes are in the order of the sources."""
    gate = asyncio.Semaphore(concurrency)
    progress = Progress(
        TextColumn("detecting"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    )
    timeouts = Timeouts(answer=options.timeout_s, verdict=options.timeout_s, total=options.timeout_s)
    unreachable: Outcome | None = None
    async with AsyncBonafide(base_url=options.url, api_key=options.key, timeouts=timeouts) as client:
        with progress:
            bar = progress.add_task("detecting", total=len(sources))

            async def one(source: Source) -> Outcome:
                nonlocal unreachable
                async with gate:
                    # Where nothing listens, patience is spent on a few files, and not on each of a thousand.
                    if unreachable is None:
                        outcome = await detect(client, source, options)
                    else:
                        outcome = replace(unreachable, source=source)
                if outcome.code == UNREACHABLE:
                    unreachable = outcome
                progress.advance(bar)
                return outcome

            return list(await asyncio.gather(*(one(source) for source in sources)))


def _local_key(errors: Console) -> str:
    """The key of the local account, from the data folder of the platform that runs here."""
    file = Path(os.environ.get("BONAFIDE_HOME", ".bonafide")) / "api-key"
    try:
        return file.read_text().strip()
    except OSError as error:
        errors.print(
            f"[red]No API key: set BONAFIDE_API_KEY or pass --key (and {file} cannot be read: {error.strerror}).[/]"
        )
        raise typer.Exit(EXIT_USAGE) from error
