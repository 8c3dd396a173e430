"""What a run found out: figures, the bounds that they have to keep, and the table that shows them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from scripts.bench.figures import percentile


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure. `bound` says what it has to be, in words; none: it is only told. `kept`: it is so.

    `slowness` is how many times the bound a time is, which is what a busy machine changes; None: it is no time.
    """

    what: str
    value: str
    bound: str = ""
    kept: bool = True
    slowness: float | None = None


@dataclass(slots=True, kw_only=True)
class Report:
    """The figures of a run, and which parts it ran on."""

    run: str
    on: str
    figures: list[Figure] = field(default_factory=list[Figure])

    @property
    def kept(self) -> bool:
        """Whether every bound was kept."""
        return all(figure.kept for figure in self.figures)

    @property
    def broken(self) -> str:
        """The figures that broke their bounds, in words."""
        return "; ".join(f"{one.what}: {one.value}, not {one.bound}" for one in self.figures if not one.kept)

    def tell(self, what: str, value: object) -> None:
        """Note a figure that has no bound."""
        self.figures.append(Figure(what=what, value=_words(value)))

    def exactly(self, what: str, value: float, bound: float) -> None:
        """Note a count that must be this one."""
        self.figures.append(Figure(what=what, value=_words(value), bound=_words(bound), kept=value == bound))

    def at_least(self, what: str, value: float, bound: float) -> None:
        """Note a figure that must not be smaller."""
        self.figures.append(Figure(what=what, value=_words(value), bound=f"≥ {_words(bound)}", kept=value >= bound))

    def at_most(self, what: str, value: float, bound: float) -> None:
        """Note a figure that must not be larger."""
        self.figures.append(Figure(what=what, value=_words(value), bound=f"≤ {_words(bound)}", kept=value <= bound))

    def below(self, what: str, seconds: float, bound_s: float) -> None:
        """Note a time that must be shorter; both in seconds."""
        self.figures.append(
            Figure(
                what=what,
                value=_duration(seconds),
                bound=f"< {_duration(bound_s)}",
                kept=seconds < bound_s,
                slowness=seconds / bound_s,
            )
        )

    def times(self, what: str, seconds: Sequence[float], *, p95_s: float | None = None) -> None:
        """Note median, 95th percentile (below `p95_s`, where that is given) and longest of times in seconds, if any."""
        if p95_s is None:
            self.tell(f"{what}: how many", len(seconds))
        else:
            self.at_least(f"{what}: how many", len(seconds), 1)
        if not seconds:
            return
        self.tell(f"{what}: p50", _duration(percentile(seconds, 50)))
        if p95_s is None:
            self.tell(f"{what}: p95", _duration(percentile(seconds, 95)))
        else:
            self.below(f"{what}: p95", percentile(seconds, 95), p95_s)
        self.tell(f"{what}: longest", _duration(max(seconds)))


def render(reports: Sequence[Report]) -> str:
    """The reports as tables in Markdown; what broke its bound is marked."""
    parts: list[str] = []
    for report in reports:
        rows = [f"| {each.what} | {each.value} | {each.bound} | {_verdict(each)} |" for each in report.figures]
        parts.append(
            "\n".join([f"### {report.run}", "", report.on, "", "| | | bound | kept |", "|---|---|---|---|", *rows, ""])
        )
    return "\n".join(parts)


def _verdict(figure: Figure) -> str:
    if not figure.bound:
        return ""
    return "yes" if figure.kept else "**NO**"


def _words(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}" if value % 1 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _duration(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms" if abs(seconds) < 1 else f"{seconds:.2f} s"
