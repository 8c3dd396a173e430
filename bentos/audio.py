"""The audio Bento: a clip becomes windows, the model scores each, and the most suspicious quarter decides."""

import bentoml

from bentos.contract import Detection, Modality
from bentos.decoding import audio_options
from bentos.detector import Detector, publish, service_options
from bentos.evidence import audio_evidence
from bentos.http.calls import Call
from bentos.inference import read_probabilities
from bentos.media.tasks import PREPARE_AUDIO
from bentos.scoring import score_audio
from bentos.verdict import conclude


@bentoml.service(**service_options(Modality.AUDIO))
class AudioDetector(Detector):
    """Judges audio clips."""

    modality = Modality.AUDIO

    async def detect(self, call: Call) -> Detection:
        """Give the verdict on an audio clip."""
        served = await self.choose(call)
        audio = await self.prepare(PREPARE_AUDIO, call, audio_options(served, self.parts.settings))
        outputs = await self.infer(served.card, call, waveform=audio.windows)
        evidence = audio_evidence(audio, read_probabilities(served.card.model, outputs, "p_fake"))
        return conclude(
            modality=self.modality,
            card=served.card,
            p_fake=score_audio([window.p_fake for window in evidence.windows]),
            evidence=evidence,
            reasons=audio.reasons,
            unscored=audio.unscored,
            timings=call.timings(),
        )


publish(AudioDetector)
