"""What a Bento counted of each version of a model since it started: for dashboards, and for whoever rolls out."""

from typing import Final, Literal

from bentos.contract.verdicts import Wire

FIGURES_PATH: Final = "/models/figures"

LATENCY_BOUNDS_S: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
    *(2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)
"""Upper bounds of the latency buckets in seconds; a last bucket holds what took longer."""
SCORE_BINS: Final = 20
"""Equal bins of p_fake over [0, 1]; 1 itself is in the last one."""

Part = Literal["stable", "canary", "shadow", "member"]
"""What a version was asked as: for a caller's answer, beside one without being heard, or as one of an ensemble."""


class ShadowFigures(Wire, frozen=True):
    """How a shadow's answers compare with those that callers got; `disagreed` counts other verdicts.

    `difference` is the sum of |Δ p_fake| over `compared`. `dropped` were not asked, because the shadow was behind or
    would have needed other crops; `failed` gave no score.
    """

    compared: int
    disagreed: int
    difference: float
    dropped: int
    failed: int


class VersionFigures(Wire, frozen=True):
    """Counts of one version in one part: what it answered, failed at, and has not answered yet.

    Only what the model or Triton is to blame for counts as an error, not a medium that cannot be read. `latency` are
    counts by bucket of `LATENCY_BOUNDS_S` of the seconds that a call spent on inference, `scores` those by bin of
    p_fake of the whole medium.
    """

    model: str
    version: int
    part: Part
    answered: int
    errors: int
    in_flight: int
    latency: tuple[int, ...]
    latency_sum_s: float
    scores: tuple[int, ...]
    shadow: ShadowFigures | None = None


class Figures(Wire, frozen=True):
    """Answer of `GET /models/figures`; `started`, Unix time in seconds, tells one life of the process from another.

    `table` is "sha256:" and the hex digest of the traffic table that calls are routed by from now on, as its file was
    read; empty while none could be read. A call that was routed by an earlier one is among those in flight.
    """

    started: float
    versions: tuple[VersionFigures, ...]
    table: str = ""
