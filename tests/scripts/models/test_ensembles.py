"""Ensembles as they are declared: what is refused, what is written, and what a Bento would make of it."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from bentos.cards import Ensemble, Member
from bentos.contract import Modality, Thresholds
from bentos.repository import ModelRepository
from scripts.cli import app
from scripts.models import history
from scripts.models.ensembles import Declaration, declare, read_member, withdraw
from scripts.models.errors import InUseError, ModelsError, RefusedError, UnknownVersionError
from scripts.models.names import check_name
from scripts.models.publish import write_traffic
from scripts.models.repository import Repository
from scripts.models.retiring import name_default
from scripts.models.traffic import with_default
from scripts.stack.settings import CHECKOUT

FILMS = (Member(model="video_lstm"), Member(model="image_cnn"))


@pytest.fixture
def repository(tmp_path, monkeypatch):
    shutil.copytree(CHECKOUT / "model_repository", tmp_path / "models")
    monkeypatch.setenv("BONAFIDE_MODEL_REPOSITORY", str(tmp_path / "models"))
    monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path / "home"))
    return Repository(tmp_path / "models")


def wished(name: str = "films", members=FILMS, **options) -> Declaration:
    return Declaration(name=name, members=members, **options)


def bonafide(*words: str):
    return CliRunner().invoke(app, ["models", "ensemble", *words])


async def test_a_declared_ensemble_is_what_a_bento_reads(repository):
    declared = declare(repository, wished(reason="two eyes"))
    assert (declared.changed, declared.ensemble.version, declared.ensemble.modality) == (True, 1, Modality.VIDEO)
    own = [repository.card(member.model, 1).thresholds for member in FILMS]
    assert declared.ensemble.thresholds.low == pytest.approx((own[0].low + own[1].low) / 2)
    reader = ModelRepository.at(str(repository.root))
    await reader.refresh()
    assert reader.table.ensembles == {"films": declared.ensemble}
    [event] = history.read(repository.root)
    assert (event.action, event.model, event.version, event.reason) == ("declare", "films", 1, "two eyes")


def test_each_change_is_another_version_and_none_is_given_twice(repository):
    declare(repository, wished())
    again = declare(repository, wished())
    assert (again.changed, again.ensemble.version) == (False, 1)
    changed = declare(repository, wished(fusion="vote"))
    assert (changed.ensemble.version, changed.ensemble.thresholds) == (2, Thresholds(low=0.5, high=0.51))
    withdraw(repository, "films")
    assert repository.table().ensembles == {}
    assert declare(repository, wished()).ensemble.version == 3
    assert [event.action for event in history.read(repository.root)] == ["declare", "declare", "withdraw", "declare"]


def test_words_for_people_are_kept_and_the_usual_ones_follow_the_members(repository):
    declare(repository, wished(title="Two eyes"))
    changed = declare(repository, wished(members=FILMS[:1])).ensemble
    assert (changed.title, changed.description) == ("Two eyes", "Asks video_lstm and joins their scores.")


def test_what_cannot_be_noted_in_the_history_is_not_declared_withdrawn_or_made_the_default(repository, monkeypatch):
    declare(repository, wished())
    before = repository.table()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(history, "append", full)
    for change in (
        lambda: declare(repository, wished(fusion="vote")),
        lambda: withdraw(repository, "films"),
        lambda: name_default(repository, Modality.VIDEO, "films"),
    ):
        with pytest.raises(ModelsError, match="Nothing was changed"):
            change()
    assert repository.table() == before


def test_a_dry_run_writes_nothing(repository):
    before = (repository.root / "serving.json").read_bytes()
    assert declare(repository, wished(), dry_run=True).ensemble.version == 1
    assert (repository.root / "serving.json").read_bytes() == before
    assert history.read(repository.root) == ()
    declare(repository, wished())
    withdraw(repository, "films", dry_run=True)
    assert "films" in repository.table().ensembles


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"members": ()}, "--member"),
        ({"members": (Member(model="nothing"),)}, "There is no model nothing"),
        ({"members": (Member(model="films"),)}, "There is no model films"),
        ({"members": (Member(model="video_encoder"),)}, "gives no verdicts"),
        ({"members": (Member(model="image_cnn"), Member(model="audio_transformer"))}, "does not judge"),
        ({"members": (Member(model="video_lstm"),), "modality": Modality.IMAGE}, "does not judge"),
        ({"members": (FILMS[0], FILMS[0])}, "twice"),
        ({"members": (Member(model="image_cnn", weight=2.0),)}, "--fusion weighted"),
        ({"minimum": 3}, "at least 3"),
        ({"low": 0.9}, "not in order"),
        ({"name": "image_cnn"}, "name of a model"),
        ({"name": "Films"}, "small letters"),
        ({"name": "figures"}, "address"),
    ],
    ids=range(13),
)
def test_what_is_not_sound_is_refused_and_changes_nothing(repository, changes, words):
    before = (repository.root / "serving.json").read_bytes()
    with pytest.raises(ModelsError, match=words):
        declare(repository, wished(**changes))
    assert (repository.root / "serving.json").read_bytes() == before
    assert history.read(repository.root) == ()


def test_an_ensemble_is_no_member_of_another(repository):
    declare(repository, wished())
    with pytest.raises(RefusedError, match="is an ensemble"):
        declare(repository, wished(name="more", members=(Member(model="films"),)))


def test_the_default_is_not_withdrawn_and_neither_is_what_is_not_there(repository):
    declare(repository, wished())
    write_traffic(repository.root, with_default(repository.table(), Modality.VIDEO, "films"))
    with pytest.raises(InUseError, match="bonafide models default video NAME"):
        withdraw(repository, "films")
    with pytest.raises(UnknownVersionError, match="there are: films"):
        withdraw(repository, "faces")


@pytest.mark.parametrize(
    ("text", "weight"), [("a", 1.0), ("a:2", 2.0), ("a:0.5", 0.5), ("a:0", None), ("a:nan", None), ("a:", None)]
)
def test_a_member_may_have_a_weight(text, weight):
    if weight is None:
        with pytest.raises(RefusedError, match="above 0"):
            read_member(text)
    else:
        assert read_member(text) == Member(model="a", weight=weight)


def test_the_commands_answer_in_json_and_in_words(repository):
    done = bonafide("declare", "films", "-m", "video_lstm:3", "-m", "image_cnn", "--fusion", "weighted", "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert [member["weight"] for member in answer["ensemble"]["members"]] == [3.0, 1.0]
    assert isinstance(repository.table().ensembles["films"], Ensemble)
    assert "would be withdrawn" in bonafide("withdraw", "films", "--dry-run").stdout
    assert bonafide("withdraw", "films").exit_code == 0
    refused = bonafide("withdraw", "films", "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["error"]["code"] == "unknown_version"


def test_the_names_of_other_addresses_are_taken():
    assert check_name("figures_too") == "figures_too"
    with pytest.raises(RefusedError):
        check_name("figures")
