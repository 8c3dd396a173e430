"""CPU seconds and memory of process trees, by group of processes; Linux only, as the figures are.

Memory is PSS: what is shared between processes counts once in the sum, where RSS would count it many times.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import psutil

Groups = Mapping[str, Sequence[int]]
"""Name of a group of processes and the ids of its roots; a process belongs to its nearest root."""


def members(groups: Groups) -> dict[str, list[psutil.Process]]:
    """The living processes of each group: its roots and their descendants, less those below another group's root."""
    group_of = {pid: name for name, roots in groups.items() for pid in roots}
    parents = {process.pid: process for process in psutil.process_iter()}
    found: dict[str, list[psutil.Process]] = {name: [] for name in groups}
    parent_of = {pid: _parent(process) for pid, process in parents.items()}
    for pid, process in parents.items():
        ancestor: int | None = pid
        while ancestor is not None and ancestor not in group_of:
            ancestor = parent_of.get(ancestor)
        if ancestor is not None:
            found[group_of[ancestor]].append(process)
    return found


def cpu_seconds(groups: Groups) -> dict[str, float]:
    """User and system CPU seconds of each group so far, those of children that already ended included."""
    totals: dict[str, float] = {}
    for name, processes in members(groups).items():
        totals[name] = sum(_cpu(process) for process in processes)
    return totals


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What each group used between two readings of `cpu_seconds`."""
    return {name: max(0.0, after[name] - before.get(name, 0.0)) for name in after}


def pss_bytes(groups: Groups) -> dict[str, int]:
    """Proportional set size of each group in bytes; a process that ends meanwhile counts nothing."""
    return {name: sum(_pss(process.pid) for process in processes) for name, processes in members(groups).items()}


class MemoryWatch:
    """Samples the PSS of groups from a thread; `peak` is the most that each was seen to use, in bytes."""

    def __init__(self, groups: Groups, *, interval_s: float = 0.1) -> None:
        self.groups = groups
        self.interval_s = interval_s
        self.before: dict[str, int] = {}
        self.peak: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-watch", daemon=True)

    def __enter__(self) -> Self:
        self.before = pss_bytes(self.groups)
        self.peak = dict(self.before)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=30)

    @property
    def growth(self) -> dict[str, int]:
        """Peak less what was there before, in bytes."""
        return {name: self.peak[name] - self.before[name] for name in self.peak}

    def _watch(self) -> None:
        while not self._stop.wait(self.interval_s):
            now = pss_bytes(self.groups)
            self.peak = {name: max(self.peak[name], now[name]) for name in self.peak}


def wait_idle(groups: Groups, *, below: float, deadline_s: float) -> float:
    """Wait until the groups together use less than `below` cores over a second; the share they use then.

    It returns what it last saw when the deadline passes: a platform that never rests is a finding, not an error.
    """
    ends = time.monotonic() + deadline_s
    while True:
        before, started = sum(cpu_seconds(groups).values()), time.monotonic()
        time.sleep(1)
        share = (sum(cpu_seconds(groups).values()) - before) / (time.monotonic() - started)
        if share < below or time.monotonic() > ends:
            return share


def _parent(process: psutil.Process) -> int | None:
    try:
        return process.ppid() or None
    except psutil.NoSuchProcess:
        return None


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system + times.children_user + times.children_system


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
