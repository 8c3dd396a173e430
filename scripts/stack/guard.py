"""The guard: a small process that outlives `up`, however `up` ends, and leaves nothing of the platform behind.

`up` starts it with a pipe to its standard input and never writes to it. The pipe closes when `up` asks for the end or
dies, even by kill -9; then the guard cleans up. It holds the lock of the data folder until it has done so.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from scripts.stack.cleaning import clean_up
from scripts.stack.folder import DataFolder

_LOG: Final = "guard.log"


def start_guard(folder: DataFolder, lock: int) -> subprocess.Popen[bytes]:
    """Start the guard of the process that calls; closing its `stdin` ends the platform."""
    with (folder.logs / _LOG).open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", __name__, str(folder.root)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(lock,),
            start_new_session=True,
            cwd=Path(__file__).resolve().parents[2],
        )


def main() -> None:
    """Wait for the end of the pipe, then clean up."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    started = time.monotonic()
    for word in clean_up(DataFolder(Path(sys.argv[1]))):
        print(word, flush=True)
    print(f"all stopped after {time.monotonic() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main()
