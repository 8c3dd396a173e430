from types import SimpleNamespace

import msgspec
import pytest
from aiohttp import web

from bentos.contract import (
    HEADER_CALLER,
    HEADER_MODEL,
    Detection,
    ErrorBody,
    ImageEvidence,
    Modality,
    Thresholds,
    Timings,
    Verdict,
)
from scripts.models.errors import ModelsError
from scripts.models.evaluation import judging
from scripts.models.evaluation.judging import judge
from scripts.models.evaluation.labelled import Sample
from tests.fixtures.triton import free_ports

ONE, TWO = ("faces", 1), ("faces", 2)


def detection(version):
    return Detection(
        modality=Modality.IMAGE,
        verdict=Verdict.FAKE,
        p_fake=0.9,
        confidence=90,
        reasons=(),
        partial=False,
        unscored=(),
        model="faces",
        version=version,
        digest="sha256:0",
        thresholds=Thresholds(low=0.3, high=0.7),
        evidence=ImageEvidence(width=1, height=1, format="PNG", faces_found=0, faces=()),
        timings=Timings(queue_ms=0, decode_ms=0, faces_ms=0, inference_ms=0, total_ms=0),
    )


def error(status, code):
    return status, ErrorBody(code=code, message=f"It is {code}.")


class Bento:
    """Stands for a Bento in trouble: answers of a medium are taken from its list, one call after the other."""

    def __init__(self, answers):
        self.answers = answers
        self.callers = []

    async def detect(self, request):
        name = (await request.read()).decode()
        self.callers.append((name, request.headers[HEADER_MODEL], request.headers[HEADER_CALLER]))
        left = self.answers.get(name, [])
        status, body = left.pop(0) if left else (200, detection(int(request.headers[HEADER_CALLER][-1])))
        return web.Response(status=status, body=msgspec.json.encode(body))


def write(samples):
    for sample in samples:
        sample.path.write_text(sample.name)


@pytest.fixture
async def ask(tmp_path, monkeypatch):
    monkeypatch.setattr(judging, "_PAUSE_S", 0.001)
    runners = []

    async def ask(answers, versions=(ONE,), names=("a", "b", "c")):
        bento, app = Bento(answers), web.Application()
        app.router.add_post("/detect", bento.detect)
        runner = web.AppRunner(app)
        await runner.setup()
        runners.append(runner)
        [port] = free_ports(1)
        await web.TCPSite(runner, "127.0.0.1", port).start()
        here = SimpleNamespace(
            bentos={Modality.IMAGE: f"http://127.0.0.1:{port}"},
            token="made-up",
            caller_of=lambda model, version: f"{model}-{version}",
        )
        samples = [Sample(path=tmp_path / name, name=name, fake=name == "a") for name in names]
        write(samples)
        return await judge(here, Modality.IMAGE, versions, samples, at_once=2), bento

    yield ask
    for runner in runners:
        await runner.cleanup()


async def test_a_bento_that_has_too_much_to_do_is_asked_again(ask):
    found, bento = await ask({"b": [error(503, "overloaded"), error(504, "deadline_exceeded")]})

    assert [each[0].sample.name for each in found.judged] == ["a", "b", "c"]
    assert found.unjudged == ()
    assert [name for name, _, _ in bento.callers].count("b") == 3


async def test_one_that_never_has_time_is_listed_and_stops_nobody(ask):
    found, bento = await ask({"b": [error(503, "overloaded")] * 50, "c": [error(415, "unsupported_media_type")]})

    assert [each[0].sample.name for each in found.judged] == ["a"]
    assert [(each.name, each.code) for each in found.unjudged] == [
        ("b", "overloaded"),
        ("c", "unsupported_media_type"),
    ]
    assert [name for name, _, _ in bento.callers].count("b") < 10


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (error(503, "broken_model"), "faces:1 cannot judge b"),
        (error(401, "unauthorized"), "faces:1 cannot judge b"),
        ((200, detection(7)), "faces:7 answered a call for faces:1"),
        ((200, {"no": "verdict"}), "what no contract says"),
    ],
    ids=["broken", "refused", "other-version", "nonsense"],
)
async def test_what_no_other_medium_would_mend_ends_it(ask, answer, sentence):
    with pytest.raises(ModelsError, match=sentence):
        await ask({"b": [answer]})


async def test_a_set_of_which_nothing_can_be_judged_is_no_set(ask):
    refused = error(415, "unsupported_media_type")

    with pytest.raises(ModelsError, match="None of 2 media could be judged; a: It is unsupported_media_type"):
        await ask({"a": [refused], "b": [refused]}, names=("a", "b"))


async def test_versions_take_turns_in_being_first(ask):
    found, bento = await ask({}, versions=(ONE, TWO))

    assert [[each.detection.version for each in both] for both in found.judged] == [[1, 2]] * 3
    by_name = {name: [caller for each, _, caller in bento.callers if each == name] for name in "abc"}
    assert by_name == {"a": ["faces-1", "faces-2"], "b": ["faces-2", "faces-1"], "c": ["faces-1", "faces-2"]}
