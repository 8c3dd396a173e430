"""`python -m gateway`: the gateway on Granian, with the processes, address and log that the settings name."""

import os
import tempfile
from importlib import import_module

from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import Server

from gateway.logs import library_logs
from gateway.settings import FIGURES_VARIABLE, GatewaySettings

_STOP_AFTER_DRAIN_S = 30
_REQUESTS_AT_ONCE = 1024


def main() -> None:
    """Serve until told to stop."""
    settings = GatewaySettings()  # pyright: ignore[reportCallIssue] - pydantic reads the rest from the environment.
    with tempfile.TemporaryDirectory(prefix="bonafide-metrics-") as figures:
        if settings.gateway_workers > 1:
            os.environ[FIGURES_VARIABLE] = figures
            # Once for all processes, which are forked from this one and would each take seconds over it. After the
            # variable, which is read while it is imported.
            import_module("gateway.app")
        Server(
            "gateway.app:create_app",
            address=settings.gateway_host,
            port=settings.gateway_port,
            interface=Interfaces.ASGI,
            factory=True,
            workers=settings.gateway_workers,
            # Streams are counted and refused by ourselves; what the server lets in besides stays as many as ever.
            backpressure=settings.live_streams + _REQUESTS_AT_ONCE,
            log_dictconfig=library_logs(settings.log_level),
            log_level=LogLevels(settings.log_level),
            respawn_failed_workers=True,
            workers_kill_timeout=int(settings.drain_timeout_s) + _STOP_AFTER_DRAIN_S,
        ).serve()


if __name__ == "__main__":
    main()
