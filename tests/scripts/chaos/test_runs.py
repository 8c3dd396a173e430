"""Every chaos run in a short form, over real parts of its own: nothing is lost, doubled or late."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from scripts.chaos.__main__ import app
from scripts.chaos.command import EXIT_BROKEN
from scripts.chaos.figures import Report, render
from scripts.chaos.judges import judge_at
from scripts.chaos.run import Options, Part, run
from tests.fixtures.detectors import BENTO_TOKEN, REFERENCE_KEY, RunningBento

SHORT = Options(
    jobs=20,
    kills=3,
    workers=2,
    lease_s=3.0,
    stops=1,
    gateway_kills=1,
    cutting_s=6.0,
    waiting=10_000,
    claims=200,
    idle_jobs=20,
    told_jobs=10,
    drains=1,
    rollouts=2,
    callers=4,
)


MOST_SLOWNESS = 20
"""How far from its bound a time may be here: the tests run beside others, on whatever machine there is."""


def kept(report: Report) -> bool:
    return all(
        figure.kept or (figure.slowness is not None and figure.slowness < MOST_SLOWNESS) for figure in report.figures
    )


async def reports(part: Part, folder: Path, bento: RunningBento | None = None) -> list[Report]:
    judge = bento and judge_at(
        bento.url, token=BENTO_TOKEN, reference_key=REFERENCE_KEY, spool=bento.spool, words="The image Bento judged."
    )
    return await run(replace(SHORT, parts=(part,), folder=folder), print, judge)


@pytest.mark.integration
@pytest.mark.parametrize("part", [Part.WORKERS, Part.GATEWAY, Part.DATABASE])
async def test_nothing_is_lost_or_doubled_that_a_real_bento_judges(
    part: Part, image_bento: RunningBento, outer_folder: Path
) -> None:
    found = await reports(part, outer_folder / "chaos", image_bento)
    assert all(kept(report) for report in found), render(found)


@pytest.mark.integration
@pytest.mark.parametrize("part", [Part.LATE, Part.WEBHOOKS, Part.DRAIN, Part.THROUGHPUT])
async def test_nothing_is_late_or_taken_twice_when_judging_takes_its_time(part: Part, outer_folder: Path) -> None:
    found = await reports(part, outer_folder / "chaos")
    assert all(kept(report) for report in found), render(found)


@pytest.mark.integration
async def test_no_answer_is_lost_or_mistaken_while_versions_come_and_go(
    outer_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.chaos.rollouts.STEADY_S", 1.0)
    monkeypatch.setattr("scripts.chaos.rollouts.REST_S", 0.0)
    [report] = await reports(Part.ROLLOUTS, outer_folder / "chaos")
    # Ratios of times and of memory are those of a machine of its own.
    report.figures = [figure for figure in report.figures if "%" not in figure.what]
    assert kept(report), render([report])


@pytest.mark.integration
def test_a_claim_takes_milliseconds_however_many_wait_and_the_command_prints_the_figures(
    outer_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Report] = []

    async def overheard(*arguments: Any) -> list[Report]:
        found.extend(await run(*arguments))
        return found

    monkeypatch.setattr("scripts.chaos.command.run", overheard)
    options = ["--waiting", str(SHORT.waiting), "--claims", str(SHORT.claims), "--folder", str(outer_folder / "chaos")]
    result = CliRunner().invoke(app, ["--only", "queue", *options])
    assert result.exit_code == (0 if all(report.kept for report in found) else EXIT_BROKEN), result.output
    assert f"| jobs waiting | {SHORT.waiting:,} |" in result.stdout
    assert not list((outer_folder / "chaos").iterdir())
    [report] = found
    assert kept(report), render(found)


def test_a_run_that_nobody_knows_is_a_wrong_call() -> None:
    assert CliRunner().invoke(app, ["--only", "weather"]).exit_code == 2
