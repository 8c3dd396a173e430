"""A picture's bytes → crops of its faces. Runs in a decoding process; `bentos.media.pool` asks for it.

The header is read before anything is decoded, so that a small file cannot unfold into gigabytes of pixels.
"""

import io
import struct
import time
import zlib
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from bentos.contract import Reason
from bentos.errors import EmptyMediaError, TooManyPixelsError, UnreadableMediaError, UnsupportedMediaError
from bentos.faces import find_faces
from bentos.media.crops import centre_square, cut, face_square, resolution_reasons
from bentos.media.options import ImageOptions
from bentos.media.prepared import PreparedCrop, PreparedImage

Pixels = NDArray[np.uint8]

FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
"""Pillow's readers that may be tried. TIFF is not among them: many codecs, rarely sent, often at fault."""
JPEG_START: Final = b"\xff\xd8\xff"
EXIF_MARK: Final = b"Exif\0\0"
EXIF_REACH: Final = 128 * 1024
"""Orientation stands in the first segments of a JPEG; a segment holds less than 64 KiB."""
FAST_JPEG_COLOURS: Final = ("RGB", "YCbCr", "Gray")
DAMAGE: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    EOFError,
    struct.error,
    zlib.error,
)
"""What Pillow's readers raise over damaged files, by its documentation and by experience."""
TURNS: Final[dict[int, tuple[bool, int | None]]] = {
    2: (True, cv2.ROTATE_90_CLOCKWISE),
    3: (False, cv2.ROTATE_180),
    4: (True, cv2.ROTATE_90_COUNTERCLOCKWISE),
    5: (True, None),
    6: (False, cv2.ROTATE_90_CLOCKWISE),
    7: (True, cv2.ROTATE_180),
    8: (False, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
"""How a stored picture becomes upright, by EXIF orientation: whether to swap its axes, then how to turn it."""

# Our own check of the header is stricter, and Pillow's warning would only be printed.
Image.MAX_IMAGE_PIXELS = None
# One thread a process: the pool has as many processes as there are cores to use.
cv2.setNumThreads(1)


def prepare_image(medium: bytes | Path, options: ImageOptions) -> PreparedImage:
    """Decode a picture, find its faces and cut them out, the largest first.

    Raises:
        EmptyMediaError: There are no bytes.
        UnsupportedMediaError: The bytes are no picture of a supported format, whatever the file was called.
        TooManyPixelsError: The header announces more than `options.max_pixels`.
        UnreadableMediaError: The picture is damaged or truncated.
    """
    started = time.perf_counter()
    data = medium.read_bytes() if isinstance(medium, Path) else medium
    picture, kind = decode_image(data, max_pixels=options.max_pixels)
    decoded = time.perf_counter()

    height, width = picture.shape[:2]
    found = find_faces(picture, options.search)
    faces = found[: options.most_faces]
    boxes = [face_square(face, options.shape.margin) for face in faces] or [centre_square(width, height)]
    confidences = [face.confidence for face in faces] or [0.0]
    crops = cut(picture, boxes, options.shape)
    return PreparedImage(
        crops=crops,
        faces=tuple(
            PreparedCrop(index=index, box=box, confidence=confidence, time_s=0.0)
            for index, (box, confidence) in enumerate(zip(boxes, confidences, strict=True))
        ),
        faces_found=len(found),
        width=width,
        height=height,
        format=kind,
        reasons=face_reasons(len(found), options.most_faces) + resolution_reasons(boxes, options.shape),
        decode_ms=(decoded - started) * 1000,
        faces_ms=(time.perf_counter() - decoded) * 1000,
    )


def face_reasons(found: int, most: int) -> tuple[Reason, ...]:
    """What the number of faces means for the verdict."""
    if found == 0:
        return (Reason(code="no_face_found", message="No face was found; the middle of the picture was judged."),)
    if found > most:
        return (Reason(code="too_many_faces", message=f"Only the {most} largest of {found} faces were judged."),)
    return ()


def decode_image(data: bytes, *, max_pixels: int) -> tuple[Pixels, str]:
    """Decode to upright RGB, uint8 [H, W, 3], and say the format. Raises what `prepare_image` does."""
    if not data:
        raise EmptyMediaError
    if data.startswith(JPEG_START):
        picture = _decode_plain_jpeg(data, max_pixels)
        if picture is not None:
            return _upright(picture, _jpeg_orientation(data)), "JPEG"
    return _decode_with_pillow(data, max_pixels)


def _decode_plain_jpeg(data: bytes, max_pixels: int) -> Pixels | None:
    """Decode by libjpeg-turbo; None where it is CMYK or anything looks odd, and Pillow must judge."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        _check_pixels(int(width), int(height), max_pixels)
        if colours not in FAST_JPEG_COLOURS:
            return None
        return simplejpeg.decode_jpeg(data)
    except ValueError:
        return None


def _jpeg_orientation(data: bytes) -> int:
    if data.find(EXIF_MARK, 0, EXIF_REACH) < 0:
        return 1
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        return _orientation(image)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; damaged EXIF is no reason to refuse a picture that can be seen."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except DAMAGE:
        return 1
    return value if isinstance(value, int) else 1


def _decode_with_pillow(data: bytes, max_pixels: int) -> tuple[Pixels, str]:
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise UnsupportedMediaError("The file is not a picture in a supported format.") from error
    except DAMAGE as error:
        raise UnreadableMediaError from error
    with image:
        _check_pixels(image.width, image.height, max_pixels)
        try:
            image.load()
            picture = _to_rgb(image)
        except DAMAGE as error:
            raise UnreadableMediaError from error
        return _upright(picture, _orientation(image)), image.format or "unknown"


def _to_rgb(image: Image.Image) -> Pixels:
    """Any mode as 8-bit RGB: 16 bits lose the lower ones, transparent parts lie on white as in a viewer."""
    if image.mode.startswith("I"):
        levels = np.asarray(image)
        grey = (np.clip(levels, 0, 65535) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        background = Image.new("RGB", image.size, "white")
        background.paste(layered, mask=layered.getchannel("A"))
        return np.asarray(background)
    return np.asarray(image.convert("RGB"))


def _upright(picture: Pixels, orientation: int) -> Pixels:
    if orientation not in TURNS:
        return picture
    swap, turn = TURNS[orientation]
    turned = cv2.transpose(picture) if swap else picture
    return np.asarray(turned if turn is None else cv2.rotate(turned, turn), np.uint8)


def _check_pixels(width: int, height: int, most: int) -> None:
    if width * height > most:
        raise TooManyPixelsError(f"The picture has {width} x {height} pixels; at most {most:,} are allowed.")
