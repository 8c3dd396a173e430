import importlib
import logging

import cv2
import numpy as np
import onnxruntime as ort
import pytest
from skimage import data

from bentos.boxes import overlaps
from bentos.faces import WEIGHTS, Face, find_faces, pyramid_scales
from bentos.media.options import FaceSearch
from tests.fixtures.media import portrait, scenery, with_faces


def resized(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def corners(faces: tuple[Face, ...]) -> np.ndarray:
    return np.array([[face.x1, face.y1, face.x2, face.y2] for face in faces], np.float32).reshape(-1, 4)


def test_the_face_of_a_portrait_is_found_where_it_is() -> None:
    (face,) = find_faces(portrait())
    assert face.confidence > 0.95
    assert overlaps(corners((face,)), np.array([[180, 62, 266, 172]], np.float32))[0, 0] > 0.8


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 4.0])
def test_boxes_are_in_pixels_of_the_whole_picture(scale: float) -> None:
    side = int(512 * scale)
    faces = find_faces(np.asarray(cv2.resize(portrait(), (side, side)), np.uint8))
    assert len(faces) == 1
    assert overlaps(corners(faces) / scale, corners(find_faces(portrait())))[0, 0] > 0.8


def test_several_faces_come_largest_first() -> None:
    faces = find_faces(with_faces(200, 400, 300))
    assert len(faces) == 3
    assert [face.area for face in faces] == sorted((face.area for face in faces), reverse=True)


@pytest.mark.parametrize("picture", ["coffee", "rocket", "chelsea"])
def test_no_face_is_found_where_there_is_none(picture: str) -> None:
    assert find_faces(getattr(data, picture)()) == ()


def test_faces_below_the_smallest_size_are_left_out() -> None:
    small = resized(portrait(), 200, 200)
    assert find_faces(small, FaceSearch(smallest_face=80)) == ()
    assert len(find_faces(small, FaceSearch(smallest_face=20))) == 1


@pytest.mark.parametrize("shape", [(1, 1), (11, 300), (12, 12), (40, 40), (39, 2000), (3000, 12)])
def test_pictures_of_any_size_are_searched(shape: tuple[int, int]) -> None:
    assert find_faces(np.zeros((*shape, 3), np.uint8)) == ()


def test_boxes_stay_inside_the_picture() -> None:
    picture = np.ascontiguousarray(portrait()[70:200, 190:300])
    for face in find_faces(picture):
        assert face.x1 >= 0
        assert face.y1 >= 0
        assert face.x2 <= 110
        assert face.y2 <= 130


def test_work_is_bounded_in_a_picture_that_is_all_faces() -> None:
    tile = resized(portrait()[40:190, 150:300], 48, 48)
    wall = np.tile(tile, (13, 13, 1))
    assert 0 < len(find_faces(wall, FaceSearch(most_proposals=64, most_candidates=8))) <= 8


def test_scales_end_where_the_picture_is_one_cell() -> None:
    scales = pyramid_scales(360, 640, FaceSearch())
    assert scales[0] == pytest.approx(0.3)
    assert len(scales) == 7
    assert all(360 * scale >= 12 for scale in scales)
    assert pyramid_scales(39, 640, FaceSearch()) == ()


PICTURES = {
    "astronaut": portrait,
    "astronaut small": lambda: resized(portrait(), 320, 320),
    "astronaut large": lambda: resized(portrait(), 640, 640),
    "cameraman": lambda: cv2.cvtColor(data.camera(), cv2.COLOR_GRAY2RGB),
    "two faces": lambda: with_faces(250, 400, width=1000, height=700),
    "three faces": lambda: with_faces(120, 180, 90, width=600, height=400),
    "coffee": scenery,
    "cat": data.chelsea,
    "rocket": data.rocket,
}


@pytest.fixture(scope="module")
def package():
    """The `mtcnn` package's detector. TensorFlow is imported here because the rest of this module needs none of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        mtcnn = importlib.import_module("mtcnn")
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        return mtcnn.MTCNN()


@pytest.mark.integration
@pytest.mark.parametrize("name", PICTURES)
def test_faces_are_those_of_the_package(package, name: str) -> None:
    """The package makes more scales than P-Net has room for once its smallest face is much above 20 pixels, and then
    answers "no faces"; so both are compared at 20 and without a smaller copy."""
    picture = PICTURES[name]()
    reference = package.detect_faces(picture, min_face_size=20, scale_factor=0.709)
    theirs = np.array([[x, y, x + w, y + h] for x, y, w, h in (face["box"] for face in reference)], np.float32)
    search = FaceSearch(longer_side=10_000, smallest_face=20, most_proposals=2000, most_candidates=600)
    ours = corners(find_faces(picture, search))
    assert len(ours) == len(theirs)
    if len(ours):
        best = overlaps(ours, theirs)
        assert best.max(axis=1).min() >= 0.9
        assert best.max(axis=0).min() >= 0.9


@pytest.mark.integration
@pytest.mark.parametrize(
    ("name", "shape"), [("pnet", (2, 47, 61, 3)), ("rnet", (5, 24, 24, 3)), ("onet", (3, 48, 48, 3))]
)
def test_each_net_computes_what_the_packages_does(package, name: str, shape: tuple[int, ...]) -> None:
    crops = np.random.default_rng(3).integers(0, 256, shape, np.uint8)
    session = ort.InferenceSession(WEIGHTS / f"{name}.onnx", providers=["CPUExecutionProvider"])
    offsets, p_face = (np.asarray(value) for value in session.run(["offsets", "p_face"], {"crop": crops}))
    stage = {"pnet": 0, "rnet": 1, "onet": 2}[name]
    theirs = [value.numpy() for value in package.stages[stage].model((crops.astype(np.float32) - 127.5) / 128)]
    if name == "pnet":
        offsets = offsets.transpose(0, 2, 3, 1)
    assert offsets == pytest.approx(theirs[0], abs=1e-4)
    assert p_face == pytest.approx(theirs[-1][..., 1], abs=1e-4)
