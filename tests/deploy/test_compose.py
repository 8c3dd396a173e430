"""docker-compose.yml against the code that it starts; there need be no Docker for that."""

import ast
import re
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import yaml

from bentos.contract import READY_PATH, Modality
from bentos.settings import BentoSettings
from gateway.settings import GatewaySettings
from scripts.stack import triton
from scripts.stack.control import KEY_NAME
from scripts.stack.load_models import LoadSettings
from scripts.stack.services import BENTOS, GATEWAY_READY
from scripts.stack.settings import CHECKOUT

SECRETS: Final = {
    "BONAFIDE_BENTO_TOKEN",
    "BONAFIDE_DATABASE_PASSWORD",
    "BONAFIDE_REFERENCE_KEY",
    "BONAFIDE_TOKEN_KEY",
    "BONAFIDE_TRITON_CONTROL_KEY",
}
TEXT: Final = {"type": "string"}
TEXTS: Final = {"type": "array", "items": TEXT, "minItems": 1}
DURATION: Final = {"type": "string", "pattern": r"^(\d+(us|ms|s|m|h))+$"}
SIZE: Final = {"type": "string", "pattern": r"^\d+[bkmg]$"}


def shape(**properties: Any) -> dict[str, Any]:
    """An object with these properties and no others."""
    return {"type": "object", "properties": properties, "additionalProperties": False}


def named(values: Any) -> dict[str, Any]:
    """An object with any names, and values of one kind."""
    return {"type": "object", "additionalProperties": values}


SERVICE: Final = {
    **shape(
        build=shape(context=TEXT, dockerfile=TEXT),
        image={"type": "string", "pattern": r"^[a-z0-9./-]+:[A-Za-z0-9.-]+$"},
        command=TEXTS,
        environment=named(TEXT),
        volumes=TEXTS,
        networks=TEXTS,
        ports=TEXTS,
        depends_on=named(
            {
                **shape(condition={"enum": ["service_healthy", "service_completed_successfully"]}),
                "required": ["condition"],
            }
        ),
        healthcheck={
            **shape(
                test={"type": "array", "prefixItems": [{"const": "CMD"}], "minItems": 2, "items": TEXT},
                interval=DURATION,
                timeout=DURATION,
                start_period=DURATION,
                retries={"type": "integer", "minimum": 1},
            ),
            "required": ["test", "interval", "timeout", "retries"],
        },
        logging=shape(driver=TEXT, options=named(TEXT)),
        restart={"enum": ["unless-stopped"]},
        init={"const": True},
        read_only={"const": True},
        tmpfs=TEXTS,
        cap_drop=TEXTS,
        security_opt=TEXTS,
        shm_size=SIZE,
        stop_grace_period=DURATION,
        deploy={"type": "object"},
    ),
    "required": ["image", "restart", "healthcheck", "networks", "logging"],
}
"""What this project uses of the Compose specification; a misspelt key is none of it."""
COMPOSE: Final = {
    "type": "object",
    "properties": {
        "name": TEXT,
        "services": named(SERVICE),
        "networks": named({"type": "null"}),
        "volumes": named({"type": "null"}),
    },
    "patternProperties": {"^x-": {}},
    "additionalProperties": False,
    "required": ["name", "services"],
}


@pytest.fixture(scope="module")
def text() -> str:
    return (CHECKOUT / "docker-compose.yml").read_text()


@pytest.fixture(scope="module")
def services(text: str) -> dict[str, Any]:
    return yaml.safe_load(text)["services"]


def variables(settings: type[Any]) -> set[str]:
    return {f"BONAFIDE_{name.upper()}" for name in settings.model_fields}


def test_it_is_a_compose_file(text: str) -> None:
    jsonschema.validate(yaml.safe_load(text), COMPOSE)


def test_what_is_referred_to_is_there(text: str, services: dict[str, Any]) -> None:
    file = yaml.safe_load(text)
    for service in services.values():
        assert set(service["networks"]) <= file["networks"].keys()
        assert set(service.get("depends_on", {})) <= services.keys()
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (CHECKOUT / source).is_dir() if source.startswith(".") else source in file["volumes"]
        if "build" in service:
            assert (CHECKOUT / service["build"]["dockerfile"]).is_file()
    overlay = yaml.safe_load((CHECKOUT / "deploy" / "gpu.yml").read_text())
    assert overlay["services"].keys() <= services.keys()


