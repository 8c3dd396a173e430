"""Trains the text detector on genuine texts and babble."""

import time
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from scripts.demo.text_model import MARKS, UNKNOWN, TextDetector
from scripts.demo.texts import Texts

_BATCH: Final = 64
_PEAK_RATE: Final = 2e-3
_WARMUP: Final = 0.1
_FORGOTTEN: Final = 0.15


def train_text(data: Texts, tokenizer: Tokenizer, *, seed: int, epochs: int) -> TextDetector:
    """Detector trained on all pieces in every epoch, in another order each."""
    torch.manual_seed(seed)
    # As for sounds: a step is too short to share.
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    detector = TextDetector(tokenizer.get_vocab_size()).train()
    ids, mask = encode(tokenizer, data.pieces)
    truth = torch.tensor(data.fake, dtype=torch.float32)
    steps = epochs * (len(data.pieces) // _BATCH)
    optimiser = torch.optim.AdamW(detector.parameters(), lr=_PEAK_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _PEAK_RATE, total_steps=steps, pct_start=_WARMUP)
    unknown = MARKS.index(UNKNOWN)
    started = time.monotonic()
    for epoch in range(epochs):
        losses: list[float] = []
        order = torch.from_numpy(rng.permutation(len(data.pieces)))
        for start in range(0, len(order) - _BATCH + 1, _BATCH):
            rows = order[start : start + _BATCH]
            longest = int(mask[rows].sum(dim=1).max())
            seen = _forget(ids[rows, :longest], unknown)
            logits, _ = detector(seen, mask[rows, :longest])
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0], truth[rows])
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(detector.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        took = time.monotonic() - started
        print(f"  text epoch {epoch + 1}/{epochs}: loss {np.mean(losses):.3f}, {took:.0f} s", flush=True)
    return detector.eval()


def text_logits(detector: TextDetector, tokenizer: Tokenizer, pieces: Sequence[str]) -> NDArray[np.float32]:
    """Logit of "sampled" against "written", [n], of texts that fit into one window."""
    ids, mask = encode(tokenizer, pieces)
    with torch.inference_mode():
        parts = [detector(*rows)[0][:, 0].numpy() for rows in zip(ids.split(_BATCH), mask.split(_BATCH), strict=True)]
    return np.concatenate(parts)


def _forget(ids: torch.Tensor, unknown: int) -> torch.Tensor:
    """Make every so many words unknown, so that texts are not learned by heart: there are few, and often seen."""
    forgotten = (torch.rand(ids.shape) < _FORGOTTEN) & (ids >= len(MARKS))
    return ids.masked_fill(forgotten, unknown)


def encode(tokenizer: Tokenizer, pieces: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token numbers and mask of texts, int64 [n, T], padded to the longest; of each only its first window."""
    encodings = tokenizer.encode_batch(list(pieces))
    return torch.tensor([each.ids for each in encodings]), torch.tensor([each.attention_mask for each in encodings])
