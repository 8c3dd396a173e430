from scripts.bench.figures import Round, summarise
from scripts.bench.history import OperationCost
from scripts.bench.media import Comparison
from scripts.bench.plot import plot
from scripts.bench.report import Results, render, table
from scripts.bench.targets import judge

MACHINE = {"cores": 2, "processor": "Some CPU", "memory_gb": 8, "python": "3.11"}


def summaries():
    cpu_s = {"gateway": 0.1, "triton": 0.3}
    ours = Round(seconds=1, latencies_s=(0.01,) * 100, cpu_s=cpu_s, mean_batch=2.5, steps_ms={"decode_ms": 3.0})
    bare = Round(seconds=1, latencies_s=(0.01,) * 150, cpu_s={"loop": 1.0})
    return [summarise("bare", 2, [bare]), *(summarise("bonafide", callers, [ours]) for callers in (1, 8))]


def test_table_is_markdown():
    assert table(("a", "b"), [("x", "1")]) == "| a | b |\n| --- | ---: |\n| x | 1 |"


def test_report_shows_every_part_that_was_measured():
    results = Results(
        started="2030-01-01",
        machine=MACHINE,
        settings={"rows": 1_000_000},
        image=summaries(),
        history=[
            OperationCost(operation="page", few_p50_ms=1, many_p50_ms=1.25, few_p95_ms=2, many_p95_ms=2.5, ratio=1.2512)
        ],
        figures={"c/a@8": 0.667},
        media=[Comparison(title="60 s video", megabytes=40, theirs_s=80, ours_s=4, ours={})],
        outcomes=judge({"c/a@8": 0.667, "idle_pss_gb": 3.0}),
    )

    text = render(results)

    assert "| bonafide | 8 | 100.0 | 10.0 | 10.0 | 10.0 | 4.0 | 0.00 | 2.50 |" in text
    assert "| CPU ms, triton | 3.00 | 3.00 |" in text
    assert "| decode_ms | 3.00 | 3.00 |" in text
    assert "| 60 s video | 40.0 | 80.00 | 4.00 | 20.0 |" in text
    assert "| milliseconds | p50, 100,000 rows | p50, 1,000,000 rows |" in text
    assert "| page | 1.00 | 1.25 | 2.00 | 2.50 | 1.25 |" in text
    assert "at least 0.6 x | 0.667 x | reached |" in text
    assert "below 2.5 GB | 3 GB | **not reached** |" in text


def test_targets_without_a_figure_are_left_out():
    assert [outcome.target.figure for outcome in judge({"ready_s": 30.0})] == ["ready_s"]
    assert judge({"ready_s": 30.0})[0].reached
    assert not judge({"upload_bento_mb": 50.0})[0].reached


def test_plot_is_a_png(tmp_path):
    plot(summaries(), tmp_path / "bench.png")

    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
