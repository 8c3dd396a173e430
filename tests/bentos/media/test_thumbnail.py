import cv2
import numpy as np
import pytest

from bentos.contract import THUMBNAIL_BYTES, THUMBNAIL_SIDE
from bentos.media.options import VideoOptions
from bentos.media.prepared import CropShape
from bentos.media.thumbnail import make_thumbnail
from bentos.media.video import prepare_video
from tests.fixtures import media

SHAPE = CropShape(height=48, width=48, resize_filter="area", margin=0.3)


def decoded(jpeg: np.ndarray) -> np.ndarray:
    assert 0 < jpeg.nbytes <= THUMBNAIL_BYTES
    assert jpeg[:2].tobytes() == b"\xff\xd8"
    picture = cv2.imdecode(jpeg, cv2.IMREAD_COLOR_RGB)
    assert picture is not None
    return picture


@pytest.mark.parametrize(
    ("width", "height", "small"),
    [
        (1920, 1080, (180, 320)),
        (1080, 1920, (320, 180)),
        (320, 240, (240, 320)),
        (48, 32, (32, 48)),
        (5000, 2, (1, 320)),
    ],
)
def test_it_has_the_shape_of_the_picture_and_is_never_enlarged(width: int, height: int, small: tuple[int, int]) -> None:
    picture = cv2.resize(media.scenery(), (width, height))
    assert decoded(make_thumbnail(picture)).shape[:2] == small


def test_it_shows_the_picture() -> None:
    picture = media.with_faces(400)
    shown = decoded(make_thumbnail(picture)).astype(float)
    wanted = cv2.resize(picture, (320, 180), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(shown - wanted).mean() < 6


def test_noise_fits_all_the_same() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1080, 1080, 3), np.uint8)
    assert max(decoded(make_thumbnail(noise)).shape) <= THUMBNAIL_SIDE


def test_a_video_shows_its_middle_only_where_that_is_asked_for() -> None:
    shades = [np.full((64, 96, 3), level, np.uint8) for level in np.linspace(0, 250, 31).astype(int)]
    clip = media.clip(shades, keyframe_every=1)
    asked = prepare_video(clip, VideoOptions(shape=SHAPE, frames=5, thumbnail=True))
    assert decoded(asked.thumbnail).mean() == pytest.approx(125, abs=30)
    assert prepare_video(clip, VideoOptions(shape=SHAPE, frames=5)).thumbnail.size == 0
