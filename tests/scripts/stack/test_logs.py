from pathlib import Path

from scripts.stack.logs import follow, last_lines, trim


def test_a_large_log_moves_aside_while_its_writer_writes_on(tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    with log.open("a") as writer:
        writer.write("old\n" * 100)
        writer.flush()

        assert trim(log, max_bytes=100)
        writer.write("new\n")

    assert log.read_text() == "new\n"
    assert (tmp_path / "gateway.log.1").read_text() == "old\n" * 100


def test_a_small_or_missing_log_stays(tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    log.write_text("little\n")

    assert not trim(log, max_bytes=100)
    assert not trim(tmp_path / "none.log", max_bytes=100)
    assert log.read_text() == "little\n"


def test_a_log_that_cannot_be_kept_is_cut_all_the_same(tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    log.write_text("x" * 200)
    (tmp_path / "gateway.log.1").symlink_to(tmp_path / "no such folder" / "file")

    assert trim(log, max_bytes=100)
    assert "could not be kept" in log.read_text()


def test_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(f"line {number}\n" for number in range(1000)))

    assert last_lines(log, 2) == ["line 998", "line 999"]
    assert last_lines(log, 0) == []
    assert last_lines(tmp_path / "none.log", 2) == []


def test_following_yields_whole_new_lines_also_after_a_cut(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("before\n")
    lines = follow([log])
    script = iter(["first\nsec", "ond\n"])

    def write_on() -> bool:
        with log.open("a") as stream:
            stream.write(next(script, ""))
        return True

    lines = follow([log], go_on=write_on)
    assert [next(lines), next(lines)] == [(log, "first"), (log, "second")]

    log.write_text("anew\n")
    assert next(lines) == (log, "anew")
