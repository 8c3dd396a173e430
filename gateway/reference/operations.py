"""Bodies that are read or written as a stream, described for the OpenAPI document."""

from dataclasses import dataclass
from typing import Final

from litestar.openapi.spec import (
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
    SecurityRequirement,
)

KEYED: Final[list[SecurityRequirement]] = [{"apiKey": []}, {"bearer": []}]
"""The key of an account, in either of the two places; see `describe_api`."""

_FILE = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY, description="The file to judge.")
_MODEL = Schema(type=OpenAPIType.STRING, description="Name of the model; the modality's default where absent.")
_MODALITY = Schema(
    type=OpenAPIType.STRING,
    enum=["image", "video", "audio", "text"],
    description="What to judge the file as; recognised from its first bytes where absent.",
)
_FRAME = Schema(
    type=OpenAPIType.STRING,
    pattern="^data:image/(jpeg|jpg|png);base64,",
    description="A data URL of a JPEG or PNG in base64.",
)
_LABELS = {
    "client_reference": Schema(
        type=OpenAPIType.STRING, max_length=255, description="Your own name for the medium; printable."
    ),
    "tags": Schema(
        type=OpenAPIType.STRING, description="Tags with commas between them; at most 16 of 64 printable characters."
    ),
    "tag": Schema(type=OpenAPIType.STRING, max_length=64, description="One tag; may come several times."),
}
_REUSE = Schema(
    type=OpenAPIType.STRING,
    enum=["true", "false"],
    description=(
        "Whether a verdict that the account has for the same bytes, by the same version of the same model, is repeated "
        "instead of judging; `cached_from` then names its detection."
    ),
)

_STORE = Schema(
    type=OpenAPIType.STRING,
    enum=["true", "false"],
    description="Whether the file is kept in the account's storage once it is judged; by default as the account says.",
)


def _form(properties: dict[str, Schema], file_field: str = "file") -> RequestBody:
    schema = Schema(type=OpenAPIType.OBJECT, required=[file_field], properties=dict(properties))
    return RequestBody(required=True, content={"multipart/form-data": OpenAPIMediaType(schema=schema)})


@dataclass
class FileOperation(Operation):
    """Takes a file of any modality in a form, or a text as it is or within JSON."""

    def __post_init__(self) -> None:
        labels = {"modality": _MODALITY, "model": _MODEL, **_LABELS, "reuse": _REUSE, "store": _STORE}
        form = _form({"file": _FILE, **labels})
        text = Schema(type=OpenAPIType.STRING, min_length=1, description="The text to judge.")
        named = Schema(
            type=OpenAPIType.OBJECT,
            required=["text"],
            properties={
                "text": text,
                "filename": Schema(
                    type=OpenAPIType.STRING, max_length=255, description="Name that it is listed under."
                ),
                "model": _MODEL,
                "client_reference": _LABELS["client_reference"],
                "tags": Schema(
                    type=OpenAPIType.ARRAY,
                    max_items=16,
                    items=Schema(type=OpenAPIType.STRING, max_length=64),
                    description="Tags of your own.",
                ),
                "reuse": Schema(type=OpenAPIType.BOOLEAN, description=_REUSE.description),
                "store": Schema(type=OpenAPIType.BOOLEAN, description=_STORE.description),
            },
            additional_properties=False,
        )
        content = {
            **form.content,
            "text/plain": OpenAPIMediaType(schema=text),
            "application/json": OpenAPIMediaType(schema=named, example={"text": "A text of some sentences."}),
        }
        self.request_body = RequestBody(required=True, content=content)


@dataclass
class ImageOperation(Operation):
    """Takes an image in a field of that name."""

    def __post_init__(self) -> None:
        self.request_body = _form({"image": _FILE, "model": _MODEL}, "image")


@dataclass
class VideoOperation(Operation):
    """Takes a video in a field of that name."""

    def __post_init__(self) -> None:
        self.request_body = _form({"video": _FILE, "model": _MODEL}, "video")


@dataclass
class FrameOperation(Operation):
    """Takes a frame of a camera, as a data URL within JSON."""

    def __post_init__(self) -> None:
        model = Schema(type=[OpenAPIType.STRING, OpenAPIType.NULL], max_length=256, description=_MODEL.description)
        schema = Schema(
            type=OpenAPIType.OBJECT,
            required=["image"],
            properties={"image": _FRAME, "model": model},
            additional_properties=False,
        )
        self.request_body = RequestBody(required=True, content={"application/json": OpenAPIMediaType(schema=schema)})


@dataclass
class FixedFileOperation(Operation):
    """Takes a file of the route's modality."""

    def __post_init__(self) -> None:
        self.request_body = _form({"file": _FILE, "model": _MODEL})


@dataclass
class OptionalBodyOperation(Operation):
    """Takes a body, or none."""

    def __post_init__(self) -> None:
        if isinstance(self.request_body, RequestBody):
            self.request_body.required = False


