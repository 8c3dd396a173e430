import shutil

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bentos.cards import FeatureInput
from scripts.models import history
from scripts.models.errors import UnknownVersionError
from scripts.models.publish import digest_of, read_golden, write_file, write_golden
from scripts.models.repository import Repository
from scripts.models.validation import validate
from scripts.stack.settings import CHECKOUT, load_settings

SETTINGS = load_settings({})


@pytest.fixture
def repository(tmp_path):
    shutil.copytree(CHECKOUT / "model_repository", tmp_path / "models")
    return Repository(tmp_path / "models")


def rewrite(repository, model, **changes):
    card = msgspec.structs.replace(repository.card(model, 1), **changes)
    write_file(repository.root / model / "1" / "card.json", msgspec.json.encode(card))


def give(repository, model, weights):
    """Put other weights in a version's place, with a card that names them."""
    write_file(repository.root / model / "1" / "model.onnx", weights)
    rewrite(repository, model, digest=digest_of(weights))


def found(repository, model, version=1):
    """What a version failed at: the check and its sentence."""
    report = validate(repository, model, version, SETTINGS)
    assert not report.passed
    assert [check.passed for check in report.checks].count(False) == 1
    [event] = history.read(repository.root)
    assert (event.action, event.details["passed"]) == ("validate", False)
    assert event.details["failures"] == list(report.failures)
    return next((check.name, check.detail) for check in report.checks if not check.passed)


def cut_weights(repository):
    file = repository.root / "image_cnn" / "1" / "model.onnx"
    file.write_bytes(file.read_bytes()[:-100])


def lose_weights(repository):
    (repository.root / "image_cnn" / "1" / "model.onnx").unlink()


def lose_golden(repository):
    (repository.root / "image_cnn" / "golden" / "1.npz").unlink()


def spoil_golden(repository):
    (repository.root / "image_cnn" / "golden" / "1.npz").write_bytes(b"no archive")


def spoil_card(repository):
    (repository.root / "image_cnn" / "1" / "card.json").write_text('{"model": "image_cnn"}')


def rename_in_config(repository):
    file = repository.root / "image_cnn" / "config.pbtxt"
    file.write_text(file.read_text().replace('name: "image_cnn"', 'name: "cnn"'))


def spoil_config(repository):
    file = repository.root / "image_cnn" / "config.pbtxt"
    file.write_text(file.read_text().replace("max_batch_size", "largest_batch"))


@pytest.mark.parametrize(
    ("spoil", "check", "sentence"),
    [
        pytest.param(cut_weights, "files", "is not what its card says", id="cut"),
        pytest.param(lose_weights, "files", "is missing", id="lost"),
        pytest.param(lose_golden, "golden set", "no golden set", id="no-golden"),
        pytest.param(spoil_golden, "golden set", "", id="broken-golden"),
        pytest.param(spoil_card, "card", "broken", id="card"),
        pytest.param(rename_in_config, "configuration", "names the model 'cnn'", id="name"),
        pytest.param(spoil_config, "configuration", "largest_batch", id="config"),
        pytest.param(lambda it: rewrite(it, "image_cnn", version=3), "card", "image_cnn:3", id="other-card"),
        pytest.param(lambda it: rewrite(it, "image_cnn", thresholds=None), "card", "no thresholds", id="no-thresholds"),
        pytest.param(lambda it: rewrite(it, "image_cnn", files={"vocab.txt": "sha256:0"}), "files", "vocab", id="file"),
    ],
)
def test_what_the_files_tell_is_found_without_triton(repository, spoil, check, sentence):
    spoil(repository)

    name, detail = found(repository, "image_cnn")

    assert name == check
    assert sentence in detail


def test_a_head_wants_the_encoder_that_it_was_trained_on(repository):
    rewrite(repository, "video_encoder", digest="sha256:" + "0" * 64)

    name, detail = found(repository, "video_lstm")

    assert name == "encoder"
    assert "video_encoder:1" in detail


