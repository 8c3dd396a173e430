"""The video Bento: frames become faces followed over time, and the most suspicious of these decides.

A video model's encoder and head judge each face as a sequence; a model of pictures judges it frame by frame. A long
video is judged stretch by stretch.
"""

from dataclasses import replace
from typing import Final

import bentoml
import numpy as np

from bentos.cards import Card
from bentos.catalogue import Served
from bentos.contract import Modality, Reason, StretchScore, VideoEvidence
from bentos.decoding import frames_of, video_options
from bentos.detector import Detector, publish, service_options
from bentos.errors import MediaTooLongError
from bentos.evidence import video_evidence
from bentos.http.calls import Call
from bentos.inference import read_probabilities
from bentos.long_video import LOST, LongVideo
from bentos.media.options import StretchOptions
from bentos.media.prepared import PreparedVideo
from bentos.media.tasks import MEASURE_VIDEO, PREPARE_STRETCH, PREPARE_VIDEO
from bentos.sampling import Stretch, pick_stretches
from bentos.scoring import score_frames, score_video, stack_tracks
from bentos.verdict import Finding

FRAME_SCORES: Final = "frame_p_fake"
"""Output of a video head that not every one has: some can only judge a clip as a whole."""
_FRAME_BY_FRAME: Final = Reason(
    code="judged_frame_by_frame", message="A model of pictures judged the frames one by one; motion was not looked at."
)


@bentoml.service(**service_options(Modality.VIDEO))
class VideoDetector(Detector):
    """Judges videos."""

    modality = Modality.VIDEO

    async def examine(self, served: Served, call: Call) -> Finding:
        """Judge a video by its faces; one that is too long for that, if it may be, stretch by stretch."""
        options = video_options(served, self.parts.settings, thumbnail=call.thumbnail.wanted)
        try:
            video = await self.prepare(PREPARE_VIDEO, call, options)
        except MediaTooLongError:
            if not call.long:
                raise
            return await self._examine_long(served, call)
        call.thumbnail.jpeg = video.thumbnail.tobytes()
        evidence = await self._judge(served, video, call)
        return Finding(
            p_fake=score_video([track.p_fake for track in evidence.tracks]),
            evidence=evidence,
            reasons=_explain(served, video.reasons),
            unscored=video.unscored,
        )

    async def _examine_long(self, served: Served, call: Call) -> Finding:
        settings = self.parts.settings
        options = video_options(served, settings, thumbnail=False, long=True)
        length = await self.prepare(MEASURE_VIDEO, call, options)
        stretches = pick_stretches(length.seconds, most=settings.video_job_stretches)
        found = LongVideo(length, planned=len(stretches))
        call.course.begin(len(stretches) * options.frames)
        for number, stretch in enumerate(stretches):
            shown = call.thumbnail.wanted and not call.thumbnail.jpeg and number >= len(stretches) // 2
            scores = await self._judge_stretch(
                served,
                StretchOptions(
                    video=replace(options, thumbnail=shown),
                    first=length.first,
                    start_s=stretch.start_s,
                    end_s=stretch.end_s,
                ),
                found,
                call,
            )
            call.course.advance((number + 1) * options.frames, scores)
        high = served.card.thresholds.high if served.card.thresholds else 1.0
        return Finding(
            p_fake=found.p_fake,
            evidence=found.evidence,
            reasons=_explain(served, found.reasons(high=high)),
            unscored=found.unscored,
        )

    async def _judge_stretch(
        self, served: Served, options: StretchOptions, found: LongVideo, call: Call
    ) -> tuple[StretchScore, ...]:
        try:
            video = await self.decode(PREPARE_STRETCH, call, options)
        except LOST:
            found.lose()
            return ()
        if options.video.thumbnail:
            call.thumbnail.jpeg = video.thumbnail.tobytes()
        evidence = await self._judge(served, video, call)
        return (found.add(Stretch(options.start_s, options.end_s), video, evidence),)

    async def _judge(self, served: Served, video: PreparedVideo, call: Call) -> VideoEvidence:
        if served.encoder is None:
            return await self._judge_frames(served, video, call)
        return await self._judge_sequences(served, served.encoder, video, call)

    async def _judge_sequences(self, served: Served, encoder: Card, video: PreparedVideo, call: Call) -> VideoEvidence:
        encoded = await self.infer(encoder, call, crop=video.crops)
        tracks = [[crop.index for crop in track] for track in video.tracks]
        sequences, mask = stack_tracks(encoded["features"], tracks, frames=frames_of(served.card))
        outputs = await self.infer(served.card, call, features=sequences, mask=mask)
        scores = read_probabilities(served.card.model, outputs, "p_fake")
        frame_scores = None
        if FRAME_SCORES in outputs:
            frame_scores = list(read_probabilities(served.card.model, outputs, FRAME_SCORES))
        return video_evidence(video, [float(score) for score in scores[:, 0]], frame_scores)

    async def _judge_frames(self, served: Served, video: PreparedVideo, call: Call) -> VideoEvidence:
        outputs = await self.infer(served.card, call, crop=video.crops)
        scores = read_probabilities(served.card.model, outputs, "p_fake")[:, 0]
        by_track = [np.asarray([scores[crop.index] for crop in track], np.float32) for track in video.tracks]
        return video_evidence(video, [score_frames(frames.tolist()) for frames in by_track], by_track)


def _explain(served: Served, reasons: tuple[Reason, ...]) -> tuple[Reason, ...]:
    return reasons if served.encoder else (*reasons, _FRAME_BY_FRAME)


publish(VideoDetector)
