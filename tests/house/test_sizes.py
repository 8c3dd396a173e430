"""No file of the source is longer than can be read at one sitting."""

import pytest

from tests.house.test_arrow import ROOT

LONGEST = 300
WRITTEN = {".py", ".sql", ".js", ".css", ".sh"}
EXCEPTIONS = {
    "gateway/db/migrations": "A migration is read as a whole, and never changed once it is out.",
    "gateway/reference/assets": "The viewers of the API reference, as their authors publish them.",
}


@pytest.mark.parametrize("package", ["bentos", "gateway", "scripts", "clients"])
def test_no_source_file_is_too_long(package: str) -> None:
    files = {
        file.relative_to(ROOT).as_posix(): file
        for file in sorted((ROOT / package).rglob("*"))
        if file.suffix in WRITTEN and file.is_file()
    }
    assert files
    lengths = {name: len(file.read_text().splitlines()) for name, file in files.items()}
    too_long = {
        name: length
        for name, length in lengths.items()
        if length > LONGEST and not any(name.startswith(f"{folder}/") for folder in EXCEPTIONS)
    }
    assert too_long == {}
