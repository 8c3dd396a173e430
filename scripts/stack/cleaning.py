"""Ending everything that a run started and removing what it left: the one way in which the platform stops."""

import functools
import signal
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

from scripts.stack import sessions
from scripts.stack.folder import DataFolder
from scripts.stack.state import ProcessState, StackState, forget_state, read_state


def clean_up(folder: DataFolder) -> list[str]:
    """End what is left of the run that the state file names; return in words what had to be done by force.

    Layers go from the top, so that nothing is asked of what has gone already; within one all stop at once. What does
    not follow its signal in time is killed, so is whatever carries the run's mark, and shared memory is removed.
    """
    state = read_state(folder)
    if state is None:
        return []
    for layer in _layers(state):
        with ThreadPoolExecutor(max_workers=len(layer)) as pool:
            list(pool.map(functools.partial(_end, state), layer))
    return finish(folder, state)


def finish(folder: DataFolder, state: StackState) -> list[str]:
    """Kill what still carries the mark of a run whose processes were ended, sweep its memory, forget its state."""
    strays = sessions.marked(state.run_id)
    words = [f"killed {process.pid}, which was left behind" for process in strays]
    sessions.kill(strays)
    regions = sessions.sweep_shared_memory(state.shared_memory_prefix)
    words += [f"removed shared memory {region}" for region in regions]
    forget_state(folder)
    return words


def _layers(state: StackState) -> Iterable[list[ProcessState]]:
    alive = sorted((each for each in state.processes.values() if each.pid), key=lambda each: -each.layer)
    for _, layer in groupby(alive, key=lambda each: each.layer):
        yield list(layer)


def _end(state: StackState, process: ProcessState) -> None:
    sessions.end(
        state.family(process.name),
        stop_signal=signal.Signals(process.stop_signal),
        grace_s=process.grace_s,
    )
