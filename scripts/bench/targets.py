"""The figures that Bonafide holds itself to, and whether a run reached them."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A bound on one figure; `figure` is its key in the results."""

    figure: str
    title: str
    comparison: Literal["at least", "at most", "below"]
    bound: float
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A target and what was measured."""

    target: Target
    measured: float
    reached: bool


TARGETS = (
    Target(
        figure="c/a@8", title="throughput, Bonafide / bare loop, 8 callers", comparison="at least", bound=0.6, unit="x"
    ),
    Target(
        figure="c/a@32",
        title="throughput, Bonafide / bare loop, 32 callers",
        comparison="at least",
        bound=0.6,
        unit="x",
    ),
    Target(
        figure="c/b@8",
        title="throughput, Bonafide / Keras server, 8 callers",
        comparison="at least",
        bound=15,
        unit="x",
    ),
    Target(figure="p99/p50@32", title="p99 / p50, 32 callers", comparison="at most", bound=3, unit="x"),
    Target(
        figure="video_speedup",
        title="60 s video, Keras server's time / Bonafide's",
        comparison="at least",
        bound=8,
        unit="x",
    ),
    Target(figure="idle_pss_gb", title="memory of the idle stack (PSS)", comparison="below", bound=2.5, unit="GB"),
    Target(
        figure="upload_gateway_mb",
        title="500 MB upload, growth of the gateway",
        comparison="below",
        bound=50,
        unit="MB",
    ),
    Target(
        figure="upload_bento_mb", title="500 MB upload, growth of the Bento", comparison="below", bound=50, unit="MB"
    ),
    Target(
        figure="control_plane_rps",
        title="control plane alone, small bodies",
        comparison="at least",
        bound=1200,
        unit="requests/s",
    ),
    *(
        Target(
            figure=f"history_{operation}_ratio",
            title=f"p95 of {title}, long history / 100 000 rows",
            comparison="at most",
            bound=1.5,
            unit="x",
        )
        for operation, title in (("page", "a page"), ("stats", "statistics of 30 days"), ("admit", "admitting"))
    ),
    Target(
        figure="long_cost_a_frame_ratio",
        title="CPU a frame, 2 h of video / 15 min",
        comparison="at most",
        bound=1.25,
        unit="x",
    ),
    Target(
        figure="long_memory_mb",
        title="growth of the Bento's memory over 2 h of video",
        comparison="below",
        bound=20,
        unit="MB",
    ),
    Target(
        figure="signed_upload_mb",
        title="2 GB upload to a signed address, growth of the gateway",
        comparison="below",
        bound=50,
        unit="MB",
    ),
    Target(figure="stream_kib", title="memory of an open stream", comparison="below", bound=100, unit="KiB"),
    Target(
        figure="stream_p95_ms",
        title="p95 from an event's commit to its receipt, 1 000 streams",
        comparison="below",
        bound=100,
        unit="ms",
    ),
    Target(
        figure="vit_base_int8/torch",
        title="throughput of a ViT-base/16, int8 / transformers and torch",
        comparison="at least",
        bound=4,
        unit="x",
    ),
    Target(figure="ready_s", title="ready after `up`, once installed", comparison="at most", bound=30, unit="s"),
)


def judge(figures: dict[str, float]) -> list[Outcome]:
    """The targets whose figure was measured, in their order."""
    return [
        Outcome(target=target, measured=figures[target.figure], reached=_holds(target, figures[target.figure]))
        for target in TARGETS
        if target.figure in figures
    ]


def _holds(target: Target, measured: float) -> bool:
    match target.comparison:
        case "at least":
            return measured >= target.bound
        case "at most":
            return measured <= target.bound
        case "below":
            return measured < target.bound
