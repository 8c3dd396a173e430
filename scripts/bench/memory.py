"""The memory part: what the idle platform takes, and what a 500 MB upload moves."""

from pathlib import Path
from typing import Final

from scripts.bench.media import send
from scripts.bench.platform_side import Platform
from scripts.bench.resources import MemoryWatch, pss_bytes, wait_idle

IDLE_CORES: Final = 0.15
IDLE_DEADLINE_S: Final = 60.0
ROUNDS: Final = 3
MEGABYTE: Final = 1e6
UPLOADED: Final = ("gateway", "bento-video")


def measure_idle(platform: Platform) -> dict[str, float]:
    """PSS of every part in MB once the platform rests, their sum, and the share of a core that it uses idle."""
    groups = platform.gateway.groups
    share = wait_idle(groups, below=IDLE_CORES, deadline_s=IDLE_DEADLINE_S)
    by_group = {f"idle, {name}": value / MEGABYTE for name, value in pss_bytes(groups).items()}
    return {**by_group, "idle, all": sum(by_group.values()), "idle, % of a core": 100 * share}


def measure_upload(platform: Platform, clip: Path, padded: Path) -> dict[str, float]:
    """The most by which gateway and video Bento grew in a few rounds, peak PSS less what was before, in MB.

    `clip` is what `padded` holds beside its padding: what it moves is decoding, what `padded` moves beyond it is size.
    """
    url = f"{platform.gateway.url}/v1/detections"
    headers = {"x-api-key": platform.key}
    groups = {name: platform.gateway.groups[name] for name in UPLOADED}
    # A first call starts the decoding processes, which belong to the Bento's resting size from then on.
    send(url, clip, headers, verdict="verdict")
    found: dict[str, float] = {}
    for title, file in (("the clip alone", clip), ("padded to 500 MB", padded)) * ROUNDS:
        wait_idle(platform.gateway.groups, below=IDLE_CORES, deadline_s=IDLE_DEADLINE_S)
        with MemoryWatch(groups) as watch:
            send(url, file, headers, verdict="verdict")
        for name, growth in watch.growth.items():
            figure = f"{title}, growth of the {name}"
            found[figure] = max(found.get(figure, 0.0), growth / MEGABYTE)
    return found
