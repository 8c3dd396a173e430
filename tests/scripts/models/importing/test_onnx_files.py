"""ONNX files of pictures and sound, with every end that they are published with, and files that are refused."""

import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from bentos.media.crops import centre_square, cut
from bentos.media.prepared import CropShape
from scripts.demo.photographs import load_photograph
from scripts.demo.samples import MEDIA
from scripts.models.errors import RefusedError
from scripts.models.importing.importer import import_model
from scripts.models.importing.wishes import Wishes
from scripts.models.publish import read_golden
from scripts.models.session import run_graph
from scripts.stack.settings import CHECKOUT
from tests.fixtures.onnx_networks import SAMPLES, SIDE, byte_network, picture_network, saved, sound_network

UNSEEN = ("retina.jpg", "ihc.png", "coins.png", "brick.png")
FAKE = {"fake_labels": ("1",)}


@pytest.fixture(scope="module")
def crops():
    shape = CropShape(height=SIDE, width=SIDE, resize_filter="bilinear", margin=0.3)
    photographs = [load_photograph(name) for name in UNSEEN]
    return np.concatenate([cut(each, [centre_square(each.shape[1], each.shape[0])], shape) for each in photographs])


@pytest.fixture(scope="module")
def waves():
    return np.random.default_rng(3).normal(0.02, 0.2, (3, SAMPLES)).astype(np.float32)


def bring(repository, file, **wishes):
    [imported] = import_model([str(file)], Wishes(name="it", **wishes), repository)
    return imported


def p_fake(repository, **given):
    return run_graph((repository.root / "it/1/model.onnx").read_bytes(), given)["p_fake"][:, 0]


def asked(file, values):
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: each[None]})[0] for each in values])


def by_255(crops, layout="NCHW"):
    floats = (crops / 255).astype(np.float32)
    return floats.transpose(0, 3, 1, 2) if layout == "NCHW" else floats


ENDS = {
    "sigmoid": (("Sigmoid",), 1, lambda answer: answer[:, 0]),
    "one-logit": ((), 1, lambda answer: 1 / (1 + np.exp(-answer[:, 0]))),
    "softmax": (("Softmax",), 2, lambda answer: answer[:, 1]),
    "softmax-then-identity": (("Softmax", "Identity"), 2, lambda answer: answer[:, 1]),
    "two-logits": ((), 2, lambda answer: 1 / (1 + np.exp(answer[:, 0] - answer[:, 1]))),
}


@pytest.mark.parametrize("kind", ENDS)
def test_a_classifier_of_pictures_with_any_end(repository, tmp_path, crops, kind):
    last, labels, read = ENDS[kind]
    file = saved(picture_network(*last, labels=labels), tmp_path)

    card = bring(repository, file, scale="1/255", **FAKE).card

    expected = read(asked(file, by_255(crops)))
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(p_fake(repository, crop=crops), expected, atol=1e-5)
    assert (card.modality, card.input.height, card.label_order[1]) == (
        "image",
        SIDE,
        "fake" if labels == 1 else "LABEL_1",
    )
    assert card.parity.framework.startswith("ONNX Runtime")
    assert card.parity.largest < 1e-5
    inputs, outputs = read_golden(repository.root, "it", 1)
    np.testing.assert_allclose(p_fake(repository, **inputs), outputs["p_fake"][:, 0], atol=1e-6)


