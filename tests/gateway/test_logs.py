import json
import subprocess
import sys

import pytest

from gateway.keys.secrets import make_key
from gateway.logs import redact

SECRET = make_key().secret
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "line",
    [
        {"headers": {"X-API-Key": SECRET, "Cookie": "session=abc", "Authorization": f"Bearer {SECRET}"}},
        {"path": f"/v1/{SECRET}"},
        {"event": f"GET /x?token={TOKEN}&name=a"},
        {"event": "GET https://store.example/f?X-Amz-Signature=abc&X-Amz-Credential=abc"},
        {"event": "postgresql+psycopg://bonafide:abc@host/db"},
        {"nested": [{"password": "abc"}, ("Bearer abc",)]},
    ],
)
def test_secrets_are_taken_out_by_name_and_by_look(line: dict[str, object]) -> None:
    text = json.dumps(redact(line))
    assert "abc" not in text
    assert SECRET not in text
    assert TOKEN not in text
    assert "redacted" in text


def test_what_is_no_secret_stays() -> None:
    line = {"path": "/v1/detections?limit=5", "status": 200, "key_id": "1", "event": "x"}
    assert redact(line) == line


def test_libraries_and_our_own_code_write_one_json_object_per_line() -> None:
    script = (
        "import logging, structlog; from gateway.logs import configure_logs; configure_logs('INFO');"
        f"structlog.stdlib.get_logger().info('ours', api_key='{SECRET}');"
        f"logging.getLogger('some.library').warning('theirs %s', '{SECRET}');"
        "logging.getLogger('some.library').exception('broken', exc_info=ValueError('why'))"
    )
    output = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    lines = [json.loads(line) for line in output.splitlines()]
    assert [line["event"].split(" ")[0] for line in lines] == ["ours", "theirs", "broken"]
    assert SECRET not in output
    assert "ValueError: why" in lines[2]["exception"]
