"""The whole platform on one page: which programs there are, and what each is told."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bentos.contract import Modality
from gateway.accounts.local import ensure_local_key
from scripts.stack import postgres, services, triton
from scripts.stack.folder import DataFolder, write_private
from scripts.stack.postgres import Cluster
from scripts.stack.program import Program
from scripts.stack.settings import HOST, StackSettings
from scripts.stack.triton import Triton

PREFIX = "BONAFIDE_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """The programs to run, and the Triton and the cluster among them."""

    programs: Sequence[Program]
    triton: Triton
    cluster: Cluster


def compose(
    settings: StackSettings, environment: Mapping[str, str], *, on_model: Callable[[str], None] = lambda _: None
) -> Platform:
    """Describe the platform in its data folder, whose secrets are made where they are missing.

    Every program gets the environment without our variables, and of those only what it needs: weights are code, and
    the process that runs them holds no secret. Raises `StartError` where an installation is missing.
    """
    folder = DataFolder(settings.home)
    folder.create()
    plain = {name: value for name, value in environment.items() if not name.startswith(PREFIX)}
    ours = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    grace = settings.stop_deadline_s

    cluster = Cluster(folder=folder.postgres, password=folder.secret("database-password"))
    inference = Triton(
        python=settings.triton_python,
        repository=settings.model_repository,
        folder=folder.triton,
        http_port=settings.triton_http_port,
        grpc_port=settings.triton_grpc_port,
        metrics_port=settings.triton_metrics_port,
        control_key=folder.secret("triton-control-key"),
        grace_s=grace,
    )
    shared = {
        "BONAFIDE_HOME": str(folder.root),
        "BONAFIDE_SPOOL": str(folder.spool),
        "BONAFIDE_BENTO_TOKEN": folder.secret("bento-token"),
        "BONAFIDE_REFERENCE_KEY": folder.secret("reference-key"),
    }
    for_bentos = {
        **plain,
        **ours,
        **shared,
        "BONAFIDE_TRITON_ADDRESS": inference.address,
        "BONAFIDE_MODEL_REPOSITORY": str(settings.model_repository),
        "BENTOML_HOME": str(folder.bentoml),
        "MALLOC_ARENA_MAX": "2",
    }
    ports = {
        Modality.IMAGE: settings.image_port,
        Modality.VIDEO: settings.video_port,
        Modality.AUDIO: settings.audio_port,
        Modality.TEXT: settings.text_port,
    }
    for_gateway = {
        **plain,
        # A drain that outlasted our patience would be cut short by a kill.
        "BONAFIDE_DRAIN_TIMEOUT_S": str(grace * 0.75),
        "BONAFIDE_MAIL_FOLDER": str(folder.mail),
        # Signed addresses and links in mails lead there; behind a proxy the environment says where that is.
        "BONAFIDE_PUBLIC_URL": settings.gateway_url,
        **ours,
        **shared,
        **{f"BONAFIDE_{modality.upper()}_BENTO_URL": f"http://{HOST}:{port}" for modality, port in ports.items()},
        "BONAFIDE_GATEWAY_HOST": settings.gateway_host,
        "BONAFIDE_GATEWAY_PORT": str(settings.gateway_port),
        "BONAFIDE_DATABASE_URL": cluster.url(),
        "BONAFIDE_TOKEN_KEY": folder.secret("token-key"),
    }
    return Platform(
        programs=(
            postgres.program(cluster, plain, grace_s=grace),
            triton.program(inference, plain, load_deadline_s=settings.start_deadline_s, on_loaded=on_model),
            *(services.bento(modality, port, for_bentos, grace_s=grace) for modality, port in ports.items()),
            services.gateway(
                settings.gateway_url,
                for_gateway,
                activate=functools.partial(_keep_local_key, folder, cluster),
                grace_s=grace,
            ),
            services.worker(cluster.conninfo(), for_gateway, grace_s=grace),
        ),
        triton=inference,
        cluster=cluster,
    )


async def _keep_local_key(folder: DataFolder, cluster: Cluster) -> None:
    """Write the key of the local account beside the data. A lost file gets a new key, for the old is only a hash."""
    key = await ensure_local_key(cluster.url(), rotate=not folder.api_key.exists())
    if key:
        write_private(folder.api_key, key + "\n")
