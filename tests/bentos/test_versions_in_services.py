"""Versions, shadows and ensembles as they run: a Bento process before a Triton that has several versions loaded."""

import asyncio
import contextlib
import dataclasses
import hashlib
import itertools
import shutil
from collections.abc import AsyncIterator, Iterator

import aiohttp
import msgspec
import onnx
import pytest

from bentos.cards import Canary, Ensemble, Member, Route, TrafficTable
from bentos.contract import Detection, ErrorBody, Figures, Modality, ModelDetails, ModelList, Thresholds
from bentos.routing import bucket_of
from scripts.demo.catalogue import IMAGE_CNN
from scripts.models.calibration import temper
from scripts.models.graph_temperature import heat
from scripts.models.publish import MODEL_FILE, read_golden, write_traffic
from scripts.models.repository import Repository
from scripts.models.staging import ASSIGNED, Candidate, stage
from scripts.stack.ports import free_ports
from scripts.stack.triton import Triton
from tests.fixtures import media
from tests.fixtures.detectors import MODELS, RunningBento, running_bento
from tests.fixtures.triton import running_triton

pytestmark = pytest.mark.integration

PICTURE = media.encoded(media.with_faces(260))
CALLERS = [
    next(name for name in map("account-{}".format, itertools.count()) if bucket_of("image_cnn", name) // 1000 == tenth)
    for tenth in range(10)
]
"""One caller of each tenth of the canary's share."""
BOTH = Ensemble(
    version=1,
    modality=Modality.IMAGE,
    title="Both",
    description="Two at once.",
    fusion="mean",
    members=(Member(model="image_cnn"), Member(model="image_two")),
    thresholds=Thresholds(low=0.3, high=0.7),
)


@dataclasses.dataclass(frozen=True)
class Served:
    """A repository of its own, and a Triton and an image Bento that serve it."""

    repository: Repository
    triton: Triton
    bento: RunningBento

    def write(self, *, image_cnn: Route, **ensembles: Ensemble) -> str:
        """Write the traffic table, and return its digest."""
        table = TrafficTable(
            defaults={Modality.IMAGE: "image_cnn"},
            models={"image_cnn": image_cnn, "image_two": Route(stable=1)},
            ensembles=ensembles,
        )
        write_traffic(self.repository.root, table)
        return "sha256:" + hashlib.sha256((self.repository.root / "serving.json").read_bytes()).hexdigest()


def tempered(repository: Repository, name: str, factor: float) -> None:
    """Stage the demo model of pictures with another temperature."""
    inputs, outputs = read_golden(repository.root, "image_cnn", 1)
    weights = heat(onnx.load(repository.root / "image_cnn" / "1" / MODEL_FILE), factor).SerializeToString()
    card = msgspec.structs.replace(repository.card("image_cnn", 1), model=name, version=ASSIGNED, digest="")
    golden = {"p_fake": temper(outputs["p_fake"], factor).astype("float32")}
    stage(
        repository,
        Candidate(
            card=card,
            weights=weights,
            config=dataclasses.replace(IMAGE_CNN, name=name),
            golden_inputs={} if name == "image_cnn" else inputs,
            golden_outputs=golden,
        ),
    )


@pytest.fixture(scope="module")
def served(triton_settings: Triton, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("versions")
    shutil.copytree(MODELS / "image_cnn", folder / "models" / "image_cnn")
    shutil.copy(MODELS / "serving.json", folder / "models")
    repository = Repository(folder / "models")
    tempered(repository, "image_cnn", 3.0)
    tempered(repository, "image_two", 0.5)
    repository.list_versions("image_cnn", (1, 2))
    http, grpc, metrics = free_ports(3)
    triton = dataclasses.replace(
        triton_settings,
        repository=repository.root,
        folder=folder / "triton",
        http_port=http,
        grpc_port=grpc,
        metrics_port=metrics,
    )
    triton.folder.mkdir()
    table = TrafficTable(
        defaults={Modality.IMAGE: "image_cnn"},
        models={"image_cnn": Route(stable=1, previous=2), "image_two": Route(stable=1)},
    )
    write_traffic(repository.root, table)
    with (
        running_triton(triton),
        running_bento(Modality.IMAGE, folder / "bento", triton.address, repository.root) as bento,
    ):
        yield Served(repository, triton, bento)


class Caller:
    """Asks the Bento over one session."""

    def __init__(self, served: Served, session: aiohttp.ClientSession) -> None:
        self.served, self._session, self._url = served, session, served.bento.url

    async def ask(self, caller: str = "somebody", model: str | None = None) -> Detection:
        headers = {"x-bonafide-caller": caller} | ({"x-bonafide-model": model} if model else {})
        async with self._session.post(f"{self._url}/detect", data=PICTURE, headers=headers) as response:
            answer = await response.read()
            assert response.status == 200, answer
            return msgspec.json.decode(answer, type=Detection)

    async def refused(self, model: str) -> tuple[int, str]:
        headers = {"x-bonafide-model": model}
        async with self._session.post(f"{self._url}/detect", data=PICTURE, headers=headers) as response:
            return response.status, msgspec.json.decode(await response.read(), type=ErrorBody).code

    async def get(self, path: str, status: int = 200) -> bytes:
        async with self._session.get(self._url + path) as response:
            assert response.status == status
            return await response.read()

    async def figures(self) -> Figures:
        return msgspec.json.decode(await self.get("/models/figures"), type=Figures)

    async def errors(self) -> int:
        """What all versions failed at since the Bento started."""
        return sum(each.errors for each in (await self.figures()).versions)

    async def follow(self, *, image_cnn: Route, **ensembles: Ensemble) -> None:
        """Change the traffic table, and wait until the Bento follows it."""
        digest = self.served.write(image_cnn=image_cnn, **ensembles)
        async with asyncio.timeout(5):
            while (await self.figures()).table != digest:  # noqa: ASYNC110 - It happens in another process.
                await asyncio.sleep(0.1)

    async def sides(self) -> dict[str, int]:
        """The version that answers each caller."""
        answers = [await self.ask(caller) for caller in CALLERS]
        return {caller: answer.version for caller, answer in zip(CALLERS, answers, strict=True)}


@pytest.fixture
async def caller(served: Served) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession(headers=served.bento.headers) as session:
        caller = Caller(served, session)
        await caller.follow(image_cnn=Route(stable=1, previous=2))
        yield caller


@contextlib.asynccontextmanager
async def calling(caller: Caller, answers: list[Detection]) -> AsyncIterator[None]:
    """Ask all the time for the length of a block; whatever fails, fails the test."""
    over = asyncio.Event()

    async def go_on(names: Iterator[str]) -> None:
        while not over.is_set():
            answers.append(await caller.ask(next(names)))

    names = itertools.cycle(CALLERS)
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(go_on(names))
        try:
            yield
        finally:
            over.set()


async def test_callers_stay_on_their_side_and_shares_only_grow_while_calls_go_on(caller: Caller):
    scores: dict[int, float] = {1: (await caller.ask()).p_fake}
    await caller.follow(image_cnn=Route(stable=2, previous=1))
    scores[2] = (await caller.ask()).p_fake
    assert abs(scores[1] - scores[2]) > 0.01
    errors = await caller.errors()
    answers: list[Detection] = []
    shares: list[set[str]] = []
    async with calling(caller, answers):
        for percent in (0.01, 20, 60, 100):
            await caller.follow(image_cnn=Route(stable=1, canary=Canary(version=2, percent=percent)))
            sides = await caller.sides()
            shares.append({name for name, version in sides.items() if version == 2})
        assert await caller.sides() == sides
        await caller.follow(image_cnn=Route(stable=2, previous=1))
        assert set((await caller.sides()).values()) == {2}
        await caller.follow(image_cnn=Route(stable=1, previous=2))
        assert set((await caller.sides()).values()) == {1}
    assert shares == [set(), set(CALLERS[:2]), set(CALLERS[:6]), set(CALLERS)]
    assert answers
    assert all(answer.p_fake == pytest.approx(scores[answer.version], abs=1e-4) for answer in answers)
    counted = {(each.version, each.part): each for each in (await caller.figures()).versions}
    assert counted[2, "canary"].answered > 0
    assert await caller.errors() == errors
    # The last calls may just have been given up, which the Bento notices a moment later.
    async with asyncio.timeout(10):
        while any(each.in_flight for each in (await caller.figures()).versions):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_shadow_is_counted_and_changes_no_answer(caller: Caller):
    usual = await caller.ask()
    for shadow in (2, 7):
        await caller.follow(image_cnn=Route(stable=1, shadow=shadow, previous=2))
        for _ in range(4):
            answer = await caller.ask()
            assert (answer.version, answer.verdict) == (1, usual.verdict)
            assert answer.p_fake == pytest.approx(usual.p_fake, abs=1e-5)
        async with asyncio.timeout(10):
            while True:
                counted = {(each.version, each.part): each for each in (await caller.figures()).versions}
                told = counted[shadow, "shadow"]
                assert told.shadow is not None
                if told.shadow.compared + told.shadow.failed == 4 and not told.in_flight:
                    break
                await asyncio.sleep(0.05)
        assert (told.version, told.shadow.compared, told.shadow.dropped) == (shadow, 4 if shadow == 2 else 0, 0)
        if shadow == 2:
            assert told.shadow.difference > 0
            label = '{modality="image",model="image_cnn",version="2"}'
            assert f"bonafide_bento_shadow_compared_total{label} 4.0" in (await caller.get("/metrics")).decode()


async def test_an_ensemble_answers_with_what_is_left_of_it(caller: Caller):
    await caller.follow(image_cnn=Route(stable=1, previous=2), both=BOTH)
    alone = [(await caller.ask(model=name)).p_fake for name in ("image_cnn", "image_two")]
    whole = await caller.ask(model="both")
    assert whole.p_fake == pytest.approx(sum(alone) / 2, abs=1e-4)
    assert [score.p_fake for score in whole.members] == pytest.approx(alone, abs=1e-4)
    assert (whole.model, whole.version, whole.partial) == ("both", 1, False)

    async with caller.served.triton.control() as control:
        await control.unload("image_two", deadline_s=20)
        try:
            rest = await caller.ask(model="both")
            assert (rest.partial, [score.model for score in rest.members]) == (True, ["image_cnn"])
            assert rest.p_fake == pytest.approx(alone[0], abs=1e-4)
            assert rest.digest != whole.digest
            await caller.follow(
                image_cnn=Route(stable=1, previous=2), both=msgspec.structs.replace(BOTH, minimum=2, version=2)
            )
            assert await caller.refused("both") == (503, "inference_unavailable")
        finally:
            await control.load("image_two", deadline_s=60)
    assert not (await caller.ask(model="both")).partial


async def test_models_and_ensembles_are_told_of(caller: Caller):
    await caller.follow(image_cnn=Route(stable=1, canary=Canary(version=2, percent=5)), both=BOTH)
    listed = msgspec.json.decode(await caller.get("/models"), type=ModelList).models
    assert [(model.name, model.members) for model in listed] == [
        ("image_cnn", ()),
        ("both", ("image_cnn", "image_two")),
        ("image_two", ()),
    ]
    await caller.ask()
    told = msgspec.json.decode(await caller.get("/models/image_cnn"), type=ModelDetails)
    assert [(version.version, version.roles) for version in told.versions] == [(1, ("stable",)), (2, ("canary",))]
    assert sum(each.answered for each in told.figures) > 0
    both = msgspec.json.decode(await caller.get("/models/both"), type=ModelDetails)
    assert both.ensemble is not None
    assert (await caller.ask(model="both")).digest == next(m.stable.digest for m in listed if m.name == "both")
    await caller.get("/models/nothing", status=404)
    await caller.get("/models/..%2Fmetrics", status=404)
