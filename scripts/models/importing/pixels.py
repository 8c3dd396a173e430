"""What a processor of transformers does to a picture: the size it gives it, by which filter, and the arithmetic.

The arithmetic is not taken from the configuration's words but from what the processor answers to a few pictures, so
that every flag of every processor counts, and one that does more than scale pixels is found out.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoImageProcessor

from bentos.media.prepared import ResizeFilter
from scripts.models.errors import RefusedError
from scripts.models.graph import Pixels
from scripts.models.importing.sources import read_json

FILES: Final = ("preprocessor_config.json", "processor_config.json")

_FILTERS: Final[dict[int, ResizeFilter]] = {
    Image.Resampling.NEAREST: "pillow_nearest",
    Image.Resampling.BOX: "pillow_box",
    Image.Resampling.BILINEAR: "pillow_bilinear",
    Image.Resampling.HAMMING: "pillow_hamming",
    Image.Resampling.BICUBIC: "pillow_bicubic",
    Image.Resampling.LANCZOS: "pillow_lanczos",
}
_PROBE: Final = 512
"""Side of the picture that shows what size a processor gives; larger than any model's, so that it is cut too."""
_WARPED: Final = 384
"""From this side on, the processor of ConvNeXt takes a square as a whole."""
_TOLERANCE: Final = 1e-4
_UNCHANGED: Final = ("do_resize", "do_center_crop", "do_pad", "do_crop", "do_thumbnail", "do_align_long_axis")
_CHANNELS: Final = 3
_SEED: Final = 20_262


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How a model wants its pictures: pixels, filter and arithmetic. `resized` is the size before the middle is cut."""

    height: int
    width: int
    resize_filter: ResizeFilter
    pixels: Pixels
    resized: int | None


class Processor:
    """A model's own processor. Raises `RefusedError` from each method where it cannot be used."""

    def __init__(self, folder: Path) -> None:
        """Load the processor of a folder."""
        self._folder = folder
        self._processor = _load(folder)
        self._flags: dict[str, Any] = self._processor.to_dict()

    def preparation(self, wished_size: int | None) -> Preparation:
        """Say what it does, with squares of `wished_size` pixels where that is given."""
        height, width = self._size()
        if wished_size is not None:
            height = width = wished_size
        return Preparation(
            height=height,
            width=width,
            resize_filter=self._filter(),
            pixels=self._arithmetic(height, width),
            resized=self._resized(height),
        )

    def planes(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What it makes of crops that have their size already, uint8 RGB [n, H, W, 3]: float32 [n, 3, H, W]."""
        unchanged = {flag: False for flag in _UNCHANGED if self._flags.get(flag)}
        answer = self._call([*crops], **unchanged)
        wanted = (len(crops), _CHANNELS, *crops.shape[1:3])
        if answer.shape != wanted:
            raise RefusedError(
                f"The processor of {self._folder.name} changes the size of crops, {crops.shape[1:3]}, to "
                f"{answer.shape[2:]} though it was told not to. Export the model to ONNX, with pixels as its input."
            )
        return answer

    def _call(self, pictures: list[NDArray[np.uint8]], **options: bool) -> NDArray[np.float32]:
        try:
            answer: Any = self._processor(
                images=pictures, return_tensors="np", input_data_format="channels_last", **options
            )
            planes = np.asarray(answer["pixel_values"], np.float32)
        except Exception as error:  # Whatever a wrong configuration makes its parts raise.
            raise RefusedError(
                f"The processor of {self._folder.name} ({type(self._processor).__name__}) cannot prepare a picture: "
                f"{error}. Mend its {FILES[0]}."
            ) from error
        if planes.ndim != 4 or planes.shape[1] != _CHANNELS:  # noqa: PLR2004  (axes of a batch of pictures)
            raise RefusedError(
                f"The processor of {self._folder.name} gives {list(planes.shape)} instead of one RGB picture of three "
                "planes. Such a model cannot be brought; export it to ONNX, with pixels as its input."
            )
        return planes

    def _size(self) -> tuple[int, int]:
        height, width = self._call([np.zeros((_PROBE, _PROBE, _CHANNELS), np.uint8)]).shape[2:]
        return height, width

    def _resized(self, height: int) -> int | None:
        """Shorter side in pixels before the middle is cut out; None where nothing is cut."""
        size: Any = self._flags.get("size")
        edge: Any = size.get("shortest_edge") if isinstance(size, dict) else None
        if not isinstance(edge, int):
            return None
        share: Any = self._flags.get("crop_pct")
        if isinstance(share, float) and 0 < share < 1 and edge < _WARPED:
            edge = int(edge / share)
        return edge if edge > height else None

    def _filter(self) -> ResizeFilter:
        if not self._flags.get("do_resize"):
            return "pillow_bilinear"
        resample: Any = self._flags.get("resample", Image.Resampling.BILINEAR)
        if resample not in _FILTERS:
            raise RefusedError(
                f"{FILES[0]} of {self._folder.name} names the filter {resample!r}, which Pillow does not have: "
                "write a number from 0 to 5 as `resample`."
            )
        return _FILTERS[resample]

    def _arithmetic(self, height: int, width: int) -> Pixels:
        """The factor and offset of each channel, and the order of channels, as single colours and noise show them."""
        colours = np.zeros((1 + _CHANNELS, height, width, _CHANNELS), np.uint8)
        for channel in range(_CHANNELS):
            colours[1 + channel, :, :, channel] = 255
        levels = self.planes(colours)[:, :, 0, 0].astype(np.float64)
        offset, rise = levels[0], levels[1:] - levels[0]
        order = np.abs(rise).argmax(axis=0)
        factor = rise[order, np.arange(_CHANNELS)] / 255
        if tuple(order) not in {(0, 1, 2), (2, 1, 0)} or not factor.all():
            raise self._odd()
        noise = np.random.default_rng(_SEED).integers(0, 256, (1, height, width, _CHANNELS), np.uint8)
        expected = noise[..., order].astype(np.float64) * factor + offset
        if not np.allclose(self.planes(noise), expected.transpose(0, 3, 1, 2), atol=_TOLERANCE):
            raise self._odd()
        scale = 1 / 255
        std = scale / factor
        mean = -offset * std
        return Pixels(
            layout="NCHW",
            channels="RGB" if order[0] == 0 else "BGR",
            scale=scale,
            mean=(float(mean[0]), float(mean[1]), float(mean[2])),
            std=(float(std[0]), float(std[1]), float(std[2])),
        )

    def _odd(self) -> RefusedError:
        return RefusedError(
            f"The processor of {self._folder.name} ({type(self._processor).__name__}) does more than scale and "
            "normalise pixels, which cannot be put into a graph here. Export it to ONNX, with pixels as its input."
        )


def _load(folder: Path) -> Any:
    present = [folder / name for name in FILES if (folder / name).is_file()]
    if not present:
        raise RefusedError(
            f"{folder.name} has no {FILES[0]}, which says how pictures are prepared for the model. Fetch it from where "
            "the model was published, or write it with `save_pretrained` of its processor."
        )
    if read_json(present[0]).get("auto_map"):
        raise RefusedError(
            f"{present[0].name} asks to run Python code that came with the model (auto_map). That is never done here; "
            "export the model to ONNX where you trust it, with pixels as its input."
        )
    try:
        return AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers lets through whatever a damaged file makes its parts raise.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RefusedError(f"{present[0].name} of {folder.name} cannot be used: {reason} Fetch it again.") from error
