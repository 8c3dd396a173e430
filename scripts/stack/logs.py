"""The logs of the processes: kept small while they grow, read together by `bonafide logs`."""

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

_CHECK_S: Final = 5
_POLL_S: Final = 0.2


def trim(log: Path, max_bytes: int) -> bool:
    """Move what a log holds into its one predecessor (`….log.1`) where it is larger than that; tell whether it was.

    The file itself stays, for its writer holds it open; it appends, and so goes on at the new beginning. Lines written
    between the copy and the cut are lost, and all of them where the disk has no room for the copy.
    """
    if not log.exists() or log.stat().st_size <= max_bytes:
        return False
    predecessor = log.with_name(f"{log.name}.1")
    try:
        shutil.copyfile(log, predecessor)
    except OSError as error:
        predecessor.unlink(missing_ok=True)
        os.truncate(log, 0)
        with log.open("a") as stream:
            stream.write(f"What stood here could not be kept: {error}\n")
    else:
        os.truncate(log, 0)
    return True


async def keep_small(folder: Path, max_bytes: int) -> None:
    """Trim the logs of a folder every few seconds until cancelled."""
    while True:
        await asyncio.to_thread(_trim_all, folder, max_bytes)
        await asyncio.sleep(_CHECK_S)


def _trim_all(folder: Path, max_bytes: int) -> None:
    for log in folder.glob("*.log"):
        trim(log, max_bytes)


def last_lines(log: Path, count: int) -> list[str]:
    """Return the last lines of a log without their ends."""
    if not log.exists():
        return []
    with log.open("rb") as stream:
        # No log of ours has lines longer than this on average; where one does, it gets fewer of them.
        stream.seek(max(0, log.stat().st_size - count * 2048))
        return stream.read().decode(errors="replace").splitlines()[-count:]


def follow(logs: Sequence[Path], *, go_on: Callable[[], bool] = lambda: True) -> Iterator[tuple[Path, str]]:
    """Yield lines as they are written to the logs, from now on, while `go_on()`; also after a log was trimmed."""
    offsets = {log: log.stat().st_size if log.exists() else 0 for log in logs}
    while go_on():
        quiet = True
        for log, line in _new_lines(logs, offsets):
            quiet = False
            yield log, line
        if quiet:
            time.sleep(_POLL_S)


def _new_lines(logs: Iterable[Path], offsets: dict[Path, int]) -> Iterator[tuple[Path, str]]:
    for log in logs:
        size = log.stat().st_size if log.exists() else 0
        if size < offsets[log]:
            offsets[log] = 0
        if size == offsets[log]:
            continue
        with log.open("rb") as stream:
            stream.seek(offsets[log])
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                offsets[log] += len(line)
                yield log, line[:-1].decode(errors="replace")
