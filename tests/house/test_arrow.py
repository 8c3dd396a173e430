"""One arrow: scripts → gateway → bentos. Read from the source, so that no import is overlooked."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = {
    "bentos": ("gateway", "scripts", "bonafide_client"),
    "gateway": ("scripts", "bonafide_client"),
    # The client is installed where nothing else of ours is.
    "clients/python": ("bentos", "gateway", "scripts"),
}
THE_CONTRACT = "bentos.contract"


@cache
def imports(file: Path) -> tuple[str, ...]:
    return tuple(_imports(file))


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports by a relative name"
            # `from bentos import x` may name a module as well as a value.
            yield from (
                f"{node.module}.{alias.name}" if node.module in {"bentos", "gateway", "scripts"} else node.module or ""
                for alias in node.names
            )


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_arrow_points_back(package: str) -> None:
    files = sources(package)
    assert files
    backwards = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in files
        for name in imports(file)
        if name.split(".")[0] in FORBIDDEN[package]
    ]
    assert backwards == []


def test_the_gateway_knows_of_the_bentos_only_their_wire_contract() -> None:
    others = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in sources("gateway")
        for name in imports(file)
        if name.split(".")[0] == "bentos" and name != THE_CONTRACT
    ]
    assert others == []


def test_the_wire_contract_stands_on_no_other_module_of_ours() -> None:
    names = {name for file in sources("bentos/contract") for name in imports(file)}
    assert names
    ours = {name for name in names if name.split(".")[0] in {"bentos", "gateway", "scripts"}}
    assert not {name for name in ours if not name.startswith(THE_CONTRACT)}


@pytest.mark.parametrize("package", ["bentos", "clients/python", "gateway", "scripts"])
def test_annotations_are_not_postponed(package: str) -> None:
    """Litestar, BentoML and pydantic read them at run time."""
    postponed = [str(file) for file in sources(package) if "__future__" in set(imports(file))]
    assert postponed == []
