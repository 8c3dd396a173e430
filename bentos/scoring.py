"""From the scores of a medium's parts to one score of the medium. All scores are calibrated p_fake in [0, 1].

Every rule here is monotone (no part's score can rise and the medium's fall), does not depend on the order of the
parts, gives a single part's own score back, and stays between the lowest and the highest part.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bentos.contract import Verdict

AUDIO_TOP_SHARE: Final = 0.25
"""Share of an audio clip's windows, the most suspicious ones, that its score is made of."""
TEXT_TOP_SHARE: Final = 0.25
"""Share of a text's passages, the most suspicious ones, that its score is made of."""
FRAMES_TOP_SHARE: Final = 0.5
"""Share of a track's frames, the most suspicious ones, that its score is made of where an image model scored them."""

STRETCHES_TOP_SHARE: Final = 0.1
"""Share of a long video's stretches, the most suspicious ones, that its score is made of."""

_VOTES: Final = {Verdict.REAL: 0.0, Verdict.UNCERTAIN: 0.5, Verdict.FAKE: 1.0}

_LOGIT_BOUND: Final = 1e-6
"""Scores closer than this to 0 or 1 count as this close, so that one certain window cannot outweigh all others."""


def score_image(face_scores: Sequence[float]) -> float:
    """Return the score of a picture: that of its most suspicious face, since one swapped face makes it a forgery.

    Args:
        face_scores: p_fake of each scored face (or of the centre crop), at least one.
    """
    return max(face_scores)


def score_video(track_scores: Sequence[float]) -> float:
    """Return the score of a video: that of its most suspicious track, for the same reason as in a picture.

    Args:
        track_scores: p_fake of each followed face (or of the centre of the frames), at least one.
    """
    return max(track_scores)


def score_frames(frame_scores: Sequence[float]) -> float:
    """Return the score of a track whose frames an image model scored one by one: as `score_audio`, but of half of them.

    A majority vote over frames asks whether half of them look forged; this asks how forged the most suspicious half
    looks, and so keeps what a vote throws away, by how much. Less than half would let a few blurred frames decide,
    and all of them would let a face that is swapped only part of the time pass.

    Args:
        frame_scores: p_fake of the face in each sampled frame, at least one.
    """
    return _mean_of_top(frame_scores, FRAMES_TOP_SHARE)


def score_stretches(stretch_scores: Sequence[float]) -> float:
    """Return the score of a long video: the mean of the log-odds of its most suspicious tenth of stretches.

    As with windows of a sound, and for the same reasons, it is neither the mean of all, in which a forged scene would
    drown, nor the highest of hundreds, which more often is an outlier. It is less than the quarter of `score_audio`,
    because a stretch's score already rests on a sequence of frames and is steadier than that of a window, and because
    a scene of minutes in a film of hours is what is looked for.

    Args:
        stretch_scores: `score_video` of each stretch, at least one.
    """
    return _mean_of_top(stretch_scores, STRETCHES_TOP_SHARE)


def score_audio(window_scores: Sequence[float]) -> float:
    """Return the score of an audio clip: the mean of the log-odds of its most suspicious quarter of windows.

    Forged speech is often spliced into genuine speech (Zhang et al., 2023, "The PartialSpoof Database and
    Countermeasures for the Detection of Short Fake Speech Segments Embedded in an Utterance"), so a mean over all
    windows would drown it; but the single highest of hundreds of windows is an outlier of the model more often than a
    forgery, and more so the longer the clip. A mean over the top share is between the two. Log-odds are averaged
    rather than probabilities because they keep the weight of scores near 0 and 1 (Satopää et al., 2014, "Combining
    multiple probability predictions using a simple logit model").

    Args:
        window_scores: p_fake of each window, at least one.
    """
    return _mean_of_top(window_scores, AUDIO_TOP_SHARE)


def score_text(passage_scores: Sequence[float]) -> float:
    """Return the score of a text: as `score_audio`, of its most suspicious quarter of passages, for the same reasons.

    Texts are written partly by machines as speech is spliced (Wang et al., 2023, "SeqXGPT: Sentence-Level AI-Generated
    Text Detection"), and a single passage of hundreds that scores highest is more often an outlier.

    Args:
        passage_scores: p_fake of each passage, at least one.
    """
    return _mean_of_top(passage_scores, TEXT_TOP_SHARE)


def _mean_of_top(scores: Sequence[float], share: float) -> float:
    """Return the mean, in log-odds, of the highest `share` of the scores."""
    top = np.sort(np.asarray(scores, dtype=np.float64))[-math.ceil(len(scores) * share) :]
    odds = np.clip(top, _LOGIT_BOUND, 1 - _LOGIT_BOUND)
    mean = float(np.mean(np.log(odds) - np.log1p(-odds)))
    # The bounds undo the clipping at 0 and 1 and the last digit's rounding.
    return min(max(1 / (1 + math.exp(-mean)), float(top[0])), float(top[-1]))


def stack_tracks(
    features: NDArray[np.float32], tracks: Sequence[Sequence[int]], *, frames: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lay the features of each track's crops out as one batch of sequences for the video head.

    Args:
        features: Encoder output of all crops, float32 [M, D].
        tracks: For each of K tracks the indices of its crops in time order, at most `frames` of them.
        frames: Time steps T that the head takes.

    Returns:
        The features float32 [K, T, D], padded with zeros at the end, and the mask float32 [K, T], 1 where a frame is.

    Raises:
        ValueError: A track is empty or longer than the head takes.
    """
    sequences = np.zeros((len(tracks), frames, features.shape[1]), dtype=np.float32)
    mask = np.zeros((len(tracks), frames), dtype=np.float32)
    for row, indices in enumerate(tracks):
        if not 0 < len(indices) <= frames:
            raise ValueError(f"A track has {len(indices)} crops; the head takes 1 to {frames}.")
        sequences[row, : len(indices)] = features[list(indices)]
        mask[row, : len(indices)] = 1
    return sequences, mask


def vote(verdict: Verdict) -> float:
    """Return what a verdict counts in a vote: 1 for FAKE, 0 for REAL, a half where it is uncertain."""
    return _VOTES[verdict]


def fuse(scores: Sequence[float], weights: Sequence[float]) -> float:
    """Return the score of an ensemble: the weighted mean of its members' scores, a linear opinion pool.

    Unlike the windows of one model, models differ in how sure they are of themselves where they know nothing, and with
    log-odds or products a single one that is close to 0 or 1 would overrule all others. Of the rules for combining
    classifiers the sum is the most resilient to such errors (Kittler et al., 1998, "On Combining Classifiers"); the
    weighted one is that of Stone (1961, "The Opinion Pool"). With votes for scores it is the share of the votes.

    Args:
        scores: p_fake, or the vote, of each member that answered, at least one.
        weights: What each of them counts, above 0.
    """
    pooled = math.fsum(score * weight for score, weight in zip(scores, weights, strict=True)) / math.fsum(weights)
    return min(max(pooled, min(scores)), max(scores))
