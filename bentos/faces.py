"""Finds faces in a picture: MTCNN in ONNX Runtime, on a copy of bounded size.

After Zhang et al., 2016, "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks".

P-Net proposes squares on a pyramid of scales, R-Net and O-Net each look at all the squares that are left in one batch.
It runs in the decoding processes, on one thread each, because those processes are what uses the cores.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from bentos.boxes import Floats, areas, overlaps, shifted, squared, unsuppressed
from bentos.media.options import FaceSearch

Pixels = NDArray[np.uint8]

WEIGHTS: Final = Path(__file__).parent / "weights"
CELL: Final = 12
"""Side of the square that P-Net looks at, in pixels; it moves by STRIDE."""
STRIDE: Final = 2
RNET_SIDE: Final = 24
ONET_SIDE: Final = 48
NMS_PER_SCALE: Final = 0.5
NMS_REFINED: Final = 0.7
"""Overlaps from which the weaker of two boxes goes: among P-Net's of one scale, and in every later step."""
GREY: Final = (127, 127, 127)
"""What lies outside the picture: zero after the nets' normalisation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """A face: corners in pixels of the whole picture, clipped to it, and the confidence in [0, 1]."""

    x1: float
    y1: float
    x2: float
    y2: float
    confidence: float

    @property
    def area(self) -> float:
        """Pixels covered."""
        return (self.x2 - self.x1) * (self.y2 - self.y1)


@dataclass(frozen=True, slots=True)
class _Nets:
    pnet: ort.InferenceSession
    rnet: ort.InferenceSession
    onet: ort.InferenceSession


def find_faces(picture: Pixels, search: FaceSearch | None = None) -> tuple[Face, ...]:
    """Find the faces in an RGB picture, uint8 [H, W, 3]; the largest first, none where there is none.

    Faces smaller than `smallest_face` pixels of a copy whose longer side is at most `longer_side` may be missed.
    """
    search = search or FaceSearch()
    height, width = picture.shape[:2]
    shrink = min(1.0, search.longer_side / max(height, width))
    small = picture
    if shrink < 1:
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    boxes, confidences = _cascade(small, search)
    scale = np.array([width / small.shape[1], height / small.shape[0]] * 2, np.float32)
    corners = np.clip(boxes * scale, 0, np.array([width, height] * 2, np.float32))
    order = np.argsort(-areas(corners), kind="stable")
    return tuple(
        Face(x1=x1, y1=y1, x2=x2, y2=y2, confidence=float(confidences[i]))
        for i in order
        for x1, y1, x2, y2 in [corners[i].tolist()]
        if x2 - x1 >= 1 and y2 - y1 >= 1
    )


def pyramid_scales(height: int, width: int, search: FaceSearch) -> tuple[float, ...]:
    """Scales, largest first, at which a face of at least `smallest_face` pixels fills P-Net's square."""
    scales: list[float] = []
    scale = CELL / search.smallest_face
    while min(height, width) * scale >= CELL:
        scales.append(scale)
        scale *= search.scale_factor
    return tuple(scales)


@cache
def _nets() -> _Nets:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")

    def load(name: str) -> ort.InferenceSession:
        return ort.InferenceSession(WEIGHTS / f"{name}.onnx", options, providers=["CPUExecutionProvider"])

    return _Nets(load("pnet"), load("rnet"), load("onet"))


def _cascade(picture: Pixels, search: FaceSearch) -> tuple[Floats, Floats]:
    """Boxes [N, 4] and confidences [N] of the faces in the copy."""
    nets = _nets()
    boxes = _propose(nets.pnet, picture, search)
    boxes, _ = _refine(nets.rnet, picture, boxes, RNET_SIDE, search.thresholds[1])
    kept = unsuppressed(overlaps(boxes, boxes) > NMS_REFINED)
    boxes = squared(boxes[kept])[: search.most_candidates]
    boxes, scores = _refine(nets.onet, picture, boxes, ONET_SIDE, search.thresholds[2])
    kept = unsuppressed(overlaps(boxes, boxes, over_smaller=True) > NMS_REFINED)
    return boxes[kept], scores[kept]


