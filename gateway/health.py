"""Whether this process is alive and fit to serve.

Fit means only what the gateway cannot do without: the database, at the newest migration. A Bento that is away is
reported but takes nothing out of rotation; its own routes answer 503 then.
"""

import asyncio
from importlib.metadata import version
from typing import Annotated, Final, Literal

import msgspec
import psycopg
import structlog
from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec

from bentos.contract import Modality
from gateway.db.engine import Pool
from gateway.db.migrate import newest_revision
from gateway.detections.client import BentoClient
from gateway.settings import MEDIA_MODALITIES, GatewaySettings

SERVICE: Final = "bonafide"
_ASK_TIMEOUT_S: Final = 3.0

_log = structlog.stdlib.get_logger(__name__)


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """That the process answers, and which one it is."""

    status: Literal["healthy"] = "healthy"
    service: str
    version: str
    environment: str


class Liveness(msgspec.Struct, frozen=True):
    """That the process answers."""

    status: Literal["alive"] = "alive"


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway needs, and which modalities can be judged right now."""

    status: Literal["ready", "not_ready"]
    database: Literal["connected", "disconnected"]
    migrations: Literal["applied", "pending", "unknown"]
    modalities: dict[Modality, bool]


class Fitness:
    """Asks the database when asked, and the Bentos in the background."""

    def __init__(self, pool: Pool, bentos: BentoClient, settings: GatewaySettings) -> None:
        self._pool = pool
        self._bentos = bentos
        self._revision = newest_revision()
        self._modalities: dict[Modality, bool] = dict.fromkeys(MEDIA_MODALITIES, False)
        self.health = Health(service=SERVICE, version=version("bonafide"), environment=settings.environment)

    async def probe(self) -> None:
        """Ask every Bento whether it is ready, and remember the answers."""
        answers = await asyncio.gather(*(self._bentos.ready(modality) for modality in MEDIA_MODALITIES))
        self._modalities = dict(zip(MEDIA_MODALITIES, answers, strict=True))

    async def readiness(self) -> Readiness:
        """Ask the database for its migration, with a deadline."""
        try:
            async with asyncio.timeout(_ASK_TIMEOUT_S), self._pool.connection() as database:
                row = await (await database.execute("SELECT version_num FROM alembic_version")).fetchone()
        except psycopg.errors.UndefinedTable:
            return self._say("connected", "pending")
        except (psycopg.Error, TimeoutError) as error:
            _log.warning("database_unavailable", reason=str(error))
            return self._say("disconnected", "unknown")
        return self._say("connected", "applied" if row and row[0] == self._revision else "pending")

    def _say(
        self, database: Literal["connected", "disconnected"], migrations: Literal["applied", "pending", "unknown"]
    ) -> Readiness:
        fit = database == "connected" and migrations == "applied"
        return Readiness(
            status="ready" if fit else "not_ready",
            database=database,
            migrations=migrations,
            modalities=self._modalities,
        )


@get(["/", "/health"], summary="Health", sync_to_thread=False)
def health(fitness: NamedDependency[Fitness]) -> Health:
    """Say that the process answers, and which version it is."""
    return fitness.health


@get("/health/live", summary="Liveness", sync_to_thread=False)
def live() -> Liveness:
    """Say that the process answers."""
    return Liveness()


@get(
    "/health/ready",
    summary="Readiness",
    responses={503: ResponseSpec(data_container=Readiness, description="Not ready, and what is missing.")},
)
async def ready(fitness: NamedDependency[Fitness]) -> Annotated[Response[Readiness], "ready or not"]:
    """Say whether the database answers and is migrated, and which modalities can be judged right now."""
    readiness = await fitness.readiness()
    return Response(readiness, status_code=200 if readiness.status == "ready" else 503)


health_routes = Router("/", route_handlers=[health, live, ready], tags=["Health"])
