import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest
from pydantic_settings import BaseSettings

import bentos
import gateway
import scripts.stack
from tests.house.test_arrow import ROOT

EXAMPLE = ROOT / ".env.example"


def settings_classes(package: ModuleType) -> set[type[BaseSettings]]:
    found: set[type[BaseSettings]] = set()
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not info.name.endswith(".settings"):
            continue
        module = importlib.import_module(info.name)
        found |= {
            value
            for _, value in inspect.getmembers(module, inspect.isclass)
            if issubclass(value, BaseSettings) and value.__module__ == info.name
        }
    return found


@pytest.mark.parametrize("package", [bentos, gateway, scripts.stack], ids=lambda package: package.__name__)
def test_every_setting_is_in_the_example_file(package: ModuleType) -> None:
    classes = settings_classes(package)
    assert classes
    text = EXAMPLE.read_text()
    missing = {
        name
        for one in classes
        for field in one.model_fields
        if (name := f"{one.model_config.get('env_prefix', '')}{field}".upper()) not in text
    }
    assert missing == set()


@pytest.mark.parametrize("package", [bentos, gateway], ids=lambda package: package.__name__)
def test_no_secret_has_a_default_that_works(package: ModuleType) -> None:
    secrets = {
        f"{one.__name__}.{name}": field.is_required() or field.default is None
        for one in settings_classes(package)
        for name, field in one.model_fields.items()
        if "Secret" in str(field.annotation)
    }
    assert secrets
    assert all(secrets.values()), secrets
