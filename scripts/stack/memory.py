"""How much memory the platform takes, as proportional set size: shared pages are counted once, not per process."""

from collections.abc import Mapping
from pathlib import Path

from scripts.stack.state import StackState

_KIB = 1024


def measure(state: StackState, extra: Mapping[str, int] | None = None) -> dict[str, int]:
    """Return PSS in bytes by process of the platform, with all that it started, and of `extra` processes by number."""
    leaders = {process.pid: name for name, process in state.processes.items() if process.pid}
    totals = dict.fromkeys(leaders.values(), 0)
    for name, pid in (extra or {}).items():
        totals[name] = pss(pid)
    for process in state.processes.values():
        if process.pid:
            totals[process.name] = sum(pss(member.pid) for member in state.family(process.name).living())
    return totals


def pss(pid: int) -> int:
    """Return the proportional set size of one process in bytes, 0 where it is gone or not ours to look at."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * _KIB for line in lines if line.startswith("Pss:")), 0)
