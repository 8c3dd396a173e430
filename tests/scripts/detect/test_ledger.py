import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.detect.ledger import BusyError, Ledger, Sent, open_ledger

URL = "http://127.0.0.1:8000"


OPENED: list[Ledger] = []


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path / "home"))
    yield tmp_path
    while OPENED:
        OPENED.pop().close()


def opened(folder: Path, *, url: str = URL, key: str = "sk-live-1", asked: str = "", anew: bool = False) -> Ledger:
    OPENED.append(open_ledger(folder, url=url, key=key, asked=asked, anew=anew))
    return OPENED[-1]


def sent(name: str) -> Sent:
    return Sent(name, 7, 1_000, "ab" * 32, f"upload of {name}")


def state(ledger: Ledger) -> tuple[object, object]:
    return ledger.sent, ledger.batches


def filled(folder: Path) -> Ledger:
    ledger = opened(folder)
    for name in ("a.jpg", "b ü\n.jpg", "c.jpg", "d.jpg"):
        ledger.begin_upload(sent(name))
    for name in ("a.jpg", "b ü\n.jpg", "c.jpg"):
        ledger.end_upload(name)
    ledger.touch("a.jpg", 2_000)
    ledger.plan("first", ["a.jpg", "b ü\n.jpg"])
    ledger.make("first", "id of the first")
    ledger.plan("second", ["c.jpg"])
    ledger.begin_upload(sent("a.jpg"))
    ledger.forget(["d.jpg", "never known"])
    return ledger


def test_what_was_noted_is_there_again(home: Path) -> None:
    before = filled(home)
    before.close()
    after = opened(home)
    assert state(after) == state(before)
    assert (after.sent["c.jpg"].batch, after.batches["second"].id) == ("second", None)
    assert after.sent["a.jpg"].batch is None, "it was sent anew, and is in no batch yet"
    assert after.batches["first"].names == ("a.jpg", "b ü\n.jpg")


def test_a_batch_that_is_dropped_leaves_its_files_as_they_were(home: Path) -> None:
    ledger = filled(home)
    ledger.drop("second")
    ledger.close()
    after = opened(home)
    assert (after.sent["c.jpg"].batch, after.sent["c.jpg"].ready, list(after.batches)) == (None, True, ["first"])


@pytest.mark.parametrize("seed", range(30))
def test_wherever_a_line_was_cut_off_all_before_it_holds_and_more_can_follow(home: Path, seed: int) -> None:
    filled(home).close()
    (file,) = (home / "home" / "detect").iterdir()
    whole = file.read_bytes()
    kept = whole[: random.Random(seed).randrange(len(whole))]  # noqa: S311 - No secret.
    file.write_bytes(kept)
    cut = opened(home)
    cut.begin_upload(sent("later.jpg"))
    cut.close()
    after = opened(home)
    assert state(after) == state(cut)
    assert "later.jpg" in after.sent


def test_each_folder_key_platform_and_question_has_a_ledger_of_its_own(home: Path) -> None:
    ledgers = [
        opened(home),
        opened(home / "other"),
        opened(home, url="http://127.0.0.1:9000"),
        opened(home, key="sk-live-2"),
        opened(home, asked="another model"),
    ]
    assert len({ledger.path for ledger in ledgers}) == 5
    for ledger in ledgers:
        assert "sk-live" not in str(ledger.path)
        assert ledger.path.stat().st_mode & 0o777 == 0o600


def test_only_one_process_works_on_a_folder(home: Path) -> None:
    first = opened(home)
    with pytest.raises(BusyError):
        opened(home)
    first.close()
    opened(home).close()


def test_anew_forgets_what_was_noted(home: Path) -> None:
    filled(home).close()
    ledger = opened(home, anew=True)
    assert state(ledger) == ({}, {})
