"""The torch way: processes that run a classifier of transformers in a loop, without any server before it.

Run by itself as `python -m scripts.bench.torch_loop`, with a `Loop` as JSON on standard input; the answer is a `Looped`
on standard output. Inputs are ready tensors, so neither decoding nor the processor is counted.
"""

import sys
import time
from typing import Any, Final

import msgspec
import torch
import transformers

from scripts.bench.torch_side import READY, Loop, Looped

WARMUP_S: Final = 1.0


def run(loop: Loop) -> Looped:
    """Run batches until the time is over."""
    torch.set_num_threads(loop.threads)
    classifier: Any = getattr(transformers, loop.kind).from_pretrained(loop.folder).eval()
    inputs = {loop.name: torch.randn(loop.batch, *loop.shape, generator=torch.Generator().manual_seed(1))}
    latencies: list[float] = []
    with torch.inference_mode():
        warm = time.perf_counter() + WARMUP_S
        while time.perf_counter() < warm:
            classifier(**inputs)
        print(READY, flush=True)
        # All processes of a side begin together, when they are told to.
        sys.stdin.readline()
        cpu_before, end = time.process_time(), time.perf_counter() + loop.seconds
        while (began := time.perf_counter()) < end:
            classifier(**inputs)
            latencies.append(time.perf_counter() - began)
        return Looped(latencies_s=tuple(latencies), cpu_s=time.process_time() - cpu_before)


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    order = msgspec.json.decode(sys.stdin.readline(), type=Loop)
    print(msgspec.json.encode(run(order)).decode(), flush=True)
