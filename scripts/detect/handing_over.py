"""How `bonafide detect --async` looks: what it is asked, its progress, its results on the terminal and in files."""

import asyncio
import csv
import json
from collections.abc import AsyncIterable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from bonafide_client import AsyncBonafide, BonafideError, Timeouts
from scripts.detect.folder import FolderOptions, FolderRun, Shown, unwrapped
from scripts.detect.ledger import BusyError, Ledger, open_ledger
from scripts.detect.rendering import COLOURS
from scripts.detect.sources import MEDIA_SUFFIXES

EXIT_NO_VERDICT: Final = 1
EXIT_USAGE: Final = 2
EXIT_FAKE_FOUND: Final = 3
EXIT_INTERRUPTED: Final = 130
COLUMNS: Final = (
    "file",
    "status",
    "verdict",
    "p_fake",
    "confidence",
    "model",
    "version",
    "error_code",
    "error_message",
)
_MOST_ROWS: Final = 200
_FORMULA: Final = tuple("=+-@\t\r\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked for on the command line."""

    folder: Path
    url: str
    key: str
    model: str | None
    store: bool | None
    recursive: bool
    anew: bool
    wait: bool
    concurrency: int
    jsonl: Path | None
    csv: Path | None
    as_json: bool
    fail_on_fake: bool


@dataclass(slots=True)
class Counts:
    """How the items ended."""

    verdicts: dict[str, int]
    without: int = 0

    def add(self, one: dict[str, Any]) -> None:
        """One more item."""
        judged = one.get("detection")
        if judged is None:
            self.without += 1
        else:
            self.verdicts[judged["verdict"]] = self.verdicts.get(judged["verdict"], 0) + 1

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.verdicts.values()) + self.without


def detect_folder(request: Request, errors: Console) -> int:
    """Hand a folder over; returns the exit status."""
    files = find_files(request.folder, recursive=request.recursive)
    if not files:
        errors.print(f"[red]{request.folder}: the folder holds no media[/]")
        return EXIT_USAGE
    asked = f"{request.model or ''} {request.store}"
    try:
        ledger = open_ledger(request.folder, url=request.url, key=request.key, asked=asked, anew=request.anew)
    except (BusyError, OSError) as error:
        errors.print(f"[red]{error}[/]")
        return EXIT_USAGE
    try:
        return asyncio.run(_run(request, files, ledger, errors))
    except KeyboardInterrupt:
        errors.print("Stopped. The same command goes on from here; nothing is sent or charged twice.")
        return EXIT_INTERRUPTED
    except ValueError as error:
        errors.print(f"[red]{error}[/]")
        return EXIT_USAGE
    except (BonafideError, BaseExceptionGroup) as error:
        known = unwrapped(error)
        if known is None:
            raise
        errors.print(f"[red]{known}[/]\nThe same command goes on from here; nothing is sent or charged twice.")
        return EXIT_NO_VERDICT
    finally:
        ledger.close()


async def _run(request: Request, files: Mapping[str, Path], ledger: Ledger, errors: Console) -> int:
    options = FolderOptions(model=request.model, store=request.store, concurrency=request.concurrency)
    with _progress(errors) as progress:
        sizes = sum(path.stat().st_size for path in files.values())
        uploading = progress.add_task("uploaded", total=sizes)
        judging = progress.add_task("judged", total=len(files))
        shown = Shown(
            uploaded=lambda size: progress.advance(uploading, size),
            judged=lambda count, _: progress.update(judging, completed=count),
            say=progress.console.print,
        )
        async with AsyncBonafide(base_url=request.url, api_key=request.key, timeouts=Timeouts(total=600)) as client:
            run = FolderRun(client, ledger, dict(files), options, shown)
            batches = await run.hand_over()
            if not request.wait:
                for one in batches:
                    print(one.id)
                return 0
            await run.wait(batches)
            counts = await _show(request, run.results(batches))
    said = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.verdicts.items()))
    errors.print(
        f"{counts.total} files: {said or 'no verdict'}{f', {counts.without} without' if counts.without else ''}"
    )
    if counts.without:
        return EXIT_NO_VERDICT
    return EXIT_FAKE_FOUND if request.fail_on_fake and counts.verdicts.get("FAKE") else 0


async def _show(request: Request, results: AsyncIterable[dict[str, Any]]) -> Counts:
    """Write results where they are wanted, one at a time, and to the terminal where they are wanted nowhere else."""
    counts = Counts({})
    with ExitStack() as stack:
        write = _writers(request, stack)
        table = None if write else _Table()
        async for one in results:
            counts.add(one)
            for put in write:
                put(one)
            if table is not None:
                table.add(one)
    if table is not None:
        table.show()
    return counts


def _writers(request: Request, stack: ExitStack) -> list[Callable[[dict[str, Any]], object]]:
    """What writes a result to each place that was named; files are closed with the stack."""
    writers: list[Callable[[dict[str, Any]], object]] = []
    if request.as_json:
        writers.append(lambda one: print(json.dumps(one)))
    if request.jsonl is not None:
        lines = stack.enter_context(request.jsonl.open("w", encoding="utf-8"))
        writers.append(lambda one: lines.write(json.dumps(one) + "\n"))
    if request.csv is not None:
        sheet = csv.writer(stack.enter_context(request.csv.open("w", encoding="utf-8", newline="")))
        sheet.writerow(COLUMNS)
        writers.append(lambda one: sheet.writerow([_guarded(cell) for cell in _cells(one)]))
    return writers


class _Table:
    """Results for the terminal, as many as anybody reads there."""

    def __init__(self) -> None:
        self._table = Table(box=None, pad_edge=False, header_style="bold")
        self._left_out = 0
        for column in ("file", "verdict", "confidence", "model"):
            self._table.add_column(column, overflow="fold")

    def add(self, one: dict[str, Any]) -> None:
        """One more result."""
        if self._table.row_count < _MOST_ROWS:
            self._table.add_row(*_row(one))
        else:
            self._left_out += 1

    def show(self) -> None:
        """Print them."""
        Console().print(self._table)
        if self._left_out:
            Console(stderr=True).print(f"{self._left_out} more are left out here; --jsonl and --csv write all of them.")


def find_files(folder: Path, *, recursive: bool) -> dict[str, Path]:
    """The media of a folder by their paths within it, in the order of these."""
    found = sorted(folder.rglob("*") if recursive else folder.iterdir())
    media = (path for path in found if path.suffix.lower() in MEDIA_SUFFIXES and path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in media}


def _progress(errors: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    )


def _cells(one: dict[str, Any]) -> tuple[Any, ...]:
    """A result in the order of `COLUMNS`."""
    judged, error = one.get("detection") or {}, one.get("error") or {}
    said = (judged.get(name) for name in ("verdict", "p_fake", "confidence", "model", "version"))
    return (one["file"], one["status"], *said, error.get("code"), error.get("message"))


def _guarded(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.lstrip().startswith(_FORMULA) else cell


def _row(one: dict[str, Any]) -> tuple[Text, Text, str, str]:
    judged, error = one.get("detection"), one.get("error") or {}
    if judged is None:
        why = error.get("message") or one["status"]
        return Text(one["file"]), Text("no verdict", style="bold"), "", f"{why} ({error.get('code', one['status'])})"
    verdict = Text(judged["verdict"], style=COLOURS.get(judged["verdict"], ""))
    return Text(one["file"]), verdict, f"{judged['confidence']:.2f} %", f"{judged['model']}:{judged['version']}"
