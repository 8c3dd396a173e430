"""`/v1/models`."""

from typing import Annotated

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import PathParameter

from gateway.access.guard import require
from gateway.access.scopes import MODELS_READ
from gateway.models.schemas import ModelCatalogue, ModelView
from gateway.models.service import Models
from gateway.reference.operations import KEYED

ModelName = Annotated[str, PathParameter(description="Name of the model or ensemble.")]


@get("/", summary="List models")
async def list_models(models: NamedDependency[Models]) -> ModelCatalogue:
    """List the models that can be asked for, with the figures of their cards."""
    return await models.catalogue()


@get("/{name:str}", summary="Read a model")
async def read_model(name: ModelName, models: NamedDependency[Models]) -> ModelView:
    """Read a model or an ensemble: its versions with their roles and cards, its traffic, its members, live figures."""
    return await models.model(name)


model_routes = Router(
    "/v1/models",
    route_handlers=[list_models, read_model],
    guards=[require(MODELS_READ)],
    security=KEYED,
    tags=["Models"],
)
