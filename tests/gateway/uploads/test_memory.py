"""A large upload to a gateway in a process of its own: its memory does not follow the size."""

from typing import Any

import pytest

from scripts.bench.uploads import MEGABYTE, measure_uploads

pytestmark = pytest.mark.integration

SIZE = 300_000_000


def test_the_memory_of_the_gateway_does_not_follow_the_size(tmp_path: Any) -> None:
    runs = measure_uploads(SIZE, folder=tmp_path, say=lambda _: None)
    assert [run.title for run in runs] == ["in one piece", "in parts"]
    assert [run.size for run in runs] == [SIZE, SIZE]
    assert all(run.growth_mb < 50 for run in runs), runs
    assert all(run.growth_mb < run.size / MEGABYTE / 6 for run in runs), runs
