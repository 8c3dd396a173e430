"""The video Bento: frames become faces followed over time, the encoder and its head score each, the worst decides."""

import bentoml

from bentos.contract import Detection, Modality
from bentos.decoding import encoder_of, frames_of, video_options
from bentos.detector import Detector, publish, service_options
from bentos.evidence import video_evidence
from bentos.http.calls import Call
from bentos.inference import read_probabilities
from bentos.media.tasks import PREPARE_VIDEO
from bentos.scoring import score_video, stack_tracks
from bentos.verdict import conclude


@bentoml.service(**service_options(Modality.VIDEO))
class VideoDetector(Detector):
    """Judges videos."""

    modality = Modality.VIDEO

    async def detect(self, call: Call) -> Detection:
        """Give the verdict on a video."""
        served = await self.choose(call)
        video = await self.prepare(PREPARE_VIDEO, call, video_options(served, self.parts.settings))
        encoded = await self.infer(encoder_of(served), call, crop=video.crops)
        tracks = [[crop.index for crop in track] for track in video.tracks]
        sequences, mask = stack_tracks(encoded["features"], tracks, frames=frames_of(served.card))
        outputs = await self.infer(served.card, call, features=sequences, mask=mask)
        evidence = video_evidence(
            video,
            read_probabilities(served.card.model, outputs, "p_fake"),
            read_probabilities(served.card.model, outputs, "frame_p_fake"),
        )
        return conclude(
            card=served.card,
            p_fake=score_video([track.p_fake for track in evidence.tracks]),
            evidence=evidence,
            reasons=video.reasons,
            unscored=video.unscored,
            timings=call.timings(),
        )


publish(VideoDetector)
