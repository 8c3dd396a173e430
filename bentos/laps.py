"""How long the steps of one call took, written by the steps as they end."""

import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass

from bentos.errors import DeadlineExceededError


@dataclass(slots=True)
class Laps:
    """Milliseconds that the steps of one call took so far; the steps write here as they end."""

    queue_ms: float = 0.0
    decode_ms: float = 0.0
    faces_ms: float = 0.0
    inference_ms: float = 0.0
    late_inference: bool = False
    """Whether the deadline passed while the inference server was asked."""

    @contextmanager
    def inferring(self) -> Generator[None]:
        """Time a block that asks the inference server; raises as it does."""
        started = time.monotonic()
        try:
            yield
        except DeadlineExceededError:
            self.late_inference = True
            raise
        finally:
            self.inference_ms += (time.monotonic() - started) * 1000

    @contextmanager
    def checking(self) -> Generator[None]:
        """Note whether the server was too late in a block that asks what it serves; raises as the block does."""
        try:
            yield
        except DeadlineExceededError:
            self.late_inference = True
            raise

    def take_longest(self, others: Iterable["Laps"]) -> None:
        """Take over the longest of each step of what ran at once."""
        for other in others:
            self.queue_ms = max(self.queue_ms, other.queue_ms)
            self.decode_ms = max(self.decode_ms, other.decode_ms)
            self.faces_ms = max(self.faces_ms, other.faces_ms)
            self.inference_ms = max(self.inference_ms, other.inference_ms)
            self.late_inference = self.late_inference or other.late_inference
