"""`GET /v1/models`."""

from litestar import Router, get
from litestar.di import NamedDependency

from gateway.access.guard import require
from gateway.access.scopes import MODELS_READ
from gateway.models.service import ModelCatalogue, Models
from gateway.reference.operations import KEYED


@get("/", summary="List models")
async def list_models(models: NamedDependency[Models]) -> ModelCatalogue:
    """List the models that can be asked for, with the figures of their cards."""
    return await models.catalogue()


model_routes = Router(
    "/v1/models", route_handlers=[list_models], guards=[require(MODELS_READ)], security=KEYED, tags=["Models"]
)
