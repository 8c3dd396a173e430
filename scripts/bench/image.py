"""The image part: the three sides over the same pictures, in turn, so that what the machine does hits all alike."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from scripts.bench.bare_loop import Loop, Served, measure_bare_loop
from scripts.bench.errors import BenchError
from scripts.bench.figures import Round, Summary, median_ratio, summarise
from scripts.bench.keras_side import Server
from scripts.bench.load import Job
from scripts.bench.platform_side import Platform, count_batches
from scripts.bench.window import measure

BARE: Final = "a: bare loop, 2 processes"
KERAS: Final = "b: FastAPI, Keras, mtcnn"
OURS: Final = "c: Bonafide"
TOLERANCE: Final = 1e-3
"""How far a score may be from the bare loop's: a batch of another size sums floats in another order."""
WARMUP_S: Final = 2.0


class DifferentScoreError(BenchError):
    """The platform and the bare loop do not agree on a picture, so they do not do the same work."""


def measure_image(
    served: Served,
    pictures: Sequence[Path],
    platform: Platform,
    keras: Server | None,
    *,
    callers: Sequence[int],
    seconds: float,
    rounds: int,
    say: Callable[[str], None],
) -> tuple[list[Summary], dict[str, float]]:
    """Rounds of every side at every number of callers, as summaries and as ratios; `keras` may be left out.

    Each of our rounds stands between a bare and a Keras one, and ratios are taken between neighbours. "cpu a/c" is the
    share of a request's CPU time that the bare loop needs too: it moves less than c/a when others use the machine.
    """
    check_same_scores(served, pictures, platform)
    bare: dict[int, list[Round]] = {count: [] for count in callers}
    ours: dict[int, list[Round]] = {count: [] for count in callers}
    theirs: dict[int, list[Round]] = {count: [] for count in callers}
    batches = partial(count_batches, platform.metrics_url, Path(served.weights).parents[1].name)
    for turn in range(rounds):
        for count in callers:
            bare[count].append(measure_bare_loop(served, pictures, seconds))
            job = our_job(platform, pictures, count, seconds)
            ours[count].append(measure(job, platform.gateway.groups, batches=batches))
            if keras is not None:
                theirs[count].append(measure(keras_job(keras, pictures, count, seconds), keras.groups))
            say(
                f"round {turn + 1} of {rounds}, {count} callers: "
                + ", ".join(
                    f"{name} {sides[count][-1].throughput:.1f}/s"
                    for name, sides in (("bare", bare), ("Bonafide", ours), ("Keras", theirs))
                    if sides[count]
                )
            )
    summaries = [summarise(BARE, 0, [each for count in callers for each in bare[count]])]
    figures: dict[str, float] = {}
    for name, sides in ((KERAS, theirs), (OURS, ours)):
        summaries += [summarise(name, count, sides[count]) for count in callers if sides[count]]
    for count in callers:
        figures[f"c/a@{count}"] = median_ratio(ours[count], bare[count])
        if theirs[count]:
            figures[f"c/b@{count}"] = median_ratio(ours[count], theirs[count])
        summary = summarise(OURS, count, ours[count])
        figures[f"cpu a/c@{count}"] = summaries[0].cpu_ms / summary.cpu_ms
        figures[f"p99/p50@{count}"] = summary.p99_ms / summary.p50_ms
    return summaries, figures


def check_same_scores(served: Served, pictures: Sequence[Path], platform: Platform) -> None:
    """Send every picture once and compare with the bare loop: one face, one and the same p_fake.

    Raises:
        DifferentScoreError: A score differs by more than TOLERANCE.
    """
    loop = Loop(served)
    with httpx.Client(base_url=platform.gateway.url, headers={"x-api-key": platform.key}, timeout=60) as client:
        for picture in pictures:
            content = picture.read_bytes()
            answer = client.post("/v1/detections", files={"file": (picture.name, content)}).raise_for_status().json()
            expected = max(loop.score(content))
            if abs(answer["p_fake"] - expected) > TOLERANCE or answer["evidence"]["faces_found"] != 1:
                raise DifferentScoreError(f"{picture.name}: p_fake {answer['p_fake']}, the bare loop says {expected}")


def our_job(platform: Platform, pictures: Sequence[Path], callers: int, seconds: float) -> Job:
    """Load on the gateway's own API, as an ordinary account."""
    return Job(
        host=platform.gateway.host,
        port=platform.gateway.port,
        path="/v1/detections",
        field="file",
        media_type="image/jpeg",
        headers={"x-api-key": platform.key},
        files=tuple(map(str, pictures)),
        callers=callers,
        warmup_s=WARMUP_S,
        seconds=seconds,
        verdict_field="verdict",
        verdicts=("REAL", "FAKE", "UNCERTAIN"),
        steps_field="timings",
    )


def keras_job(server: Server, pictures: Sequence[Path], callers: int, seconds: float) -> Job:
    """Load on the comparison server."""
    return Job(
        host=server.host,
        port=server.port,
        path="/predict_image",
        field="file",
        media_type="image/jpeg",
        headers={},
        files=tuple(map(str, pictures)),
        callers=callers,
        warmup_s=WARMUP_S,
        seconds=seconds,
        verdict_field="prediction",
        verdicts=("REAL", "FAKE"),
    )
