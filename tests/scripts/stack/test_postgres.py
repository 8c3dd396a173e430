import os
from pathlib import Path

import psycopg
import pytest

from scripts.stack.postgres import Cluster, program
from scripts.stack.running import running

pytestmark = pytest.mark.integration


def test_what_was_committed_is_there_after_a_restart(tmp_path: Path, outer_folder: Path) -> None:
    cluster = Cluster(folder=outer_folder / "durable", password="made up: with %, / and @")
    server = program(cluster, dict(os.environ))
    with running(server, log=tmp_path / "log", run_id="a", deadline_s=60), psycopg.connect(cluster.conninfo()) as one:
        one.execute("CREATE TABLE kept (number int)")
        one.execute("INSERT INTO kept VALUES (7)")

    with running(server, log=tmp_path / "log", run_id="b", deadline_s=60), psycopg.connect(cluster.conninfo()) as one:
        assert one.execute("SELECT number FROM kept").fetchall() == [(7,)]
        assert one.execute("SHOW synchronous_commit").fetchone() == ("on",)
        assert one.execute("SHOW fsync").fetchone() == ("on",)

    log = (tmp_path / "log").read_text()
    assert log.count("database system is shut down") == 2
    assert "recovery" not in log


def test_nobody_gets_in_without_the_password(postgres_server: Cluster) -> None:
    wrong = Cluster(folder=postgres_server.folder, password="guessed")

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong.conninfo())


def test_the_version_is_18_and_there_is_no_network(postgres_server: Cluster) -> None:
    with psycopg.connect(postgres_server.conninfo()) as connection:
        assert connection.info.server_version // 10_000 == 18
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)


def test_a_path_too_long_for_a_socket_is_replaced_by_a_short_one(tmp_path: Path) -> None:
    cluster = Cluster(folder=tmp_path / ("long" * 30), password="x")

    assert len(os.fsencode(cluster.socket_folder)) < 90
    assert cluster.socket_folder == Cluster(folder=tmp_path / ("long" * 30), password="y").socket_folder
