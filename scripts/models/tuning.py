"""How a model is run: threads, instances and batching, read from `config.pbtxt` and written into it in place. Pure."""

import re
from collections.abc import Callable
from typing import Final

import msgspec

from scripts.models import triton_config
from scripts.models.errors import ModelsError

THREADS: Final = "intra_op_thread_count"

_INSTANCES: Final = re.compile(r"(\binstance_group\s*(?:\[\s*)?\{[^{}]*?\bcount:\s*)\d+")
_DELAY: Final = re.compile(r"(\bmax_queue_delay_microseconds:\s*)\d+")
_PREFERRED: Final = re.compile(r"(\bpreferred_batch_size:\s*)\[[^\]]*\]")
_BATCHING: Final = re.compile(r"\bdynamic_batching\s*\{")
_THREADS: Final = re.compile(rf'(key:\s*"{THREADS}"\s*,?\s*value:?\s*\{{\s*string_value:\s*")[^"]*(")')


class Tuning(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Threads of one instance (0: one a core), instances, and how long a batch of no preferred size may wait, in µs."""

    threads: int
    instances: int
    delay_us: int
    preferred: tuple[int, ...]

    def __str__(self) -> str:
        sizes = ", ".join(map(str, self.preferred)) or "any"
        return (
            f"{self.instances} x {self.threads} threads, batches of {sizes} after at most {self.delay_us / 1000:g} ms"
        )


def read_tuning(config: bytes) -> Tuning:
    """Return how a `config.pbtxt` runs its model; Triton's own defaults where it says nothing."""
    parsed = triton_config.parse(config)
    threads = parsed.parameters[THREADS].string_value if THREADS in parsed.parameters else ""
    batching = parsed.dynamic_batching
    return Tuning(
        threads=int(threads or 0),
        instances=sum(max(group.count, 1) for group in parsed.instance_group) or 1,
        delay_us=batching.max_queue_delay_microseconds,
        preferred=tuple(batching.preferred_batch_size),
    )


def write_tuning(config: bytes, tuning: Tuning) -> bytes:
    """Return the text with other figures in their places; comments and everything else stay as they are.

    Raises:
        ModelsError: The file says these things in a way that cannot be changed in place.
    """
    text = config.decode()
    text = _put(text, _INSTANCES, lambda found: f"{found[1]}{tuning.instances}")
    text = _put(text, _THREADS, lambda found: f"{found[1]}{tuning.threads}{found[2]}")
    text = _put(text, _DELAY, lambda found: f"{found[1]}{tuning.delay_us}")
    text = _put(text, _PREFERRED, lambda found: f"{found[1]}{list(tuning.preferred)}")
    changed = _added(text, tuning).encode()
    if read_tuning(changed) != tuning:
        raise ModelsError(
            "config.pbtxt cannot be changed in place: write instance_group, dynamic_batching and the parameter "
            f"{THREADS} once each, as `bonafide models import` does."
        )
    return changed


def _put(text: str, place: re.Pattern[str], new: Callable[[re.Match[str]], str]) -> str:
    return place.sub(new, text, count=1)


def _added(text: str, tuning: Tuning) -> str:
    """Add what the file did not say at all."""
    now = read_tuning(text.encode())
    if now.instances != tuning.instances and "instance_group" not in text:
        text += f"instance_group [ {{ kind: KIND_AUTO count: {tuning.instances} }} ]\n"
    if now.threads != tuning.threads and not _THREADS.search(text):
        text += f'parameters {{ key: "{THREADS}" value {{ string_value: "{tuning.threads}" }} }}\n'
    missing = ""
    if now.preferred != tuning.preferred and not _PREFERRED.search(text):
        missing += f"\n  preferred_batch_size: {list(tuning.preferred)}"
    if now.delay_us != tuning.delay_us and not _DELAY.search(text):
        missing += f"\n  max_queue_delay_microseconds: {tuning.delay_us}"
    if missing and _BATCHING.search(text):
        return _BATCHING.sub(lambda found: found[0] + missing, text, count=1)
    return text + (f"dynamic_batching {{{missing}\n}}\n" if missing else "")