@dataclass
class ExportOperation(Operation):
    """Answers a file, as CSV or as JSON lines."""

    def __post_init__(self) -> None:
        text = Schema(type=OpenAPIType.STRING)
        files = {kind: OpenAPIMediaType(schema=text) for kind in ("text/csv", "application/jsonl")}
        self.responses = (self.responses or {}) | {
            "200": OpenAPIResponse(description="The file, sent while it is made.", content=files)
        }


@dataclass
class DownloadOperation(Operation):
    """Answers a file of any kind."""

    def __post_init__(self) -> None:
        content = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY))
        self.responses = (self.responses or {}) | {
            "200": OpenAPIResponse(
                description="The file, under the media type that it was recognised as.",
                content={"application/octet-stream": content},
            )
        }


@dataclass
class PictureOperation(Operation):
    """Answers a JPEG."""

    def __post_init__(self) -> None:
        picture = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY))
        self.responses = (self.responses or {}) | {
            "200": OpenAPIResponse(description="The picture.", content={"image/jpeg": picture})
        }


@dataclass
class JobOperation(Operation):
    """Takes a file in a form, or says in JSON what is to be judged."""

    def __post_init__(self) -> None:
        form = _form({"file": _FILE, "modality": _MODALITY, "model": _MODEL, **_LABELS})
        named = Schema(
            type=OpenAPIType.OBJECT,
            properties={
                "upload_id": Schema(
                    type=OpenAPIType.STRING, format=OpenAPIFormat.UUID, description="A complete upload."
                ),
                "url": Schema(
                    type=OpenAPIType.STRING,
                    max_length=2048,
                    description="An address in its place, where the platform fetches addresses.",
                ),
                "modality": _MODALITY,
                "model": _MODEL,
                "client_reference": _LABELS["client_reference"],
                "tags": Schema(
                    type=OpenAPIType.ARRAY,
                    max_items=16,
                    items=Schema(type=OpenAPIType.STRING, max_length=64),
                    description="Tags of your own.",
                ),
                "store": Schema(
                    type=OpenAPIType.BOOLEAN, description="Whether the medium is kept; as its upload said where absent."
                ),
            },
            additional_properties=False,
        )
        content = {**form.content, "application/json": OpenAPIMediaType(schema=named)}
        self.request_body = RequestBody(required=True, content=content)


@dataclass
class BatchOperation(Operation):
    """Takes a list of items as a JSON document or as JSON lines, or a zip archive."""

    def __post_init__(self) -> None:
        identifier = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.UUID, description="A complete upload.")
        address = "An address, where the platform fetches addresses."
        item = Schema(
            type=OpenAPIType.OBJECT,
            description="Either `upload_id` or `url`.",
            properties={
                "upload_id": identifier,
                "url": Schema(type=OpenAPIType.STRING, max_length=2048, description=address),
                "modality": _MODALITY,
                "model": _MODEL,
                "client_reference": _LABELS["client_reference"],
                "tags": Schema(
                    type=OpenAPIType.ARRAY, max_items=16, items=Schema(type=OpenAPIType.STRING, max_length=64)
                ),
            },
            additional_properties=False,
        )
        name = "Your own name for the batch."
        batch = Schema(
            type=OpenAPIType.OBJECT,
            description="Either `items` or `archive`.",
            properties={
                "name": Schema(type=OpenAPIType.STRING, min_length=1, max_length=128, description=name),
                "model": Schema(type=OpenAPIType.STRING, description="Name of the model for items that name none."),
                "store": Schema(
                    type=OpenAPIType.BOOLEAN, description="Whether the media are kept; as they are where absent."
                ),
                "items": Schema(type=OpenAPIType.ARRAY, min_items=1, max_items=10_000, items=item),
                "archive": identifier,
            },
            additional_properties=False,
        )
        one = "01990000-0000-7000-8000-00000000000"
        items = [
            {"upload_id": f"{one}1", "client_reference": "order-1"},
            {"upload_id": f"{one}2", "tags": ["night"]},
        ]
        lines = Schema(type=OpenAPIType.STRING, description="An item of `items` on each line.")
        archive = Schema(
            type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY, description="A zip archive; each file is an item."
        )
        self.request_body = RequestBody(
            required=True,
            content={
                "application/json": OpenAPIMediaType(schema=batch, example={"name": "holiday", "items": items}),
                "application/x-ndjson": OpenAPIMediaType(schema=lines),
                "application/zip": OpenAPIMediaType(schema=archive),
            },
        )


@dataclass
class BytesOperation(Operation):
    """Takes a file as it is."""

    def __post_init__(self) -> None:
        content = {"application/octet-stream": OpenAPIMediaType(schema=_FILE)}
        self.request_body = RequestBody(required=True, content=content)
