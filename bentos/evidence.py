"""From what was prepared and what the model said of it to what the caller is shown of it. Pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bentos.contract import (
    AudioEvidence,
    FaceScore,
    FrameScore,
    ImageEvidence,
    Reason,
    TrackScore,
    VideoEvidence,
    WindowScore,
)
from bentos.media.prepared import PreparedAudio, PreparedCrop, PreparedImage, PreparedVideo

Scores = NDArray[np.float32]


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


def video_evidence(video: PreparedVideo, scores: Sequence[float], frame_scores: Sequence[Scores]) -> VideoEvidence:
    """Give each of K tracks its score and those of its frames, one for each of its crops at least, in their order."""
    return VideoEvidence(
        width=video.width,
        height=video.height,
        duration_s=video.duration_s,
        codec=video.codec,
        frames_sampled=video.frames_sampled,
        faces_found=video.faces_found,
        tracks=tuple(
            _track(number, crops, scores[number], frame_scores[number]) for number, crops in enumerate(video.tracks)
        ),
    )


def _track(number: int, crops: tuple[PreparedCrop, ...], score: float, frame_scores: Scores) -> TrackScore:
    """Show a track by its box half-way, where a face that moves is most likely to be."""
    return TrackScore(
        track=number,
        p_fake=score,
        box=crops[len(crops) // 2].box,
        frames=tuple(
            FrameScore(time_s=crop.time_s, p_fake=float(frame_scores[step])) for step, crop in enumerate(crops)
        ),
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
