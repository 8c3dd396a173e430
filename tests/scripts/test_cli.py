import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from scripts.cli import COMMANDS, app

PLAIN = {"NO_COLOR": "1", "COLUMNS": "120"}


def bonafide(*words: str, **environment: str) -> Result:
    """The command in this process; each module of a command is imported when the first test asks for it."""
    answer = CliRunner().invoke(app, words, prog_name="bonafide", env={**PLAIN, **environment})
    assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
    return answer


def test_help_lists_every_command() -> None:
    answer = bonafide("--help")

    assert answer.exit_code == 0
    assert all(f" {name} " in answer.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    answer = bonafide(name, "--help")

    assert answer.exit_code == 0
    assert f"Usage: bonafide {name}" in answer.stdout


def test_an_unknown_command_is_a_usage_error() -> None:
    assert bonafide("levitate").exit_code == 2


def test_a_command_does_not_wait_for_the_libraries_of_another() -> None:
    foreign = "('grpc', 'psycopg', 'sqlalchemy', 'aiohttp')"
    code = (
        f"import sys; import scripts.stack.commands.status; print([name for name in {foreign} if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert answer.stdout == "[]\n"


def test_status_of_what_does_not_run(tmp_path: Path) -> None:
    # As it is installed: the entry point, in a process of its own.
    answer = subprocess.run(
        [sys.executable, "-c", "from scripts.cli import main; main()", "status"],
        env={**os.environ, **PLAIN, "BONAFIDE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert answer.returncode == 4
    assert "Not running" in answer.stdout


def test_down_of_what_does_not_run_is_no_error(tmp_path: Path) -> None:
    answer = bonafide("down", BONAFIDE_HOME=str(tmp_path / "none"))

    assert answer.exit_code == 0
    assert "nothing was running" in answer.stdout


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    answer = bonafide("up", BONAFIDE_HOME=str(tmp_path), BONAFIDE_IMAGE_PORT="many")

    assert answer.exit_code == 2
    assert "BONAFIDE_IMAGE_PORT" in answer.stderr
    assert "'many'" in answer.stderr


def test_the_log_of_a_process_that_there_is_not(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "gateway.log").write_text("one\ntwo\n")

    assert bonafide("logs", "gateway", "-n", "1", BONAFIDE_HOME=str(tmp_path)).stdout == "two\n"
    answer = bonafide("logs", "gatway", BONAFIDE_HOME=str(tmp_path))
    assert answer.exit_code == 2
    assert "There are: gateway" in answer.stderr
