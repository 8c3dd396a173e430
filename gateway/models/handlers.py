"""`GET /v1/models`."""

from typing import Any

from litestar import Request, Router, get
from litestar.di import NamedDependency

from gateway.keys.guard import KeyGuard
from gateway.models.service import ModelCatalogue, Models


@get("/", summary="List models")
async def list_models(
    request: Request[Any, Any, Any], guard: NamedDependency[KeyGuard], models: NamedDependency[Models]
) -> ModelCatalogue:
    """List the models that can be asked for, with the figures of their cards."""
    await guard.identify(request)
    return await models.catalogue()


model_routes = Router("/v1/models", route_handlers=[list_models], tags=["Models"])
