"""What proves a webhook, held against the specification's example and against what the platform sends."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from bonafide_client import BadRequestError, ConflictError, NotFoundError
from bonafide_client.webhooks import InvalidSignatureError, verify
from gateway.webhooks.secrets import as_text, make_secret, sign
from tests.fixtures.gateway import make_account

# The example that the specification's reference libraries are tested with.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
AT = 1614265330
HEADERS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": str(AT),
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


def check(
    body: Any = BODY, headers: Mapping[str, str] = HEADERS, secrets: Any = SECRET, **options: Any
) -> dict[str, Any]:
    return verify(body, headers, secrets, **{"now": AT} | options)


def test_the_example_of_the_specification() -> None:
    assert check() == {"test": 2432232314}
    assert check(body=BODY.decode()) == {"test": 2432232314}
    assert check(secrets=SECRET.removeprefix("whsec_")) == {"test": 2432232314}
    assert check(headers={name.title(): value for name, value in HEADERS.items()}) == {"test": 2432232314}


def test_one_secret_of_several_and_one_signature_of_several_are_enough() -> None:
    other = as_text(make_secret())
    assert check(secrets=[other, SECRET])
    both = f"v1a,xyz v1,{'A' * 43}= {HEADERS['webhook-signature']} v2,abc"
    assert check(headers=HEADERS | {"webhook-signature": both})


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": "msg_other"},
        {"webhook-timestamp": str(AT + 1)},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": f" {AT}"},
        {"webhook-timestamp": "9" * 400},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1"},
        {"webhook-signature": HEADERS["webhook-signature"].replace("v1", "v2")},
        {"webhook-signature": HEADERS["webhook-signature"][:-2] + "A="},
        {"webhook-signature": "v1,é"},
        {"webhook-signature": ""},
        {"webhook-id": ""},
        {"webhook-timestamp": ""},
    ],
)
def test_what_is_changed_is_refused(changed: dict[str, str]) -> None:
    with pytest.raises(InvalidSignatureError):
        check(headers=HEADERS | changed)


@pytest.mark.parametrize("missing", HEADERS)
def test_a_missing_header_is_refused(missing: str) -> None:
    with pytest.raises(InvalidSignatureError):
        check(headers={name: value for name, value in HEADERS.items() if name != missing})


def test_another_body_or_secret_is_refused() -> None:
    for options in (
        {"body": BODY + b" "},
        {"body": json.dumps(json.loads(BODY), indent=1)},
        {"secrets": as_text(make_secret())},
    ):
        with pytest.raises(InvalidSignatureError):
            check(**options)


@pytest.mark.parametrize("offset", [-301, 301])
def test_what_is_too_old_or_too_new_is_refused(offset: int) -> None:
    with pytest.raises(InvalidSignatureError):
        check(now=AT + offset)
    assert check(now=AT + offset, tolerance=timedelta(minutes=6))
    assert check(now=AT + offset // 301 * 300)
    with pytest.raises(InvalidSignatureError):
        verify(BODY, HEADERS, SECRET)


@pytest.mark.parametrize("secrets", [[], "whsec_not base64", ["whsec_é"]])
def test_what_is_no_secret_is_the_callers_fault(secrets: Any) -> None:
    with pytest.raises(ValueError, match="secret"):
        check(secrets=secrets)


@pytest.mark.parametrize("body", [b"[]", b"null", b"{", b"\xff"])
def test_what_is_signed_but_no_event_is_refused(body: bytes) -> None:
    secret = make_secret()
    headers = HEADERS | {"webhook-signature": sign([secret], message_id=HEADERS["webhook-id"], timestamp=AT, body=body)}
    with pytest.raises(InvalidSignatureError):
        check(body=body, headers=headers, secrets=as_text(secret))


@pytest.mark.integration
async def test_both_clients_manage_endpoints_and_read_what_came_of_them(either, start_gateway, database) -> None:
    gateway = await start_gateway(outbound_allowed_networks=["127.0.0.0/8"], webhooks_over_http=True)
    client = either.client(gateway.url, api_key=await make_account(database))
    made = await either(client.webhooks.create, "http://127.0.0.1:9/a", events=["job.failed"], description="mine")
    assert made.secret.startswith("whsec_")
    assert made.secret not in repr(made)
    with pytest.raises(BadRequestError) as refused:
        await either(client.webhooks.create, "http://169.254.169.254/")
    assert refused.value.code == "url_not_allowed"
    changed = await either(client.webhooks.update, made.id, url="http://127.0.0.1:9/b", enabled=False)
    assert (changed.url, changed.enabled, changed.disabled_reason) == ("http://127.0.0.1:9/b", False, "owner")
    await either(client.webhooks.update, made.id, enabled=True)
    rotated = await either(client.webhooks.rotate, made.id, overlap_s=60)
    assert rotated.former_secret_expires_at
    assert rotated.secret != made.secret
    assert [one.id for one in await either.all(client.webhooks.list())] == [made.id]
    assert (await either(client.webhooks.retrieve, made.id)).events == ("job.failed",)
    sent = await either(client.webhooks.test, made.id)
    assert (sent.event, sent.status, sent.attempts) == ("webhook.test", "pending", ())
    listed = await either.all(client.webhooks.deliveries.list(endpoint_id=made.id, status="pending"))
    assert [one.id for one in listed] == [sent.id]
    with pytest.raises(ConflictError):
        await either(client.webhooks.deliveries.replay, sent.id)
    assert (await either(client.webhooks.deliveries.retrieve, sent.id)).body["type"] == "webhook.test"
    await either(client.webhooks.delete, made.id)
    with pytest.raises(NotFoundError):
        await either(client.webhooks.deliveries.retrieve, sent.id)
