import asyncio
import copy
from typing import Any

import psycopg
import pytest

from tests.fixtures.authenticator import Authenticator, decode, encode
from tests.fixtures.gateway import EMAIL
from tests.fixtures.passkeys import LOGIN, Owner, owner_of, sign_in

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
async def test_a_passkey_is_added_and_signs_in_without_a_name(owner: Owner, algorithm: Any) -> None:
    authenticator = Authenticator(algorithm)
    answer = await owner.add(authenticator)
    assert answer.status_code == 201, answer.text
    assert answer.json()["name"] == "Phone"
    assert answer.json()["transports"] == ["internal"]
    for _ in range(2):
        answer = await sign_in(owner.http, authenticator)
        assert answer.status_code == 200, answer.text
        assert answer.json()["account"]["email"] == EMAIL
        assert answer.json()["refresh_token"]
        token = answer.json()["access_token"]
        me = await owner.http.get("/v1/account", headers={"authorization": f"Bearer {token}"})
        assert me.json()["email"] == EMAIL
    (listed,) = (await owner.call("GET")).json()["data"]
    assert listed["last_used_at"] is not None


async def test_the_options_ask_for_a_verified_user_and_a_key_that_is_found_without_a_name(owner: Owner) -> None:
    options = await owner.options()
    assert options["rp"] == {"id": "localhost", "name": "Bonafide"}
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert options["authenticatorSelection"]["residentKey"] == "required"
    assert options["attestation"] == "none"
    assert {one["alg"] for one in options["pubKeyCredParams"]} == {-7, -8, -257}
    assert EMAIL.encode() not in decode(options["user"]["id"])
    asked = (await owner.http.post(LOGIN)).json()
    assert asked["userVerification"] == "required"
    assert asked["allowCredentials"] == []
    assert asked["challenge"] != options["challenge"]


async def test_a_passkey_signs_in_by_name(owner: Owner) -> None:
    authenticator = Authenticator()
    await owner.add(authenticator)
    options = (await owner.http.post(LOGIN, json={"login": EMAIL.upper()})).json()
    assert [one["id"] for one in options["allowCredentials"]] == [encode(authenticator.credential_id)]
    assert (await sign_in(owner.http, authenticator, EMAIL)).status_code == 200


async def test_a_name_without_passkeys_looks_like_one_with_them(owner: Owner) -> None:
    asked = [
        (await owner.http.post(LOGIN, json={"login": name})).json()
        for name in ("nobody@example.org", "nobody@example.org", EMAIL, "no name at all", "@")
    ]
    ids = [[one["id"] for one in options["allowCredentials"]] for options in asked]
    assert all(len(one) == 1 for one in ids)
    assert ids[0] == ids[1]
    assert len({one[0] for one in ids}) == 4


@pytest.mark.parametrize("login", ["nobody@example.org", "other@example.org", EMAIL])
async def test_a_challenge_for_one_account_is_no_good_for_another(owner: Owner, login: str) -> None:
    """Not for one that has passkeys, nor for one that has none, nor for one that does not exist."""
    await owner.add(Authenticator())
    other = await owner_of(owner.http, "other@example.org")
    mine = Authenticator()
    if login == "other@example.org":
        await owner.add(mine)
    else:
        await other.add(mine)
    answer = await sign_in(owner.http, mine, login)
    assert answer.status_code == 401
    assert answer.json()["code"] == "invalid_passkey"


@pytest.mark.parametrize("wrong", [{"origin": "https://evil.example"}, {"rp_id": "evil.example"}, {"verified": False}])
async def test_a_wrong_origin_a_wrong_domain_and_an_unverified_user_are_refused(
    owner: Owner, wrong: dict[str, Any]
) -> None:
    authenticator = Authenticator()
    answer = await owner.add(authenticator, **wrong)
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_passkey"
    assert (await owner.call("GET")).json()["data"] == []
    await owner.add(authenticator)
    answer = await sign_in(owner.http, authenticator, **wrong)
    assert answer.status_code == 401
    assert answer.json()["code"] == "invalid_passkey"


async def test_an_answer_is_good_once(owner: Owner) -> None:
    authenticator = Authenticator(counts=False)
    options = await owner.options()
    body = {"credential": authenticator.create(options)}
    assert (await owner.call("POST", "/register/verify", body)).status_code == 201
    other = {"credential": Authenticator().create(options)}
    assert (await owner.call("POST", "/register/verify", other)).status_code == 400
    answered = {"credential": authenticator.get((await owner.http.post(LOGIN)).json())}
    assert (await owner.http.post(f"{LOGIN}/verify", json=answered)).status_code == 200
    assert (await owner.http.post(f"{LOGIN}/verify", json=answered)).status_code == 401


