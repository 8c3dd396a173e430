"""How far two answers of one version to one input may be apart."""

from collections.abc import Mapping
from typing import Final

from bentos.cards import Precision

TOLERANCE: Final[Mapping[Precision, float]] = {"fp32": 1e-3, "fp16": 5e-3, "int8": 5e-2}
"""Largest |Δ| of a value, by precision.

Coarse numbers round differently with the neighbours in a batch and with the processor that multiplies them.
"""
