"""How tokens sign calls and are renewed: once, whoever needs it first, however many wait."""

import asyncio
import time

import pytest
from aiohttp import web

from bonafide_client import AuthenticationError, BonafideError, ConnectionLostError, Tokens
from tests.fixtures.clients import DETECTION, answer, hang_up, problem

ID = DETECTION["id"]
OLD = Tokens("old", "refresh-1")


class Platform:
    """Knows which access token is good, and takes each refresh token once."""

    def __init__(self) -> None:
        self.access, self.refresh = "new", "refresh-1"
        self.renewals = 0
        self.pause_s = 0.0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/v1/auth/refresh":
            await asyncio.sleep(self.pause_s)
            if (await request.json())["refresh_token"] != self.refresh:
                return await problem(401, "invalid_refresh_token")(request)
            self.renewals += 1
            self.refresh = f"refresh-{self.renewals + 1}"
            tokens = {"access_token": self.access, "token_type": "Bearer", "expires_in": 900}
            return web.json_response(tokens | {"refresh_token": self.refresh})
        if request.headers.get("authorization") != f"Bearer {self.access}":
            return await problem(401, "token_expired")(request)
        return web.json_response(DETECTION)


@pytest.fixture
def platform(wayward):
    wayward.otherwise = Platform()
    return wayward.otherwise


@pytest.fixture
def kept():
    return []


@pytest.fixture
def client(either, wayward, platform, kept):
    assert platform
    return either.client(wayward.url, api_key=None, tokens=OLD, on_tokens=kept.append)


async def test_an_expired_token_is_renewed_and_the_call_made_again(either, client, platform, wayward, kept):
    detection = await either(client.detections.create, b"RIFF")

    assert detection.verdict == "FAKE"
    assert [call.path for call in wayward.received] == ["/v1/detections", "/v1/auth/refresh", "/v1/detections"]
    assert "authorization" not in wayward.received[1].headers
    assert wayward.received[0].headers["idempotency-key"] == wayward.received[2].headers["idempotency-key"]
    (tokens,) = kept
    assert (tokens.access_token, tokens.refresh_token) == ("new", "refresh-2")
    assert tokens.expires_at == pytest.approx(time.time() + 900, abs=60)
    assert client.tokens == tokens
    assert platform.renewals == 1


async def test_many_callers_renew_once(either, client, platform):
    platform.pause_s = 0.1

    await asyncio.gather(*(either(client.detections.retrieve, ID) for _ in range(20)))

    assert platform.renewals == 1


async def test_callers_with_other_time_outs_renew_together(either, client, platform):
    platform.pause_s = 0.1

    await asyncio.gather(*(either(client.with_options().detections.retrieve, ID) for _ in range(5)))

    assert platform.renewals == 1


async def test_a_token_known_to_end_is_renewed_before_the_call(either, wayward, platform):
    tokens = Tokens("old", "refresh-1", expires_at=time.time() + 1)
    client = either.client(wayward.url, api_key=None, tokens=tokens)

    await either(client.detections.retrieve, ID)

    assert [call.path for call in wayward.received] == ["/v1/auth/refresh", f"/v1/detections/{ID}"]
    assert platform.renewals == 1


async def test_a_stream_is_not_sent_with_a_token_known_to_end(either, wayward, platform):
    tokens = Tokens("old", "refresh-1", expires_at=time.time() - 1)
    client = either.client(wayward.url, api_key=None, tokens=tokens)

    await either(client.detections.create, iter([b"RI", b"FF"]))

    assert b"RIFF" in wayward.received[-1].body
    assert platform.renewals == 1


async def test_a_dead_session_is_an_authentication_error(either, client, platform):
    platform.refresh = "another"

    with pytest.raises(AuthenticationError) as caught:
        await either(client.detections.retrieve, ID)

    assert caught.value.code == "invalid_refresh_token"


async def test_a_token_that_is_refused_after_its_renewal_is_not_renewed_again(either, client, platform, wayward):
    wayward.will(problem(401, "token_expired"), wayward.otherwise, problem(401, "invalid_token"))

    with pytest.raises(AuthenticationError):
        await either(client.detections.retrieve, ID)

    assert platform.renewals == 1


async def test_a_key_is_not_renewed(either, wayward):
    wayward.will(problem(401, "invalid_api_key"))

    with pytest.raises(AuthenticationError):
        await either(either.client(wayward.url).detections.retrieve, ID)

    assert len(wayward.received) == 1


async def test_tokens_can_be_renewed_at_will(either, client, platform):
    tokens = await either(client.auth.refresh)

    assert tokens.access_token == "new"
    assert platform.renewals == 1


async def test_but_not_without_a_refresh_token(either, wayward):
    with pytest.raises(BonafideError, match="no refresh token"):
        await either(either.client(wayward.url).auth.refresh)


async def test_what_must_not_happen_twice_is_not_repeated_when_the_answer_is_lost(either, wayward):
    wayward.will(hang_up)

    with pytest.raises(ConnectionLostError):
        await either(either.client(wayward.url).auth.register, "a@example.org", "correct horse battery")

    assert len(wayward.received) == 1


async def test_but_is_where_it_was_refused_unseen(either, wayward):
    wayward.will(problem(429, "too_many_attempts", Retry_After="0"), answer({}, 204))

    await either(either.client(wayward.url).auth.reset_password, "token", "correct horse battery")

    assert len(wayward.received) == 2


def test_nothing_prints_a_secret():
    assert "refresh" not in repr(OLD).replace("refresh_token", "")
    assert "old" not in repr(OLD)
