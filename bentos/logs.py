"""Logs of a Bento: one JSON object a line, with the request's id; never a header, a token or a medium."""

import logging
import logging.config
from typing import Any

import msgspec
import structlog
from structlog.typing import Processor

_SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
)


def configure_logs(level: str) -> None:
    """Send our logs, BentoML's and the server's to standard output as JSON, from `level` ("info", ...) on."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    # Gentler than the dictionary that BentoML configured before: its loggers keep their levels and lose their format.
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": _json_formatter}},
            "handlers": {
                "stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "json"}
            },
            "root": {"handlers": ["stdout"], "level": logging.WARNING},
            "loggers": {
                "bentos": {"level": level.upper()},
                "bentoml": {"level": logging.INFO, "handlers": ["stdout"], "propagate": False},
                "uvicorn.error": {"level": logging.WARNING, "handlers": [], "propagate": True},
            },
        }
    )


def _json_formatter() -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(serializer=_dump),
        ],
    )


def _dump(event: Any, **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()
