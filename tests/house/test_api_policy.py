"""What `docs/api-policy.md` says of errors is what the source has."""

import re

from gateway.reference.codes import every_code, special_codes, table
from tests.house.test_arrow import ROOT

BLOCK = re.compile(r"<!-- codes: python -m gateway\.reference\.codes -->\n(.*?)\n?<!-- end of codes -->", re.DOTALL)


def test_the_table_of_codes_is_that_of_the_source() -> None:
    written = BLOCK.search((ROOT / "docs" / "api-policy.md").read_text())
    assert written
    assert written[1] == table(), "put the output of `python -m gateway.reference.codes` there"


def test_codes_are_words_for_programs() -> None:
    codes = {*every_code(), *special_codes()}
    assert len(codes) > 50
    assert [code for code in codes if not re.fullmatch(r"[a-z][a-z_]+", code)] == []
