from prometheus_client.parser import text_string_to_metric_families

from bentos.contract import Figures, Modality, Timings
from bentos.metrics import DetectionMetrics


def samples(metrics: DetectionMetrics) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(value for name, value in sorted(sample.labels.items()) if name != "modality")): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def test_a_bucket_holds_its_bound_and_all_that_is_shorter():
    metrics = DetectionMetrics(Modality.IMAGE, lambda: Figures(started=0, versions=()))
    for milliseconds in (1, 1.5, 10, 400_000):
        metrics.observe(Timings(queue_ms=0, decode_ms=milliseconds, faces_ms=0, inference_ms=0, total_ms=milliseconds))
    found = samples(metrics)
    buckets = {
        bound: found["bonafide_bento_step_seconds_bucket", bound, "decode"]
        for bound in ("0.001", "0.01", "300", "+Inf")
    }
    assert buckets == {"0.001": 1, "0.01": 3, "300": 3, "+Inf": 4}
    assert found["bonafide_bento_step_seconds_count", "decode"] == 4
    assert found["bonafide_bento_step_seconds_sum", "decode"] == 400.0125


def test_outcomes_and_calls_in_flight_are_counted():
    metrics = DetectionMetrics(Modality.IMAGE, lambda: Figures(started=0, versions=()))
    metrics.count("FAKE")
    metrics.count("FAKE")
    metrics.set_in_flight(3)
    found = samples(metrics)
    assert found["bonafide_bento_detections_total", "FAKE"] == 2
    assert found["bonafide_bento_calls_in_flight",] == 3
    assert found["process_resident_memory_bytes",] > 0
