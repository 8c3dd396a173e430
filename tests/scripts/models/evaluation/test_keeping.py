import asyncio
import shutil

import msgspec
import pytest

from bentos.contract import Thresholds
from scripts.models.errors import ModelsError
from scripts.models.evaluation import measuring
from scripts.models.evaluation.figures import Confusion, Interval
from scripts.models.evaluation.measuring import Evaluated, keep
from scripts.models.evaluation.report import NAMES, Evaluation, SetInfo, Speed
from scripts.models.metrics import Metrics
from scripts.models.repository import Repository
from scripts.models.stand import stand
from scripts.stack.control import Version
from scripts.stack.settings import CHECKOUT, load_settings


@pytest.fixture
def repository(tmp_path):
    shutil.copytree(CHECKOUT / "model_repository", tmp_path / "models")
    return Repository(tmp_path / "models")


def evaluated(repository, **changes):
    report = Evaluation(
        model="video_lstm",
        version=1,
        digest=repository.card("video_lstm", 1).digest,
        created="2026-11-21T12:00:00+00:00",
        set=SetInfo(name="clips", real=1, fake=1, digest="sha256:0"),
        thresholds=Thresholds(low=0.3, high=0.7),
        figures={name: Interval(value=0.5, low=0.4, high=0.6) for name in NAMES},
        bootstrap="none",
        confusion=Confusion(real=(1, 0, 0), fake=(0, 0, 1)),
        slices=(),
        unjudged=(),
        speed=Speed(at_once=1, media_per_s=1, median_ms=1, p95_ms=1, inference_median_ms=1),
    )
    metrics = Metrics(set="clips", n=2, auc=1, eer=0, brier=0, ece=0, accuracy=1)
    return Evaluated(report=msgspec.structs.replace(report, **changes), metrics=metrics, files={"report.md": b"It is."})


@pytest.mark.integration
def test_a_version_that_serves_answers_on_while_it_is_loaded_with_a_report(repository):
    version = Version("video_lstm", 1)
    with stand(repository, [("video_lstm", 1)], load_settings({})) as here:

        async def ask_until(done):
            asked = 0
            async with here.triton.control() as control:
                while not done.is_set():
                    await control.ask(version, deadline_s=20)
                    asked += 1
            return asked

        async def load_again():
            done = asyncio.Event()
            asking = [asyncio.create_task(ask_until(done)) for _ in range(3)]
            async with here.triton.control() as control:
                await control.load("video_lstm", deadline_s=60)
            done.set()
            return sum(await asyncio.gather(*asking))

        folder = keep(repository, evaluated(repository))

        assert asyncio.run(load_again()) > 3
    assert (folder / "report.md").read_bytes() == b"It is."
    assert repository.card("video_lstm", 1).metrics.set == "clips"


def test_a_second_report_of_a_day_lies_beside_the_first(repository):
    first, second = (keep(repository, evaluated(repository)) for _ in range(2))

    assert (first.name, second.name) == ("2026-11-21-clips", "2026-11-21-clips-2")


def test_figures_of_other_weights_are_not_kept(repository):
    with pytest.raises(ModelsError, match="evaluate again"):
        keep(repository, evaluated(repository, digest="sha256:1"))
    assert not (repository.root / "video_lstm" / "1" / "evaluation").exists()


def test_a_full_disk_leaves_no_half_report(repository, monkeypatch):
    def fill_up(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(measuring, "write_file", fill_up)
    before = (repository.root / "video_lstm" / "1" / "card.json").read_bytes()

    with pytest.raises(ModelsError, match="No space left"):
        keep(repository, evaluated(repository))
    assert (repository.root / "video_lstm" / "1" / "card.json").read_bytes() == before
    assert list((repository.root / "video_lstm" / "1").glob("evaluation/*")) == []
