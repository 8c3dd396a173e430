"""The life of versions on a real Triton and a real image Bento, whose repository is a copy."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import msgspec
import numpy as np
import psutil
import pytest

from bentos.cards import Canary, Route
from bentos.contract import HEADER_CALLER, Modality
from scripts.chaos.variants import stage_shifted
from scripts.demo.catalogue import IMAGE_CNN, VIDEO_ENCODER, VIDEO_LSTM
from scripts.models import history, rollout
from scripts.models.auto import AutoRollout, Plan
from scripts.models.errors import InUseError, ModelsError, RefusedError
from scripts.models.following import ask_bentos, follow
from scripts.models.judging import Bounds
from scripts.models.publish import MODEL_FILE, read_golden, write_traffic
from scripts.models.repository import Repository
from scripts.models.retiring import retire
from scripts.models.rollout import Change, Wish, point, point_back, settle
from scripts.models.serving import NotRunningError, Platform
from scripts.models.staging import ASSIGNED, Candidate, stage, stage_pair
from scripts.models.traffic import promoted, rolled_back, with_canary, with_shadow
from scripts.stack.repository import problems
from scripts.stack.running import running
from scripts.stack.services import bento
from scripts.stack.settings import CHECKOUT
from scripts.stack.triton import Triton
from tests.fixtures.detectors import BENTO_TOKEN, bento_environment
from tests.fixtures.stack import wait_until
from tests.fixtures.triton import free_ports, running_triton

pytestmark = pytest.mark.integration

NOBODY = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Life:
    """A running platform of one modality over a repository of its own."""

    repository: Repository
    platform: Platform
    triton: Triton
    bento_pid: int

    def loaded(self, model: str = "image_cnn") -> set[int]:
        async def ask() -> set[int]:
            async with self.triton.control() as control:
                return {each.number for each in await control.loaded(deadline_s=10) if each.model == model}

        return asyncio.run(ask())

    def answering(self, caller: str = "somebody") -> tuple[int, float]:
        """Version and score of one answer to the caller."""
        answer = httpx.post(
            f"{self.platform.bentos[Modality.IMAGE]}/detect",
            content=PICTURE,
            headers={"authorization": f"Bearer {BENTO_TOKEN}", HEADER_CALLER: caller},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        body = answer.json()
        return body["version"], body["p_fake"]

    def change(self, action: history.Action, version: int, route, model: str = "image_cnn", **more) -> Change:
        wish = Wish(action=action, model=model, version=version, route=route, **more)
        return asyncio.run(point(self.repository, self.platform, wish))

    def promote(self, version: int, model: str = "image_cnn", **more) -> Change:
        return self.change("promote", version, lambda route: promoted(model, route, version), model, **more)

    def roll_back(self, to: int | None = None, model: str = "image_cnn", **more) -> Change:
        def back(route):
            return rolled_back(model, route, to)

        version = back(self.repository.route(model)).stable
        wish = Wish(action="rollback", model=model, version=version, route=back, **more)
        return asyncio.run(point_back(self.repository, self.platform, wish))

    def retire(self, version: int, model: str = "image_cnn", **more):
        return asyncio.run(retire(self.repository, self.platform, model, version, **more))

    def state(self) -> dict[str, bytes]:
        """Everything that says who gets traffic and what is loaded."""
        files = (self.repository.root / "serving.json", *self.repository.root.glob("*/config.pbtxt"))
        return {str(file): file.read_bytes() for file in files}


PICTURE = (CHECKOUT / "scripts" / "demo" / "media" / "genuine.jpg").read_bytes()


def copy_of_models(folder: Path) -> Repository:
    shutil.copytree(CHECKOUT / "model_repository", folder)
    repository = Repository(folder)
    table = repository.table()
    kept = {name: route for name, route in table.models.items() if name in {"image_cnn", "video_lstm"}}
    defaults = {modality: name for modality, name in table.defaults.items() if name in kept}
    write_traffic(folder, msgspec.structs.replace(table, models=kept, defaults=defaults))
    return repository


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, triton_settings: Triton) -> Iterator[Life]:
    folder = tmp_path_factory.mktemp("life")
    repository = copy_of_models(folder / "models")
    stage_shifted(repository, 1.0)
    stage_shifted(repository, -1.0)
    http, grpc, metrics, port = free_ports(4)
    (folder / "triton").mkdir()
    settings = replace(
        triton_settings,
        repository=repository.root,
        folder=folder / "triton",
        http_port=http,
        grpc_port=grpc,
        metrics_port=metrics,
    )
    (folder / "bento" / "spool").mkdir(parents=True)
    with running_triton(settings) as triton:
        environment = bento_environment(folder / "bento", triton.address)
        environment["BONAFIDE_MODEL_REPOSITORY"] = str(repository.root)
        program = bento(Modality.IMAGE, port, environment, grace_s=10)
        with running(program, log=folder / "bento" / "log", run_id="life", deadline_s=120) as process:
            platform = Platform(
                triton_address=triton.address,
                control_key=triton.control_key,
                # The video Bento does not run.
                bentos={Modality.IMAGE: f"http://127.0.0.1:{port}", Modality.VIDEO: NOBODY},
                token=BENTO_TOKEN,
            )
            yield Life(repository=repository, platform=platform, triton=triton, bento_pid=process.pid)


@pytest.fixture
def at_one(life: Life) -> Life:
    """The platform with version 1 stable, nothing before it and nothing rolled out."""
    if life.repository.route("image_cnn") != Route(stable=1):
        life.change("promote", 1, lambda _: Route(stable=1))
    return life


def logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def test_a_promoted_version_answers_at_once_and_the_one_before_goes_when_it_is_not_needed(at_one):
    _, before = at_one.answering()
    change = at_one.promote(2)
    assert change.after == Route(stable=2, previous=1)
    assert change.settled.follow_s is not None
    version, after = at_one.answering()
    assert (version, at_one.loaded()) == (2, {1, 2})
    assert logit(after) - logit(before) == pytest.approx(1.0, abs=0.02)

    change = at_one.promote(3)
    assert (change.after, change.settled.unloaded) == (Route(stable=3, previous=2), ("image_cnn:1",))
    assert (at_one.answering()[0], at_one.loaded()) == (3, {2, 3})
    assert at_one.repository.listed("image_cnn") == (2, 3)

    change = at_one.roll_back()
    assert (change.after, at_one.answering()[0]) == (Route(stable=2, previous=3), 2)
    assert change.settled.follow_s is not None
    assert change.settled.follow_s < 5
    assert problems(at_one.repository.root) == []
    assert [event.action for event in history.read(at_one.repository.root)][-3:] == ["promote", "promote", "rollback"]


def test_a_canary_answers_its_share_and_a_rollback_takes_it_away(at_one):
    at_one.change("rollout", 2, lambda route: with_canary("image_cnn", route, 2, 50))
    callers = [f"caller-{number}" for number in range(12)]
    versions = {caller: at_one.answering(caller)[0] for caller in callers}
    assert set(versions.values()) == {1, 2}
    assert {caller: at_one.answering(caller)[0] for caller in callers} == versions
    change = at_one.roll_back()
    assert (change.after, change.settled.unloaded) == (Route(stable=1), ("image_cnn:2",))
    assert {at_one.answering(caller)[0] for caller in callers[:4]} == {1}


def test_a_shadow_is_loaded_and_answers_nobody(at_one):
    at_one.change("rollout", 3, lambda route: with_shadow("image_cnn", route, 3))
    assert at_one.loaded() == {1, 3}
    assert {at_one.answering(f"caller-{number}")[0] for number in range(10)} == {1}
    at_one.roll_back()
    assert at_one.loaded() == {1}


def broken(repository: Repository, weights: bytes, shift: float = 0.0) -> int:
    """Stage a version with these weights, and golden answers that are off by `shift`."""
    inputs, outputs = read_golden(repository.root, "image_cnn", 1)
    card = msgspec.structs.replace(repository.card("image_cnn", 1), version=ASSIGNED)
    answers = {name: np.clip(values + shift, 0, 1).astype(values.dtype) for name, values in outputs.items()}
    candidate = Candidate(card=card, weights=weights, config=IMAGE_CNN, golden_inputs=inputs, golden_outputs=answers)
    return stage(repository, candidate).version


@pytest.mark.parametrize(
    ("garbage", "shift", "words"),
    [
        pytest.param(True, 0.0, "Triton does not load", id="no-graph"),
        pytest.param(False, 0.3, "does not give its golden answers", id="other-answers"),
    ],
)
def test_what_does_not_load_or_answers_otherwise_changes_nothing(at_one, garbage, shift, words):
    weights = (at_one.repository.folder("image_cnn", 1) / MODEL_FILE).read_bytes()
    version = broken(at_one.repository, b"no graph at all" if garbage else weights, shift)
    before, events = at_one.state(), history.read(at_one.repository.root)
    with pytest.raises(RefusedError, match=words):
        at_one.promote(version)
    assert (at_one.state(), at_one.loaded()) == (before, {1})
    assert history.read(at_one.repository.root) == events
    assert at_one.answering()[0] == 1
    assert at_one.promote(2).after == Route(stable=2, previous=1)


def test_weights_that_were_changed_are_not_even_loaded(at_one):
    version = broken(at_one.repository, b"the weights")
    (at_one.repository.folder("image_cnn", version) / MODEL_FILE).write_bytes(b"other weights")
    before = at_one.state()
    with pytest.raises(RefusedError, match=r"not the file that the card"):
        at_one.promote(version)
    assert (at_one.state(), at_one.loaded()) == (before, {1})


def in_flight(life: Life) -> set[tuple[str, int]]:
    return set(asyncio.run(ask_bentos(life.platform)).busy())


def test_a_version_with_a_call_in_flight_stays_loaded_until_that_is_over(at_one):
    at_one.change("rollout", 2, lambda route: with_canary("image_cnn", route, 2, 100))
    at_one.answering()
    decoding = [
        child
        for child in psutil.Process(at_one.bento_pid).children(recursive=True)
        if "bentos.media.child" in child.cmdline()
    ]
    with ThreadPoolExecutor(1) as pool:
        for child in decoding:
            child.suspend()
        try:
            call = pool.submit(at_one.answering)
            wait_until(lambda: ("image_cnn", 2) in in_flight(at_one), deadline_s=20)
            settled = at_one.roll_back(drain_s=0.2).settled
            assert (settled.kept, settled.clear, at_one.loaded()) == (("image_cnn:2",), False, {1, 2})
            with pytest.raises(InUseError, match="run the command again later"):
                at_one.retire(2, delete=True, drain_s=0.2)
        finally:
            for child in decoding:
                child.resume()
        assert call.result(60)[0] == 2
    assert at_one.retire(2).settled.unloaded == ("image_cnn:2",)
    assert at_one.loaded() == {1}


def test_a_dry_run_says_what_would_be_and_does_nothing(at_one):
    before = at_one.state()
    change = at_one.promote(2, dry_run=True)
    assert (change.dry_run, change.after) == (True, Route(stable=2, previous=1))
    assert (at_one.state(), at_one.loaded()) == (before, {1})


def test_a_head_and_its_encoder_move_as_one(life):
    first = life.repository.card("video_lstm", 1)
    pair = [
        Candidate(
            card=msgspec.structs.replace(life.repository.card(config.name, 1), version=ASSIGNED),
            weights=(life.repository.folder(config.name, 1) / MODEL_FILE).read_bytes(),
            config=config,
            golden_inputs={},
            golden_outputs=read_golden(life.repository.root, config.name, 1)[1],
        )
        for config in (VIDEO_ENCODER, VIDEO_LSTM)
    ]
    encoder, head = stage_pair(life.repository, *pair)
    assert head.encoder
    assert head.encoder != first.encoder

    life.promote(head.version, "video_lstm")
    assert life.loaded("video_lstm") == {1, head.version}
    assert life.loaded("video_encoder") == {1, encoder.version}
    with pytest.raises(InUseError, match="the encoder of video_lstm"):
        life.retire(encoder.version, "video_encoder")
    life.roll_back(model="video_lstm")
    life.retire(head.version, "video_lstm", force_previous=True, delete=True)
    assert (life.loaded("video_lstm"), life.loaded("video_encoder")) == ({1}, {1})
    life.retire(encoder.version, "video_encoder", delete=True)
    assert life.repository.versions("video_encoder") == (1,)
    assert problems(life.repository.root) == []


def test_a_retired_version_goes_with_its_golden_answers_and_its_number_never_comes_back(at_one):
    version = stage_shifted(at_one.repository, 0.5).version
    at_one.promote(version)
    with pytest.raises(InUseError, match="answers its callers"):
        at_one.retire(version, delete=True)
    at_one.roll_back()
    retired = at_one.retire(version, force_previous=True, delete=True)
    assert (retired.deleted, retired.settled.unloaded) == (True, (f"image_cnn:{version}",))
    assert version not in at_one.repository.versions("image_cnn")
    assert not (at_one.repository.root / "image_cnn" / "golden" / f"{version}.npz").exists()
    assert stage_shifted(at_one.repository, 0.5).version == version + 1


def test_a_new_model_gets_its_first_route_and_leaves_service_whole(at_one):
    inputs, outputs = read_golden(at_one.repository.root, "image_cnn", 1)
    card = msgspec.structs.replace(at_one.repository.card("image_cnn", 1), model="vit_faces", version=ASSIGNED)
    weights = (at_one.repository.folder("image_cnn", 1) / MODEL_FILE).read_bytes()
    config = replace(IMAGE_CNN, name="vit_faces")
    stage(
        at_one.repository,
        Candidate(card=card, weights=weights, config=config, golden_inputs=inputs, golden_outputs=outputs),
    )
    assert at_one.promote(1, "vit_faces").after == Route(stable=1)
    assert at_one.loaded("vit_faces") == {1}
    with pytest.raises(InUseError, match="--out-of-service"):
        at_one.retire(1, "vit_faces")
    at_one.retire(1, "vit_faces", out_of_service=True, delete=True)
    assert (at_one.loaded("vit_faces"), "vit_faces" in at_one.repository.models()) == (set(), False)


def test_without_a_triton_nothing_is_written_unless_it_is_meant(tmp_path):
    repository = copy_of_models(tmp_path / "models")
    version = stage_shifted(repository, 1.0).version
    [port] = free_ports(1)
    nobody = Platform(triton_address=f"127.0.0.1:{port}", control_key="k", bentos={Modality.IMAGE: NOBODY}, token="t")
    life = Life(repository=repository, platform=nobody, triton=None, bento_pid=0)  # pyright: ignore[reportArgumentType]
    before = life.state()
    with pytest.raises(NotRunningError, match="--offline"):
        life.promote(version)
    assert life.state() == before
    life.promote(version, offline=True)
    assert repository.route("image_cnn") == Route(stable=version, previous=1)
    assert repository.listed("image_cnn") == (1, version)
    change = life.roll_back()
    assert (change.after, change.settled.follow_s) == (Route(stable=1, previous=version), None)
    life.retire(version, force_previous=True)
    assert repository.listed("image_cnn") == (1,)


def test_offline_is_refused_where_triton_runs(at_one):
    before = at_one.state()
    with pytest.raises(RefusedError, match="leave out --offline"):
        at_one.promote(2, offline=True)
    assert at_one.state() == before


def test_a_full_disk_in_the_middle_leaves_the_traffic_as_it_was(at_one, monkeypatch):
    before = at_one.state()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(history, "append", full)
        with pytest.raises(ModelsError, match="No space left on device"):
            at_one.promote(2)
    assert (at_one.state(), at_one.loaded()) == (before, {1})


def test_what_a_rollback_drops_meanwhile_stays_loaded_until_the_bentos_know(at_one, monkeypatch):
    at_one.change("rollout", 2, lambda route: with_canary("image_cnn", route, 2, 100))
    ask_again = follow

    async def followed(platform, digest, **more):
        answer = await ask_again(platform, digest, **more)
        # Another command moves the pointer now, and the Bento has not looked yet.
        at_one.repository.write_route("image_cnn", Route(stable=1))
        return answer

    with monkeypatch.context() as patched:
        patched.setattr(rollout, "follow", followed)
        with at_one.repository.loading():
            settled = asyncio.run(settle(at_one.repository, at_one.platform, drain_s=1))
    assert (settled.kept, settled.clear, at_one.loaded()) == (("image_cnn:2",), False, {1, 2})
    with at_one.repository.loading():
        settled = asyncio.run(settle(at_one.repository, at_one.platform, drain_s=10))
    assert (settled.unloaded, at_one.loaded()) == (("image_cnn:2",), {1})


def test_a_rollback_to_what_another_command_took_out_of_the_route_is_refused(at_one):
    at_one.promote(2)
    routes = [at_one.repository.route("image_cnn"), Route(stable=2)]

    def back(route):
        after = rolled_back("image_cnn", route, 1)
        if len(routes) == 2:
            at_one.repository.write_route("image_cnn", routes.pop())
        return after

    wish = Wish(action="rollback", model="image_cnn", version=1, route=back)
    with pytest.raises(RefusedError, match="Another command has changed the traffic"):
        asyncio.run(point_back(at_one.repository, at_one.platform, wish))
    assert at_one.repository.route("image_cnn") == Route(stable=2)


def test_a_list_that_a_killed_command_left_with_what_cannot_be_loaded_stops_no_other(at_one):
    corrupt = broken(at_one.repository, b"no graph")
    at_one.repository.list_versions("image_cnn", (1, corrupt))
    at_one.promote(2)
    assert (at_one.loaded(), at_one.repository.listed("image_cnn")) == ({1, 2}, (1, 2))


def test_a_broken_card_of_another_version_stops_no_rollback_and_can_be_got_rid_of(at_one):
    lost = stage_shifted(at_one.repository, 0.5).version
    at_one.promote(lost)
    at_one.promote(2)
    at_one.change("rollout", 3, lambda route: with_canary("image_cnn", route, 3, 100))
    (at_one.repository.folder("image_cnn", lost) / "card.json").write_text("{")

    settled = at_one.roll_back().settled
    assert (settled.clear, settled.follow_s is not None, settled.unloaded) == (False, True, ())
    assert "card.json is broken" in settled.notes[0]
    assert at_one.answering()[0] == 2

    settled = at_one.retire(lost, force_previous=True, delete=True).settled
    assert (settled.clear, at_one.loaded()) == (True, {2})
    assert lost not in at_one.repository.versions("image_cnn")


def automatic(life: Life, version: int, plan: Plan) -> AutoRollout:
    return AutoRollout(life.repository, life.platform, "image_cnn", version, plan, tell=lambda _: None)


async def called(life: Life, job):
    """Run a job while many callers ask; every answer has to be one."""
    headers = {"authorization": f"Bearer {BENTO_TOKEN}"}
    stop = asyncio.Event()

    async def ask(client: httpx.AsyncClient, number: int) -> None:
        count = 0
        while not stop.is_set():
            count += 1
            answer = await client.post(
                f"{life.platform.bentos[Modality.IMAGE]}/detect",
                content=PICTURE,
                headers={**headers, HEADER_CALLER: f"{number}-{count}"},
            )
            assert answer.status_code == 200, answer.text

    async with httpx.AsyncClient(timeout=60) as client, asyncio.TaskGroup() as group:
        for number in range(2):
            group.create_task(ask(client, number))
        try:
            return await job
        finally:
            stop.set()


def test_a_version_that_keeps_its_bounds_is_promoted_by_itself(at_one):
    same = stage_shifted(at_one.repository, 0.0).version
    plan = Plan(steps=(50, 100), hold_s=0.5, min_calls=10, patience_s=60, bounds=Bounds(p95_ratio=None))
    outcome = asyncio.run(called(at_one, automatic(at_one, same, plan).run()))
    assert (outcome.end, [step.percent for step in outcome.steps]) == ("promoted", [50, 100])
    assert at_one.repository.route("image_cnn") == Route(stable=same, previous=1)


def test_a_version_that_scores_otherwise_is_taken_back_by_itself_and_says_why(at_one):
    other = stage_shifted(at_one.repository, 6.0).version
    plan = Plan(
        steps=(50, 100), hold_s=0.5, min_calls=30, patience_s=60, bounds=Bounds(p95_ratio=None, psi=None, ks=0.2)
    )
    outcome = asyncio.run(called(at_one, automatic(at_one, other, plan).run()))
    assert (outcome.end, len(outcome.steps)) == ("rolled_back", 1)
    assert "Kolmogorov-Smirnov" in outcome.why
    assert (at_one.repository.route("image_cnn"), at_one.loaded()) == (Route(stable=1), {1})
    last = history.read(at_one.repository.root)[-1]
    assert (last.action, outcome.why in last.reason) == ("rollback", True)


def test_without_calls_it_stays_where_it_is(at_one):
    plan = Plan(steps=(5, 100), hold_s=0.1, min_calls=10, patience_s=0.5)
    outcome = asyncio.run(automatic(at_one, 2, plan).run())
    assert (outcome.end, outcome.change and outcome.change.after) == ("starved", at_one.repository.route("image_cnn"))
    assert "Only 0 calls" in outcome.why


def surroundings(life: Life) -> dict[str, str]:
    """What a command has to be told to find the platform."""
    return {
        "BONAFIDE_MODEL_REPOSITORY": str(life.repository.root),
        "BONAFIDE_TRITON_ADDRESS": life.platform.triton_address,
        "BONAFIDE_TRITON_CONTROL_KEY": life.triton.control_key,
        "BONAFIDE_BENTO_TOKEN": BENTO_TOKEN,
        "BONAFIDE_IMAGE_BENTO_URL": life.platform.bentos[Modality.IMAGE],
        **{f"BONAFIDE_{each}_BENTO_URL": NOBODY for each in ("VIDEO", "AUDIO", "TEXT")},
    }


@pytest.mark.parametrize("abort", [False, True], ids=["stay", "abort"])
def test_an_interrupted_roll_out_stays_at_its_step_or_goes_back_and_says_so(at_one, abort):
    command = [sys.executable, "-c", "from scripts.cli import main; main()", "models", "rollout", "image_cnn", "2"]
    options = ["--auto", "--hold", "60", "--skip-validation", "--reason", "a test", "--json"]
    process = subprocess.Popen(
        [*command, *options, *(["--abort-on-interrupt"] if abort else [])],
        env={**os.environ, **surroundings(at_one)},
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        step = Route(stable=1, canary=Canary(version=2, percent=1))
        wait_until(lambda: at_one.repository.route("image_cnn") == step)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    answer = json.loads(output)
    assert (process.returncode, answer["interrupted"]) == (130, True)
    if abort:
        assert (answer["at_percent"], at_one.repository.route("image_cnn")) == (None, Route(stable=1))
    else:
        assert at_one.repository.route("image_cnn") == step
        at_one.roll_back()


def test_the_commands_answer_in_json_and_fail_with_a_sentence(at_one, monkeypatch, capsys):
    from typer.testing import CliRunner  # noqa: PLC0415  # With the command tree it is needed here only.

    from scripts.models.commands import models  # noqa: PLC0415

    for name, value in surroundings(at_one).items():
        monkeypatch.setenv(name, value)
    with capsys.disabled():
        runner = CliRunner()

        def run(*words: str) -> tuple[int, dict]:
            result = runner.invoke(models, [*words, "--json"])
            return result.exit_code, json.loads(result.stdout.splitlines()[-1])

        code, answer = run("rollout", "image_cnn", "2", "--canary", "5", "--skip-validation", "--reason", "a test")
        assert (code, answer["after"]["canary"]) == (0, {"version": 2, "percent": 5})
        assert run("rollout", "image_cnn", "2", "--canary", "5", "--shadow")[1]["error"]["code"] == "refused"
        assert run("promote", "image_cnn")[1]["after"]["stable"] == 2
        assert run("rollback", "image_cnn")[1]["after"] == {
            "stable": 1,
            "canary": None,
            "shadow": None,
            "previous": 2,
        }
        code, answer = run("retire", "image_cnn", "1")
        assert (code, answer["error"]["code"]) == (1, "in_use")
        roles = {row["version"]: row["roles"] for row in run("list")[1]["versions"] if row["model"] == "image_cnn"}
        assert (roles[1], roles[2]) == (["stable"], ["previous"])
        assert os.environ["BONAFIDE_MODEL_REPOSITORY"] == str(at_one.repository.root)
