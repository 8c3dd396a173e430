"""Calls as values: what is asked of the API, before anybody has sent it."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, Generic, Literal, TypeVar
from urllib.parse import quote
from uuid import UUID, uuid4

from bonafide_client.answers import Answer
from bonafide_client.uploads import Upload

T = TypeVar("T")
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
_IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
Query = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request; `read` makes of a good answer what the caller gets.

    `repeatable` says that making it twice does no more than making it once: by its nature, or because its idempotency
    key lets the API tell. `json` is the body, encoded when it is sent; None sends none.
    With `renews`, nothing is sent but what gets new tokens. `url` is an address that the API has answered with, perhaps
    elsewhere; it stands for `path` and `query`.
    """

    method: Method
    path: str
    read: Callable[[Answer], T]
    query: Query = ()
    json: Any = None
    upload: Upload | None = None
    idempotency_key: str | None = None
    repeatable: bool = True
    authenticated: bool = True
    renews: bool = False
    url: str | None = None


def fresh_key(key: str | None = None) -> str:
    """The caller's own idempotency key, or a new one. Raises ValueError where it can be none."""
    if key is None:
        return str(uuid4())
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        raise ValueError("An idempotency key has 1 to 255 visible ASCII characters.")
    return key


def path_of(*parts: str | UUID) -> str:
    """A path below `/v1`, each part escaped so that none can lead elsewhere. Raises ValueError for an empty part."""
    texts = [str(part) for part in parts]
    if not all(text.strip(".") for text in texts):
        raise ValueError("An id is missing or is no id.")
    return "/v1/" + "/".join(quote(text, safe="") for text in texts)


def query_of(values: Mapping[str, Any]) -> Query:
    """Query parameters without those that are None; several values of one name follow each other.

    Raises:
        ValueError: A time does not say its time zone.
    """
    return tuple((name, _text(one)) for name, value in values.items() if value is not None for one in _each(value))


def _each(value: Any) -> Iterable[Any]:
    return value if isinstance(value, (list, tuple, set, frozenset)) else (value,)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("A time needs its time zone; datetime.now(timezone.utc) has one.")
        return value.isoformat()
    return value.isoformat() if isinstance(value, date) else str(value)
