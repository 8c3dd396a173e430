"""Examples for the OpenAPI document, made from the schemas, so that every route has one and none grows stale.

A field that has an example of its own keeps it; the others get what their name or format stands for.
"""

from typing import Any, Final

Schema = dict[str, Any]

_DEEPEST: Final = 8
_ID: Final = "0198c2f0-5d7e-7c3a-9f52-1b6a4d8e7f10"
_TIME: Final = "2026-01-31T09:30:00Z"
_DATE: Final = "2026-01-31"
_KEY: Final = "sk-live-8cc37354" + "0123456789abcdef" * 2 + "01234567"
_SHA256: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_PIXEL: Final = "data:image/jpeg;base64,/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA=="
_BYTES: Final = "AQIDBAUGBwgJCgsMDQ4PEA"
_FORMATS: Final = {"uuid": _ID, "date-time": _TIME, "date": _DATE, "email": "ada@example.org", "binary": ""}
_NAMED: Final[dict[str, Any]] = {
    "access_token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI…",
    "accuracy": 97.5,
    "action": "key.create",
    "actor_kind": "user",
    "address": "203.0.113.7",
    "allowed_addresses": ["203.0.113.0/24"],
    "allowed_models": ["image_cnn"],
    "api_key": _KEY,
    "challenge": _BYTES,
    "chain_hash": _SHA256,
    "client": "curl/8.9",
    "client_reference": "order-7",
    "codec": "h264",
    "confidence": 88.0,
    "description": "What it is good for.",
    "digest": f"sha256:{_SHA256}",
    "duration_s": 3.2,
    "email": "ada@example.org",
    "environment": "production",
    "expires_in": 86_400,
    "filename": "portrait.jpg",
    "format": "jpeg",
    "height": 1080,
    "high": 0.65,
    "image": _PIXEL,
    "key": _KEY,
    "last4": "4567",
    "low": 0.35,
    "media_type": "image/jpeg",
    "message": "No face was found.",
    "method": "password",
    "model": "image_cnn",
    "model_used": "Demo image detector",
    "model_version": "1",
    "name": "my laptop",
    "new_password": "correct horse battery",
    "p_fake": 0.12,
    "password": "correct horse battery",
    "current_password": "old horse battery",
    "plan": "standard",
    "prefix": "sk-live-8cc37354",
    "queue": "mail",
    "refresh_token": "kq3vQ1…",
    "request_id": "3f0c9c1a5b7e4d2f8a6b1c0d9e8f7a6b",
    "sample_rate": 44_100,
    "scopes": ["detect:image", "history:read"],
    "service": "bonafide",
    "sha256": _SHA256,
    "size_bytes": 245_760,
    "tags": ["newsroom"],
    "target_kind": "key",
    "task": "send_mail",
    "title": "Demo image detector",
    "token": "c2hvd24gb25jZQ",
    "username": "ada",
    "version": 1,
    "width": 1920,
}
_ABSENT: Final = frozenset(
    {"cached_from", "deleted_at", "ended_at", "error", "next_cursor", "revoked_at", "rotated_from", "status_reason"}
)
"""What most things lack, where a schema allows it."""
_TEXT: Final = "text"
_BASE64URL: Final = "^[A-Za-z0-9_-]+$"


def example_of(schema: Schema, components: dict[str, Schema], *, name: str = "", whole: bool = True) -> Any:
    """A value that a schema allows.

    Args:
        schema: What the value is of.
        components: The schemas that it may refer to, by their names.
        name: The field that it stands in.
        whole: Whether what may be left out is there; a body that is sent needs only what it must have.
    """
    return _Maker(components, whole=whole).make(schema, name, 0)


class _Maker:
    def __init__(self, components: dict[str, Schema], *, whole: bool) -> None:
        self._components = components
        self._whole = whole

    def make(self, schema: Schema, name: str, depth: int) -> Any:
        if "$ref" in schema:
            return self.make(self._components[schema["$ref"].rpartition("/")[2]], name, depth)
        given = [
            *schema.get("examples", ())[:1],
            schema.get("const"),
            schema.get("default"),
            *schema.get("enum", ())[:1],
        ]
        if any(one is not None for one in given):
            return next(one for one in given if one is not None)
        if name in _ABSENT and {"type": "null"} in schema.get("oneOf", []):
            return None
        choices: list[Schema] = schema.get("oneOf") or schema.get("anyOf") or schema.get("allOf") or []
        chosen = next((one for one in choices if one and one.get("type") != "null"), None)
        if chosen is not None:
            limits = {key: value for key, value in schema.items() if key not in {"oneOf", "anyOf", "allOf"}}
            return self.make({**limits, **chosen}, name, depth)
        return self._of_type(schema, name, depth)

    def _of_type(self, schema: Schema, name: str, depth: int) -> Any:
        value: Any = None
        match schema.get("type"):
            case "object":
                value = self._object(schema, depth)
            case "array" if isinstance(_NAMED.get(name), list):
                value = _NAMED[name]
            case "array":
                value = [] if depth > _DEEPEST else [self.make(schema.get("items", {}), name, depth + 1)]
            case "string":
                value = _string(schema, name)
            case "integer":
                value = _number(schema, name, 1)
            case "number":
                value = _number(schema, name, 1.5)
            case "boolean":
                value = True
            case _:
                pass
        return value

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties: dict[str, Schema] = schema.get("properties", {})
        required: list[str] = schema.get("required", [])
        names = list(properties) if self._whole else [one for one in properties if one in required]
        if not names and properties:
            names = list(properties)[:1]  # A change of something: one field of it.
        return {one: self.make(properties[one], one, depth + 1) for one in names}


def _string(schema: Schema, name: str) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    if schema.get("pattern") == _BASE64URL:
        return _BYTES
    named = _NAMED.get(name)
    least: int = schema.get("minLength", 0)
    usual = _TEXT if least <= len(_TEXT) else (_BYTES * least)[:least]
    return named if isinstance(named, str) else usual


def _number(schema: Schema, name: str, usual: float) -> float:
    named = _NAMED.get(name)
    value = named if isinstance(named, int | float) else usual
    least: float = schema.get("minimum", value)
    most: float = schema.get("maximum", value)
    return type(usual)(min(max(value, least), most))
