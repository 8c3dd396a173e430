"""Fetches a repository of a model hub into the cache of `huggingface_hub`: its text files and safetensors, no code."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx2
import huggingface_hub
from huggingface_hub import constants, errors
from huggingface_hub.utils import disable_progress_bars

from scripts.models.errors import ModelsError, RefusedError
from scripts.models.importing.wishes import Wishes

LARGEST_BYTES: Final = 4_000_000_000
"""More than the weights of any model that can be brought, which have at most 2 GB in float32."""
TIMEOUT_S: Final = 10.0
"""Seconds until the hub has to say what a repository holds; files have `huggingface_hub`'s own limits and retries."""

_FILES: Final = ["*.json", "*.txt", "*.model", "*.safetensors", "README.md"]
_PICKLES: Final = ["pytorch_model*.bin"]
_FOLDERS: Final = ["*/*"]
"""Checkpoints of the training and exports to other formats lie in folders; none is needed."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A repository in the cache: its folder, its commit, and the host that it came from."""

    folder: Path
    commit: str
    hub: str


def fetch(repository: str, wishes: Wishes) -> Fetched:
    """Fetch a repository by its id, at `wishes.revision` or the newest; what is in the cache is not fetched again.

    Raises:
        RefusedError: There is no such repository or revision for this user, or it is too large.
        ModelsError: The hub cannot be reached, or the cache cannot be written.
    """
    endpoint = os.environ.get("HF_ENDPOINT", constants.ENDPOINT).rstrip("/")
    hub = urlsplit(endpoint).netloc or endpoint
    wishes.tell(f"fetching {repository} from {hub}")
    disable_progress_bars()
    try:
        folder = _fetch(repository, wishes, endpoint)
    except errors.GatedRepoError as error:
        raise RefusedError(
            f"{repository} is given only to those who have accepted its terms. Accept them on {hub}, set HF_TOKEN to "
            "a token of yours, and try again."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise RefusedError(
            f"{hub} has no {repository}, or shows it only to its owners: look at the spelling, or set HF_TOKEN."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise RefusedError(
            f"{repository} has no revision {wishes.revision}; leave --revision out for the newest."
        ) from error
    except errors.HFValidationError as error:
        raise RefusedError(f"{repository!r} is no id of a repository, which is OWNER/NAME.") from error
    except (errors.LocalEntryNotFoundError, httpx2.HTTPError, OSError) as error:
        raise ModelsError(
            f"{repository} could not be fetched from {hub} ({_why(error)}). Look at the connection and try again, or "
            "copy the repository's folder here by other means and import that folder."
        ) from error
    return Fetched(folder=folder, commit=folder.name, hub=hub)


def _fetch(repository: str, wishes: Wishes, endpoint: str) -> Path:
    size = _size(repository, wishes, endpoint)
    if size > LARGEST_BYTES:
        raise RefusedError(
            f"{repository} has {size / 1e9:.1f} GB of weights, more than can be converted here. Bring a smaller model."
        )
    return Path(
        huggingface_hub.snapshot_download(
            repository,
            revision=wishes.revision,
            endpoint=endpoint,
            etag_timeout=TIMEOUT_S,
            allow_patterns=_wanted(wishes),
            ignore_patterns=_FOLDERS,
            cache_dir=constants.HF_HUB_CACHE,
        )
    )


def _size(repository: str, wishes: Wishes, endpoint: str) -> int:
    """Bytes that would be fetched; 0 where the hub does not say, because then only the cache can help."""
    try:
        files = huggingface_hub.snapshot_download(
            repository,
            revision=wishes.revision,
            endpoint=endpoint,
            etag_timeout=TIMEOUT_S,
            allow_patterns=_wanted(wishes),
            ignore_patterns=_FOLDERS,
            cache_dir=constants.HF_HUB_CACHE,
            dry_run=True,
        )
    except errors.DryRunError:
        return 0
    return sum(file.file_size or 0 for file in files)


def _wanted(wishes: Wishes) -> list[str]:
    return _FILES + _PICKLES if wishes.trust_pickle else _FILES


def _why(error: BaseException) -> str:
    """The first cause, because what the library says around it speaks of its own settings."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
