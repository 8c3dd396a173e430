import json

import pytest

from gateway.errors import InvalidCursorError
from gateway.live.events import (
    LATEST_PLACE,
    JobEvent,
    as_message,
    as_sse,
    heartbeat_message,
    read_last_event_id,
    read_resume,
)

EVENT = JobEvent(place=3, kind="progress", data='{"done": 1, "note": "a\\nb"}', final=False)


def test_an_event_has_one_line_for_each_of_its_fields_and_an_empty_one_behind():
    assert as_sse(EVENT) == b'id: 3\nevent: progress\ndata: {"done": 1, "note": "a\\nb"}\n\n'


def test_a_message_is_one_json_object():
    assert json.loads(as_message(EVENT)) == {"id": 3, "event": "progress", "data": {"done": 1, "note": "a\nb"}}
    assert json.loads(heartbeat_message(3)) == {"id": 3, "event": "heartbeat", "data": {}}


@pytest.mark.parametrize(
    ("told", "after"),
    [((None, None), 0), (("", "7"), 7), (("5", "7"), 5), ((" 12 ",), 12), (("9999999999",), LATEST_PLACE)],
)
def test_the_first_place_that_names_an_event_counts(told, after):
    assert read_last_event_id(*told) == after


@pytest.mark.parametrize("told", ["-1", "1.5", "three", "٣", "1" * 11, "0x10"])
def test_what_is_no_id_of_an_event_is_refused(told):
    with pytest.raises(InvalidCursorError) as refusal:
        read_last_event_id(told)
    assert refusal.value.code == "invalid_last_event_id"


@pytest.mark.parametrize(("text", "after"), [('{"last_event_id": 4}', 4), ('{"last_event_id": -4}', 0)])
def test_a_client_says_where_to_go_on(text, after):
    assert read_resume(text) == after


@pytest.mark.parametrize("text", ["", "4", "[]", '{"last_event_id": "4"}', '{"last_event_id": 4, "more": 1}', "{"])
def test_a_message_that_says_something_else_is_refused(text):
    with pytest.raises(InvalidCursorError):
        read_resume(text)
