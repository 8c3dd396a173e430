import pytest

from scripts.bench.streams import Receipts, measure_streams


def test_an_event_for_many_is_complete_with_its_last_receipt():
    receipts = Receipts()
    receipts.expect(0)
    receipts.expect(1, times=2)
    receipts.committed |= {0: 5.0, 1: 5.0}
    receipts.take(0)
    receipts.take(1)
    assert not receipts.complete.is_set()
    receipts.take(1)
    assert receipts.complete.is_set()
    receipts.received[1] = 5.25
    assert receipts.delay(1) == 0.25


def test_a_receipt_before_the_answer_to_the_commit_is_no_delay():
    receipts = Receipts()
    receipts.received[0], receipts.committed[0] = 4.0, 4.1
    assert receipts.delay(0) == 0


@pytest.mark.integration
def test_a_hundred_streams_hear_of_every_event_over_one_listening_connection(tmp_path):
    times = measure_streams(100, folder=tmp_path, say=lambda _: None)

    assert times.events == 400
    assert times.listening == 1
    # The pool of a process, the transactions' engine and the listener; none of them grows with the streams.
    assert times.connections <= 8 + 8 + 1
    assert times.p95_ms < 1000
    assert times.kib_per_stream < 300
    assert not any(tmp_path.iterdir())