SHAPES = {
    "channels-last": ({"layout": "NHWC"}, {}),
    "any-size": ({"side": "side"}, {"input_size": SIDE}),
    "fixed-batch-that-does-not-matter": ({"batch": 1}, {}),
    "old-operators": ({"opset": 11}, {}),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_a_classifier_of_pictures_of_any_shape(repository, tmp_path, crops, kind):
    options, wishes = SHAPES[kind]
    file = saved(picture_network("Sigmoid", **options), tmp_path)

    bring(repository, file, scale="1/255", **FAKE, **wishes)

    expected = asked(file, by_255(crops, options.get("layout", "NCHW")))[:, 0]
    np.testing.assert_allclose(p_fake(repository, crop=crops), expected, atol=1e-5)


def test_weights_beside_the_file_are_taken_in(repository, tmp_path, crops):
    file = tmp_path / "model.onnx"
    onnx.save(picture_network("Sigmoid"), file, save_as_external_data=True, location="model.data", size_threshold=0)
    assert (tmp_path / "model.data").is_file()

    bring(repository, file, scale="-1..1", **FAKE)

    expected = asked(file, (crops / 127.5 - 1).astype(np.float32).transpose(0, 3, 1, 2))[:, 0]
    np.testing.assert_allclose(p_fake(repository, crop=crops), expected, atol=1e-5)
    assert [path.name for path in (repository.root / "it/1").iterdir() if path.suffix != ".json"] == ["model.onnx"]


@pytest.mark.parametrize("scale", ["raw", "normalised"])
@pytest.mark.parametrize("samples", [SAMPLES, "length"], ids=["fixed", "any-length"])
def test_a_classifier_of_sound(repository, tmp_path, waves, scale, samples):
    file = saved(sound_network("Sigmoid", samples=samples), tmp_path)

    card = bring(repository, file, scale=scale, **FAKE).card

    assert (card.modality, card.input.samples) == ("audio", SAMPLES if samples == SAMPLES else 64_000)
    given = np.tile(waves, (1, card.input.samples // SAMPLES))
    prepared = given
    if scale == "normalised":
        prepared = (given - given.mean(1, keepdims=True)) / np.sqrt(given.var(1, keepdims=True) + 1e-7)
    expected = asked(file, prepared.astype(np.float32))[:, 0]
    np.testing.assert_allclose(p_fake(repository, waveform=given), expected, atol=1e-5)


def test_a_graph_in_the_contract_is_taken_as_it_is(repository, tmp_path, crops, waves):
    pictures = saved(byte_network(), tmp_path)
    bring(repository, pictures)
    np.testing.assert_allclose(p_fake(repository, crop=crops), asked(pictures, crops)[:, 0], atol=1e-6)

    sounds = saved(sound_network("Sigmoid", names=("waveform", "p_fake")), tmp_path)
    [imported] = import_model([str(sounds)], Wishes(name="heard"), repository)
    assert (imported.card.modality, imported.card.label_order) == ("audio", ("real", "fake"))
    weights = (repository.root / "heard/1/model.onnx").read_bytes()
    np.testing.assert_allclose(run_graph(weights, {"waveform": waves})["p_fake"], asked(sounds, waves), atol=1e-6)


def fixed_inside():
    """A network whose batch of one is written into a node of it."""
    model = picture_network(batch=1)
    flatten = next(node for node in model.graph.node if node.op_type == "Flatten")
    flatten.CopyFrom(helper.make_node("Reshape", ["mean", "shape"], ["row"]))
    model.graph.initializer.append(numpy_helper.from_array(np.asarray([1, 6]), "shape"))
    return model


def several_outputs():
    model = picture_network("Sigmoid")
    model.graph.output.append(helper.make_tensor_value_info("row", TensorProto.FLOAT, ["n", 6]))
    return model


def foreign_operator():
    model = picture_network()
    model.graph.node[-1].domain = "ai.somebody"
    model.opset_import.append(helper.make_opsetid("ai.somebody", 1))
    return model


def of_opset(version):
    model = picture_network("Sigmoid")
    model.opset_import[0].version = version
    return model


def wild():
    model = byte_network()
    model.graph.node.pop()
    model.graph.node[-1].output[0] = "p_fake"
    return model


def of_halves():
    model = picture_network("Sigmoid")
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    model.graph.node.insert(0, helper.make_node("Cast", ["input"], ["wide"], to=TensorProto.FLOAT))
    model.graph.node[1].input[0] = "wide"
    return model


def external(folder, location, *, write):
    model = picture_network("Sigmoid")
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="model.data", size_threshold=0)
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        entry = next(each for each in tensor.external_data if each.key == "location")
        entry.value = location
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    if write:
        (folder / location).write_bytes(b"\0" * 16)
    return folder / "model.onnx"


def written(folder, data):
    (folder / "model.onnx").write_bytes(data)
    return folder / "model.onnx"


SCALED = {**FAKE, "scale": "1/255"}
BAD = {
    "no-model": (lambda tmp: written(tmp, b"no model at all"), {}, "no ONNX file"),
    "empty": (lambda tmp: written(tmp, b""), {}, "no operators"),
    "cut-off": (lambda tmp: written(tmp, picture_network().SerializeToString()[:-40]), {}, "damaged|cannot be run"),
    "weights-missing": (lambda tmp: external(tmp, "other.data", write=False), SCALED, "not beside it"),
    "weights-elsewhere": (lambda tmp: external(tmp, "../secrets", write=False), SCALED, "outside of its own folder"),
    "weights-cut-off": (lambda tmp: external(tmp, "short.data", write=True), SCALED, "cannot be read"),
    "foreign-operators": (lambda tmp: saved(foreign_operator(), tmp), SCALED, "ai.somebody"),
    "opset-of-the-future": (lambda tmp: saved(of_opset(99), tmp), SCALED, "Export it again with an opset"),
    "several-outputs": (lambda tmp: saved(several_outputs(), tmp), SCALED, "one output"),
    "unclear-scale": (lambda tmp: saved(picture_network("Sigmoid"), tmp), FAKE, "Add --scale"),
    "unclear-label": (lambda tmp: saved(picture_network("Sigmoid"), tmp), {"scale": "raw"}, "--fake-label 1"),
    "unclear-end": (lambda tmp: saved(picture_network("HardSigmoid"), tmp), SCALED, "--output"),
    "logits-that-are-none": (
        lambda tmp: saved(picture_network("Sigmoid"), tmp),
        {**SCALED, "output": "logits"},
        "leave --output out",
    ),
    "any-size": (lambda tmp: saved(picture_network("Sigmoid", side="s"), tmp), SCALED, "--input-size 224"),
    "other-size": (lambda tmp: saved(picture_network(), tmp), {**SCALED, "input_size": 99}, "leave --input-size out"),
    "batch-of-one": (lambda tmp: saved(fixed_inside(), tmp), SCALED, "several media at once"),
    "half-floats": (lambda tmp: saved(of_halves(), tmp), SCALED, "float16"),
    "no-probabilities": (lambda tmp: saved(wild(), tmp), {}, "one probability"),
    "short-waveform": (lambda tmp: saved(sound_network("Sigmoid", samples=80), tmp), FAKE, "too short"),
    "unclear-sound": (lambda tmp: saved(sound_network("Sigmoid"), tmp), FAKE, "--scale normalised"),
    "other-modality": (
        lambda tmp: saved(sound_network("Sigmoid"), tmp),
        {**FAKE, "scale": "raw", "modality": "image"},
        "leave --modality out",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_brought_is_refused_in_words_and_changes_nothing(refused, tmp_path, kind):
    make, wishes, sentence = BAD[kind]

    refused(sentence, make(tmp_path), **wishes)


def test_probabilities_of_an_unknown_end_are_believed_where_the_command_line_says_so(repository, tmp_path, crops):
    file = saved(picture_network("HardSigmoid"), tmp_path)

    bring(repository, file, scale="1/255", output="probabilities", **FAKE)

    expected = asked(file, by_255(crops))[:, 0]
    np.testing.assert_allclose(p_fake(repository, crop=crops), expected, atol=1e-5)


def own_pair(folder):
    """The project's own frame encoder and head, which are in the contract, as files."""
    files = []
    for name in ("video_encoder", "video_lstm"):
        files.append(folder / f"{name}.onnx")
        shutil.copy(CHECKOUT / "model_repository" / name / "1" / "model.onnx", files[-1])
    return files


def test_a_frame_encoder_and_its_head_in_the_contract_are_taken_as_they_are(repository, tmp_path):
    files = own_pair(tmp_path)
    (tmp_path / "recorded").mkdir()
    shutil.copy(MEDIA / "forged.mp4", tmp_path / "recorded")
    wishes = Wishes(name="video_x", samples=tmp_path / "recorded")

    first, second = import_model([str(file) for file in files], wishes, repository)

    assert second.card.encoder.digest == first.card.digest
    assert (second.card.input.frames, second.card.input.features) == (16, 64)
    assert second.card.parity.largest < 1e-5
    inputs, outputs = read_golden(CHECKOUT / "model_repository", "video_lstm", 1)
    answers = run_graph((repository.root / "video_x/1/model.onnx").read_bytes(), inputs)
    for name in ("p_fake", "frame_p_fake"):
        np.testing.assert_allclose(answers[name], outputs[name], atol=1e-5)


@pytest.mark.parametrize(("order", "sentence"), [((1, 0), "crop uint8"), ((0, 0), "features float .* and mask float")])
def test_two_onnx_files_that_are_no_such_pair_are_refused(repository, tmp_path, order, sentence):
    files = own_pair(tmp_path)
    with pytest.raises(RefusedError, match=sentence):
        import_model([str(files[at]) for at in order], Wishes(name="video_x"), repository)
