"""Which label means fake, by the names that the field gives its labels."""

import pytest

from scripts.models.errors import RefusedError
from scripts.models.importing.labels import check_names, read_labels, read_single


@pytest.mark.parametrize(
    ("labels", "fake"),
    [
        pytest.param({0: "Real", 1: "Fake"}, (1,), id="dima806/deepfake_vs_real_image_detection"),
        pytest.param({0: "Realism", 1: "Deepfake"}, (1,), id="prithivMLmods/Deep-Fake-Detector-v2-Model"),
        pytest.param({0: "Fake", 1: "Real"}, (0,), id="prithivMLmods/open-deepfake-detection"),
        pytest.param({0: "fake", 1: "real"}, (0,), id="motheecreator/Deepfake-audio-detection"),
        pytest.param({0: "bonafide", 1: "spoof"}, (1,), id="ASVspoof"),
        pytest.param({0: "spoof", 1: "bona fide"}, (0,), id="two words"),
        pytest.param({0: "Human", 1: "ChatGPT"}, (1,), id="by machine"),
        pytest.param({0: "artificial", 1: "human"}, (0,), id="by hand"),
        pytest.param({0: "AIVoice", 1: "HumanVoice"}, (0,), id="run together"),
        pytest.param({0: "ai_gen", 1: "real_photo"}, (0,), id="underscores"),
        pytest.param({0: "real", 1: "deepfake", 2: "ai-generated"}, (1, 2), id="two kinds of fake"),
        pytest.param({1: "real", 0: "fake"}, (0,), id="not in order"),
    ],
)
def test_clear_names_are_understood(labels, fake):
    reading = read_labels(labels, ())

    assert (reading.activation, reading.fake) == ("softmax", fake)
    assert reading.names == tuple(labels[index] for index in sorted(labels))


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(["LABEL_0", "LABEL_1"], id="made up by transformers"),
        pytest.param(["fake", "not fake"], id="denied"),
        pytest.param(["Non-Real", "Real"], id="denied by a prefix"),
        pytest.param(["Deepfake-free", "authentic", "deepfake"], id="denied by what follows"),
        pytest.param(["UnManipulated", "manipulated", "original"], id="denied by a word part"),
        pytest.param(["real-fake", "real"], id="both in one"),
        pytest.param(["real", "genuine"], id="no fake one"),
        pytest.param(["fake", "spoof"], id="no real one"),
        pytest.param(["real", "fake", "unsure"], id="one unknown"),
        pytest.param(["unreal", "surreal"], id="words inside words"),
        pytest.param(["cat", "dog"], id="something else"),
    ],
)
def test_unclear_names_are_asked_for(labels):
    with pytest.raises(RefusedError, match="--fake-label"):
        read_labels(labels, ())


@pytest.mark.parametrize(
    ("wished", "fake"),
    [(("dog",), (1,)), (("DOG ",), (1,)), (("0",), (0,)), (("cat", "bird"), (0, 2)), (("2", "bird"), (2,))],
)
def test_what_was_asked_for_counts(wished, fake):
    reading = read_labels(["cat", "dog", "bird"], wished)

    assert reading.fake == fake
    assert "as asked" in reading.note


@pytest.mark.parametrize("wished", [("wolf",), ("3",), ("-1",), ("cat", "dog", "bird")])
def test_a_wish_has_to_be_possible(wished):
    with pytest.raises(RefusedError, match="'cat', 'dog', 'bird'"):
        read_labels(["cat", "dog", "bird"], wished)


def test_no_labels_are_no_classifier():
    with pytest.raises(RefusedError, match="no labels"):
        read_labels({}, ())


@pytest.mark.parametrize(
    ("name", "wished", "fake"),
    [("fake", (), 1), ("real", (), 0), (None, ("1",), 1), (None, ("0",), 0), ("LABEL_0", ("0",), 0), ("x", ("X",), 1)],
)
def test_a_single_value_is_read_by_its_name_or_as_asked(name, wished, fake):
    reading = read_single(name, wished)

    assert (reading.activation, reading.fake) == ("sigmoid", (fake,))
    assert reading.names == (("real", "fake") if fake else ("fake", "real"))


@pytest.mark.parametrize(
    ("name", "wished"),
    [
        (None, ()),
        ("LABEL_0", ()),
        (None, ("fake",)),
        ("x", ("0", "1")),
        ("un-manipulated", ()),
        ("AI free", ()),
        ("fake_false", ()),
        ("isn't fake", ()),
    ],
)
def test_an_unclear_single_value_is_asked_for(name, wished):
    with pytest.raises(RefusedError, match="--fake-label 1"):
        read_single(name, wished)


@pytest.mark.parametrize(
    ("names", "numbers", "words"),
    [
        ({"0": "fake", "1": "real"}, {"fake": 1, "real": 0}, "contradicts itself.*'fake', 'real'"),
        ({"1": "fake", "2": "real"}, {}, "not from 0 on"),
    ],
    ids=["contradiction", "gap"],
)
def test_tables_that_leave_open_which_output_is_which_are_asked_about(names, numbers, words):
    config = {"id2label": names, "label2id": numbers}

    with pytest.raises(RefusedError, match=words):
        check_names(config, ("fake",))
    check_names(config, ("0",))


@pytest.mark.parametrize(
    "numbers",
    [None, {}, {"LABEL_0": 0, "LABEL_1": 1}, {"Fake": "0", "Real": "1"}, {"Real": 1, "Fake": 0}],
    ids=["none", "empty", "left as made", "in words", "the same"],
)
def test_tables_that_agree_pass(numbers):
    check_names({"id2label": {"0": "Fake", "1": "Real"}, "label2id": numbers}, ())
    check_names({}, ())
    check_names({"id2label": {"0": "spoof", "1": "real", "2": "spoof"}, "label2id": {"spoof": 2, "real": 1}}, ())
