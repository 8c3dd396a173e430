"""One JSON object per line on standard output, from our code and from libraries alike, without secrets."""

import logging
import logging.config
import re
import sys
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED: Final = "[redacted]"
WORKER_NAME: Final = "bonafide"
"""What the queue's library names the logger of a worker by."""

_SECRET_NAMES: Final = re.compile(
    r"authorization|cookie|password|passwd|secret|token|signature|api[-_]?key$|x-bonafide-reference", re.IGNORECASE
)
_SECRET_TEXTS: Final = (
    (re.compile(r"sk-live-[0-9a-fA-F]{8,}"), f"sk-live-{REDACTED}"),
    (re.compile(r"(?i)(bearer\s+)[A-Za-z0-9._~+/=-]+"), rf"\1{REDACTED}"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), REDACTED),
    (
        re.compile(r"(?i)([?&][^=&\s]*(?:sig|signature|token|credential|secret|key)[^=&\s]*=)[^&\s\"']+"),
        rf"\1{REDACTED}",
    ),
    (re.compile(r"(://[^:/@\s]*:)[^@/\s]+@"), rf"\1{REDACTED}@"),
)
_MARKS: Final = re.compile(r"sk-live-|bearer|eyJ|[?&]|://", re.IGNORECASE)
_encode = msgspec.json.Encoder(enc_hook=str).encode


def redact(value: Any) -> Any:
    """The value without secrets: named ones in mappings, and those recognised in texts."""
    if isinstance(value, str):
        if _MARKS.search(value):
            for pattern, replacement in _SECRET_TEXTS:
                value = pattern.sub(replacement, value)
        return value
    if isinstance(value, Mapping):
        return {
            name: REDACTED if isinstance(name, str) and _SECRET_NAMES.search(name) else redact(item)
            for name, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [redact(item) for item in value]
    return value


def _redact_event(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return redact(event)


def _to_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    return _encode(event).decode()


_STEPS: Final[tuple[Processor, ...]] = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
)


def configure_logs(level: str) -> None:
    """Send everything that is logged in this process to standard output as JSON."""
    structlog.configure(
        processors=[*_STEPS, _redact_event, _to_json],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(library_logs(level))


def library_logs(level: str) -> dict[str, Any]:
    """Configuration, for `logging.config`, that writes what libraries log in the same way."""
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": [structlog.stdlib.add_logger_name, *_STEPS],
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, _redact_event, _to_json],
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": formatter},
        "handlers": {"stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "json"}},
        "root": {"level": level.upper(), "handlers": ["stdout"]},
        "loggers": {
            "_granian": {"level": level.upper(), "handlers": [], "propagate": True},
            "granian.access": {"level": level.upper(), "handlers": [], "propagate": True},
            "alembic": {"level": "WARNING"},
            # It writes what jobs are called with, which may be secret, into each of their lines; ours tell the same.
            "procrastinate": {"level": "WARNING"},
            "procrastinate.worker": {"level": "CRITICAL"},
            f"procrastinate.worker.{WORKER_NAME}": {"level": "WARNING"},
        },
    }
