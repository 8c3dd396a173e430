"""One run of the bench: makes the media, starts the sides, measures the parts asked for."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np
import simplejpeg

from bentos.faces import find_faces
from scripts.bench.bare_loop import served_image_model
from scripts.bench.clips import make_clip, make_sound, pad_mp4
from scripts.bench.control_plane import measure_control_plane
from scripts.bench.history import measure_history, ratios
from scripts.bench.image import measure_image
from scripts.bench.keras_side import Server, keras_server
from scripts.bench.long import MINUTES, long_figures, measure_long
from scripts.bench.media import compare
from scripts.bench.memory import measure_idle, measure_upload
from scripts.bench.photographs import cached_photographs
from scripts.bench.platform_side import Platform, platform
from scripts.bench.precision import measure_precision
from scripts.bench.report import Results, describe_machine
from scripts.bench.sign_in import measure_sign_in
from scripts.bench.streams import measure_streams
from scripts.bench.targets import judge
from scripts.bench.uploads import measure_uploads, upload_figures

CHECKOUT: Final = Path(__file__).resolve().parents[2]
SEED: Final = 20_260
CLIP_SECONDS: Final = 60
SOUND_SECONDS: Final = 600
UPLOAD_BYTES: Final = 500_000_000
SIGNED_UPLOAD_BYTES: Final = 2_000_000_000
MEDIA_ROUNDS: Final = 3


class Part(StrEnum):
    """What can be measured by itself."""

    IMAGE = "image"
    MEDIA = "media"
    MEMORY = "memory"
    CONTROL = "control"
    HISTORY = "history"
    SIGN_IN = "sign-in"
    STREAMS = "streams"
    LONG = "long"
    UPLOAD = "upload"
    PRECISION = "precision"


ON_THE_PLATFORM: Final = frozenset({Part.IMAGE, Part.MEDIA, Part.MEMORY})
"""The parts that need the whole platform; the others start what they need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to measure and how long: windows of `seconds`, `rounds` of them a side and number of callers."""

    parts: frozenset[Part]
    seconds: float
    rounds: int
    callers: tuple[int, ...]
    pictures: int
    keras: bool
    rows: int
    logins: int
    streams: int
    folder: Path

    @property
    def media(self) -> Path:
        """Where pictures, clip and sound are kept from run to run."""
        return self.folder / "media"


def run(options: Options, say: Callable[[str], None]) -> Results:
    """Measure; `say` is told what is being done. Raises `BenchError` where a figure cannot be measured."""
    results = Results(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=describe_machine(),
        settings={
            "seconds": options.seconds,
            "rounds": options.rounds,
            "callers": options.callers,
            "pictures": options.pictures,
            "rows": options.rows,
            "logins": options.logins,
            "streams": options.streams,
            "seed": SEED,
        },
    )
    if Part.CONTROL in options.parts:
        say("measuring the control plane")
        results.control, figures = measure_control_plane(seconds=options.seconds, rounds=options.rounds, say=say)
        results.figures |= figures
    if Part.HISTORY in options.parts:
        say(f"measuring a history of {options.rows:,} rows")
        results.history = measure_history(options.rows, rounds=options.rounds, folder=options.folder, say=say)
        results.figures |= ratios(results.history)
    if Part.SIGN_IN in options.parts:
        say("measuring failed logins")
        results.sign_in = measure_sign_in(options.logins, folder=options.folder, say=say)
        results.figures["sign_in_known/unknown"] = results.sign_in.ratio
    if Part.STREAMS in options.parts:
        say("measuring live streams")
        results.streams = measure_streams(options.streams, folder=options.folder, say=say)
        results.figures |= {"stream_kib": results.streams.kib_per_stream, "stream_p95_ms": results.streams.p95_ms}
    if Part.UPLOAD in options.parts:
        results.uploads = measure_uploads(SIGNED_UPLOAD_BYTES, folder=options.folder, say=say)
        results.figures |= upload_figures(results.uploads)
    if Part.LONG in options.parts:
        say("measuring long videos")
        results.long = measure_long(MINUTES, seed=SEED, say=say)
        results.figures |= long_figures(results.long)
    if Part.PRECISION in options.parts:
        say("measuring transformers in three precisions, and the torch way")
        results.precision, figures = measure_precision(
            options.folder / "precision", seconds=options.seconds, rounds=options.rounds, say=say
        )
        results.figures |= figures
    if options.parts & ON_THE_PLATFORM:
        _measure_on_the_platform(results, options, say)
    results.outcomes = judge(results.figures)
    return results


def _measure_on_the_platform(results: Results, options: Options, say: Callable[[str], None]) -> None:
    say("making the media, where they are not there yet")
    pictures = cached_photographs(options.media, options.pictures, SEED, count_faces)
    with ExitStack() as stack:
        say("starting the platform")
        ours = stack.enter_context(platform(options.folder / "home"))
        results.figures["ready_s"] = ours.ready_s
        if Part.MEMORY in options.parts:
            _measure_memory(results, ours, options, say)
        theirs = None
        if options.keras and options.parts & {Part.IMAGE, Part.MEDIA}:
            say("starting the comparison server")
            theirs = stack.enter_context(keras_server(options.folder / "keras.log", pictures[0]))
        if Part.IMAGE in options.parts:
            results.image, figures = measure_image(
                served_image_model(CHECKOUT / "model_repository"),
                pictures,
                ours,
                theirs,
                callers=options.callers,
                seconds=options.seconds,
                rounds=options.rounds,
                say=say,
            )
            results.figures |= figures
        if Part.MEDIA in options.parts and theirs is not None:
            _measure_media(results, ours, theirs, options, say)


def count_faces(jpeg: bytes) -> int:
    """Faces that the detector finds in a JPEG."""
    return len(find_faces(np.asarray(simplejpeg.decode_jpeg(jpeg), np.uint8)))


def _measure_memory(results: Results, ours: Platform, options: Options, say: Callable[[str], None]) -> None:
    clip = _clip(options)
    padded = options.media / "padded.mp4"
    if not padded.exists():
        pad_mp4(clip, padded, UPLOAD_BYTES)
    say("measuring memory: at rest, then with a 500 MB upload")
    results.memory = measure_idle(ours)
    results.figures["idle_pss_gb"] = results.memory["idle, all"] / 1000
    grown = measure_upload(ours, clip, padded)
    results.memory |= grown
    results.figures["upload_gateway_mb"] = grown["padded to 500 MB, growth of the gateway"]
    results.figures["upload_bento_mb"] = grown["padded to 500 MB, growth of the bento-video"]


def _measure_media(
    results: Results, ours: Platform, theirs: Server, options: Options, say: Callable[[str], None]
) -> None:
    sound = options.media / "sound.mp3"
    if not sound.exists():
        make_sound(sound, seconds=SOUND_SECONDS, seed=SEED)
    for kind, title, file in (("video", "60 s 1080p H.264", _clip(options)), ("audio", "10 min of sound, MP3", sound)):
        say(f"measuring {title}")
        comparison = compare(
            title,
            file,
            theirs=f"{theirs.url}/predict_{kind}",
            ours=f"{ours.gateway.url}/v1/detections",
            key=ours.key,
            rounds=min(options.rounds, MEDIA_ROUNDS),
        )
        results.media.append(comparison)
        results.figures[f"{kind}_speedup"] = comparison.speedup


def _clip(options: Options) -> Path:
    clip = options.media / "clip.mp4"
    if not clip.exists():
        make_clip(clip, seconds=CLIP_SECONDS, seed=SEED)
    return clip
