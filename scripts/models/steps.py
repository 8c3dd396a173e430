"""What a step of an automatic roll-out showed, Bento by Bento, and how it is said."""

from collections.abc import Mapping
from typing import Self

import msgspec

from bentos.contract import Modality
from scripts.models.judging import Counts, Measured


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """What the Bento of a modality counted of the canary, and how it compares; None where too few calls say nothing."""

    modality: Modality
    calls: int
    errors: int
    p95_ms: float | None
    stable_p95_ms: float | None
    psi: float | None
    ks: float | None

    @classmethod
    def of(cls, modality: Modality, measured: Measured) -> Self:
        """Round what was measured, as people read it."""
        return cls(
            modality=modality,
            calls=measured.canary.calls,
            errors=measured.canary.errors,
            p95_ms=_rounded(measured.p95_s, 1, 1000),
            stable_p95_ms=_rounded(measured.stable_p95_s, 1, 1000),
            psi=_rounded(measured.psi, 4),
            ks=_rounded(measured.ks, 4),
        )

    def in_words(self) -> str:
        """The same in words, beginning with how many calls there were."""
        text = f"{self.calls} calls, {self.errors} errors"
        if self.p95_ms is not None and self.stable_p95_ms is not None:
            text += f", p95 {self.p95_ms:.0f} ms of inference ({self.stable_p95_ms:.0f} ms stable)"
        if self.psi is not None and self.ks is not None:
            return text + f", PSI {self.psi:.3f}, KS {self.ks:.3f}"
        return text + ", too few to compare"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What a share of the callers, in percent, showed in so many seconds; `bentos` are those that the canary served."""

    percent: float
    seconds: float
    bentos: tuple[Compared, ...]

    @classmethod
    def of(cls, percent: float, seconds: float, measured: Mapping[Modality, Measured]) -> Self:
        """The step that took `seconds` and showed this."""
        bentos = tuple(Compared.of(modality, each) for modality, each in measured.items() if each.canary.calls)
        return cls(percent=percent, seconds=round(seconds, 1), bentos=bentos)

    def in_words(self) -> str:
        """One line; which Bento is meant is said where there are several."""
        told = "; ".join(
            each.in_words() if len(self.bentos) == 1 else f"{each.modality} {each.in_words()}" for each in self.bentos
        )
        return f"{self.percent:g} % for {self.seconds:.0f} s: {told or 'no calls'}."


def busiest(measured: Mapping[Modality, Measured]) -> Measured:
    """Return what the Bento showed that answered most of the canary's calls."""
    nothing = Measured(canary=Counts(), stable=Counts())
    return max(
        measured.values(),
        key=lambda each: (each.canary.answered, each.canary.calls, each.stable.answered),
        default=nothing,
    )


def _rounded(value: float | None, digits: int, factor: float = 1) -> float | None:
    return None if value is None else round(value * factor, digits)
