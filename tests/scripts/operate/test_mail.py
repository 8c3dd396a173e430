import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.mail.service import Mail
from gateway.mail.tasks import write_message
from scripts.cli import app


@pytest.fixture
def run_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("BONAFIDE_MAIL_FOLDER", str(tmp_path / "mail"))
    monkeypatch.setenv("COLUMNS", "250")

    def run(*words: str) -> Result:
        answer = CliRunner().invoke(app, ["mail", *words])
        assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
        return answer

    return run


@pytest.fixture
def kept(tmp_path: Path) -> None:
    """Three mails, kept one after the other."""
    folder = tmp_path / "mail"
    folder.mkdir()
    for number, (identifier, to) in enumerate([("cc11", "ada"), ("aa22", "ben"), ("aa33", "ada")]):
        text = f"Grüße [bold]{number}[/bold]\nhttps://bonafide.example/verify?token=abc{number}\n"
        mail = Mail(to=f"{to}@example.org", subject=f"Mail {number}", text=text)
        file = folder / f"{identifier}.eml"
        file.write_bytes(write_message(mail, identifier=identifier, sender="Bonafide <no-reply@localhost>").as_bytes())
        os.utime(file, (1_800_000_000 + number, 1_800_000_000 + number))
    (folder / ".aa44.1234").write_text("half a mail")


def test_no_mail_is_no_error(run_command: Callable[..., Result]) -> None:
    answer = run_command()
    assert (answer.exit_code, "No mail in" in answer.stdout) == (0, True)
    assert run_command("--last").exit_code == 1


@pytest.mark.usefixtures("kept")
def test_mail_is_listed_oldest_first(run_command: Callable[..., Result]) -> None:
    lines = run_command().stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["cc11", "aa22", "aa33"]
    assert all("@example.org" in line for line in lines)


@pytest.mark.usefixtures("kept")
def test_one_mail_is_shown_whole(run_command: Callable[..., Result]) -> None:
    answer = run_command("aa2")
    assert answer.exit_code == 0
    assert "To: ben@example.org" in answer.stdout
    assert "Subject: Mail 1" in answer.stdout
    assert "Grüße [bold]1[/bold]\nhttps://bonafide.example/verify?token=abc1\n" in answer.stdout
    assert "token=abc2" in run_command("--last").stdout
    assert "token=abc1" in run_command("--last", "--to", "BEN@example.org").stdout


@pytest.mark.usefixtures("kept")
def test_programs_read_json(run_command: Callable[..., Result]) -> None:
    mails = [json.loads(line) for line in run_command("--json", "--to", "ada@example.org").stdout.splitlines()]
    assert [(mail["id"], mail["subject"]) for mail in mails] == [("cc11", "Mail 0"), ("aa33", "Mail 2")]
    (line,) = run_command("--json", "--last").stdout.splitlines()
    assert "token=abc2" in json.loads(line)["text"]


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(("identifier", "code"), [("zz", 1), ("aa", 2)])
def test_an_id_names_one_mail(run_command: Callable[..., Result], identifier: str, code: int) -> None:
    assert run_command(identifier).exit_code == code
