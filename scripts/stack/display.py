"""What a user sees of a start: a table that fills up on a terminal, plain lines elsewhere, JSON lines to a parent."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import msgspec
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from scripts.stack.state import Phase, ProcessState

_STYLES: Final = {
    Phase.WAITING: "dim",
    Phase.STARTING: "cyan",
    Phase.READY: "green",
    Phase.RESTARTING: "yellow",
    Phase.FAILED: "red",
}


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Everything is ready, after so many seconds."""

    seconds: float
    url: str
    key_file: str


class Remark(msgspec.Struct, frozen=True, tag=True):
    """Something worth a line."""

    text: str


class Model(msgspec.Struct, frozen=True, tag=True):
    """A model has answered its first synthetic inference."""

    name: str


class Changed(msgspec.Struct, frozen=True, tag=True):
    """A process is in another phase."""

    process: ProcessState


class Stopping(msgspec.Struct, frozen=True, tag=True):
    """Everything is being stopped."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The platform could not be started; `code` is the exit status that says so."""

    text: str
    code: int


Event = Ready | Remark | Model | Changed | Stopping | Failed


class EventLines:
    """Writes events as JSON lines, for the process that waits until a platform in the background is ready."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def __call__(self, event: Event) -> None:
        """Write one event. A reader who has left misses it."""
        try:
            self._stream.write(msgspec.json.encode(event) + b"\n")
            self._stream.flush()
        except BrokenPipeError:
            return


def read_events(stream: IO[bytes]) -> Iterator[Event]:
    """Yield the events of a background process until it closes the stream."""
    for line in stream:
        yield msgspec.json.decode(line, type=Event)


class Display:
    """Shows events to a person. Use as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._processes: dict[str, ProcessState] = {}
        self._models: list[str] = []
        self._live = Live(console=self._console, get_renderable=self._table, refresh_per_second=8, transient=False)
        self._spinner = Spinner("dots", style="cyan")
        self._starting = True

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._settle()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Changed(process):
                self._processes[process.name] = process
                if not self._live.is_started:
                    self._console.print(self._line(process), soft_wrap=True)
            case Model(name):
                self._models.append(name)
                if not self._live.is_started:
                    self._console.print(f"{'model ' + name:<26} ready")
            case Remark(text):
                self._console.print(Text(text, style="yellow"), soft_wrap=True)
            case Ready():
                self._settle()
                self._console.print(_welcome(event), soft_wrap=True)
            case Stopping():
                self._settle()
                self._console.print("Stopping …")
            case Failed(text):
                self._settle()
                self._console.print(Text(text, style="red"), soft_wrap=True)

    def _settle(self) -> None:
        """Leave the table as it is; from now on there are only lines."""
        if self._live.is_started:
            self._live.stop()

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for process in self._processes.values():
            mark = self._spinner if process.phase in (Phase.STARTING, Phase.RESTARTING) else _mark(process.phase)
            detail = f"{process.ready_after_s:.1f} s" if process.phase is Phase.READY else _brief(process.detail)
            if process.name == "triton" and self._models:
                detail += f"  [dim]{', '.join(self._models)}[/]"
            table.add_row(mark, process.name, Text(process.phase, style=_STYLES[process.phase]), detail)
        return table

    @staticmethod
    def _line(process: ProcessState) -> Text:
        seconds = f" after {process.ready_after_s:.1f} s" if process.phase is Phase.READY else ""
        detail = f": {_brief(process.detail)}" if process.detail else ""
        return Text(f"{process.name:<26} {process.phase}{seconds}{detail}", style=_STYLES[process.phase])


def status_table(processes: Sequence[ProcessState], memory: dict[str, int]) -> Table:
    """Return the table of `bonafide status`; memory in bytes by process, also of those that are no process state."""
    table = Table(box=None, pad_edge=False)
    for title, side in (("process", "left"), ("state", "left"), ("pid", "right"), ("restarts", "right")):
        table.add_column(title, justify="right" if side == "right" else "left")
    table.add_column("memory (PSS)", justify="right")
    table.add_column("")
    states = {process.name: process for process in processes}
    for name, size in {**dict.fromkeys(states, 0), **memory}.items():
        process = states.get(name)
        phase = Text(process.phase, style=_STYLES[process.phase]) if process else Text("")
        pid = str(process.pid) if process and process.pid else ""
        restarts = str(process.restarts) if process else ""
        table.add_row(name, phase, pid, restarts, f"{size / 1e6:.0f} MB", process.detail if process else "")
    table.add_row("all", "", "", "", f"{sum(memory.values()) / 1e6:.0f} MB", "", style="bold")
    return table


def _brief(detail: str) -> str:
    """Return the first line of a detail; where a start fails, the whole comes at the end."""
    return detail.split("\n", 1)[0]


def _mark(phase: Phase) -> Text:
    return Text({Phase.READY: "✓", Phase.FAILED: "✗"}.get(phase, "·"), style=_STYLES[phase])


def _command() -> str:
    """Return how this program was called, from the folder that the user is in."""
    called = Path(sys.argv[0])
    return str(called.relative_to(Path.cwd())) if called.is_relative_to(Path.cwd()) else str(called)


def _welcome(ready: Ready) -> Text:
    return Text.assemble(
        ("\nBonafide is ready", "bold green"),
        f" after {ready.seconds:.1f} s at ",
        (ready.url, "bold"),
        f"\n  the API, to read and to try   {ready.url}/docs",
        f"\n  your key                      {ready.key_file}",
        f"\n  a first verdict               {_command()} detect scripts/demo/media\n",
    )
