"""`GET /v1/models`."""

from litestar import Router, get
from litestar.di import NamedDependency

from gateway.keys.guard import require_key
from gateway.models.service import ModelCatalogue, Models
from gateway.reference.operations import KEYED


@get("/", summary="List models")
async def list_models(models: NamedDependency[Models]) -> ModelCatalogue:
    """List the models that can be asked for, with the figures of their cards."""
    return await models.catalogue()


model_routes = Router("/v1/models", route_handlers=[list_models], guards=[require_key], security=KEYED, tags=["Models"])
