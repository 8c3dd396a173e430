"""Opens containers of video and sound with FFmpeg, which would otherwise also read playlists, devices and the network.

Only listed formats and decoders are let near the bytes, and a file cannot make FFmpeg open a second one.
"""

import io
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

import av
import av.logging
from av.container import InputContainer
from av.error import ArgumentError, FFmpegError

from bentos.contract import Reason
from bentos.errors import EmptyMediaError, UnreadableMediaError, UnsupportedMediaError

VIDEO_FORMATS: Final = "mov,mp4,matroska,webm,avi,mpegts,mpeg"
AUDIO_FORMATS: Final = "wav,mp3,flac,ogg,mov,mp4,m4a,aac,matroska,webm,avi,mpegts,mpeg"
VIDEO_CODECS: Final = frozenset(
    {"h264", "hevc", "vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d"}
    | {"mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v2", "msmpeg4", "h263", "wmv2", "vc1", "theora"}
    | {"mjpeg", "prores", "dvvideo", "rawvideo"}
)
AUDIO_CODECS: Final = frozenset(
    {"aac", "mp3", "mp3float", "mp2", "mp2float", "vorbis", "libvorbis", "opus", "libopus", "ac3", "eac3"}
    | {"flac", "alac", "amrnb", "amrwb", "adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "pcm_alaw", "pcm_mulaw"}
    | {"pcm_s8", "pcm_u8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be"}
    | {"pcm_f32le", "pcm_f32be", "pcm_f64le"}
)
BUFFER: Final = 256 * 1024
HEAD: Final = 512
STARTS: Final = (
    (0, (b"RIFF", b"RF64", b"OggS", b"fLaC", b"ID3", b"\x1aE\xdf\xa3", b"\0\0\1\xba", b"\0\0\1\xb3")),
    (4, (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")),
    (188, (b"\x47",)),
)
"""Where the containers' marks stand. Only used to tell a damaged file from one that is something else."""
CUT_SHORT: Final = 0.9
"""A file that holds less than this share of the time it announces was cut off."""

# What FFmpeg would print is chosen by whoever made the file.
av.logging.set_level(None)


@contextmanager
def open_container(medium: bytes | Path, *, formats: str, max_pixels: int = 1) -> Generator[InputContainer]:
    """Open a container of one of the formats; nothing is decoded yet beyond what FFmpeg needs to know its streams.

    Raises:
        EmptyMediaError: There are no bytes.
        UnsupportedMediaError: The bytes are of another type, whatever the file was called.
        UnreadableMediaError: The container is of a known type, but damaged or truncated.
    """
    with _open_bytes(medium) as file:
        head = file.read(HEAD)
        file.seek(0)
        if not head:
            raise EmptyMediaError
        try:
            container = av.open(
                file,
                "r",
                container_options={
                    "format_whitelist": formats,
                    "protocol_whitelist": "none",
                    "codec_whitelist": ",".join(sorted(VIDEO_CODECS | AUDIO_CODECS)),
                },
                options={"max_pixels": str(max_pixels)},
                metadata_errors="replace",
                buffer_size=BUFFER,
                io_open=_refuse,
            )
        except (FFmpegError, ValueError, OverflowError) as error:
            if _looks_like_media(head) and not isinstance(error, ArgumentError):
                raise UnreadableMediaError from error
            raise UnsupportedMediaError("The file is not of a format that this service judges.") from error
        with container:
            yield container


def file_truncated(seconds: float, announced: float) -> tuple[Reason, ...]:
    """`file_truncated` where far fewer seconds are there than the file announces."""
    if seconds >= announced * CUT_SHORT:
        return ()
    message = f"The file ends after {seconds:.1f} of {announced:.1f} s; the rest was not judged."
    return (Reason(code="file_truncated", message=message),)


def _open_bytes(medium: bytes | Path) -> BinaryIO:
    return medium.open("rb") if isinstance(medium, Path) else io.BytesIO(medium)


def _refuse(url: str, *_: Any) -> NoReturn:
    raise UnsupportedMediaError(f"The file refers to another one: {url[:100]}")


def _looks_like_media(head: bytes) -> bool:
    is_mpeg_sound = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0  # noqa: PLR2004  # The sync word.
    return is_mpeg_sound or any(head[at:].startswith(marks) for at, marks in STARTS)
