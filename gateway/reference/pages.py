"""`/docs` (Swagger UI), `/redoc` and `/docs/openapi.json`; nothing on these pages comes from another host."""

from pathlib import Path
from typing import Any, Final

from litestar import Litestar, MediaType, Request, Router, get
from litestar.datastructures import ResponseHeader
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.openapi.spec import Components, Contact, License, SecurityScheme
from litestar.routes import HTTPRoute
from litestar.serialization import encode_json
from litestar.static_files import create_static_files_router

from gateway.idempotency.handlers import IDEMPOTENT
from gateway.reference.completion import complete

_ASSETS: Final = Path(__file__).parent / "assets"
_POLICY: Final = ResponseHeader(
    name="content-security-policy",
    value=(
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; worker-src blob:; frame-ancestors 'none'; base-uri 'none'"
    ),
)
_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Bonafide API</title>
<link rel="icon" href="data:,">
{styles}
</head>
<body>
<div id="reference"></div>
<script src="/docs/assets/{library}"></script>
<script src="/docs/assets/{start}"></script>
</body>
</html>
"""
_SWAGGER: Final = _PAGE.format(
    styles='<link rel="stylesheet" href="/docs/assets/swagger-ui.css">',
    library="swagger-ui-bundle.js",
    start="docs.js",
).encode()
_REDOC: Final = _PAGE.format(styles="", library="redoc.standalone.js", start="redoc.js").encode()


class SwaggerPage(OpenAPIRenderPlugin):
    """Swagger UI from our own files."""

    def __init__(self) -> None:
        super().__init__(path="/", media_type=MediaType.HTML)

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002
        """The page; it fetches the document itself."""
        return _SWAGGER


_RECEIVERS: Final = frozenset(("reception", "job_reception"))
"""What handlers that judge media, or take them over, depend on: it reads the key of a call itself."""


class CompleteDocument(JsonRenderPlugin):
    """The OpenAPI document, completed when it is first asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._document: bytes | None = None

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The document as JSON."""
        if self._document is None:
            self._document = encode_json(complete(openapi_schema, _idempotent_operations(request.app)))
        return self._document


def _idempotent_operations(app: Litestar) -> set[tuple[str, str]]:
    """The (method, path) that take part in idempotency: those that say so, and all that judge media."""
    return {
        (method.lower(), route.path_format)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if hasattr(handler.fn, IDEMPOTENT) or not _RECEIVERS.isdisjoint(handler.parsed_fn_signature.parameters)
        for method in handler.http_methods
    }


@get("/redoc", media_type=MediaType.HTML, response_headers=[_POLICY], include_in_schema=False, sync_to_thread=False)
def redoc_page() -> bytes:
    """Redoc from our own files."""
    return _REDOC


reference_routes = Router(
    "/",
    route_handlers=[
        redoc_page,
        create_static_files_router(
            "/docs/assets", [_ASSETS], cache_control=None, include_in_schema=False, name="reference-assets"
        ),
    ],
)


def describe_api(version: str) -> OpenAPIConfig:
    """What the OpenAPI document says besides the routes."""
    return OpenAPIConfig(
        title="Bonafide",
        version=version,
        summary="Tells genuine media from synthetic media.",
        description=(
            "Send an image, a video, a sound or a text; get a calibrated verdict, the evidence behind it, and the "
            "exact model version that gave it. Errors on `/v1` are problem documents (RFC 9457) with a stable `code`."
        ),
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        contact=Contact(name="Bonafide"),
        components=Components(
            security_schemes={
                "apiKey": SecurityScheme(
                    type="apiKey", name="x-api-key", security_scheme_in="header", description="The API key."
                ),
                "bearer": SecurityScheme(
                    type="http",
                    scheme="bearer",
                    bearer_format="API key or JWT",
                    description="The API key, or an access token of a sign-in or of a trusted outside issuer.",
                ),
            }
        ),
        render_plugins=[SwaggerPage(), CompleteDocument()],
        openapi_router=Router("/docs", route_handlers=[], response_headers=[_POLICY], include_in_schema=False),
        use_handler_docstrings=True,
    )
