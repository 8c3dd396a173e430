import json

import pytest

from scripts.models import trials
from scripts.models.errors import ModelsError, RefusedError
from scripts.models.optimising_report import render, sentence
from scripts.models.pressing import Pressed
from scripts.models.repository import Repository
from scripts.models.trials import Trial, Wish
from scripts.models.tuning import Tuning
from scripts.stack.settings import CHECKOUT


def trial(*, threads=1, version=1, throughput=100.0, p95_ms=50.0, final=False, limit_ms=100.0):
    return Trial(
        version=version,
        precision="fp32" if version == 1 else "int8",
        tuning=Tuning(threads=threads, instances=1, delay_us=0, preferred=(1,)),
        throughput=throughput,
        p50_ms=p95_ms / 2,
        p95_ms=p95_ms,
        failed=0,
        final=final,
        within=p95_ms <= limit_ms,
    )


def conclude(*found, limit_ms=100.0):
    return trials.conclude(Wish(model="small", version=1, p95_ms=limit_ms), found, complete=True)


def test_medians_of_the_finals_decide():
    found = conclude(
        trial(threads=1, throughput=300),
        trial(threads=2, throughput=10),
        *(trial(threads=1, throughput=each, final=True) for each in (100, 110, 900)),
        *(trial(threads=2, throughput=each, final=True) for each in (200, 210, 20)),
    )

    assert found.before.throughput == 110
    assert found.best is not None
    assert (found.best.tuning.threads, found.best.throughput) == (2, 200)
    assert "1.82 times as many" in sentence(found)


def test_a_little_faster_is_no_reason_to_change():
    found = conclude(trial(threads=1), trial(threads=2, throughput=104))

    assert found.best is None
    assert "Nothing that was tried" in sentence(found)


def test_the_limit_comes_before_throughput():
    found = conclude(trial(threads=1, throughput=500, p95_ms=101), trial(threads=2, throughput=90, p95_ms=99))

    assert found.best is not None
    assert found.best.tuning.threads == 2


def test_no_setting_under_the_limit_is_refused_with_the_quickest():
    with pytest.raises(RefusedError, match=r"No setting keeps p95 under 100 ms.*had 120 ms"):
        conclude(trial(p95_ms=150), trial(threads=2, p95_ms=120))


def test_a_faster_precision_is_pointed_out():
    found = conclude(trial(), trial(version=2, throughput=400))

    assert (found.best, found.fastest.version) == (None, 2)
    assert "Version 2 (int8) gives 400.0" in sentence(found)


def test_nothing_tried_is_told():
    with pytest.raises(ModelsError, match="--budget"):
        conclude()


def test_the_report_has_a_row_for_each_trial():
    files = render(conclude(trial(), trial(threads=2, p95_ms=120)))

    assert "| 1 | fp32 | 1 | 2 | 1 | 0 | 100.0 | 60.0 | 120.0 (over) |" in files["optimised.md"].decode()
    assert len(json.loads(files["optimised.json"])["trials"]) == 2


def test_percentiles_are_waits_that_somebody_had():
    pressed = Pressed(seconds=2.0, latencies_s=(0.01, 0.02, 0.03, 0.04), failed=0)

    assert (pressed.throughput, pressed.percentile_ms(50), pressed.percentile_ms(95)) == (2.0, 20.0, 40.0)


def test_no_answer_within_the_window_is_never_within_the_limit():
    card = Repository(CHECKOUT / "model_repository").card("image_cnn", 1)
    pressed = Pressed(seconds=2.0, latencies_s=(), failed=0)

    found = trials.trial_of(card, trial().tuning, pressed, limit_ms=60_000, final=False)

    assert (found.throughput, found.p95_ms, found.within) == (0, 2000, False)
