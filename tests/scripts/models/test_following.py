"""What is made of the answers of Bentos that follow, lag behind, refuse, or are not there."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import web

from bentos.contract import FIGURES_PATH, LATENCY_BOUNDS_S, SCORE_BINS, Figures, Modality, VersionFigures
from scripts.models.following import ask_bentos, follow, wait_heard, wait_idle
from scripts.models.publish import digest_of
from scripts.models.serving import Platform
from scripts.stack.ports import free_ports

TOKEN = "made-up-token-of-a-bento-for-the-tests"

Handler = Callable[[web.Request], Awaitable[web.Response]]


def figures(table: str, *, in_flight: int = 0) -> web.Response:
    version = VersionFigures(
        model="cnn",
        version=2,
        part="stable",
        answered=0,
        errors=0,
        in_flight=in_flight,
        latency=(0,) * (len(LATENCY_BOUNDS_S) + 1),
        latency_sum_s=0,
        scores=(0,) * SCORE_BINS,
    )
    body = msgspec.json.encode(Figures(started=1.0, versions=(version,), table=table))
    return web.Response(body=body, content_type="application/json")


@asynccontextmanager
async def bento(answer: Handler) -> AsyncIterator[Platform]:
    """A platform of which something that answers for the image Bento runs, and nothing else."""
    app = web.Application()
    app.router.add_get(FIGURES_PATH, answer)
    runner = web.AppRunner(app)
    await runner.setup()
    port, nobody = free_ports(2)
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield Platform(
            triton_address="127.0.0.1:1",
            control_key=None,
            bentos={Modality.IMAGE: f"http://127.0.0.1:{port}", Modality.AUDIO: f"http://127.0.0.1:{nobody}"},
            token=TOKEN,
        )
    finally:
        await runner.cleanup()


async def test_a_bento_that_does_not_run_is_not_waited_for():
    async def answer(request: web.Request) -> web.Response:
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        return figures("new")

    async with bento(answer) as platform:
        followed = await follow(platform, lambda: "new", deadline_s=5)
    assert (followed.bentos.away, set(followed.bentos.figures)) == ({Modality.AUDIO}, {Modality.IMAGE})
    assert followed.seconds is not None


async def test_a_bento_is_waited_for_until_it_follows():
    tables = ["old", "old", "new"]

    async def answer(_: web.Request) -> web.Response:
        return figures(tables.pop(0) if len(tables) > 1 else tables[0])

    async with bento(answer) as platform:
        assert (await follow(platform, lambda: "new", deadline_s=10)).seconds is not None
    assert tables == ["new"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(lambda: figures("old"), "image routes by another table", id="behind"),
        pytest.param(lambda: web.Response(status=401), "image: it answers 401", id="refused"),
        pytest.param(lambda: web.Response(text="{}"), "image: Object missing required field", id="no-figures"),
    ],
)
async def test_a_bento_that_does_not_follow_is_told_of_and_never_taken_for_idle(answer, words):
    async def answering(_: web.Request) -> web.Response:
        return answer()

    async with bento(answering) as platform:
        followed = await follow(platform, lambda: "new", deadline_s=0.3)
    assert followed.seconds is None
    [laggard] = followed.bentos.laggards("new")
    assert laggard.startswith(words)


async def test_calls_in_flight_are_waited_for_until_the_deadline():
    left = [3, 2, 0]

    async def answer(_: web.Request) -> web.Response:
        return figures("new", in_flight=left.pop(0) if len(left) > 1 else left[0])

    async with bento(answer) as platform:
        assert (await ask_bentos(platform)).busy() == {("cnn", 2)}
        assert (await wait_idle(platform, frozenset({("cnn", 2)}), deadline_s=0)).busy() == {("cnn", 2)}
        assert (await wait_idle(platform, frozenset({("cnn", 2)}), deadline_s=10)).busy() == frozenset()


async def test_a_command_waits_until_the_bentos_have_read_what_it_has_written(tmp_path):
    table, asked = tmp_path / "serving.json", []
    table.write_bytes(b"{}")

    async def answer(_: web.Request) -> web.Response:
        asked.append(1)
        return figures(digest_of(b"{}") if len(asked) > 3 else "an older one")

    async with bento(answer) as platform:
        assert (await wait_heard(platform, table)).startswith("All Bentos that run follow, after 0.")
        assert len(asked) == 4
        table.write_bytes(b"{ }")
        told = await wait_heard(platform, table, deadline_s=0.3)
    assert told.startswith("Not every Bento follows yet (image routes by another table)")
    assert await wait_heard(platform, table) == "No Bento runs; each reads the table when it starts."
