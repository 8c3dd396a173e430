"""The tasks that a decoding process can be given: where each lives, what it takes and what comes back.

They are named, not imported, so that the service's own process never loads a decoder.
"""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from bentos.media.options import AudioOptions, ImageOptions, PassageOptions, StretchOptions, TextOptions, VideoOptions
from bentos.media.prepared import (
    PreparedAudio,
    PreparedImage,
    PreparedPassage,
    PreparedText,
    PreparedVideo,
    SoundLength,
    VideoLength,
)

Options = TypeVar("Options")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class MediaTask(Generic[Options, Result]):
    """A function `function(medium: bytes | Path, options: Options) -> Result` of a module."""

    module: str
    function: str
    options: type[Options]
    result: type[Result]


PREPARE_IMAGE: Final = MediaTask("bentos.media.image", "prepare_image", ImageOptions, PreparedImage)
PREPARE_VIDEO: Final = MediaTask("bentos.media.video", "prepare_video", VideoOptions, PreparedVideo)
PREPARE_AUDIO: Final = MediaTask("bentos.media.audio", "prepare_audio", AudioOptions, PreparedAudio)
PREPARE_TEXT: Final = MediaTask("bentos.media.text", "prepare_text", TextOptions, PreparedText)
MEASURE_VIDEO: Final = MediaTask("bentos.media.video", "measure_video", VideoOptions, VideoLength)
PREPARE_STRETCH: Final = MediaTask("bentos.media.video", "prepare_stretch", StretchOptions, PreparedVideo)
MEASURE_AUDIO: Final = MediaTask("bentos.media.passages", "measure_audio", AudioOptions, SoundLength)
PREPARE_PASSAGE: Final = MediaTask("bentos.media.passages", "prepare_passage", PassageOptions, PreparedPassage)
