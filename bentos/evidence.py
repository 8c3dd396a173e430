"""From what was prepared and what the model said of it to what the caller is shown of it. Pure."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bentos.contract import (
    AudioEvidence,
    FaceScore,
    FrameScore,
    ImageEvidence,
    PassageScore,
    Reason,
    TextEvidence,
    TokenScore,
    TrackScore,
    VideoEvidence,
    WindowScore,
)
from bentos.errors import BrokenModelError
from bentos.inference import Tensors
from bentos.media.prepared import PreparedAudio, PreparedCrop, PreparedImage, PreparedText, PreparedVideo

Scores = NDArray[np.float32]

MOST_TOKENS: Final = 512
"""Tokens of a text that are listed, at most: those of its most suspicious passages."""


def image_evidence(image: PreparedImage, scores: Scores) -> ImageEvidence:
    """Give each crop of a picture its score; `scores` is [N, 1], in the order of the crops."""
    return ImageEvidence(
        width=image.width,
        height=image.height,
        format=image.format,
        faces_found=image.faces_found,
        faces=tuple(
            FaceScore(box=face.box, confidence=face.confidence, p_fake=float(scores[face.index, 0]))
            for face in image.faces
        ),
    )


def unscored_faces(image: PreparedImage) -> tuple[Reason, ...]:
    """Return the reason why faces of a picture were left out, if any were."""
    if image.faces_found <= len(image.faces):
        return ()
    return tuple(reason for reason in image.reasons if reason.code == "too_many_faces")


def video_evidence(
    video: PreparedVideo, scores: Sequence[float], frame_scores: Sequence[Scores] | None
) -> VideoEvidence:
    """Give each of K tracks its score and those of its frames, one for each of its crops at least, in their order.

    Without `frame_scores` the tracks show no frames.
    """
    return VideoEvidence(
        width=video.width,
        height=video.height,
        duration_s=video.duration_s,
        codec=video.codec,
        frames_sampled=video.frames_sampled,
        faces_found=video.faces_found,
        tracks=tuple(
            _track(number, crops, scores[number], None if frame_scores is None else frame_scores[number])
            for number, crops in enumerate(video.tracks)
        ),
    )


def _track(number: int, crops: tuple[PreparedCrop, ...], score: float, frame_scores: Scores | None) -> TrackScore:
    """Show a track by its box half-way, where a face that moves is most likely to be."""
    frames = () if frame_scores is None else zip(crops, frame_scores[: len(crops)], strict=True)
    return TrackScore(
        track=number,
        p_fake=score,
        box=crops[len(crops) // 2].box,
        frames=tuple(FrameScore(time_s=crop.time_s, p_fake=float(p_fake)) for crop, p_fake in frames),
    )


def audio_evidence(audio: PreparedAudio, scores: Scores) -> AudioEvidence:
    """Give each window of a clip its score; `scores` is [N, 1], in the order of the windows."""
    return AudioEvidence(
        duration_s=audio.duration_s,
        sample_rate=audio.sample_rate,
        channels=audio.channels,
        codec=audio.codec,
        windows=tuple(
            WindowScore(start_s=start, end_s=end, p_fake=float(score))
            for (start, end), score in zip(audio.spans, scores[:, 0], strict=True)
        ),
    )


def text_evidence(text: PreparedText, scores: Scores, outputs: Tensors) -> TextEvidence:
    """Give each passage of a text its score, float32 [N, 1], and the most suspicious ones those of their tokens.

    Of `outputs`, `token_p_fake` float32 [N, T] and `token_spans` int32 [N, T, 2] are read where the model has them.

    Raises:
        BrokenModelError: They do not describe tokens of these passages.
    """
    tokens: dict[int, tuple[TokenScore, ...]] = {}
    if "token_p_fake" in outputs:
        left = MOST_TOKENS
        for index in np.argsort(-scores[:, 0], kind="stable").tolist():
            row = _tokens(text, index, outputs)
            if len(row) > left:
                break
            tokens[index] = row
            left -= len(row)
    return TextEvidence(
        characters=text.characters,
        words=text.words,
        encoding=text.encoding,
        passages=tuple(
            PassageScore(start=start, end=end, p_fake=float(scores[index, 0]), tokens=tokens.get(index, ()))
            for index, (start, end) in enumerate(text.spans)
        ),
    )


def _tokens(text: PreparedText, index: int, outputs: Tensors) -> tuple[TokenScore, ...]:
    """The tokens of one passage, with offsets in the whole text; rows of tokens are padded with -1."""
    scores, spans = outputs["token_p_fake"][index], outputs["token_spans"][index]
    real = spans[:, 0] >= 0
    start, end = text.spans[index]
    scores, spans = scores[real], spans[real] + start
    if len(scores) and (scores.min() < 0 or scores.max() > 1 or spans.min() < start or spans.max() > end):
        raise BrokenModelError("A model of texts gave scores of tokens that are not in the text.")
    return tuple(
        TokenScore(start=first, end=last, p_fake=score)
        for (first, last), score in zip(spans.tolist(), scores.tolist(), strict=True)
    )
