"""Which media prove a version in fewer bits, and which give its ranges."""

import shutil

import pytest

from scripts.models.dividing import MOST_FOR_RANGES, divide
from scripts.models.errors import RefusedError


def labelled(folder, *, real, fake):
    for kind, count in (("real", real), ("fake", fake)):
        (folder / kind).mkdir(parents=True)
        for number in range(count):
            (folder / kind / f"{number}.jpg").write_bytes(f"{kind} {number}".encode())
    return folder


def test_ranges_are_read_from_both_classes_and_from_none_that_proves(tmp_path):
    proving, ranging = divide(labelled(tmp_path / "data", real=250, fake=250), ranges=True)

    assert len(ranging) == MOST_FOR_RANGES
    assert not {sample.path for sample in proving} & set(ranging)
    # Both of the first few, too: of sounds, which give several rows, no more may be read.
    for part in (ranging, ranging[:8]):
        assert {path.parent.name for path in part} == {"real", "fake"}
    assert 20 < sum(path.parent.name == "fake" for path in ranging) < 44


def test_a_medium_that_gives_ranges_proves_nothing_under_another_name(tmp_path):
    data = labelled(tmp_path / "data", real=15, fake=15)
    shutil.copytree(data / "real", tmp_path / "ranges")
    (tmp_path / "ranges" / "0.jpg").write_bytes(b"another one")

    with pytest.raises(RefusedError, match="leaves 16 media to prove a version on, 15 of them fake"):
        divide(data, tmp_path / "ranges", ranges=True)


@pytest.mark.parametrize(("real", "fake"), [(19, 1), (4, 96), (10, 9)])
def test_too_few_of_a_class_prove_nothing(tmp_path, real, fake):
    with pytest.raises(RefusedError, match="20 of both classes are the fewest, 5 at least of each"):
        divide(labelled(tmp_path / "data", real=real, fake=fake), ranges=False)
