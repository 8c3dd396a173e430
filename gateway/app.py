"""The whole gateway on one page: what is opened at start, which routes there are, what they depend on.

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

from gateway.access.credentials import CredentialReader
from gateway.access.guard import Guard
from gateway.accounts.export import AccountExport
from gateway.accounts.handlers import account_routes
from gateway.accounts.identities import Identities
from gateway.accounts.letters import Letters
from gateway.accounts.passwords import Passwords
from gateway.accounts.profiles import Profiles
from gateway.accounts.recovery import Recovery
from gateway.accounts.service import Accounts
from gateway.accounts.sessions import Sessions
from gateway.accounts.sign_in_handlers import sign_in_routes
from gateway.admin.handlers import user_routes
from gateway.admin.plans import Plans
from gateway.admin.platform_handlers import plan_routes, task_routes
from gateway.admin.queue_tasks import QueueTasks
from gateway.admin.users import Users
from gateway.arrival import Arrival
from gateway.audit.handlers import audit_routes
from gateway.audit.reading import AuditLog
from gateway.background import Chore, doing
from gateway.compat.collection import collection_routes
from gateway.compat.frames import Frames
from gateway.compat.keys_and_quota import keys_and_quota_routes
from gateway.compat.passkeys import compat_passkey_routes
from gateway.compat.sign_in import compat_sign_in_routes
from gateway.compat.site import site_routes
from gateway.compat.site_history import SiteHistory
from gateway.compat.uploads import upload_routes
from gateway.db.engine import open_database
from gateway.db.migrate import migrate
from gateway.detections.admission import Admission
from gateway.detections.client import open_bento_client
from gateway.detections.handlers import detection_routes
from gateway.detections.intake import Intake
from gateway.detections.media import MediaStore, MemoryBudget
from gateway.detections.reception import Reception
from gateway.detections.reuse import Reuse
from gateway.detections.service import Detections, longest_life_s
from gateway.edge import Edge
from gateway.health import Fitness, health_routes
from gateway.history.changes import Changes
from gateway.history.handlers import stats_routes
from gateway.history.service import History
from gateway.history.stats import Stats
from gateway.idempotency.service import Idempotency
from gateway.issuers.fetching import open_outside
from gateway.issuers.service import TrustedIssuers
from gateway.keys.handlers import key_routes
from gateway.keys.last_use import LastUse
from gateway.keys.service import Keys
from gateway.limits.addresses import AddressLimit
from gateway.limits.days import UsageByDay
from gateway.limits.handlers import usage_routes
from gateway.limits.usage import Usage
from gateway.logs import configure_logs
from gateway.metrics import CONTENT_TYPE, Metrics
from gateway.models.handlers import model_routes
from gateway.models.service import Models
from gateway.oidc.entry import Entry
from gateway.oidc.handlers import identity_routes, outside_sign_in_routes
from gateway.oidc.service import OutsideSignIn
from gateway.passkeys.handlers import passkey_routes, passkey_sign_in_routes
from gateway.passkeys.service import Passkeys, party_of
from gateway.passkeys.sign_in import PasskeySignIn
from gateway.reference.pages import describe_api, reference_routes
from gateway.rendering import render_error
from gateway.settings import MIB, GatewaySettings

_SERVICES = (
    "reception",
    "guard",
    "history",
    "changes",
    "stats",
    "site_history",
    "frames",
    "usage",
    "usage_by_day",
    "keys",
    "accounts",
    "sessions",
    "profiles",
    "recovery",
    "account_export",
    "passkeys",
    "passkey_sign_in",
    "outside_sign_in",
    "entry",
    "identities",
    "users",
    "plans",
    "queue_tasks",
    "audit_log",
    "models",
    "fitness",
    "metrics",
)


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
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncGenerator[None]:
        if settings.migrate_on_start:
            await asyncio.to_thread(migrate, settings.database_url.get_secret_value())
        async with (
            open_database(settings) as database,
            open_bento_client(settings) as bentos,
            open_outside() as outside,
        ):
            last_use = LastUse(database.pool)
            identities = Identities(database.engine, settings.default_plan)
            issuers = TrustedIssuers(settings.issuers, outside, identities)
            reader = CredentialReader(settings.token_key.get_secret_value(), issuers)
            guard = Guard(database.pool, reader, last_use)
            models = Models(bentos)
            history = History(database.pool)
            budget = MemoryBudget(settings.upload_memory_bytes)
            store = MediaStore(settings.spool, memory_limit=settings.memory_limit_bytes, budget=budget)
            detections = Detections(
                admission=Admission(database.pool),
                bentos=bentos,
                store=store,
                history=history,
                reuse=Reuse(database.pool, models, charge=settings.reuse_charge),
                last_use=last_use,
                metrics=metrics,
                settings=settings,
            )
            fitness = Fitness(database.pool, bentos, settings)
            passwords = Passwords()
            accounts = Accounts(database.engine, passwords, settings)
            sessions = Sessions(database.engine, settings)
            profiles = Profiles(database.engine, accounts)
            app.state.update(
                address_limit=AddressLimit(database.pool, settings.anonymous_burst),
                idempotency=Idempotency(database.engine, settings.token_key.get_secret_value()),
                reception=Reception(Intake(settings, store), detections, guard, models),
                guard=guard,
                history=history,
                changes=Changes(database.engine),
                stats=Stats(database.pool),
                site_history=SiteHistory(database.pool),
                frames=Frames(settings, budget),
                usage=Usage(database.pool),
                usage_by_day=UsageByDay(database.pool),
                keys=Keys(database.engine, most=settings.keys_per_account),
                accounts=accounts,
                sessions=sessions,
                profiles=profiles,
                recovery=Recovery(database.engine, passwords, accounts, Letters(database.engine, settings), settings),
                account_export=AccountExport(database),
                outside_sign_in=OutsideSignIn(database.engine, outside, settings),
                entry=Entry(identities, sessions, profiles),
                identities=identities,
                passkeys=Passkeys(database.engine, party_of(settings)),
                passkey_sign_in=PasskeySignIn(database.engine, party_of(settings), settings),
                users=Users(database.engine),
                plans=Plans(database.engine, settings.default_plan),
                queue_tasks=QueueTasks(database.pool),
                audit_log=AuditLog(database.engine),
                models=models,
                fitness=fitness,
                metrics=metrics,
            )
            chores = [
                Chore("probe the Bentos", 3, fitness.probe),
                Chore("ask the Bentos for their models", 5, models.catalogue),
                Chore("note the last use of keys and sessions", 5, last_use.flush),
                Chore("sweep abandoned detections", 10, detections.sweep),
                Chore("sweep the spool", 60, lambda: asyncio.to_thread(store.sweep, longest_life_s(settings))),
            ]
            try:
                async with doing(chores):
                    yield
            finally:
                await detections.drain()
                await last_use.flush()
                passwords.close()
                metrics.close()

    app = Litestar(
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
            stats_routes,
            usage_routes,
            key_routes,
            model_routes,
            user_routes,
            plan_routes,
            task_routes,
            audit_routes,
            reference_routes,
            read_metrics,
        ],
        dependencies={name: Provide(_service(name), sync_to_thread=False) for name in _SERVICES},
        lifespan=[lifespan],
        exception_handlers={Exception: render_error},
        cors_config=_cors(settings),
        openapi_config=describe_api(version("bonafide")),
        request_max_body_size=MIB,
        logging_config=None,
    )
    return Edge(app, arrival=Arrival(settings), metrics=metrics, access_log=settings.access_log)


@get("/metrics", media_type=MediaType.TEXT, include_in_schema=False, sync_to_thread=False)
def read_metrics(metrics: NamedDependency[Metrics]) -> Response[bytes]:
    """What is measured, for Prometheus."""
    return Response(metrics.exposition(), headers={"content-type": CONTENT_TYPE})


def _service(name: str) -> Callable[[State], Any]:
    """A provider of one of the objects that the lifespan put into the app's state."""

    def provide(state: State) -> Any:
        return state[name]

    return provide


def _cors(settings: GatewaySettings) -> CORSConfig:
    return CORSConfig(
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
        allow_headers=["authorization", "content-type", "idempotency-key", "x-api-key", "x-request-id"],
        expose_headers=["x-request-id", "ratelimit", "ratelimit-policy", "retry-after", "idempotency-replayed"],
        max_age=600,
    )
