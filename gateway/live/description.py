"""How the two ways of following a job look in the OpenAPI document."""

from dataclasses import dataclass

from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, OpenAPIType, Operation, Schema

_EXAMPLE = (
    'id: 3\nevent: progress\ndata: {"at": "2026-01-31T09:30:00+00:00", "job_id": '
    '"0198c2f0-5d7e-7c3a-9f52-1b6a4d8e7f10", "done": 120, "total": 600, "unit": "frames"}\n\n'
)


@dataclass
class EventsOperation(Operation):
    """Answers with server-sent events, or with nothing where there are none left."""

    def __post_init__(self) -> None:
        stream = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING), example=_EXAMPLE)
        self.responses = (self.responses or {}) | {
            "200": OpenAPIResponse(
                description="Events, sent as they happen; the stream ends after the one that ends the job.",
                content={"text/event-stream": stream},
            ),
            "204": OpenAPIResponse(description="The job has ended, and nothing has happened after that event."),
        }


@dataclass
class SocketOperation(Operation):
    """Answers by becoming a WebSocket."""

    def __post_init__(self) -> None:
        self.responses = {status: one for status, one in (self.responses or {}).items() if status != "200"} | {
            "101": OpenAPIResponse(description="The connection is a WebSocket from here on; messages are JSON.")
        }
