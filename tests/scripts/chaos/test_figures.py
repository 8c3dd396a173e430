"""What a run notes, and whether its bounds were kept."""

import pytest

from scripts.chaos.figures import Report, render


@pytest.mark.parametrize(
    ("note", "kept"),
    [
        (lambda report: report.exactly("x", 3, 3), True),
        (lambda report: report.exactly("x", 4, 3), False),
        (lambda report: report.at_least("x", 3, 3), True),
        (lambda report: report.at_least("x", 2, 3), False),
        (lambda report: report.at_most("x", 3, 3), True),
        (lambda report: report.at_most("x", 4, 3), False),
        (lambda report: report.below("x", 0.4, 0.5), True),
        (lambda report: report.below("x", 0.5, 0.5), False),
        (lambda report: report.tell("x", 7), True),
        (lambda report: report.times("x", [0.1, 0.4], p95_s=0.5), True),
        (lambda report: report.times("x", [0.1, 0.6], p95_s=0.5), False),
    ],
)
def test_a_report_is_kept_where_every_bound_is(note, kept):
    report = Report(run="run", on="nothing")
    report.exactly("before", 1, 1)
    note(report)
    report.exactly("after", 1, 1)
    assert report.kept is kept


def test_times_that_were_to_be_measured_and_were_not_break_their_bound():
    report = Report(run="run", on="nothing")
    report.times("x", [], p95_s=0.5)
    assert not report.kept


def test_the_table_marks_what_broke_its_bound():
    report = Report(run="a run", on="Nothing judged.")
    report.tell("told", 12_345)
    report.below("quick", 0.0123, 0.02)
    report.exactly("lost", 2, 0)
    assert render([report]).splitlines() == [
        "### a run",
        "",
        "Nothing judged.",
        "",
        "| | | bound | kept |",
        "|---|---|---|---|",
        "| told | 12,345 |  |  |",
        "| quick | 12.3 ms | < 20.0 ms | yes |",
        "| lost | 2 | 0 | **NO** |",
    ]
