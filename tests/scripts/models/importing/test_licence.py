"""What the README beside a model says of its licence."""

import pytest

from scripts.models.importing.licence import licence_of


@pytest.mark.parametrize(
    ("matter", "licence"),
    [
        ("license: cc-by-4.0", "cc-by-4.0"),
        ("tags: [x]\nlicence: 'mit'  # as the code", "mit"),
        ("datasets:\n  license: cc0-1.0", None),
        ("license:\n- mit\n- apache-2.0", None),
        (f"license: {'x' * 5000}", "x" * 100),
    ],
    ids=["plain", "remark", "of-the-data", "several", "long"],
)
def test_the_licence_is_the_models_own(tmp_path, matter, licence):
    (tmp_path / "README.md").write_text(f"---\n{matter}\n---\nlicense: of the text\n")

    assert licence_of(tmp_path) == licence


@pytest.mark.parametrize("text", ["", "license: mit\n", "# A model\n---\nlicense: mit\n---\n"])
def test_without_front_matter_there_is_none(tmp_path, text):
    assert licence_of(tmp_path) is None
    (tmp_path / "README.md").write_text(text)
    assert licence_of(tmp_path) is None
