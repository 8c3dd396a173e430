"""The client's surface against the platform's OpenAPI document and against its own README."""

import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from bonafide_client import Bonafide, Tokens
from bonafide_client.calls import Call
from bonafide_client.following import FollowCall
from bonafide_client.operations import Procedure, Resource, _Method
from bonafide_client.paging import PageCall
from gateway.app import build_app

ROOT = Path(__file__).parents[3] / "clients" / "python"
IN_A_BROWSER = re.compile(
    r"/v1/(auth/passkeys/login(/verify)?|auth/oidc/\{\w+\}/(start|callback)|account/passkeys/register(/verify)?"
    r"|jobs/\{\w+\}/ws)"
)
"""What only a browser with its user in front can do, and what is a conversation rather than a call."""
BY_ITS_ADDRESS = re.compile(r"/v1/uploads/bytes/\{\w+\}")
"""What is sent to an address that the API has answered with, wherever that is."""
SAMPLES: dict[str, Any] = {"number": 7, "file": b"RIFF", "label": "real", "username": "ada"}


def resources(client: Resource[Any], name: str = "client") -> list[tuple[str, Resource[Any]]]:
    """The client and every resource that hangs on it."""
    found = [(name, client)]
    for attribute in dir(type(client)):
        value = getattr(client, attribute) if not attribute.startswith("_") else None
        if isinstance(value, Resource):
            found += resources(value, f"{name}.{attribute}")
    return found


def methods(resource: Resource[Any]) -> dict[str, _Method[Any, Any]]:
    """The methods of a resource that make calls."""
    named = {name: getattr(type(resource), name) for name in dir(type(resource))}
    return {name: method for name, method in named.items() if isinstance(method, _Method)}


def built(resource: Resource[Any], method: _Method[Any, Any]) -> Call[Any]:
    """The call that a method makes with made-up arguments."""
    code = method._build.__code__
    defaults = len(method._build.__defaults__ or ())
    needed = code.co_varnames[1 : code.co_argcount - defaults]
    keywords = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    optional = method._build.__kwdefaults__ or {}
    arguments = [SAMPLES.get(name, str(UUID(int=7)) if name.endswith("_id") else "x") for name in needed]
    named = {name: SAMPLES.get(name, "x") for name in keywords if name not in optional}
    call = method._build(resource, *arguments, **named)
    return call.at(None) if isinstance(call, (PageCall, FollowCall)) else call


@pytest.fixture
def client():
    with Bonafide(base_url="http://127.0.0.1:9") as client:
        client.driver.context.credentials.adopt(Tokens("a", "r"))
        yield client


@pytest.fixture
def served(gateway_settings) -> set[tuple[str, str]]:
    """Method and path of each operation of /v1, with braces for what differs."""
    document = build_app(gateway_settings)._app.openapi_schema.to_schema()
    return {
        (method.upper(), re.sub(r"\{[^}]*\}", "{}", path))
        for path, item in document["paths"].items()
        for method in item
        if path.startswith("/v1/")
        and not IN_A_BROWSER.fullmatch(path)
        and not BY_ITS_ADDRESS.fullmatch(path)
        and method in {"get", "post", "put", "patch", "delete"}
    }


@pytest.mark.integration
def test_every_operation_of_the_platform_has_a_method_and_every_method_an_operation(client, served):
    calls = [
        built(resource, method)
        for _, resource in resources(client)
        for method in methods(resource).values()
        if not isinstance(method, Procedure)
    ]
    templates = {path: re.compile(re.escape(path).replace(r"\{\}", "[^/]+")) for _, path in served}

    def template(call: Call[Any]) -> tuple[str, str]:
        exact = (call.method, call.path)
        fitting = [path for path, pattern in templates.items() if pattern.fullmatch(call.path)]
        return exact if exact in served or not fitting else (call.method, fitting[0])

    assert {template(call) for call in calls} == served


def test_the_readme_names_every_method(client):
    rows = re.findall(r"^\| `(client[\w.]*)` \| (.*) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    told = {name: set(re.findall(r"`(\w+)`", methods)) for name, methods in rows}
    offered = {name: set(methods(resource)) for name, resource in resources(client)}

    assert {name: names - {"with_options", "tokens"} for name, names in told.items()} == offered


def test_the_examples_of_the_readme_are_python():
    examples = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)

    assert len(examples) > 5
    for example in examples:
        compile(example, "README.md", "exec")


def test_every_method_says_what_it_does(client):
    silent = [
        f"{name}.{method}"
        for name, resource in resources(client)
        for method, found in methods(resource).items()
        if not found.__doc__
    ]
    assert silent == []