def test_a_version_that_is_not_there_is_no_report(repository):
    with pytest.raises(UnknownVersionError, match="there are: 1"):
        validate(repository, "image_cnn", 7, SETTINGS)
    assert history.read(repository.root) == ()


@pytest.mark.integration
@pytest.mark.parametrize("model", ["video_lstm", "video_encoder"])
def test_a_version_that_keeps_its_word_passes(repository, model):
    report = validate(repository, model, 1, SETTINGS)

    assert report.failures == ()
    assert {"card", "files", "loads", "signature", "golden answers", "batches"} <= {c.name for c in report.checks}
    assert report.latency[0].batch == 1
    assert all(0 < each.median_ms <= each.p95_ms for each in report.latency)
    assert report.memory_mb > 1
    [event] = history.read(repository.root)
    assert (event.action, event.version, event.details["passed"]) == ("validate", 1, True)


@pytest.mark.integration
def test_other_answers_than_the_golden_ones_are_refused(repository):
    _, outputs = read_golden(repository.root, "image_cnn", 1)
    write_golden(repository.root, "image_cnn", 1, inputs={}, outputs={"p_fake": 1 - outputs["p_fake"]})

    name, detail = found(repository, "image_cnn")

    assert name == "golden answers"
    assert "may be off by 1e-03" in detail


@pytest.mark.integration
def test_weights_of_another_kind_do_not_load(repository):
    give(repository, "image_cnn", (repository.root / "video_lstm" / "1" / "model.onnx").read_bytes())

    assert found(repository, "image_cnn")[0] == "loads"


@pytest.mark.integration
def test_no_graph_at_all_does_not_load(repository):
    give(repository, "image_cnn", b"not a graph")

    assert found(repository, "image_cnn")[0] == "loads"


@pytest.mark.integration
def test_a_card_that_lies_about_the_input_is_refused(repository):
    encoder = repository.card("video_lstm", 1).encoder
    rewrite(repository, "video_lstm", input=FeatureInput(frames=8, features=64), encoder=encoder)

    name, detail = found(repository, "video_lstm")

    assert name == "signature"
    assert "want different inputs" in detail


@pytest.mark.integration
def test_a_row_may_not_depend_on_its_neighbours(repository):
    crop = helper.make_tensor_value_info("crop", TensorProto.UINT8, ["batch", 224, 224, 3])
    p_fake = helper.make_tensor_value_info("p_fake", TensorProto.FLOAT, ["batch", 1])
    axes = helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2])
    scale = helper.make_tensor("scale", TensorProto.FLOAT, [], [255.0])
    channel = helper.make_tensor("channel", TensorProto.INT64, [1], [0])
    first = helper.make_tensor("first", TensorProto.INT64, [1], [0])
    nodes = [
        helper.make_node("Cast", ["crop"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["mean"], keepdims=0),
        helper.make_node("Gather", ["mean", "channel"], ["red"], axis=1),
        helper.make_node("Div", ["red", "scale"], ["share"]),
        # The mean over the batch is what must not happen.
        helper.make_node("ReduceMean", ["share", "first"], ["all"], keepdims=1),
        helper.make_node("Max", ["share", "all"], ["p_fake"]),
    ]
    graph = helper.make_graph(nodes, "neighbours", [crop], [p_fake], [axes, scale, channel, first])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    give(repository, "image_cnn", model.SerializeToString())
    inputs, _ = read_golden(repository.root, "image_cnn", 1)
    red = inputs["crop"][..., :1].mean(axis=(1, 2)) / 255
    answers = np.maximum(red, red.mean()).astype(np.float32)
    write_golden(repository.root, "image_cnn", 1, inputs={}, outputs={"p_fake": answers})

    name, detail = found(repository, "image_cnn")

    assert name == "batches"
    assert "in a batch of 32" in detail
