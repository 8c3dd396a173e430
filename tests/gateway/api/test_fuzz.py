"""Whatever is sent to whichever route: no failure of ours, and no answer that the OpenAPI document does not describe.

`make test` tries a little of everything; `make fuzz` goes through all phases with many examples for each operation.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.db.engine import connection_string
from gateway.settings import GatewaySettings
from tests.fixtures import fuzzing
from tests.fixtures.gateway import PASSWORD, GatewayProcess, make_account

pytestmark = pytest.mark.integration

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)
SHORT = ("--phases", "examples,fuzzing", "--max-examples", "2", "--no-shrink", "--seed", "1")


@pytest.mark.timeout(4 * 3600 if EXAMPLES else 240)
async def test_every_operation_answers_as_documented_whatever_it_is_sent(
    start_gateway: Callable[..., Awaitable[GatewayProcess]],
    gateway_settings: GatewaySettings,
    database: Any,
    database_url: str,
    tmp_path: Path,
) -> None:
    await make_account(database, "fuzz@example.org", daily_limit=None, burst_limit=None)
    account_id = (await (await database.execute("SELECT id FROM accounts")).fetchone())[0]
    bounds = dict.fromkeys(("sign_in_tries", "sign_in_tries_by_address", "keys_per_account"), 10**6)
    # A stream of a job that nobody does is not waited for.
    gateway = await start_gateway(**bounds, live_longest_s=1)
    # Whoever signs in as the examples do shall come in.
    body = {"email": "ada@example.org", "username": "ada", "password": PASSWORD}
    async with httpx.AsyncClient(base_url=gateway.url) as http:
        assert (await http.post("/v1/auth/register", json=body)).status_code == 201
    environment = os.environ | {
        fuzzing.HOOKS_VARIABLE: "tests.fixtures.fuzzing",
        fuzzing.DATABASE_VARIABLE: connection_string(database_url),
        fuzzing.ACCOUNT_VARIABLE: str(account_id),
        fuzzing.TOKEN_KEY_VARIABLE: gateway_settings.token_key.get_secret_value(),
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "PYTHONWARNINGS": "ignore",
    }
    extent = ("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", str(EXAMPLES)) if EXAMPLES else SHORT
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{gateway.url}/docs/openapi.json",
        *("--checks", ",".join(CHECKS)),
        *("--workers", "1", "--warnings", "off", "--continue-on-failure", "--suppress-health-check", "all"),
        *extent,
        cwd=tmp_path,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    print(output)  # noqa: T201 - What `pytest -s` shows of a run that went well.
    assert process.returncode == 0, output
    log = gateway.log.read_text()
    assert "request_failed" not in log, log