def _propose(pnet: ort.InferenceSession, picture: Pixels, search: FaceSearch) -> Floats:
    """Squares [N, 4] in which P-Net sees a face at some scale, best first."""
    height, width = picture.shape[:2]
    found: list[Floats] = []
    levels: list[NDArray[np.intp]] = []
    source = picture
    for level, scale in enumerate(pyramid_scales(height, width, search)):
        size = (int(width * scale), int(height * scale))
        # Exact halves are many times faster than other ratios. While at least a factor of two is left to the last step,
        # averaging twice is as good as once; with less, boxes begin to differ from those of the published code.
        while source.shape[1] >= 4 * size[0] and source.shape[0] >= 4 * size[1]:
            source = _resized(source, (source.shape[1] // 2, source.shape[0] // 2))
        scaled = _resized(source, size)
        offsets, p_face = _ask(pnet, scaled[None])
        rows, columns = np.nonzero(p_face[0] > search.thresholds[0])
        if not len(rows):
            continue
        corner = np.stack([columns, rows], axis=1) * STRIDE
        cells = np.concatenate([corner + 1, corner + CELL], axis=1) + offsets[0][:, rows, columns].T * (CELL - 1)
        found.append(np.column_stack([cells / scale, p_face[0][rows, columns]]).astype(np.float32))
        levels.append(np.full(len(rows), level))
    if not found:
        return np.empty((0, 4), np.float32)
    proposals, level_of = np.concatenate(found), np.concatenate(levels)
    best = np.argsort(-proposals[:, 4], kind="stable")[: search.most_proposals]
    boxes, level_of = proposals[best, :4], level_of[best]
    overlap = overlaps(boxes, boxes)
    kept = np.flatnonzero(unsuppressed((overlap > NMS_PER_SCALE) & (level_of[:, None] == level_of)))
    kept = kept[unsuppressed(overlap[np.ix_(kept, kept)] > NMS_REFINED)]
    return squared(boxes[kept])


def _resized(picture: Pixels, size: tuple[int, int]) -> Pixels:
    """The picture averaged down to (width, height)."""
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _refine(
    net: ort.InferenceSession, picture: Pixels, boxes: Floats, side: int, threshold: float
) -> tuple[Floats, Floats]:
    """Ask R-Net or O-Net about all squares at once: corrected boxes and scores of those above the threshold."""
    if not len(boxes):
        return boxes, np.empty(0, np.float32)
    offsets, p_face = _ask(net, _patches(picture, boxes, side))
    faces = np.flatnonzero(p_face > threshold)
    faces = faces[np.argsort(-p_face[faces], kind="stable")]
    return shifted(boxes[faces], offsets[faces]), p_face[faces]


def _ask(net: ort.InferenceSession, crops: Pixels) -> tuple[Floats, Floats]:
    """The offsets and the probabilities of being a face that a net gives for RGB crops [N, H, W, 3]."""
    offsets, p_face = net.run(["offsets", "p_face"], {"crop": crops})
    return np.asarray(offsets, np.float32), np.asarray(p_face, np.float32)


def _patches(picture: Pixels, boxes: Floats, side: int) -> Pixels:
    """The squares as uint8 [N, side, side, 3], all cut and resampled by one call."""
    height, width = picture.shape[:2]
    steps = np.linspace(0, 1, side, dtype=np.float32)
    x = (boxes[:, :1] + (boxes[:, 2:3] - boxes[:, :1]) * steps) * ((width - 1) / width)
    y = (boxes[:, 1:2] + (boxes[:, 3:] - boxes[:, 1:2]) * steps) * ((height - 1) / height)
    shape = (len(boxes), side, side)
    map_x = np.broadcast_to(x[:, None, :], shape).reshape(-1, side)
    map_y = np.broadcast_to(y[:, :, None], shape).reshape(-1, side)
    patches = cv2.remap(picture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=GREY)
    return np.asarray(patches, np.uint8).reshape(*shape, 3)
