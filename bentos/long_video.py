"""What is found out about a long video, stretch by stretch, and what follows from it. Pure, and of bounded size.

A face anywhere makes the stretches without one not count, as it does with frames of a short video.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from bentos.contract import Reason, StretchScore, TrackScore, VideoEvidence
from bentos.errors import NoFramesError, UnreadableMediaError
from bentos.media.prepared import PreparedVideo, VideoLength
from bentos.sampling import Stretch
from bentos.scoring import score_stretches, score_video

MOST_TRACKS: Final = 32
"""Tracks whose frames are shown one by one: of so many stretches, the most suspicious ones."""
NO_FACE: Final = "no_face_found"


@dataclass(frozen=True, slots=True)
class _Judged:
    """A stretch with its score and its most suspicious track."""

    stretch: Stretch
    track: TrackScore
    has_face: bool


@dataclass(slots=True)
class LongVideo:
    """The stretches of one video, added in order as they are judged."""

    length: VideoLength
    planned: int
    _judged: list[_Judged] = field(default_factory=list[_Judged])
    _lost: int = 0
    _shape: VideoEvidence | None = None
    _faces: int = 0
    _frames: int = 0
    _missing: int = 0
    _reasons: dict[str, Reason] = field(default_factory=dict[str, Reason])
    _counts: Counter[str] = field(default_factory=Counter[str])

    def add(self, stretch: Stretch, video: PreparedVideo, evidence: VideoEvidence) -> StretchScore:
        """Take in what was found of a stretch; return its score with its frames."""
        worst = max(evidence.tracks, key=lambda track: track.p_fake)
        self._judged.append(_Judged(stretch, worst, has_face=evidence.faces_found > 0))
        self._shape = self._shape or evidence
        self._faces += evidence.faces_found
        self._frames += evidence.frames_sampled
        self._missing += bool(video.unscored)
        for reason in video.reasons:
            self._reasons.setdefault(reason.code, reason)
            self._counts[reason.code] += 1
        p_fake = score_video([track.p_fake for track in evidence.tracks])
        return StretchScore(start_s=stretch.start_s, end_s=stretch.end_s, p_fake=p_fake, frames=worst.frames)

    def lose(self) -> None:
        """Take in that a stretch could not be decoded."""
        self._lost += 1

    @property
    def p_fake(self) -> float:
        """The score of the whole. Raises `UnreadableMediaError` where no stretch could be decoded."""
        return score_stretches([judged.track.p_fake for judged in self._counted])

    @property
    def evidence(self) -> VideoEvidence:
        """What was measured, all stretches that count among it. Raises `UnreadableMediaError`."""
        counted = self._counted
        shown = sorted(counted, key=lambda judged: -judged.track.p_fake)[:MOST_TRACKS]
        shown.sort(key=lambda judged: judged.stretch.start_s)
        shape = self._shape
        if shape is None:
            raise UnreadableMediaError
        return msgspec.structs.replace(
            shape,
            duration_s=self.length.seconds,
            frames_sampled=self._frames,
            faces_found=self._faces,
            tracks=tuple(msgspec.structs.replace(judged.track, track=at) for at, judged in enumerate(shown)),
            stretches=tuple(
                StretchScore(start_s=judged.stretch.start_s, end_s=judged.stretch.end_s, p_fake=judged.track.p_fake)
                for judged in counted
            ),
        )

    def reasons(self, *, high: float) -> tuple[Reason, ...]:
        """What explains the score; a stretch whose score is `high` or more looks forged by itself."""
        judged, counted = self._judged, self._counted
        seen_s = sum(each.stretch.end_s - each.stretch.start_s for each in judged)
        message = (
            f"The video was judged in {len(judged)} stretches, together {seen_s:.0f} of {self.length.seconds:.0f} s; "
            "the most suspicious tenth of them decides."
        )
        reasons = [Reason(code="judged_by_stretches", message=message)]
        forged = [each for each in counted if each.track.p_fake >= high]
        if forged:
            reasons.append(Reason(code="forged_stretches", message=_forged(forged, len(counted))))
        if len(counted) < len(judged):
            message = (
                f"No face was found in {len(judged) - len(counted)} of {len(judged)} stretches; they do not count."
            )
            reasons.append(Reason(code="stretches_without_face", message=message))
        for code, reason in self._reasons.items():
            if code == NO_FACE:
                if not self._faces:
                    reasons.append(reason)
            else:
                count = f" This holds for {self._counts[code]} of {len(judged)} stretches."
                reasons.append(Reason(code=code, message=reason.message + count))
        return tuple(reasons)

    @property
    def unscored(self) -> tuple[Reason, ...]:
        """What could not be judged."""
        reasons: list[Reason] = []
        if self._lost:
            message = f"{self._lost} of {self.planned} stretches could not be decoded."
            reasons.append(Reason(code="stretches_unreadable", message=message))
        if self._missing:
            message = f"Some of the sampled frames of {self._missing} stretches could not be decoded."
            reasons.append(Reason(code="frames_unreadable", message=message))
        return (*reasons, *self.length.unscored)

    @property
    def _counted(self) -> Sequence[_Judged]:
        if not self._judged:
            raise UnreadableMediaError
        return [judged for judged in self._judged if judged.has_face] or self._judged


LOST: Final = (UnreadableMediaError, NoFramesError)
"""What costs a stretch of a video and not the whole of it."""


def _forged(forged: Sequence[_Judged], count: int) -> str:
    worst = max(forged, key=lambda judged: judged.track.p_fake)
    minutes, seconds = divmod(int(worst.stretch.start_s), 60)
    moment = f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    if len(forged) == 1:
        return f"1 of {count} stretches looks forged by itself, the one at {moment}."
    return f"{len(forged)} of {count} stretches look forged by themselves, most of all the one at {moment}."
