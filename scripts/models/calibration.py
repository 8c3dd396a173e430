"""Turns logits into probabilities that mean what they say, and probabilities into decision bounds. Pure functions."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bentos.contract import Thresholds

_COLDEST: Final = 0.05
_HOTTEST: Final = 20.0
_STEPS: Final = 80
_NEVER: Final = 0.9999
_ROOM: Final = 0.1
_CERTAIN: Final = 1e-12
_GOLDEN: Final = (np.sqrt(5) - 1) / 2


def sigmoid(logits: NDArray) -> NDArray[np.float64]:
    """Logistic function without overflow, in float64."""
    return 0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64)))


def negative_log_likelihood(logits: NDArray, fake: NDArray, temperature: float) -> float:
    """Mean of -log p(truth) with p_fake = sigmoid(logits / temperature); `logits` is [n], `fake` [n] of booleans."""
    tempered = logits.astype(np.float64) / temperature
    return float(np.mean(np.logaddexp(0.0, np.where(fake.astype(bool), -tempered, tempered))))


def fit_temperature(logits: NDArray, fake: NDArray) -> float:
    """Temperature that makes the likelihood largest on a set the model was not trained on, in [0.05, 20].

    Guo et al., 2017, "On Calibration of Modern Neural Networks". The loss has one minimum over the temperature's
    logarithm, which a golden-section search closes in on.
    """
    low, high = np.log(_COLDEST), np.log(_HOTTEST)
    for _ in range(_STEPS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if negative_log_likelihood(logits, fake, np.exp(left)) <= negative_log_likelihood(logits, fake, np.exp(right)):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def choose_thresholds(p_fake: NDArray, fake: NDArray, *, error: float = 0.05) -> Thresholds:
    """Bounds that at most a share `error` of each class oversteps on this set, with 0.5 always between them.

    From `high` on lie at most `error` of the genuine media, below `low` at most `error` of the fakes. Where a class is
    told apart better than that, the bound stays 0.1 away from 0.5, so that a coin's toss is never a verdict.
    """
    truth = fake.astype(bool)
    high = float(np.quantile(p_fake[~truth], 1 - error, method="higher"))
    low = float(np.quantile(p_fake[truth], error, method="lower"))
    return Thresholds(low=round(min(max(low, 0.01), 0.4), 4), high=round(max(min(high, 0.99), 0.6), 4))


def thresholds_for(p_fake: NDArray, fake: NDArray, *, max_fpr: float, max_fnr: float) -> Thresholds:
    """The tightest bounds that keep errors on this set within what is allowed, with 0.5 always between them.

    From `high` on lie at most a share `max_fpr` of the genuine media, below `low` at most a share `max_fnr` of the
    fakes. As with `choose_thresholds` each bound stays at least 0.1 away from 0.5. Four decimals.

    Raises:
        ValueError: More genuine media than that score 0.9999 or more, or more fakes less than 0.0001.
    """
    truth = fake.astype(bool)
    genuine, fakes = np.sort(p_fake[~truth])[::-1], np.sort(p_fake[truth])
    accused, missed = int(max_fpr * len(genuine) + 1e-9), int(max_fnr * len(fakes) + 1e-9)
    # The first medium that must not be accused has to lie below the bound, the first that must not be missed on it.
    # By some room, because a graph that computes in float32 gives them a little higher or lower.
    high = (np.floor(genuine[accused] * 1e4 + _ROOM) + 1) / 1e4 if accused < len(genuine) else 0
    low = np.floor(fakes[missed] * 1e4 - _ROOM) / 1e4 if missed < len(fakes) else 1
    high, low = max(0.6, float(high)), min(0.4, float(low))
    if high > _NEVER or low < 1 - _NEVER:
        raise ValueError("no bound keeps errors within what is allowed: some scores are certain and wrong")
    return Thresholds(low=round(low, 4), high=round(high, 4))


def temper(p_fake: NDArray, temperature: float) -> NDArray[np.float64]:
    """Divide the log-odds of probabilities by a temperature."""
    return sigmoid(log_odds(p_fake) / temperature)


def log_odds(p_fake: NDArray) -> NDArray[np.float64]:
    """Logits of probabilities in (0, 1); 0 and 1 count as 1e-12 away from themselves, so that all are finite."""
    exact = np.clip(p_fake.astype(np.float64), _CERTAIN, 1 - _CERTAIN)
    return np.log(exact) - np.log1p(-exact)
