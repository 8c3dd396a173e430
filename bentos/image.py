"""The image Bento: a picture becomes crops of its faces, their scores, and the verdict on the worst of them."""

import bentoml

from bentos.catalogue import Served
from bentos.contract import Modality
from bentos.decoding import image_options
from bentos.detector import Detector, publish, service_options
from bentos.evidence import image_evidence, unscored_faces
from bentos.http.calls import Call
from bentos.inference import read_probabilities
from bentos.media.tasks import PREPARE_IMAGE
from bentos.scoring import score_image
from bentos.verdict import Finding


@bentoml.service(**service_options(Modality.IMAGE))
class ImageDetector(Detector):
    """Judges pictures."""

    modality = Modality.IMAGE

    async def examine(self, served: Served, call: Call) -> Finding:
        """Judge a picture by the worst of its faces."""
        image = await self.prepare(PREPARE_IMAGE, call, image_options(served, self.parts.settings))
        outputs = await self.infer(served.card, call, crop=image.crops)
        evidence = image_evidence(image, read_probabilities(served.card.model, outputs, "p_fake"))
        return Finding(
            p_fake=score_image([face.p_fake for face in evidence.faces]),
            evidence=evidence,
            reasons=image.reasons,
            unscored=unscored_faces(image),
        )


publish(ImageDetector)
