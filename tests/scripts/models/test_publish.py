import os
from pathlib import Path

import numpy as np
import pytest

from bentos.cards import Card, CropInput, Route, TrafficTable, read_card, read_traffic
from bentos.contract import Modality
from scripts.models.publish import (
    PublishError,
    digest_of,
    publish_version,
    read_golden,
    write_file,
    write_golden,
    write_traffic,
)


def card(weights: bytes, version: int = 1) -> Card:
    return Card(
        model="some_model",
        version=version,
        modality=Modality.IMAGE,
        source="here",
        licence="Apache-2.0",
        digest=digest_of(weights),
        demo=True,
        input=CropInput(height=8, width=8, resize_filter="area", margin=0.3),
        label_order=("bona fide", "spoof"),
        intended_use="tests",
        limits="all",
        created="2024-01-01",
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_version_is_its_weights_and_a_card_that_names_them(tmp_path: Path) -> None:
    folder = publish_version(tmp_path, card(b"weights"), b"weights")
    assert folder == tmp_path / "some_model" / "1"
    assert names(folder) == ["card.json", "model.onnx"]
    assert read_card((folder / "card.json").read_bytes()) == card(b"weights")
    assert (folder / "model.onnx").read_bytes() == b"weights"
    assert names(folder.parent) == ["1"]


def test_a_published_version_is_not_overwritten_by_chance(tmp_path: Path) -> None:
    publish_version(tmp_path, card(b"old"), b"old")
    with pytest.raises(PublishError, match="already"):
        publish_version(tmp_path, card(b"new"), b"new")
    assert (tmp_path / "some_model/1/model.onnx").read_bytes() == b"old"
    publish_version(tmp_path, card(b"new"), b"new", replace=True)
    assert (tmp_path / "some_model/1/model.onnx").read_bytes() == b"new"
    assert names(tmp_path / "some_model") == ["1"]


def test_weights_that_are_not_those_of_the_card_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="digest"):
        publish_version(tmp_path, card(b"weights"), b"others")
    assert names(tmp_path) == []


def test_when_the_last_step_fails_the_old_version_stands_and_nothing_lies_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_version(tmp_path, card(b"old"), b"old")
    rename = Path.rename

    def full_disk(self: Path, target: Path) -> Path:
        # The new folder cannot take its place; moving the old one out and back works.
        if self.name.startswith(".1.") and not self.name.endswith(".retired"):
            raise OSError("no space")
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", full_disk)
        with pytest.raises(OSError, match="no space"):
            publish_version(tmp_path, card(b"new"), b"new", replace=True)
    assert (tmp_path / "some_model/1/model.onnx").read_bytes() == b"old"
    assert names(tmp_path / "some_model") == ["1"]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "file"
    write_file(path, b"old")

    def fail(_: int) -> None:
        raise OSError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="no space"):
            write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(path.parent) == ["file"]


def test_traffic_and_golden_answers_are_read_back_as_written(tmp_path: Path) -> None:
    table = TrafficTable(defaults={Modality.IMAGE: "some_model"}, models={"some_model": Route(stable=3)})
    write_traffic(tmp_path, table)
    assert read_traffic((tmp_path / "serving.json").read_bytes()) == table

    crops, scores = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3), np.asarray([[0.25]], np.float32)
    write_golden(tmp_path, "some_model", 3, inputs={"crop": crops}, outputs={"p_fake": scores})
    inputs, outputs = read_golden(tmp_path, "some_model", 3)
    np.testing.assert_array_equal(inputs["crop"], crops)
    np.testing.assert_array_equal(outputs["p_fake"], scores)
    assert names(tmp_path / "some_model/golden") == ["3.npz", "inputs.npz"]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda data: data[: len(data) // 2], id="cut-off"),
        pytest.param(lambda data: data[:60] + bytes(20) + data[80:], id="overwritten"),
        pytest.param(lambda _: b"no archive", id="something-else"),
    ],
)
def test_broken_golden_answers_are_told_as_such(tmp_path, damage):
    values = {"p_fake": np.linspace(0, 1, 50, dtype=np.float32)}
    write_golden(tmp_path, "some_model", 1, inputs=values, outputs=values)
    file = tmp_path / "some_model" / "golden" / "1.npz"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=r"broken|pickle|overlap"):
        read_golden(tmp_path, "some_model", 1)
