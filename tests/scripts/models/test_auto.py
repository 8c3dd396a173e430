"""When a step of an automatic roll-out is judged, from what something that answers for a Bento says."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import msgspec
from aiohttp import web

from bentos.cards import Canary, Route, TrafficTable
from bentos.contract import FIGURES_PATH, LATENCY_BOUNDS_S, SCORE_BINS, Figures, Modality, Part, VersionFigures
from scripts.models.auto import AutoRollout, Plan
from scripts.models.judging import Bounds
from scripts.models.publish import write_traffic
from scripts.models.repository import Repository
from scripts.models.serving import Platform
from scripts.models.steps import Step
from scripts.stack.ports import free_ports

PLAN = Plan(steps=(100,), hold_s=0.01, min_calls=10, patience_s=1, bounds=Bounds(errors=0.5))


def version(number: int, part: Part, answered: int, *, errors: int = 0, score_bin: int = 0) -> VersionFigures:
    return VersionFigures(
        model="cnn",
        version=number,
        part=part,
        answered=answered,
        errors=errors,
        in_flight=0,
        latency=(answered, *(0,) * len(LATENCY_BOUNDS_S)),
        latency_sum_s=0,
        scores=tuple(answered if each == score_bin else 0 for each in range(SCORE_BINS)),
    )


@asynccontextmanager
async def bento(answers: Sequence[Figures]) -> AsyncIterator[str]:
    """The address of something that gives these answers one after the other, then the last one for good."""
    left = list(answers)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(left.pop(0) if len(left) > 1 else left[0]))

    app = web.Application()
    app.router.add_get(FIGURES_PATH, answer)
    runner = web.AppRunner(app)
    await runner.setup()
    [port] = free_ports(1)
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


Answers = tuple[float, VersionFigures, VersionFigures]


async def held(folder, plan: Plan, *image: Answers, video: Sequence[Answers] = ()):
    """How a step of 100 % ends with answers of Bentos that were started at these times."""
    route = Route(stable=1, canary=Canary(version=2, percent=100))
    write_traffic(folder, TrafficTable(defaults={}, models={"cnn": route}))
    async with AsyncExitStack() as stack:
        bentos = {
            modality: await stack.enter_async_context(
                bento([Figures(started=started, versions=versions) for started, *versions in answers])
            )
            for modality, answers in ((Modality.IMAGE, image), (Modality.VIDEO, video))
            if answers
        }
        platform = Platform(triton_address="", control_key=None, bentos=bentos, token=None)
        automatic = AutoRollout(Repository(folder), platform, "cnn", 2, plan, tell=lambda _: None)
        return await automatic._hold(100)


async def test_a_step_is_not_kept_before_enough_calls_are_answered_to_compare_them(tmp_path):
    start = (1.0, version(1, "stable", 50), version(2, "canary", 0))
    one_failed = (1.0, version(1, "stable", 50), version(2, "canary", 9, errors=1, score_bin=19))
    verdict = await held(tmp_path, PLAN, start, one_failed)
    assert (verdict.end, verdict.measured[Modality.IMAGE].canary.calls) == ("starved", 10)
    assert "10 calls came at 100 % beside 50 of the stable version" in verdict.why
    assert "--steps 100 --min-calls 9" in verdict.why

    enough = (1.0, version(1, "stable", 50), version(2, "canary", 10, errors=1, score_bin=19))
    verdict = await held(tmp_path, PLAN, start, enough)
    assert (verdict.end, "population stability index" in verdict.why) == ("broken", True)


async def test_calls_count_alone_where_nothing_is_compared(tmp_path):
    start = (1.0, version(1, "stable", 0), version(2, "canary", 0))
    called = (1.0, version(1, "stable", 0), version(2, "canary", 9, errors=1, score_bin=19))
    plan = replace(PLAN, bounds=Bounds(errors=0.5, p95_ratio=None, psi=None))
    assert (await held(tmp_path, plan, start, called)).end == "kept"


async def test_what_was_counted_before_a_bento_was_started_anew_is_not_lost(tmp_path):
    start = (1.0, version(1, "stable", 50), version(2, "canary", 0))
    failing = (1.0, version(1, "stable", 50), version(2, "canary", 0, errors=5))
    anew = (2.0, version(1, "stable", 0), version(2, "canary", 1, errors=1))
    verdict = await held(tmp_path, PLAN, start, failing, anew)
    assert (verdict.end, verdict.measured[Modality.IMAGE].canary.errors) == ("broken", 6)


async def test_each_bento_is_judged_apart(tmp_path):
    def counted(canary: int, *, score_bin: int, errors: int = 0, stable: int = 60) -> Answers:
        return 1.0, version(1, "stable", stable), version(2, "canary", canary, errors=errors, score_bin=score_bin)

    none = counted(0, score_bin=0)
    # Over both, 380 of 400 scores lie where the stable version's do.
    verdict = await held(
        tmp_path, PLAN, none, counted(380, score_bin=0, stable=400), video=[none, counted(20, score_bin=19)]
    )
    assert verdict.end == "broken"
    assert verdict.why.startswith("At 100 %, in video calls, its scores are spread otherwise")

    few = [none, counted(3, score_bin=19)]
    verdict = await held(tmp_path, PLAN, none, counted(380, score_bin=0, stable=400), video=few)
    assert (verdict.end, verdict.measured[Modality.VIDEO].compared) == ("kept", False)
    told = Step.of(100, verdict.seconds, verdict.measured).in_words()
    assert "image 380 calls, 0 errors, p95" in told
    assert "; video 3 calls, 0 errors, too few to compare." in told

    failing = [none, counted(0, score_bin=0, errors=9)]
    verdict = await held(tmp_path, PLAN, none, counted(380, score_bin=0, stable=400), video=failing)
    assert (verdict.end, "in video calls, 9 of 9 calls failed" in verdict.why) == ("broken", True)
