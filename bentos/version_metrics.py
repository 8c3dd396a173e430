"""The figures of each version for Prometheus, by model, version and part.

These labels take as many values as the traffic table names versions: what leaves the table leaves the figures.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from bentos.contract import LATENCY_BOUNDS_S, SCORE_BINS, Figures, Modality, ShadowFigures, VersionFigures

_LABELS: Final = ("modality", "model", "version", "part")
_SHADOW_LABELS: Final = ("modality", "model", "version")
_LATENCY_BOUNDS: Final = (*map(str, LATENCY_BOUNDS_S), "+Inf")
_SCORE_BOUNDS: Final = (*(f"{(place + 1) / SCORE_BINS:g}" for place in range(SCORE_BINS - 1)), "1", "+Inf")
_SHADOW_COUNTS: Final = {
    "compared": "Answers of a shadow that were compared with those that callers got.",
    "disagreed": "Answers of a shadow with another verdict.",
    "difference": "Sum of the differences in p_fake between a shadow and what callers got.",
    "dropped": "Calls that a shadow was not asked, because it was behind or needed other crops.",
    "failed": "Calls that a shadow gave no score.",
}


def version_metrics(modality: Modality, figures: Figures) -> Iterator[Metric]:
    """Give the figures as a registry wants them."""
    answers = CounterMetricFamily("bonafide_bento_version_answers", "Calls that a version answered.", labels=_LABELS)
    errors = CounterMetricFamily(
        "bonafide_bento_version_errors", "Calls that a version or the inference server failed at.", labels=_LABELS
    )
    in_flight = GaugeMetricFamily(
        "bonafide_bento_version_calls_in_flight", "Calls that a version has not answered yet.", labels=_LABELS
    )
    seconds = HistogramMetricFamily(
        "bonafide_bento_version_inference_seconds", "Seconds of a call spent on inference.", labels=_LABELS
    )
    scores = HistogramMetricFamily("bonafide_bento_version_p_fake", "Scores of media, p_fake.", labels=_LABELS)
    for version in figures.versions:
        labels = [modality.value, version.model, str(version.version), version.part]
        answers.add_metric(labels, version.answered)
        errors.add_metric(labels, version.errors)
        in_flight.add_metric(labels, version.in_flight)
        seconds.add_metric(labels, _cumulative(_LATENCY_BOUNDS, version.latency), version.latency_sum_s)
        # The sum of scores is not kept, so that this histogram has its buckets only. None is above 1.
        scores.add_metric(labels, _cumulative(_SCORE_BOUNDS, (*version.scores, 0)), None)
    yield from (answers, errors, in_flight, seconds, scores)
    shadows = [(version, version.shadow) for version in figures.versions if version.shadow is not None]
    for count, meaning in _SHADOW_COUNTS.items():
        yield _shadow_counter(modality, count, meaning, shadows)


def _shadow_counter(
    modality: Modality, count: str, meaning: str, shadows: Sequence[tuple[VersionFigures, ShadowFigures]]
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"bonafide_bento_shadow_{count}", meaning, labels=_SHADOW_LABELS)
    for version, shadow in shadows:
        family.add_metric([modality.value, version.model, str(version.version)], getattr(shadow, count))
    return family


def _cumulative(bounds: Sequence[str], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Return each bucket with the counts of all below it, as Prometheus wants them."""
    total, buckets = 0, list[tuple[str, float]]()
    for bound, count in zip(bounds, counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets
