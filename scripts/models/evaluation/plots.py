"""The plots of an evaluation as SVG: ROC, DET, reliability diagram and score histograms. They need matplotlib."""

import io
from collections.abc import Callable
from statistics import NormalDist
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bentos.contract import Thresholds
from scripts.models.evaluation.report import PLOTS
from scripts.models.metrics import ECE_BINS

_STYLE: Final[Any] = {
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    # The same figures make the same file.
    "svg.hashsalt": "bonafide",
    "svg.fonttype": "path",
}
_GENUINE: Final = "#3b6ea8"
_FAKE: Final = "#c2502e"
_HIST_BINS: Final = 40
_DET_TICKS: Final = (0.001, 0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 0.99)
_PROBIT: Final = NormalDist()


def draw(p_fake: NDArray, fake: NDArray, thresholds: Thresholds, *, title: str, form: str = "svg") -> dict[str, bytes]:
    """Every plot by the name of its file, without the ending."""
    truth = fake.astype(bool)
    painters: dict[str, Callable[[Any], None]] = {
        "roc": lambda axes: _roc(axes, p_fake, truth),
        "det": lambda axes: _det(axes, p_fake, truth),
        "reliability": lambda axes: _reliability(axes, p_fake, truth),
        "histogram": lambda axes: _histogram(axes, p_fake, truth, thresholds),
    }
    drawn: dict[str, bytes] = {}
    with mpl.rc_context(_STYLE):
        for name, paint in painters.items():
            figure = Figure(figsize=(5.2, 4.4), layout="constrained")
            axes = figure.subplots()
            paint(axes)
            axes.set_title(f"{PLOTS[name]}\n{title}", fontsize=9)
            buffer = io.BytesIO()
            figure.savefig(buffer, format=form, dpi=130, metadata={"Date": None} if form == "svg" else None)
            drawn[name] = buffer.getvalue()
    return drawn


def rates(p_fake: NDArray, truth: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of genuine media accused and of fakes found at each threshold, from the strictest to the laxest."""
    thresholds = np.concatenate([[np.inf], np.unique(p_fake)[::-1]])
    genuine, fakes = np.sort(p_fake[~truth]), np.sort(p_fake[truth])
    accused = 1 - np.searchsorted(genuine, thresholds, side="left") / len(genuine)
    found = 1 - np.searchsorted(fakes, thresholds, side="left") / len(fakes)
    return accused, found


def _roc(axes: Any, p_fake: NDArray, truth: NDArray) -> None:
    accused, found = rates(p_fake, truth)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle="--")
    axes.plot(accused, found, color=_FAKE)
    axes.set(xlabel="genuine media accused", ylabel="fakes found", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))


def _det(axes: Any, p_fake: NDArray, truth: NDArray) -> None:
    """Martin et al., 1997, "The DET curve in assessment of detection task performance": both errors, in probits."""
    accused, found = rates(p_fake, truth)
    # No set shows errors smaller than half a medium; the axes of a tiny one would have no length.
    least = min(0.1, 0.5 / max(np.count_nonzero(truth), np.count_nonzero(~truth)))
    curve = [_probits(np.clip(errors, least, 1 - least)) for errors in (accused, 1 - found)]
    ticks = [tick for tick in _DET_TICKS if tick >= least]
    ends = _probits(np.asarray([least, 1 - least]))
    axes.plot(ends, ends, color="grey", linewidth=0.8, linestyle="--")
    axes.plot(*curve, color=_FAKE)
    axes.set(xlabel="genuine media accused", ylabel="fakes missed", xlim=ends, ylim=ends)
    labels = [f"{100 * tick:g} %" for tick in ticks]
    axes.set_xticks(_probits(np.asarray(ticks)), labels)
    axes.set_yticks(_probits(np.asarray(ticks)), labels)


def _probits(shares: NDArray) -> NDArray[np.float64]:
    return np.asarray([_PROBIT.inv_cdf(float(share)) for share in shares])


def _reliability(axes: Any, p_fake: NDArray, truth: NDArray) -> None:
    index = np.minimum((p_fake * ECE_BINS).astype(np.int64), ECE_BINS - 1)
    sizes = np.bincount(index, minlength=ECE_BINS)
    full = sizes > 0
    said = np.bincount(index, weights=p_fake, minlength=ECE_BINS)[full] / sizes[full]
    seen = np.bincount(index, weights=truth.astype(float), minlength=ECE_BINS)[full] / sizes[full]
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle="--")
    axes.plot(said, seen, color=_FAKE, linewidth=0.8)
    axes.scatter(said, seen, s=10 + 200 * sizes[full] / sizes.sum(), color=_FAKE, alpha=0.7)
    axes.set(xlabel="mean score in the bin", ylabel="share of fakes in it", xlim=(-0.02, 1.02), ylim=(-0.04, 1.04))


def _histogram(axes: Any, p_fake: NDArray, truth: NDArray, thresholds: Thresholds) -> None:
    edges = np.linspace(0, 1, _HIST_BINS + 1)
    for label, chosen, colour in (("genuine", ~truth, _GENUINE), ("fake", truth, _FAKE)):
        axes.hist(p_fake[chosen], bins=edges, color=colour, alpha=0.6, label=f"{label}, {np.count_nonzero(chosen)}")
    for bound in (thresholds.low, thresholds.high):
        axes.axvline(bound, color="black", linewidth=0.8, linestyle=":")
    axes.set(xlabel="p_fake", ylabel="media", xlim=(0, 1))
    axes.legend(fontsize=8)
