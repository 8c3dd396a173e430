"""Divides labelled media into those that a version in fewer bits is proved on, and those that its ranges are read from.

None is among both: numbers that were read from the very media of a proof would make it look better than it is.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from scripts.models.errors import RefusedError
from scripts.models.evaluation.labelled import Sample, read_labelled

FEWEST_MEDIA: Final = 20
"""Media to compare on below which nothing is proved; a share of 99 % is only told from others by 100 and more."""
FEWEST_OF_A_CLASS: Final = 5
"""Media of either class below which an AUC says nothing of it."""
MOST_FOR_RANGES: Final = 64

_EVERY: Final = 4
"""Of the evaluation set each fourth medium is for ranges, where no other set is given for them."""
_SEED: Final = 8


def divide(
    data: Path, calibration_data: Path | None = None, *, ranges: bool
) -> tuple[tuple[Sample, ...], tuple[Path, ...]]:
    """Return the media to compare on, and those for the ranges: at most `MOST_FOR_RANGES`, classes in turn by chance.

    Without `ranges`, and without media that were given for them, all are compared on.

    Raises:
        RefusedError: The set is none, or too few media of a class are left to compare on.
    """
    samples = read_labelled(data).samples
    if calibration_data is not None:
        files = (path for path in calibration_data.rglob("*") if path.is_file() and not path.name.startswith("."))
        ranging = _some(sorted(files))
        taken = {_digest(path) for path in ranging}
        proving = tuple(sample for sample in samples if _digest(sample.path) not in taken)
    elif ranges:
        # By class, because a set is sorted by names and those say the class.
        each = [[sample for sample in samples if sample.fake is fake] for fake in (False, True)]
        ranging = _some([sample.path for some in each for sample in some[::_EVERY]])
        proving = tuple(sample for some in each for place, sample in enumerate(some) if place % _EVERY)
    else:
        ranging, proving = (), samples
    if not enough([sample.fake for sample in proving]):
        raise RefusedError(
            f"{data} leaves {len(proving)} media to prove a version on, {sum(sample.fake for sample in proving)} of "
            f"them fake, without those that ranges are read from; {FEWEST_MEDIA} of both classes are the fewest, "
            f"{FEWEST_OF_A_CLASS} at least of each, and some hundred tell more."
        )
    return proving, ranging


def enough(fake: Sequence[bool]) -> bool:
    """Whether so many media of both classes can prove anything."""
    fakes = sum(map(bool, fake))
    return len(fake) >= FEWEST_MEDIA and min(fakes, len(fake) - fakes) >= FEWEST_OF_A_CLASS


def _some(paths: Sequence[Path]) -> tuple[Path, ...]:
    """A part of the paths from all over them, in an order of chance: whoever reads only the first reads some of all."""
    order = np.random.default_rng(_SEED).permutation(len(paths))
    return tuple(paths[place] for place in order[:MOST_FOR_RANGES].tolist())


def _digest(path: Path) -> str:
    """What a medium is known by, under whatever name; the name of one that cannot be read, which is told later."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return str(path)
