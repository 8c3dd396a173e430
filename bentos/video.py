"""The video Bento: frames become faces followed over time, and the most suspicious of these decides.

A video model's encoder and head judge each face as a sequence; a model of pictures judges it frame by frame.
"""

from typing import Final

import bentoml
import numpy as np

from bentos.cards import Card
from bentos.catalogue import Served
from bentos.contract import Detection, Modality, Reason, VideoEvidence
from bentos.decoding import frames_of, video_options
from bentos.detector import Detector, publish, service_options
from bentos.evidence import video_evidence
from bentos.http.calls import Call
from bentos.inference import read_probabilities
from bentos.media.prepared import PreparedVideo
from bentos.media.tasks import PREPARE_VIDEO
from bentos.scoring import score_frames, score_video, stack_tracks
from bentos.verdict import conclude

_FRAME_BY_FRAME: Final = Reason(
    code="judged_frame_by_frame", message="A model of pictures judged the frames one by one; motion was not looked at."
)


@bentoml.service(**service_options(Modality.VIDEO))
class VideoDetector(Detector):
    """Judges videos."""

    modality = Modality.VIDEO

    async def detect(self, call: Call) -> Detection:
        """Give the verdict on a video."""
        served = await self.choose(call)
        options = video_options(served, self.parts.settings, thumbnail=call.thumbnail.wanted)
        video = await self.prepare(PREPARE_VIDEO, call, options)
        call.thumbnail.jpeg = video.thumbnail.tobytes()
        if served.encoder is None:
            evidence = await self._judge_frames(served, video, call)
        else:
            evidence = await self._judge_sequences(served, served.encoder, video, call)
        return conclude(
            modality=self.modality,
            card=served.card,
            p_fake=score_video([track.p_fake for track in evidence.tracks]),
            evidence=evidence,
            reasons=video.reasons if served.encoder else (*video.reasons, _FRAME_BY_FRAME),
            unscored=video.unscored,
            timings=call.timings(),
        )

    async def _judge_sequences(self, served: Served, encoder: Card, video: PreparedVideo, call: Call) -> VideoEvidence:
        encoded = await self.infer(encoder, call, crop=video.crops)
        tracks = [[crop.index for crop in track] for track in video.tracks]
        sequences, mask = stack_tracks(encoded["features"], tracks, frames=frames_of(served.card))
        outputs = await self.infer(served.card, call, features=sequences, mask=mask)
        scores = read_probabilities(served.card.model, outputs, "p_fake")
        frame_scores = read_probabilities(served.card.model, outputs, "frame_p_fake")
        return video_evidence(video, [float(score) for score in scores[:, 0]], list(frame_scores))

    async def _judge_frames(self, served: Served, video: PreparedVideo, call: Call) -> VideoEvidence:
        outputs = await self.infer(served.card, call, crop=video.crops)
        scores = read_probabilities(served.card.model, outputs, "p_fake")[:, 0]
        by_track = [np.asarray([scores[crop.index] for crop in track], np.float32) for track in video.tracks]
        return video_evidence(video, [score_frames(frames.tolist()) for frames in by_track], by_track)


publish(VideoDetector)
