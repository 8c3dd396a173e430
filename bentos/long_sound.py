"""What is found out about a long sound, passage by passage, and what follows from it. Pure, and of bounded size."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from bentos.contract import AudioEvidence, Reason, StretchScore, WindowScore
from bentos.errors import NoSamplesError, UnreadableMediaError
from bentos.media.prepared import PreparedPassage, SoundLength
from bentos.sampling import SILENCE
from bentos.scoring import score_audio


@dataclass(slots=True)
class LongSound:
    """The windows of one sound, added in order as they are judged; without a bound there would be `wanted`."""

    length: SoundLength
    wanted: int
    _windows: list[WindowScore] = field(default_factory=list[WindowScore])
    _peak: float = 0.0
    _packets: int = 0
    _damaged: int = 0

    def hear(self, passage: PreparedPassage) -> None:
        """Take in what decoding a passage told, also where it gave no window."""
        self._peak = max(self._peak, passage.peak)
        self._packets += passage.packets
        self._damaged += passage.damaged

    def add(self, passage: PreparedPassage, scores: NDArray[Any]) -> tuple[StretchScore, ...]:
        """Take in the scores [N, 1] of the windows of a passage; return them."""
        windows = [
            WindowScore(start_s=start, end_s=end, p_fake=float(score))
            for (start, end), score in zip(passage.spans, scores[:, 0], strict=True)
        ]
        self._windows.extend(windows)
        return tuple(StretchScore(start_s=each.start_s, end_s=each.end_s, p_fake=each.p_fake) for each in windows)

    @property
    def p_fake(self) -> float:
        """The score of the whole. Raises `UnreadableMediaError` or `NoSamplesError` where there is no window."""
        return score_audio([window.p_fake for window in self._scored])

    @property
    def evidence(self) -> AudioEvidence:
        """What was measured."""
        return AudioEvidence(
            duration_s=self.length.seconds,
            sample_rate=self.length.sample_rate,
            channels=self.length.channels,
            codec=self.length.codec,
            windows=tuple(self._windows),
        )

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """What explains the score."""
        if self._peak >= SILENCE:
            return ()
        return (Reason(code="silent", message="Nothing can be heard in the windows that were judged."),)

    @property
    def unscored(self) -> tuple[Reason, ...]:
        """What could not be judged."""
        reasons: list[Reason] = []
        if len(self._windows) < self.wanted:
            message = f"Only {len(self._windows)} of {self.wanted} windows, spread evenly over the clip, were judged."
            reasons.append(Reason(code="windows_left_out", message=message))
        if self._damaged:
            message = f"{self._damaged} of {self._packets} packets could not be decoded."
            reasons.append(Reason(code="sound_unreadable", message=message))
        return (*reasons, *self.length.unscored)

    @property
    def _scored(self) -> Sequence[WindowScore]:
        if not self._windows:
            raise UnreadableMediaError if self._damaged else NoSamplesError
        return self._windows
