"""The audio Bento: a clip becomes windows, the model scores each, and the most suspicious quarter decides.

A long one is decoded passage by passage, so that no more than one of them is held.
"""

import bentoml

from bentos.catalogue import Served
from bentos.contract import Modality, StretchScore
from bentos.decoding import audio_options
from bentos.detector import Detector, publish, service_options
from bentos.errors import MediaTooLongError
from bentos.evidence import audio_evidence
from bentos.http.calls import Call
from bentos.inference import Tensor, read_probabilities
from bentos.long_sound import LongSound
from bentos.media.options import PassageOptions
from bentos.media.tasks import MEASURE_AUDIO, PREPARE_AUDIO, PREPARE_PASSAGE
from bentos.sampling import RATE, group_windows, pick_windows
from bentos.scoring import score_audio
from bentos.verdict import Finding


@bentoml.service(**service_options(Modality.AUDIO))
class AudioDetector(Detector):
    """Judges audio clips."""

    modality = Modality.AUDIO

    async def examine(self, served: Served, call: Call) -> Finding:
        """Judge a clip by its windows; one that is too long to be held, if it may be, passage by passage."""
        try:
            audio = await self.prepare(PREPARE_AUDIO, call, audio_options(served, self.parts.settings))
        except MediaTooLongError:
            if not call.long:
                raise
            return await self._examine_long(served, call)
        evidence = audio_evidence(audio, await self._judge(served, audio.windows, call))
        return Finding(
            p_fake=score_audio([window.p_fake for window in evidence.windows]),
            evidence=evidence,
            reasons=audio.reasons,
            unscored=audio.unscored,
        )

    async def _examine_long(self, served: Served, call: Call) -> Finding:
        options = audio_options(served, self.parts.settings, long=True)
        length = await self.prepare(MEASURE_AUDIO, call, options)
        starts, wanted = pick_windows(
            round(length.seconds * RATE), samples=options.samples, hop=options.hop, most=options.most_windows
        )
        found = LongSound(length, wanted=wanted)
        call.course.begin(length.seconds)
        for passage in group_windows(starts):
            orders = PassageOptions(audio=options, first_s=length.first_s, starts=passage)
            prepared = await self.decode(PREPARE_PASSAGE, call, orders)
            found.hear(prepared)
            scores: tuple[StretchScore, ...] = ()
            if prepared.spans:
                scores = found.add(prepared, await self._judge(served, prepared.windows, call))
            call.course.advance((passage[-1] + options.samples) / RATE, scores)
        return Finding(p_fake=found.p_fake, evidence=found.evidence, reasons=found.reasons, unscored=found.unscored)

    async def _judge(self, served: Served, windows: Tensor, call: Call) -> Tensor:
        """The scores of windows [N, S] as [N, 1]."""
        outputs = await self.infer(served.card, call, waveform=windows)
        return read_probabilities(served.card.model, outputs, "p_fake")


publish(AudioDetector)
