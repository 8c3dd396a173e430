"""The generated media that a Bento detects once before it says that it is ready, as a task for a decoding process."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bentos.contract import Modality
from bentos.media.tasks import MediaTask


@dataclass(frozen=True, slots=True)
class SampleOptions:
    """Which kind of medium to make."""

    modality: Modality


@dataclass(frozen=True, slots=True)
class Sample:
    """The bytes of a medium, uint8 [N]."""

    data: NDArray[np.uint8]


MAKE_SAMPLE: Final = MediaTask("bentos.sample_makers", "make_sample", SampleOptions, Sample)
