"""The OpenAPI document is complete: whatever routes there are, each says how it is called, answers and refuses."""

import re
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator

from gateway.reference.codes import every_code
from gateway.reference.completion import TAGS
from tests.fixtures.document import operations

PUBLIC = {"/", "/health", "/health/live", "/health/ready"}


def bodies(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every body that is sent or answered: where it is, its media type, its description."""
    for method, path, operation in operations(document):
        where = f"{method} {path}"
        for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
            yield where, media_type, body
        for status, response in operation["responses"].items():
            for media_type, body in response.get("content", {}).items():
                yield f"{where} {status}", media_type, body


def test_every_route_has_a_name_a_summary_a_description_and_a_group(document: dict[str, Any]) -> None:
    names: list[str] = []
    for method, path, operation in operations(document):
        assert operation["summary"], (method, path)
        assert operation["description"], (method, path)
        assert set(operation["tags"]) <= TAGS.keys(), (method, path)
        names.append(operation["operationId"])
    assert len(names) == len(set(names)) > 40


def test_the_groups_are_described_and_stand_in_the_order_of_interest(document: dict[str, Any]) -> None:
    names = [tag["name"] for tag in document["tags"]]
    assert names[0] == "Detections"
    assert names[-1] == "Health"
    assert all(tag["description"] for tag in document["tags"])


def test_every_body_in_json_has_an_example_that_its_schema_allows(document: dict[str, Any]) -> None:
    seen = 0
    for where, media_type, body in bodies(document):
        if media_type not in {"application/json", "application/problem+json"}:
            continue
        schema = {**body["schema"], "components": document["components"]}
        assert [error.message for error in Draft202012Validator(schema).iter_errors(body["example"])] == [], where
        seen += 1
    assert seen > 200


def test_every_refusal_has_the_shape_of_its_path(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) < 400 or path == "/health/ready":
                continue
            ((media_type, body),) = response["content"].items()
            expected = (
                ("application/problem+json", "Problem")
                if path.startswith("/v1/")
                else ("application/json", "CompatError")
            )
            assert (media_type, body["schema"]["$ref"].rpartition("/")[2]) == expected, (method, path, status)
            assert response["description"], (method, path, status)


def test_every_route_tells_how_it_refuses_those_it_does_not_know(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        if path not in PUBLIC:
            assert {"400", "503"} <= operation["responses"].keys(), (method, path)
        if operation.get("security"):
            assert operation["security"] == [{"apiKey": []}, {"bearer": []}], (method, path)
            assert {"401", "403"} <= operation["responses"].keys(), (method, path)
        if "{" in path:
            assert "404" in operation["responses"], (method, path)


def test_the_ways_to_prove_who_calls_are_described(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert (schemes["apiKey"]["in"], schemes["apiKey"]["name"]) == ("header", "x-api-key")
    assert (schemes["bearer"]["type"], schemes["bearer"]["scheme"]) == ("http", "bearer")


def test_what_judges_or_makes_takes_an_idempotency_key(document: dict[str, Any]) -> None:
    taking = {
        (method, path)
        for method, path, operation in operations(document)
        if any(one.get("$ref", "").endswith("/IdempotencyKey") for one in operation.get("parameters", []))
    }
    assert {
        ("post", "/v1/detections"),
        ("post", "/predict_image"),
        ("post", "/api/detect/camera"),
        ("post", "/v1/keys"),
        ("post", "/v1/keys/{key_id}/rotate"),
    } <= taking
    for method, path in taking:
        assert {"409", "422"} <= document["paths"][path][method]["responses"].keys()


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in set(re.findall(r"'\$ref': '#/([^']+)'", str(document))):
        place: Any = document
        for step in reference.split("/"):
            place = place[step]
        assert place


def test_the_codes_of_errors_are_told(document: dict[str, Any]) -> None:
    for name in ("Problem", "CompatErrorDetail"):
        told = document["components"]["schemas"][name]["properties"]["code"]["description"]
        assert all(f"`{code}`" in told for code in every_code())
