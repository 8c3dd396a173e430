"""The object store behind one setting: a folder of this machine, or a bucket of S3, Google Cloud or Azure.

Paths are relative, of plain characters, and chosen by us: `incoming/<id>/…` is where signed URLs lead, `media/…` is
where nothing but the platform writes. What is under a path was written whole or is not there.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from obstore.store import AzureStore, from_url

from gateway.settings import GatewaySettings
from gateway.storage.buckets import MissingObjectError, ObjectStore, Stored
from gateway.storage.local import LocalObjectStore

__all__ = ["LocalObjectStore", "MissingObjectError", "ObjectStore", "Stored", "connect", "open_object_store"]

_CLIENT: Final[Any] = {"connect_timeout": "5s", "read_timeout": "30s", "timeout": "6h"}
_RETRIES: Final[Any] = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}
_PLAIN_HTTP: Final = {"s3": "AWS_ALLOW_HTTP", "az": "AZURE_ALLOW_HTTP"}
"""The library's own variables; it does not read them where it is given other options of its connections."""
_AZURE_HEADERS: Final = {"x-ms-blob-type": "BlockBlob"}


@asynccontextmanager
async def open_object_store(settings: GatewaySettings) -> AsyncGenerator[ObjectStore]:
    """The object store that the settings name. What a bucket needs beside its address stands in its own variables."""
    yield connect(settings.object_store or settings.spool.parent.joinpath("media").absolute().as_uri())


def connect(address: str) -> ObjectStore:
    """The object store at an address such as file:///folder, s3://bucket/prefix, gs://… or az://…."""
    parts = urlsplit(address)
    if parts.scheme == "file":
        return LocalObjectStore(Path(unquote(parts.path)))
    plain = os.environ.get(_PLAIN_HTTP.get(parts.scheme, ""), "").lower() in {"1", "true"}
    options: Any = {**_CLIENT, "allow_http": plain}
    store: Any = from_url(address, client_options=options, retry_config=_RETRIES)
    return ObjectStore(store, put_headers=_AZURE_HEADERS if isinstance(store, AzureStore) else None)
