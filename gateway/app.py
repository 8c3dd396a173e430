"""The gateway's application: which routes there are, and what all of them share; `services` is what they depend on.

`create_app` is the factory that the server calls in each of its processes.
"""

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from litestar import Litestar, MediaType, Response, get
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide

from gateway.accounts.handlers import account_routes
from gateway.accounts.sign_in_handlers import sign_in_routes
from gateway.admin.handlers import user_routes
from gateway.admin.job_handlers import managed_job_routes, queue_routes
from gateway.admin.platform_handlers import plan_routes, task_routes
from gateway.arrival import Arrival
from gateway.audit.handlers import audit_routes
from gateway.batches.handlers import batch_routes
from gateway.compat.collection import collection_routes
from gateway.compat.keys_and_quota import keys_and_quota_routes
from gateway.compat.passkeys import compat_passkey_routes
from gateway.compat.sign_in import compat_sign_in_routes
from gateway.compat.site import site_routes
from gateway.compat.uploads import upload_routes
from gateway.db.migrate import migrate
from gateway.detections.handlers import detection_routes
from gateway.edge import Edge
from gateway.health import health_routes
from gateway.history.handlers import stats_routes
from gateway.jobs.figures import QueueFigures
from gateway.jobs.handlers import job_routes
from gateway.keys.handlers import key_routes
from gateway.limits.handlers import usage_routes
from gateway.live.handlers import live_routes
from gateway.logs import configure_logs
from gateway.metrics import CONTENT_TYPE, Metrics
from gateway.models.handlers import model_routes
from gateway.oidc.handlers import identity_routes, outside_sign_in_routes
from gateway.passkeys.handlers import passkey_routes, passkey_sign_in_routes
from gateway.reference.pages import describe_api, reference_routes
from gateway.rendering import render_error
from gateway.services import SERVICES, open_services
from gateway.settings import MIB, GatewaySettings
from gateway.storage.handlers import storage_routes
from gateway.uploads.handlers import receive_bytes, signed_upload_routes
from gateway.webhooks.handlers import webhook_routes


def create_app() -> Edge:
    """The application of a server process, from the settings in its environment; called in its main thread."""
    # Granian forks its workers with its own handlers, which swallow a request to stop that comes before a worker has
    # set up its own: it would then serve on until it is killed. Until that moment the request simply ends the worker.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    settings = GatewaySettings()  # pyright: ignore[reportCallIssue] - pydantic reads the rest from the environment.
    configure_logs(settings.log_level)
    return build_app(settings)


def build_app(settings: GatewaySettings) -> Edge:
    """The application, not yet started: its lifespan opens what it needs."""
    return bind(build_routes(settings), settings)


def bind(routes: Litestar, settings: GatewaySettings) -> Edge:
    """The application of these routes with settings of its own; routes serve one application at a time."""
    metrics = Metrics()
    routes.state.update({"settings": settings, "metrics": metrics})
    return Edge(routes, arrival=Arrival(settings), metrics=metrics, access_log=settings.access_log)


def build_routes(settings: GatewaySettings) -> Litestar:
    """All routes and what they share. Of the settings only those of CORS are in them."""

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncGenerator[None]:
        settings: GatewaySettings = app.state["settings"]
        if settings.migrate_on_start:
            await asyncio.to_thread(migrate, settings.database_url.get_secret_value())
        async with open_services(settings, app.state["metrics"]) as services:
            app.state.update(services)
            yield

    return Litestar(
        route_handlers=[
            health_routes,
            sign_in_routes,
            account_routes,
            passkey_sign_in_routes,
            passkey_routes,
            outside_sign_in_routes,
            identity_routes,
            keys_and_quota_routes,
            site_routes,
            compat_sign_in_routes,
            collection_routes,
            compat_passkey_routes,
            upload_routes,
            detection_routes,
            signed_upload_routes,
            receive_bytes,
            job_routes,
            live_routes,
            batch_routes,
            storage_routes,
            webhook_routes,
            stats_routes,
            usage_routes,
            key_routes,
            model_routes,
            user_routes,
            plan_routes,
            task_routes,
            managed_job_routes,
            queue_routes,
            audit_routes,
            reference_routes,
            read_metrics,
        ],
        dependencies={name: Provide(_service(name), sync_to_thread=False) for name in SERVICES},
        lifespan=[lifespan],
        exception_handlers={Exception: render_error},
        cors_config=_cors(settings),
        openapi_config=describe_api(version("bonafide")),
        request_max_body_size=MIB,
        logging_config=None,
    )


@get("/metrics", media_type=MediaType.TEXT, include_in_schema=False)
async def read_metrics(
    metrics: NamedDependency[Metrics], queue_figures: NamedDependency[QueueFigures]
) -> Response[bytes]:
    """What is measured, for Prometheus."""
    figures = metrics.exposition() + await queue_figures.exposition()
    return Response(figures, headers={"content-type": CONTENT_TYPE})


def _service(name: str) -> Callable[[State], Any]:
    """A provider of one of the objects that the lifespan put into the app's state."""

    def provide(state: State) -> Any:
        return state[name]

    return provide


def _cors(settings: GatewaySettings) -> CORSConfig:
    return CORSConfig(
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
        allow_headers=[
            "authorization",
            "content-type",
            "idempotency-key",
            "last-event-id",
            "x-api-key",
            "x-request-id",
        ],
        expose_headers=[
            *("x-request-id", "ratelimit", "ratelimit-policy", "retry-after", "idempotency-replayed"),
            *("location", "preference-applied"),
        ],
        max_age=600,
    )
