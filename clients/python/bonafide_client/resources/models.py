"""`client.models`: what can be asked for."""

from bonafide_client.answers import reader_of
from bonafide_client.calls import Call, path_of
from bonafide_client.operations import D, Operation, Resource
from bonafide_client.schemas.models import ModelCatalogue, ModelDetails

_READ = reader_of(ModelCatalogue)
_READ_ONE = reader_of(ModelDetails)


class Models(Resource[D]):
    """The models that the platform serves."""

    @Operation
    def list(self) -> Call[ModelCatalogue]:
        """List the models that can be asked for, with the figures of their cards."""
        return Call(method="GET", path=path_of("models"), read=_READ)

    @Operation
    def retrieve(self, name: str) -> Call[ModelDetails]:
        """Read a model or an ensemble: its versions with their cards, its traffic, its members, live figures."""
        return Call(method="GET", path=path_of("models", name), read=_READ_ONE)
