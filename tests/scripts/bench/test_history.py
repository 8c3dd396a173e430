"""The bench's made-up history is one that the gateway could have written, and is measured in both sizes."""

from typing import Any
from uuid import uuid4

import psycopg
import pytest

from scripts.bench.history import FEW, OperationCost, measure_history, ratios
from scripts.bench.history_rows import ACCOUNTS, DAYS, fill
from tests.fixtures.history import KEPT, RECOUNT


@pytest.mark.integration
def test_what_is_filled_in_is_counted_spread_and_ordered_as_it_would_have_come(postgres_server: Any) -> None:
    database, said = f"bench_{uuid4().hex}", []
    fill(postgres_server, database, 20_000, said.append)
    with psycopg.connect(postgres_server.conninfo(database), autocommit=True) as connection:

        def ask(query: str) -> tuple[Any, ...]:
            row = connection.execute(query.encode()).fetchone()
            assert row
            return row

        assert ask("SELECT count(*), count(DISTINCT account_id) > 1000 FROM detections") == (20_000, True)
        assert connection.execute(KEPT.encode()).fetchall() == connection.execute(RECOUNT.encode()).fetchall()
        assert ask("SELECT count(*) FROM accounts JOIN api_keys ON account_id = accounts.id") == (ACCOUNTS,)
        assert ask("SELECT count(DISTINCT charged_on) FROM detections")[0] in {DAYS, DAYS + 1}
        # Identifiers sort by time, and neither lies in the future.
        assert ask(
            "SELECT bool_and(id > before OR before IS NULL), max(created_at) <= now() FROM "
            "(SELECT id, created_at, lag(id) OVER (ORDER BY created_at) AS before FROM detections) AS d"
        ) == (True, True)
        assert ask(
            "SELECT max(abs(extract(epoch FROM created_at - uuid_extract_timestamp(id)))) < 60 FROM detections"
        ) == (True,)
        assert ask(
            "SELECT count(*) FROM pg_indexes WHERE tablename = 'detections' AND indexname LIKE 'detections_%_idx'"
        ) == (8,)
    assert len(said) == 2


def test_ratios_are_figures_by_operation() -> None:
    cost = OperationCost(operation="a b", few_p50_ms=1, many_p50_ms=1, few_p95_ms=2, many_p95_ms=3, ratio=1.5)
    assert ratios([cost]) == {"history_a_b_ratio": 1.5}


@pytest.mark.e2e
def test_all_operations_are_measured_in_both_sizes(outer_folder: Any) -> None:
    costs = measure_history(FEW // 2, rounds=1, folder=outer_folder / "bench", say=print)
    assert {cost.operation for cost in costs} == {"page", "filtered page", "stats", "admit", "admit and settle"}
    assert all(0 < cost.few_p50_ms <= cost.few_p95_ms and cost.ratio > 0 for cost in costs)