def test_the_services_are_those_of_the_embedded_platform(services: dict[str, Any]) -> None:
    others = {"postgres", "triton", "models", "gateway", "worker"}
    assert services.keys() == others | {f"bento-{modality}" for modality in BENTOS}


@pytest.mark.parametrize("modality", BENTOS)
def test_a_bento_is_started_by_the_path_that_the_embedded_platform_uses(
    services: dict[str, Any], modality: Modality
) -> None:
    service = services[f"bento-{modality}"]
    module, _, name = BENTOS[modality].partition(":")
    tree = ast.parse((CHECKOUT / f"{module.replace('.', '/')}.py").read_text())
    port = service["command"][service["command"].index("--port") + 1]

    assert BENTOS[modality] in service["command"]
    assert name in {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    assert f":{port}{READY_PATH}" in service["healthcheck"]["test"][-1]
    assert (
        services["gateway"]["environment"][f"BONAFIDE_{modality.upper()}_BENTO_URL"]
        == f"http://bento-{modality}:{port}"
    )


def test_every_module_that_is_run_is_there(services: dict[str, Any]) -> None:
    for service in services.values():
        for command in (service.get("command", []), service["healthcheck"]["test"][1:]):
            if command[:2] == ["python", "-m"] and command[2] != "bentoml":
                module = CHECKOUT / command[2].replace(".", "/")
                assert module.with_suffix(".py").is_file() or (module / "__main__.py").is_file()


def test_every_variable_is_a_setting_of_the_process_that_gets_it(services: dict[str, Any]) -> None:
    settings = {
        "gateway": GatewaySettings,
        "worker": GatewaySettings,
        "models": LoadSettings,
        **{f"bento-{modality}": BentoSettings for modality in BENTOS},
    }
    for name, kind in settings.items():
        given = {variable for variable in services[name]["environment"] if variable.startswith("BONAFIDE_")}
        needed = {f"BONAFIDE_{field.upper()}" for field, it in kind.model_fields.items() if it.is_required()}
        assert needed <= given <= variables(kind)


def test_no_secret_has_a_default(text: str) -> None:
    required = set(re.findall(r"\$\{([A-Z_]+):\?", text))
    optional = set(re.findall(r"\$\{([A-Z_]+)(?::?-|\})", text))

    assert required == SECRETS
    places = {"BONAFIDE_GATEWAY_PORT", "BONAFIDE_OBJECT_STORE", "BONAFIDE_PUBLIC_URL"}
    assert optional == places | {"BONAFIDE_SMTP_URL"}


def test_only_the_gateway_is_published_and_only_to_this_machine(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}

    assert list(published) == ["gateway"]
    assert all(port.startswith("127.0.0.1:") for port in published["gateway"])
    assert GATEWAY_READY in services["gateway"]["healthcheck"]["test"][-1]


def test_the_worker_is_told_all_that_the_gateway_is(services: dict[str, Any]) -> None:
    assert services["gateway"]["environment"].items() <= services["worker"]["environment"].items()
    assert services["worker"]["healthcheck"]["test"][1:] == [*services["worker"]["command"], "--check"]


def test_triton_runs_as_the_embedded_one_does(services: dict[str, Any]) -> None:
    command = services["triton"]["command"]

    assert {"--model-control-mode=explicit", "--disable-auto-complete-config"} <= set(command)
    for option in ("--grpc-restricted-protocol", "--http-restricted-api"):
        (given,) = [word for word in command if word.startswith(option)]
        assert given.startswith(f"{option}={triton.RESTRICTED}:{KEY_NAME}=$")
    assert services["triton"]["volumes"] == ["./model_repository:/models:ro"]


def test_the_repository_is_read_only_everywhere(services: dict[str, Any]) -> None:
    mounted = [volume for service in services.values() for volume in service.get("volumes", []) if "models" in volume]

    assert mounted
    assert all(volume.endswith(":ro") for volume in mounted)


def test_the_image_holds_what_its_commands_import() -> None:
    copied = set(re.findall(r"^COPY ([\w/]+)/ ", (CHECKOUT / "deploy" / "Dockerfile").read_text(), re.MULTILINE))
    ignored = Path(CHECKOUT / ".dockerignore").read_text()

    assert copied == {"bentos", "clients/python", "gateway", "scripts"}
    assert all(f"!{folder}/" in ignored for folder in copied)
