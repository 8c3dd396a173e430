"""The guard: a small process that outlives `up`, however `up` ends, and leaves nothing of the platform behind.

`up` starts it before anything else, with a pipe to its standard input, and never writes to it. The pipe closes when
`up` asks for the end or dies, even by kill -9; then the guard cleans up. It holds the lock of the data folder until it
has done so.
"""

import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from scripts.stack.cleaning import clean_up
from scripts.stack.folder import DataFolder
from scripts.stack.program import StartError

_LOG: Final = "guard.log"
_WATCHING: Final = b"watching\n"
_START_DEADLINE_S: Final = 20


def start_guard(folder: DataFolder, lock: int) -> subprocess.Popen[bytes]:
    """Start the guard of the process that calls; closing its `stdin` ends the platform.

    Raises:
        StartError: It does not say in time that it watches.
    """
    with (folder.logs / _LOG).open("ab") as output:
        guard = subprocess.Popen(
            [sys.executable, "-m", __name__, str(folder.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            pass_fds=(lock,),
            start_new_session=True,
            cwd=Path(__file__).resolve().parents[2],
        )
    assert guard.stdout  # noqa: S101  # It was asked for.
    with guard.stdout as answer:
        if not select.select([answer], [], [], _START_DEADLINE_S)[0] or answer.readline() != _WATCHING:
            guard.kill()
            raise StartError(f"The guard did not start; see {folder.logs / _LOG}.")
    return guard


def main() -> None:
    """Wait for the end of the pipe, then clean up."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.stdout.buffer.write(_WATCHING)
    sys.stdout.close()
    sys.stdin.buffer.read()
    started = time.monotonic()
    for word in clean_up(DataFolder(Path(sys.argv[1]))):
        print(word, file=sys.stderr)
    print(f"all stopped after {time.monotonic() - started:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
