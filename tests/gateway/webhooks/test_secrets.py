"""Secrets and signatures, held against the specification's own example."""

import base64
from uuid import uuid4

import pytest

from gateway.webhooks.secrets import SECRET_BYTES, SecretUnreadableError, Vault, as_text, make_secret, sign

# The example that the specification's reference libraries are tested with.
SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_example_of_the_specification() -> None:
    secret = base64.b64decode(SECRET)
    assert sign([secret], message_id=MESSAGE, timestamp=TIMESTAMP, body=BODY) == SIGNATURE


def test_each_secret_signs() -> None:
    first, second = make_secret(), base64.b64decode(SECRET)
    signatures = sign([first, second], message_id=MESSAGE, timestamp=TIMESTAMP, body=BODY).split(" ")
    assert len(signatures) == 2
    assert signatures[1] == SIGNATURE
    assert signatures[0] != SIGNATURE


def test_a_secret_is_written_as_the_specification_says() -> None:
    secret = make_secret()
    assert len(secret) == SECRET_BYTES
    assert as_text(base64.b64decode(SECRET)) == f"whsec_{SECRET}"
    assert make_secret() != secret


def test_what_is_kept_opens_for_its_endpoint_and_under_its_key_only() -> None:
    vault, endpoint, secret = Vault("a" * 32), uuid4(), make_secret()
    kept = vault.close(secret, endpoint)
    assert secret not in kept
    assert vault.open(kept, endpoint) == secret
    assert vault.close(secret, endpoint) != kept
    changed = kept[:-1] + bytes([kept[-1] ^ 1])
    for one, sealed, of in ((vault, kept, uuid4()), (Vault("b" * 32), kept, endpoint), (vault, changed, endpoint)):
        with pytest.raises(SecretUnreadableError):
            one.open(sealed, of)
