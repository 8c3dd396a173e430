import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from bentos.errors import (
    DetectionError,
    EmptyMediaError,
    TooManyPixelsError,
    UnreadableMediaError,
    UnsupportedMediaError,
)
from bentos.media.image import decode_image, prepare_image
from bentos.media.options import ImageOptions
from bentos.media.prepared import CropShape
from tests.fixtures import media

SHAPE = CropShape(height=64, width=64, resize_filter="area", margin=0.3)
OPTIONS = ImageOptions(shape=SHAPE)
MOST = 50_000_000


def codes(prepared) -> list[str]:
    return [reason.code for reason in prepared.reasons]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_every_format_gives_the_same_picture(kind: str) -> None:
    options = {"quality": 95} if kind in {"JPEG", "WEBP"} else {}
    picture, named = decode_image(media.encoded(media.portrait(), kind, **options), max_pixels=MOST)
    assert named == kind
    assert picture.shape == (512, 512, 3)
    assert np.abs(picture.astype(int) - media.portrait()).mean() < 4


def test_gif_gives_its_first_frame() -> None:
    frames = [Image.fromarray(media.portrait()), Image.new("RGB", (512, 512))]
    gif = media.saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    picture, named = decode_image(gif, max_pixels=MOST)
    assert named == "GIF"
    assert picture.mean() > 50


def test_one_face_is_cut_with_its_margin() -> None:
    prepared = prepare_image(media.encoded(media.portrait()), OPTIONS)
    (face,) = prepared.faces
    assert prepared.crops.shape == (1, 64, 64, 3)
    assert prepared.crops.dtype == np.uint8
    assert face.confidence > 0.9
    assert face.box.width == face.box.height
    assert 150 < face.box.width < 190  # About 107 pixels and 0.3 of that on either side.
    assert prepared.faces_found == 1
    assert (prepared.width, prepared.height, prepared.format) == (512, 512, "JPEG")
    assert codes(prepared) == []


def test_a_path_is_as_good_as_bytes(tmp_path) -> None:
    path = tmp_path / "portrait"
    path.write_bytes(media.encoded(media.portrait()))
    assert (prepare_image(path, OPTIONS).crops == prepare_image(path.read_bytes(), OPTIONS).crops).all()


def test_several_faces_come_largest_first_and_bounded() -> None:
    data = media.encoded(media.with_faces(150, 300, 220), quality=95)
    prepared = prepare_image(data, OPTIONS)
    sides = [face.box.width for face in prepared.faces]
    assert prepared.faces_found == len(sides) == 3
    assert sides == sorted(sides, reverse=True)
    assert [face.index for face in prepared.faces] == [0, 1, 2]
    bounded = prepare_image(data, ImageOptions(shape=SHAPE, most_faces=2))
    assert len(bounded.crops) == len(bounded.faces) == 2
    assert bounded.faces_found == 3
    assert codes(bounded) == ["too_many_faces"]


def test_without_a_face_the_middle_is_judged_and_said_so() -> None:
    prepared = prepare_image(media.encoded(media.scenery()), OPTIONS)
    (middle,) = prepared.faces
    assert prepared.faces_found == 0
    assert middle.confidence == 0
    assert (middle.box.x, middle.box.y, middle.box.width, middle.box.height) == (100, 0, 400, 400)
    assert codes(prepared) == ["no_face_found"]


def test_a_crop_may_leave_the_picture() -> None:
    prepared = prepare_image(media.encoded(media.portrait()[40:200, 150:300], "PNG"), OPTIONS)
    (face,) = prepared.faces
    assert face.box.y < 0
    assert face.box.y + face.box.height > 160
    assert prepared.crops[0].std() > 10


def test_too_few_pixels_are_a_reason() -> None:
    options = ImageOptions(shape=CropShape(height=224, width=224, resize_filter="bilinear", margin=0))
    prepared = prepare_image(media.encoded(media.scenery()[:60, :60], "PNG"), options)
    assert codes(prepared) == ["no_face_found", "low_resolution"]
    assert prepared.crops.shape == (1, 224, 224, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (13, 13)])
def test_tiny_and_thin_pictures_have_crops_too(size: tuple[int, int]) -> None:
    prepared = prepare_image(media.encoded(np.zeros((*size, 3), np.uint8), "PNG"), OPTIONS)
    assert prepared.crops.shape == (1, 64, 64, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_undone(orientation: int) -> None:
    jpeg = media.turned_jpeg(media.portrait()[:300], orientation)
    picture, _ = decode_image(jpeg, max_pixels=MOST)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(jpeg))))
    assert picture.shape == upright.shape
    assert np.abs(picture.astype(int) - upright).mean() < 1


