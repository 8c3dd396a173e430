"""Trains the audio detector on voices and their vocoder copies."""

import math
import time
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from scripts.demo.audio_model import AudioDetector, normalise
from scripts.demo.sounds import Utterances, cut_window

_PAIRS_PER_BATCH: Final = 8
_PEAK_RATE: Final = 1.5e-3
_WARMUP: Final = 0.1
_PREDICTION_BATCH: Final = 32


def train_audio(data: Utterances, *, seed: int, epochs: int) -> AudioDetector:
    """Detector trained on new windows and channels in every epoch, a voice and its copy always in one batch."""
    torch.manual_seed(seed)
    # A step is too short to share: beside other work, threads that wait for each other are ten times slower than one.
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    detector = AudioDetector().train()
    steps = epochs * (len(data) // _PAIRS_PER_BATCH)
    optimiser = torch.optim.AdamW(detector.parameters(), lr=_PEAK_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _PEAK_RATE, total_steps=steps, pct_start=_WARMUP)
    labels = torch.tensor([0, 1]).repeat(_PAIRS_PER_BATCH)
    started = time.monotonic()
    for epoch in range(epochs):
        losses: list[float] = []
        hits = 0
        order = rng.permutation(len(data))
        for start in range(0, len(data) - _PAIRS_PER_BATCH + 1, _PAIRS_PER_BATCH):
            pairs = data.sounds[order[start : start + _PAIRS_PER_BATCH]]
            windows = np.stack([cut_window(rng, sound) for pair in pairs for sound in pair])
            logits = detector(normalise(torch.from_numpy(windows)))
            loss = torch.nn.functional.cross_entropy(logits, labels)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(detector.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
            hits += int((logits.argmax(dim=1) == labels).sum())
        print(
            f"  audio epoch {epoch + 1}/{epochs}: loss {np.mean(losses):.3f}, "
            f"accuracy {hits / (len(losses) * len(labels)):.3f}, {math.ceil(time.monotonic() - started)} s",
            flush=True,
        )
    return detector.eval()


def window_logits(detector: AudioDetector, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logit of "spoof" against "bona fide", [n], for windows float32 [n, 32000]."""
    parts: list[NDArray[np.float32]] = []
    with torch.inference_mode():
        for batch in torch.from_numpy(windows).split(_PREDICTION_BATCH):
            logits = detector(normalise(batch))
            parts.append((logits[:, 1] - logits[:, 0]).numpy())
    return np.concatenate(parts)
