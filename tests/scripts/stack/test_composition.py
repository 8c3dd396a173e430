from pathlib import Path

import pytest

from scripts.stack.composition import Platform, compose
from scripts.stack.settings import load_settings


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """The platform in a folder of its own, described and not started."""
    environment = {"BONAFIDE_HOME": str(tmp_path / "home"), "BONAFIDE_WORKER_CONCURRENCY": "7", "PATH": "/usr/bin"}
    return compose(load_settings(environment), environment)


def test_the_worker_is_told_all_that_the_gateway_is(platform: Platform) -> None:
    programs = {program.name: program for program in platform.programs}
    assert programs["worker"].environment == programs["gateway"].environment
    assert programs["worker"].environment["BONAFIDE_WORKER_CONCURRENCY"] == "7"
    assert programs["worker"].environment["BONAFIDE_MAIL_FOLDER"].endswith("/home/mail")


def test_what_needs_the_database_waits_for_it_and_stops_before_it(platform: Platform) -> None:
    programs = {program.name: program for program in platform.programs}
    for name in ("gateway", "worker"):
        assert programs[name].after == ("postgres",)
        assert programs[name].layer > programs["postgres"].layer


def test_a_drain_is_over_before_patience_is(platform: Platform) -> None:
    for program in platform.programs:
        if program.name in {"gateway", "worker"}:
            assert float(program.environment["BONAFIDE_DRAIN_TIMEOUT_S"]) < program.grace_s


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "http://127.0.0.1:8123"), ({"BONAFIDE_PUBLIC_URL": "https://a.example"}, "https://a.example")],
)
def test_addresses_lead_to_where_the_gateway_listens_unless_told_otherwise(
    tmp_path: Path, given: dict[str, str], expected: str
) -> None:
    home = {"BONAFIDE_HOME": str(tmp_path / "home"), "BONAFIDE_GATEWAY_PORT": "8123", "PATH": "/usr/bin"}
    programs = compose(load_settings(home | given), home | given).programs
    told = {program.name: program.environment.get("BONAFIDE_PUBLIC_URL") for program in programs}
    assert told["gateway"] == told["worker"] == expected
