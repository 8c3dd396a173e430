"""The `bonafide bench` command: makes the media, starts the sides, measures the parts asked for, writes and prints."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import simplejpeg
import typer
from rich.console import Console

from bentos.faces import find_faces
from scripts.bench.bare_loop import served_image_model
from scripts.bench.clips import make_clip, make_sound, pad_mp4
from scripts.bench.image import measure_image
from scripts.bench.keras_side import keras_server
from scripts.bench.media import compare
from scripts.bench.memory import measure_idle, measure_upload
from scripts.bench.photographs import cached_photographs
from scripts.bench.platform_side import Platform, platform
from scripts.bench.plot import plot
from scripts.bench.report import Results, describe_machine, render
from scripts.bench.targets import judge

CHECKOUT: Final = Path(__file__).resolve().parents[2]
SEED: Final = 20_260
CLIP_SECONDS: Final = 60
SOUND_SECONDS: Final = 600
UPLOAD_BYTES: Final = 500_000_000
MEDIA_ROUNDS: Final = 3
EXIT_NOT_REACHED: Final = 1
EXIT_USAGE: Final = 2


class Part(StrEnum):
    """What can be measured by itself."""

    IMAGE = "image"
    MEDIA = "media"
    MEMORY = "memory"


def bench_command(
    only: Annotated[list[Part] | None, typer.Option(help="Measure this part alone; may be repeated.")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Length of one measuring window.")] = 12.0,
    rounds: Annotated[int, typer.Option(min=1, help="Windows of each side at each number of callers.")] = 3,
    callers: Annotated[str, typer.Option(help="Numbers of callers, separated by commas.")] = "1,8,32",
    pictures: Annotated[int, typer.Option(min=32, help="Different pictures.")] = 48,
    keras: Annotated[bool, typer.Option(help="Also measure the server that people write today.")] = True,
    folder: Annotated[Path, typer.Option(help="Where media, state and results go.")] = CHECKOUT / ".bench",
    strict: Annotated[bool, typer.Option(help="Exit with 1 when a target was not reached.")] = False,
) -> None:
    """Measure Bonafide beside the bare loop and beside a FastAPI server with Keras and mtcnn in the web process.

    It starts and stops a platform of its own, in its own data folder and on free ports. Results go to `results.json`,
    `results.md` and `results.png` in the folder.
    """
    console = Console(stderr=True)
    try:
        counts = [int(each) for each in callers.split(",")]
    except ValueError as error:
        console.print(f"[red]--callers {callers} is not a list of numbers[/]")
        raise typer.Exit(EXIT_USAGE) from error
    parts = set(only or Part)
    folder = folder.resolve()
    results = Results(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=describe_machine(),
        settings={"seconds": seconds, "rounds": rounds, "callers": counts, "pictures": pictures, "seed": SEED},
    )
    say: Callable[[str], None] = console.print
    say("making the media, where they are not there yet")
    photographs = cached_photographs(folder / "media", pictures, SEED, count_faces)
    with ExitStack() as stack:
        say("starting the platform")
        ours = stack.enter_context(platform(folder / "home"))
        results.figures["ready_s"] = ours.ready_s
        if Part.MEMORY in parts:
            _measure_memory(results, ours, folder / "media", say)
        if parts & {Part.IMAGE, Part.MEDIA}:
            theirs = None
            if keras:
                say("starting the comparison server")
                theirs = stack.enter_context(keras_server(folder / "keras.log", photographs[0]))
            if Part.IMAGE in parts:
                served = served_image_model(CHECKOUT / "model_repository")
                results.image, figures = measure_image(
                    served, photographs, ours, theirs, callers=counts, seconds=seconds, rounds=rounds, say=say
                )
                results.figures |= figures
            if Part.MEDIA in parts and theirs is not None:
                _measure_media(results, ours, theirs.url, folder / "media", min(rounds, MEDIA_ROUNDS), say)
    results.outcomes = judge(results.figures)
    (folder / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2))
    text = render(results)
    (folder / "results.md").write_text(text, encoding="utf-8")
    if results.image:
        plot(results.image, folder / "results.png")
    print(text)
    if strict and not all(outcome.reached for outcome in results.outcomes):
        raise typer.Exit(EXIT_NOT_REACHED)


def count_faces(jpeg: bytes) -> int:
    """Faces that the detector finds in a JPEG."""
    return len(find_faces(np.asarray(simplejpeg.decode_jpeg(jpeg), np.uint8)))


def _measure_memory(results: Results, ours: Platform, folder: Path, say: Callable[[str], None]) -> None:
    clip = _clip(folder)
    padded = folder / "padded.mp4"
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
    results: Results, ours: Platform, theirs: str, folder: Path, rounds: int, say: Callable[[str], None]
) -> None:
    sound = folder / "sound.mp3"
    if not sound.exists():
        make_sound(sound, seconds=SOUND_SECONDS, seed=SEED)
    for kind, title, file in (("video", "60 s 1080p H.264", _clip(folder)), ("audio", "10 min of sound, MP3", sound)):
        say(f"measuring {title}")
        comparison = compare(
            title,
            file,
            theirs=f"{theirs}/predict_{kind}",
            ours=f"{ours.gateway.url}/v1/detections",
            key=ours.key,
            rounds=rounds,
        )
        results.media.append(comparison)
        results.figures[f"{kind}_speedup"] = comparison.speedup


def _clip(folder: Path) -> Path:
    clip = folder / "clip.mp4"
    if not clip.exists():
        make_clip(clip, seconds=CLIP_SECONDS, seed=SEED)
    return clip
