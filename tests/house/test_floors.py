"""The unit tests need neither torch nor Keras, and whoever runs them alone does not wait until those are imported."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.fixtures.floors import marks_of
from tests.house.test_arrow import ROOT

FRAMEWORKS = {"keras", "tensorflow", "torch", "transformers"}
IMPORTS = re.compile(r"^(?:from ([\w.]+) import (\([^)]*\)|.*)|import (.*))$", re.MULTILINE)
"""Those at the top of a module alone: what a function imports is not imported before it is called."""


@cache
def imported(file: Path) -> frozenset[str]:
    """Names of modules that may be imported together with a module, and some that are no modules."""
    names: set[str] = set()
    for package, members, others in IMPORTS.findall(file.read_text(encoding="utf-8")):
        if package:
            names |= {package, *(f"{package}.{member}" for member in re.findall(r"\w+", members))}
        else:
            names |= {other.split(" as ")[0].strip() for other in others.split(",")}
    return frozenset(names)


def file_of(name: str) -> Path | None:
    path = ROOT.joinpath(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def ways(file: Path, seen: set[Path]) -> Iterator[str]:
    """Modules of ours, on the way from one of them, that import a framework."""
    seen.add(file)
    for name in sorted(imported(file)):
        if name.split(".")[0] in FRAMEWORKS:
            yield f"{file.relative_to(ROOT)} imports {name}"
        elif (other := file_of(name)) and other not in seen:
            yield from ways(other, seen)


def test_reading_the_unit_tests_imports_no_framework() -> None:
    modules = sorted((ROOT / "tests").rglob("test_*.py"))
    unit = [file for file in modules if not marks_of(file) & {"integration", "e2e"}]
    assert 100 < len(unit) < len(modules)
    seen: set[Path] = set()
    assert [way for file in unit if file not in seen for way in ways(file, seen)] == []
