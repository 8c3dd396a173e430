"""The addresses that files are sent to where the object store is a folder: signed by us, good for one file and a while.

An address names the method, the place of the bytes (upload, part and path) and how many they may be; the signature
(HMAC-SHA256 under a key of its own, derived from the gateway's secret) covers all of it and the time at which it ends.
"""

import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.errors import BadSignatureError, SignatureExpiredError

ROUTE: Final = "/v1/uploads/bytes"
_PURPOSE: Final = b"bonafide signed upload"
_KEY_BYTES: Final = 32
_METHOD: Final = "PUT"


@dataclass(frozen=True, slots=True)
class Place:
    """Where bytes belong: part `number`, from 1, of an upload; `path` is the one that clients know it by."""

    upload_id: UUID
    number: int
    path: str

    @property
    def object_path(self) -> str:
        """Where they lie in the object store until the upload is complete; ends with `path`."""
        return f"{incoming_of(self.upload_id)}/{self.number}/{self.path}"


def incoming_of(upload_id: UUID) -> str:
    """The folder of the object store in which all parts of an upload lie."""
    return f"incoming/{upload_id}"


class Signer:
    """Signs and checks addresses."""

    def __init__(self, secret: str, public_url: str) -> None:
        self._key = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_PURPOSE).derive(secret.encode())
        self._base = public_url.rstrip("/") + ROUTE

    def sign(self, place: Place, *, size: int, life_s: int) -> str:
        """An address that takes `size` bytes at most for `life_s` seconds."""
        expires = int(time.time()) + life_s
        query = {"size": size, "expires": expires, "signature": self._signature(place, size, expires)}
        return f"{self._base}/{place.upload_id}/{place.number}/{place.path}?{urlencode(query)}"

    def check(self, place: str, *, size: int, expires: int, signature: str) -> Place:
        """The place that an address is for.

        Args:
            place: What follows the route in the address.
            size: The bytes that it takes at most.
            expires: When it ends, in seconds since 1970.
            signature: What it was signed with.

        Raises:
            BadSignatureError: We did not sign this.
            SignatureExpiredError: We did, but its time is over.
        """
        upload_id, _, rest = place.strip("/").partition("/")
        number, _, path = rest.partition("/")
        try:
            claimed = Place(UUID(upload_id), int(number), path)
        except ValueError as error:
            raise BadSignatureError from error
        expected = self._signature(claimed, size, expires)
        if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogatepass")):
            raise BadSignatureError
        if time.time() >= expires:
            raise SignatureExpiredError
        return claimed

    def _signature(self, place: Place, size: int, expires: int) -> str:
        told = "\n".join((_METHOD, str(place.upload_id), str(place.number), place.path, str(size), str(expires)))
        return hmac.new(self._key, told.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
