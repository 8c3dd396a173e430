import msgspec
import pytest
from typer.testing import CliRunner

from scripts.bench.report import Results
from scripts.cli import app

runner = CliRunner()


def test_callers_that_are_no_numbers_are_a_wrong_call(tmp_path):
    result = runner.invoke(app, ["bench", "--callers", "1,many", "--folder", str(tmp_path)])

    assert result.exit_code == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.e2e
def test_bench_measures_a_platform_of_its_own_and_stops_it(tmp_path):
    arguments = ["--only", "image", "--seconds", "1", "--rounds", "1", "--callers", "1,2", "--pictures", "32"]

    result = runner.invoke(app, ["bench", *arguments, "--no-keras", "--folder", str(tmp_path)])

    assert result.exit_code == 0, result.output
    assert "| c: Bonafide | 2 |" in result.stdout
    found = msgspec.json.decode((tmp_path / "results.json").read_bytes(), type=Results)
    assert {summary.callers for summary in found.image} == {0, 1, 2}
    assert all(summary.failed == 0 and summary.requests > 0 for summary in found.image)
    assert found.figures["c/a@2"] > 0
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "home" / "run" / "state.json").exists()
