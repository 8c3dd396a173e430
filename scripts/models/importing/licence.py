"""Which licence a model came with, as far as the README beside it says."""

import re
from pathlib import Path
from typing import Final

_FRONT_MATTER: Final = 65_536
"""Characters of a README that are looked at."""
_NAMED: Final = re.compile(r"licen[sc]e\s*:\s*(?P<name>[^#]*?)\s*(#.*)?$")
_LONGEST: Final = 100


def licence_of(folder: Path) -> str | None:
    """Licence that the front matter of a model's README names; None where there is none."""
    readme = folder / "README.md"
    if not readme.is_file():
        return None
    with readme.open(errors="replace") as file:
        lines = file.read(_FRONT_MATTER).splitlines()
    if not lines or lines[0].strip() != "---":
        return None
    for line in lines[1:]:
        if line.strip() == "---":
            return None
        # A key further in is that of something else, such as a set of data.
        if match := _NAMED.match(line):
            return match["name"].strip("'\"")[:_LONGEST] or None
    return None
