import json
import re
from typing import Any

import pytest

from gateway.settings import GatewaySettings
from tests.fixtures.gateway import Client

pytestmark = pytest.mark.integration

EVERYWHERE = ["/", "/health/live", "/v1/usage", "/v1/nowhere", "/nowhere", "/metrics", "/docs", "/docs/assets/docs.js"]


@pytest.mark.parametrize("path", EVERYWHERE)
async def test_every_answer_has_an_id_and_the_security_headers(anonymous: Client, path: str) -> None:
    answer = await anonymous.http.get(path)
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert "x-xss-protection" in answer.headers
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_a_sane_id_of_the_caller_is_kept_and_another_is_not(anonymous: Client) -> None:
    kept = await anonymous.http.get("/v1/usage", headers={"x-request-id": "job-17:a.b_c"})
    assert kept.headers["x-request-id"] == kept.json()["request_id"] == "job-17:a.b_c"
    for insane in ("a b", "x" * 129, "", 'a"b'):
        answer = await anonymous.http.get("/", headers={"x-request-id": insane})
        assert answer.headers["x-request-id"] != insane


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nowhere", 404, "not_found"),
        ("GET", "/v1", 404, "not_found"),
        ("DELETE", "/v1/detections", 405, "method_not_allowed"),
        ("MADEUP", "/v1/usage", 405, "method_not_allowed"),
    ],
)
async def test_what_v1_does_not_know_is_a_problem_document(
    anonymous: Client, method: str, path: str, status: int, code: str
) -> None:
    answer = await anonymous.http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code
    assert answer.json()["instance"] == path
    assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/detections", "GET, OPTIONS, POST"),
        ("/v1/detections/019aa000-0000-7000-8000-000000000001", "DELETE, GET, OPTIONS, PATCH"),
        ("/login", "OPTIONS, POST"),
        ("/health", "GET, OPTIONS"),
    ],
)
async def test_every_method_of_a_path_is_named_when_asked_for_its_options(
    anonymous: Client, path: str, methods: str
) -> None:
    answer = await anonymous.http.options(path)
    assert answer.status_code == 204
    assert answer.headers.get_list("allow") == [methods]


@pytest.mark.parametrize("path", ["/nowhere", "/api", "/api/nowhere", "/api/projects", "/auth/nowhere"])
async def test_what_the_older_contracts_do_not_know_is_their_error(anonymous: Client, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = await anonymous.http.request(method, path)
        assert answer.status_code == 404
        body = answer.json()
        assert body["success"] is False
        assert body["error"]["code"] == "not_found"
        assert body["error"]["requestId"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_browsers_may_change_and_remove_things_too(anonymous: Client, method: str) -> None:
    headers = {
        "origin": "http://localhost:5173",
        "access-control-request-method": method,
        "access-control-request-headers": "authorization,content-type,idempotency-key,x-request-id",
    }
    preflight = await anonymous.http.options("/v1/keys/019aa000-0000-7000-8000-000000000001", headers=headers)
    assert preflight.status_code == 204
    assert method in preflight.headers["access-control-allow-methods"]


async def test_an_unforeseen_failure_tells_nothing_but_the_id(client: Client, database: Any) -> None:
    await database.execute("ALTER TABLE meters RENAME TO gone")
    for path in ("/v1/usage", "/usage"):
        answer = await client.get(path)
        assert answer.status_code == 500
        body = answer.json()
        assert "gone" not in answer.text
        assert "meters" not in answer.text
        assert (body["request_id"] if path == "/v1/usage" else body["error"]["requestId"]) == answer.headers[
            "x-request-id"
        ]
        assert (body["code"] if path == "/v1/usage" else body["error"]["code"]) == "internal_error"


async def test_a_database_that_is_not_migrated_is_not_ready(anonymous: Client, database: Any) -> None:
    ready = await anonymous.http.get("/health/ready")
    assert ready.status_code == 200
    assert ready.json() == {
        "status": "ready",
        "database": "connected",
        "migrations": "applied",
        "modalities": {"image": True, "video": True, "audio": True, "text": True},
    }
    await database.execute("UPDATE alembic_version SET version_num = '0000'")
    ready = await anonymous.http.get("/health/ready")
    assert ready.status_code == 503
    assert ready.json()["status"] == "not_ready"
    assert ready.json()["migrations"] == "pending"
    assert (await anonymous.http.get("/health/live")).status_code == 200


async def test_health_says_which_service_it_is(anonymous: Client) -> None:
    health = (await anonymous.http.get("/health")).json()
    assert health == {"status": "healthy", "service": "bonafide", "version": health["version"], "environment": "test"}


@pytest.mark.parametrize(("origin", "allowed"), [("http://localhost:5173", True), ("http://evil.example", False)])
async def test_browsers_may_call_from_the_configured_origins_only(
    anonymous: Client, gateway_settings: GatewaySettings, origin: str, allowed: bool
) -> None:
    assert (origin in gateway_settings.cors_origins) == allowed
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-api-key,authorization,content-type",
    }
    preflight = await anonymous.http.options("/v1/detections", headers=headers)
    assert (preflight.status_code == 204) == allowed
    answer = await anonymous.http.get("/", headers={"origin": origin})
    assert (answer.headers.get("access-control-allow-origin") == origin) == allowed


async def test_a_body_that_is_too_large_is_refused_on_every_route(anonymous: Client) -> None:
    answer = await anonymous.http.post("/login", json={"email": "x" * 2_000_000, "password": "y"})
    assert answer.status_code == 413


async def test_the_reference_needs_no_other_host(anonymous: Client) -> None:
    for page in ("/docs", "/redoc"):
        answer = await anonymous.http.get(page)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
        links = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
        assert len(links) >= 3
        for link in links:
            assert link.startswith(("/docs/assets/", "data:"))
            if link.startswith("/"):
                assert (await anonymous.http.get(link)).status_code == 200
        assert "<script>" not in answer.text


async def test_the_openapi_document_describes_uploads_and_errors(anonymous: Client) -> None:
    document = (await anonymous.http.get("/docs/openapi.json")).json()
    operation = document["paths"]["/v1/detections"]["post"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["file"]
    fields = {"file", "modality", "model", "client_reference", "tags", "tag", "reuse", "store"}
    assert set(form["properties"]) == fields
    assert {"200", "400", "401", "413", "415", "429", "503"} <= operation["responses"].keys()
    assert '"modality"' not in json.dumps(document["paths"]["/predict_image"]["post"]["requestBody"]["content"])
    assert operation["security"] == document["paths"]["/usage"]["get"]["security"] == [{"apiKey": []}, {"bearer": []}]


async def test_metrics_are_labelled_by_route_template(client: Client) -> None:
    view = (await client.detect()).json()
    await client.get(f"/v1/detections/{view['id']}")
    await client.http.get("/made/up/path")
    text = (await client.http.get("/metrics")).text
    assert 'route="/v1/detections/{detection_id}",status="200"' in text
    assert 'route="unmatched",status="404"' in text
    assert view["id"] not in text
    assert 'bonafide_detections_total{modality="image",outcome="succeeded"} 1.0' in text