def test_a_turned_portrait_still_shows_its_face() -> None:
    # Orientation 6 is shown a quarter turn clockwise, so what is stored lies a quarter turn the other way.
    prepared = prepare_image(media.turned_jpeg(np.rot90(media.portrait()[:400]), 6), OPTIONS)
    assert (prepared.width, prepared.height) == (512, 400)
    assert prepared.faces_found == 1


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("CMYK", "JPEG"), ("L", "JPEG"), ("L", "PNG"), ("LA", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("1", "PNG"),
     ("RGBA", "WEBP")],
)  # fmt: skip
def test_every_colour_mode_becomes_rgb(mode: str, kind: str) -> None:
    data = media.saved(Image.fromarray(media.portrait()).convert(mode), kind)
    picture, _ = decode_image(data, max_pixels=MOST)
    grey = np.asarray(Image.fromarray(media.portrait()).convert("L"), int)
    assert picture.shape == (512, 512, 3)
    assert picture.dtype == np.uint8
    assert abs(picture.mean() - grey.mean()) < 12


def test_sixteen_bits_keep_their_brightness() -> None:
    levels = (np.asarray(Image.fromarray(media.portrait()).convert("L")).astype(np.uint16) << 8) + 7
    picture, _ = decode_image(media.saved(Image.fromarray(levels), "PNG"), max_pixels=MOST)
    assert (picture[:, :, 0] == levels >> 8).all()


def test_what_is_transparent_lies_on_white() -> None:
    clear = np.zeros((40, 40, 4), np.uint8)
    picture, _ = decode_image(media.saved(Image.fromarray(clear), "PNG"), max_pixels=MOST)
    assert (picture == 255).all()


def test_progressive_jpeg_and_trailing_bytes_are_fine() -> None:
    data = media.encoded(media.portrait(), progressive=True) + b"\0" * 100
    assert decode_image(data, max_pixels=MOST)[0].shape == (512, 512, 3)


def test_a_bomb_is_refused_from_its_header() -> None:
    bomb = media.png_bomb()
    assert len(bomb) < 20_000
    with pytest.raises(TooManyPixelsError, match="30000 x 30000"):
        prepare_image(bomb, OPTIONS)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_more_pixels_than_allowed_are_refused(kind: str) -> None:
    with pytest.raises(TooManyPixelsError):
        decode_image(media.encoded(media.portrait(), kind), max_pixels=512 * 512 - 1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_truncated_file_is_unreadable(kind: str, share: float) -> None:
    data = media.encoded(media.portrait(), kind)
    with pytest.raises(UnreadableMediaError):
        prepare_image(data[: int(len(data) * share)], OPTIONS)


@pytest.mark.parametrize(
    "data",
    [b"just text", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7", b"\0" * 1000, b"#EXTM3U\n"],
)
def test_what_is_no_picture_is_unsupported(data: bytes) -> None:
    with pytest.raises(UnsupportedMediaError):
        prepare_image(data, OPTIONS)


def test_formats_off_the_list_are_unsupported() -> None:
    with pytest.raises(UnsupportedMediaError):
        prepare_image(media.encoded(media.portrait(), "TIFF"), OPTIONS)


def test_a_sound_is_no_picture() -> None:
    with pytest.raises(UnsupportedMediaError):
        prepare_image(media.sound(media.tone(0.2)), OPTIONS)


def test_an_empty_file_is_said_to_be_empty() -> None:
    with pytest.raises(EmptyMediaError):
        prepare_image(b"", OPTIONS)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_damage_anywhere_is_decoded_or_refused_but_never_unforeseen(kind: str) -> None:
    data = bytearray(media.encoded(media.portrait()[::4, ::4], kind))
    rng = np.random.default_rng(7)
    outcomes: set[str] = set()
    for _ in range(150):
        damaged = data.copy()
        for position in rng.integers(0, len(data), 4):
            damaged[position] = rng.integers(256)
        try:
            decode_image(bytes(damaged), max_pixels=1_000_000)
            outcomes.add("decoded")
        except DetectionError as error:
            outcomes.add(error.code)
    assert outcomes <= {"decoded", "unreadable_media", "unsupported_media_type", "too_many_pixels"}