async def test_of_many_at_once_with_one_answer_one_signs_in(owner: Owner) -> None:
    authenticator = Authenticator(counts=False)
    await owner.add(authenticator)
    answered = {"credential": authenticator.get((await owner.http.post(LOGIN)).json())}
    answers = await asyncio.gather(*(owner.http.post(f"{LOGIN}/verify", json=answered) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 5


async def test_a_wrong_answer_spends_the_challenge(owner: Owner) -> None:
    authenticator = Authenticator()
    await owner.add(authenticator)
    options = (await owner.http.post(LOGIN)).json()
    wrong = authenticator.get(options, verified=False)
    assert (await owner.http.post(f"{LOGIN}/verify", json={"credential": wrong})).status_code == 401
    right = authenticator.get(options)
    assert (await owner.http.post(f"{LOGIN}/verify", json={"credential": right})).status_code == 401


async def test_a_challenge_is_good_for_its_purpose_and_account_only(owner: Owner) -> None:
    authenticator = Authenticator()
    for_sign_in = (await owner.http.post(LOGIN)).json()
    options = await owner.options() | {"challenge": for_sign_in["challenge"]}
    body = {"credential": authenticator.create(options)}
    assert (await owner.call("POST", "/register/verify", body)).status_code == 400
    other = await owner_of(owner.http, "other@example.org")
    body = {"credential": authenticator.create(await owner.options())}
    assert (await other.call("POST", "/register/verify", body)).status_code == 400
    await owner.add(authenticator)
    options = await owner.options()
    answer = await owner.http.post(f"{LOGIN}/verify", json={"credential": authenticator.get(options)})
    assert answer.status_code == 401


async def test_an_expired_challenge_is_refused(owner: Owner, database: psycopg.AsyncConnection[Any]) -> None:
    authenticator = Authenticator()
    made = authenticator.create(await owner.options())
    await database.execute("UPDATE passkey_challenges SET expires_at = now() - interval '1 second'")
    answer = await owner.call("POST", "/register/verify", {"credential": made})
    assert answer.status_code == 400
    await owner.add(authenticator)
    options = (await owner.http.post(LOGIN)).json()
    await database.execute("UPDATE passkey_challenges SET expires_at = now() - interval '1 second'")
    answer = await owner.http.post(f"{LOGIN}/verify", json={"credential": authenticator.get(options)})
    assert answer.status_code == 401


async def test_a_tampered_answer_is_refused(owner: Owner) -> None:
    authenticator = Authenticator()
    await owner.add(authenticator)
    for part in ("signature", "authenticatorData", "clientDataJSON", "userHandle"):
        credential = authenticator.get((await owner.http.post(LOGIN)).json())
        changed = bytearray(decode(credential["response"][part]))
        changed[-3] ^= 1
        credential["response"][part] = encode(bytes(changed))
        answer = await owner.http.post(f"{LOGIN}/verify", json={"credential": credential})
        assert answer.status_code == 401, part
    impostor = Authenticator(credential_id=authenticator.credential_id, user_handle=authenticator.user_handle)
    assert (await sign_in(owner.http, impostor)).status_code == 401
    assert (await sign_in(owner.http, Authenticator())).status_code == 401


async def test_a_cloned_authenticator_is_refused_and_written_down(
    owner: Owner, database: psycopg.AsyncConnection[Any]
) -> None:
    authenticator = Authenticator()
    await owner.add(authenticator)
    clone = copy.copy(authenticator)
    for _ in range(2):
        assert (await sign_in(owner.http, authenticator)).status_code == 200
    answer = await sign_in(owner.http, clone)
    assert answer.status_code == 401
    assert answer.json()["code"] == "invalid_passkey"
    query = "SELECT before, after FROM audit_events WHERE action = 'passkey.suspect_clone'"
    assert await (await database.execute(query)).fetchall() == [({"sign_count": 2}, {"sign_count": 1})]
    query = "SELECT target_id, address FROM audit_events WHERE action = 'session.refuse'"
    ((account_id, _),) = await (await database.execute(query)).fetchall()
    assert (
        account_id
        == (await owner.http.get("/v1/account", headers={"authorization": f"Bearer {owner.token}"})).json()["id"]
    )
    clone.counts, clone.count = False, 0
    assert (await sign_in(owner.http, clone)).status_code == 401
    assert (await sign_in(owner.http, authenticator)).status_code == 200


async def test_rubbish_is_refused(owner: Owner) -> None:
    authenticator = Authenticator()
    await owner.add(authenticator)
    for part, rubbish in (
        ("attestationObject", encode(b"\xa0")),
        ("attestationObject", encode(b"\x9f" * 5000)),
        ("attestationObject", "A"),
        ("clientDataJSON", encode(b"[]")),
        ("clientDataJSON", encode(b"\xff")),
        ("clientDataJSON", "A"),
    ):
        made = Authenticator().create(await owner.options())
        made["response"][part] = rubbish
        answer = await owner.call("POST", "/register/verify", {"credential": made})
        assert answer.status_code == 400, (part, rubbish[:20])
    for name in ("A", encode(b"")):
        answered = authenticator.get((await owner.http.post(LOGIN)).json()) | {"rawId": name}
        answer = await owner.http.post(f"{LOGIN}/verify", json={"credential": answered})
        assert answer.status_code in {400, 401}
    for body in ({}, {"credential": {}}, {"credential": authenticator.get({"challenge": "AA"}), "account_id": "x"}):
        assert (await owner.http.post(f"{LOGIN}/verify", json=body)).status_code == 400


async def test_a_suspended_account_is_refused(owner: Owner, database: psycopg.AsyncConnection[Any]) -> None:
    authenticator = Authenticator()
    await owner.add(authenticator)
    await database.execute("UPDATE accounts SET status = 'suspended'")
    answer = await sign_in(owner.http, authenticator)
    assert answer.status_code == 403
    assert answer.json()["code"] == "account_suspended"


async def test_failing_on_and_on_makes_one_wait(owner: Owner) -> None:
    authenticator = Authenticator()
    answers = [(await sign_in(owner.http, authenticator)).status_code for _ in range(60)]
    assert answers[:50] == [401] * 50
    assert 429 in answers
