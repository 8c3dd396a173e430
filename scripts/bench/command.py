"""The `bonafide bench` command: reads its options, runs, writes the results and prints them."""

from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console

from scripts.bench.errors import BenchError
from scripts.bench.plot import plot
from scripts.bench.report import Results, render
from scripts.bench.run import CHECKOUT, Options, Part, run

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_NOT_REACHED: Final = 3


def bench_command(
    only: Annotated[list[Part] | None, typer.Option(help="Measure this part alone; may be repeated.")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Length of one measuring window.")] = 12.0,
    rounds: Annotated[int, typer.Option(min=1, help="Windows of each side at each number of callers.")] = 3,
    callers: Annotated[str, typer.Option(help="Numbers of callers, separated by commas.")] = "1,8,32",
    pictures: Annotated[int, typer.Option(min=32, help="Different pictures.")] = 48,
    keras: Annotated[bool, typer.Option(help="Also measure the server that people write today.")] = True,
    rows: Annotated[int, typer.Option(min=1000, help="Detections in the long history.")] = 1_000_000,
    logins: Annotated[int, typer.Option(min=20, help="Failed logins, half of them with known e-mails.")] = 2000,
    streams: Annotated[int, typer.Option(min=2, help="Jobs that are followed live at once.")] = 1000,
    folder: Annotated[Path, typer.Option(help="Where media, state and results go.")] = CHECKOUT / ".bench",
    strict: Annotated[bool, typer.Option(help="Exit with 3 when a target was not reached.")] = False,
) -> None:
    """Measure Bonafide beside the bare loop and beside a FastAPI server with Keras and mtcnn in the web process.

    It starts and stops a platform of its own, in its own data folder and on free ports. Results go to `results.json`,
    `results.md` and `results.png` in the folder.
    """
    console = Console(stderr=True)
    try:
        counts = tuple(int(each) for each in callers.split(","))
    except ValueError as error:
        console.print(f"[red]--callers {callers} is not a list of numbers[/]")
        raise typer.Exit(EXIT_USAGE) from error
    options = Options(
        parts=frozenset(only or Part),
        seconds=seconds,
        rounds=rounds,
        callers=counts,
        pictures=pictures,
        keras=keras,
        rows=rows,
        logins=logins,
        streams=streams,
        folder=folder.resolve(),
    )
    try:
        results = run(options, lambda text: console.print(text, highlight=False))
    except BenchError as error:
        console.print(f"{type(error).__name__}: {error}", style="red", markup=False)
        raise typer.Exit(EXIT_FAILED) from error
    _write(results, options.folder)
    print(render(results))
    if strict and not all(outcome.reached for outcome in results.outcomes):
        raise typer.Exit(EXIT_NOT_REACHED)


def _write(results: Results, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2))
    (folder / "results.md").write_text(render(results), encoding="utf-8")
    if results.image:
        plot(results.image, folder / "results.png")
