"""The plot of a run: throughput and latency of each side over the number of callers."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from scripts.bench.figures import Summary


def plot(summaries: Sequence[Summary], file: Path) -> None:
    """Write a PNG with two panels, req/s and p50 to p99, over callers."""
    with mpl.rc_context({"font.size": 9, "axes.grid": True, "grid.alpha": 0.3}):
        figure = Figure(figsize=(9, 3.8), layout="constrained")
        throughput, latency = figure.subplots(1, 2)
        sides = list(dict.fromkeys(each.side for each in summaries))
        for side in sides:
            points = sorted((each for each in summaries if each.side == side), key=lambda each: each.callers)
            callers = [each.callers for each in points]
            if len(points) == 1:
                throughput.axhline(points[0].throughput, linestyle="--", color="grey", label=side)
                continue
            line = throughput.plot(callers, [each.throughput for each in points], marker="o", label=side)[0]
            latency.plot(
                callers, [each.p50_ms for each in points], marker="o", color=line.get_color(), label=f"{side} p50"
            )
            latency.fill_between(
                callers,
                [each.p50_ms for each in points],
                [each.p99_ms for each in points],
                color=line.get_color(),
                alpha=0.15,
                label=f"{side} p50 to p99",
            )
        for axes, title in ((throughput, "requests a second"), (latency, "latency, ms")):
            axes.set(xscale="log", yscale="log", xlabel="callers", title=title)
            axes.legend(fontsize=7)
        throughput.set_xticks(sorted({each.callers for each in summaries if each.callers}))
        throughput.get_xaxis().set_major_formatter(mpl.ticker.ScalarFormatter())
        figure.savefig(file, dpi=140)
