"""The secrets of endpoints, and what they sign: the scheme of Standard Webhooks (standardwebhooks.com, symmetric, v1).

Signed is `id.timestamp.body` with HMAC-SHA-256; the secret is given to people as `whsec_` and its bytes in base64. It
is kept encrypted, AES-256-GCM under a key derived (HKDF, RFC 5869) from the gateway's own, and bound to its endpoint.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32

_PURPOSE: Final = b"bonafide webhook secret"
_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32


class SecretUnreadableError(Exception):
    """The secret was encrypted under another key of the gateway, or is another endpoint's."""


class Vault:
    """Encrypts and decrypts the secrets of endpoints."""

    def __init__(self, secret: str) -> None:
        derived = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_PURPOSE).derive(secret.encode())
        self._cipher = AESGCM(derived)

    def close(self, secret: bytes, endpoint_id: UUID) -> bytes:
        """Encrypt the secret of an endpoint."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, endpoint_id.bytes)

    def open(self, sealed: bytes, endpoint_id: UUID) -> bytes:
        """Decrypt the secret of an endpoint. Raises SecretUnreadableError."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], endpoint_id.bytes)
        except InvalidTag as error:
            raise SecretUnreadableError from error


def make_secret() -> bytes:
    """A new secret."""
    return os.urandom(SECRET_BYTES)


def as_text(secret: bytes) -> str:
    """A secret as its owner gets it."""
    return PREFIX + base64.b64encode(secret).decode()


def sign(secrets: Sequence[bytes], *, message_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`: one signature for each secret, with spaces between them."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.new(secret, signed, hashlib.sha256).digest() for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
