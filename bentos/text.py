"""The text Bento: a text becomes passages, the model scores each, and the most suspicious quarter decides."""

import bentoml
import numpy as np

from bentos.catalogue import Served
from bentos.contract import Modality
from bentos.decoding import text_options
from bentos.detector import Detector, publish, service_options
from bentos.evidence import text_evidence
from bentos.http.calls import Call
from bentos.inference import read_probabilities
from bentos.media.tasks import PREPARE_TEXT
from bentos.scoring import score_text
from bentos.verdict import Finding


@bentoml.service(**service_options(Modality.TEXT))
class TextDetector(Detector):
    """Judges texts."""

    modality = Modality.TEXT

    async def examine(self, served: Served, call: Call) -> Finding:
        """Judge a text by its passages; of one that is too short no verdict is given."""
        text = await self.prepare(PREPARE_TEXT, call, text_options(served, self.parts.settings))
        passages = np.array([[passage.encode()] for passage in text.passages], np.object_)
        outputs = await self.infer(served.card, call, text=passages)
        scores = read_probabilities(served.card.model, outputs, "p_fake")
        evidence = text_evidence(text, scores, outputs)
        return Finding(
            p_fake=score_text([passage.p_fake for passage in evidence.passages]),
            evidence=evidence,
            reasons=text.reasons,
            unscored=text.unscored,
            undecided=text.too_short,
        )


publish(TextDetector)
