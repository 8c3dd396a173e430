import numpy as np
import pytest

from scripts.models.errors import RefusedError
from scripts.models.evaluation.labelled import read_labelled, split


@pytest.fixture
def folder(tmp_path):
    for name in ("real/a.jpg", "real/b.jpg", "fake/swap/c.jpg", "fake/d.jpg", "fake/.hidden/e.jpg", "real/.DS_Store"):
        (tmp_path / "faces" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "faces" / name).write_bytes(name.encode())
    return tmp_path / "faces"


def table(tmp_path, text):
    (tmp_path / "set.csv").write_text(text)
    return tmp_path / "set.csv"


def test_folders_are_labels_and_the_folders_in_them_slices(folder):
    found = read_labelled(folder)

    assert found.name == "faces"
    assert [(sample.name, sample.fake, sample.slices) for sample in found.samples] == [
        ("fake/d.jpg", True, {"folder": "-"}),
        ("fake/swap/c.jpg", True, {"folder": "swap"}),
        ("real/a.jpg", False, {"folder": "-"}),
        ("real/b.jpg", False, {"folder": "-"}),
    ]


def test_a_table_brings_its_columns_as_slices(tmp_path):
    data = table(
        tmp_path, "\ufeffpath, label,camera\nx/a.jpg,real,phone\nb.jpg,FAKE,\nc.jpg,1,web\nd.jpg,bonafide,web\n"
    )

    found = read_labelled(data, name="Our Faces!")

    assert found.name == "our-faces"
    assert [(sample.name, sample.fake, sample.slices["camera"]) for sample in found.samples] == [
        ("b.jpg", True, "-"),
        ("c.jpg", True, "web"),
        ("d.jpg", False, "web"),
        ("x/a.jpg", False, "phone"),
    ]
    assert found.samples[3].path == tmp_path / "x" / "a.jpg"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("file,label\na.jpg,real\n", "it needs path and label"),
        ("path,label\na.jpg,perhaps\nb.jpg,fake\n", r"line 2: 'perhaps' is no label"),
        ("path,label\na.jpg,real\n,fake\n", "line 3: there is no path"),
        ("path,label\na.jpg,real\na.jpg,fake\n", "names a.jpg twice"),
        ("path,label\na.jpg,real\n", "holds no fake media"),
        ("path,label\n", "holds no genuine media"),
        ("", "it needs path and label"),
    ],
    ids=["columns", "label", "path", "twice", "one-class", "empty", "nothing"],
)
def test_what_is_wrong_with_a_table_is_said(tmp_path, text, sentence):
    with pytest.raises(RefusedError, match=sentence):
        read_labelled(table(tmp_path, text))


def test_what_is_wrong_with_a_folder_is_said(tmp_path):
    with pytest.raises(RefusedError, match="neither a folder"):
        read_labelled(tmp_path / "nothing")
    (tmp_path / "half" / "real").mkdir(parents=True)
    with pytest.raises(RefusedError, match="no folder fake/"):
        read_labelled(tmp_path / "half")
    (tmp_path / "set.csv").write_bytes(b"\xff\xfe\x00path,label\n")
    with pytest.raises(RefusedError, match="UTF-8"):
        read_labelled(tmp_path / "set.csv")


def test_the_digest_tells_sets_apart(folder):
    before = read_labelled(folder).digest

    assert read_labelled(folder).digest == before
    (folder / "real" / "a.jpg").write_bytes(b"longer than it was")
    assert read_labelled(folder).digest != before


def test_halves_hold_both_classes_alike_and_no_medium_twice():
    fake = np.arange(101) < 31

    half, other = split(fake, 7)

    assert sorted([*half, *other]) == list(range(101))
    assert (fake[half].sum(), fake[other].sum()) == (16, 15)
    np.testing.assert_array_equal(split(fake, 7)[0], half)
    assert not np.array_equal(split(fake, 8)[0], half)
