"""Bring the database to the newest migration: at start, and as `python -m gateway.db.migrate`.

An advisory lock lets one of several starting processes do it while the others wait; a lock time-out keeps a migration
from queueing behind a long transaction with everybody else queueing behind it.
"""

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import NullPool, create_engine, text

from gateway.db.engine import CONNECTING
from gateway.settings import GatewaySettings

_ADVISORY_LOCK = 0x626F6E61
_WAIT_FOR_TURN = "60s"
_WAIT_FOR_TABLE = "5s"


def alembic_config() -> Config:
    """Alembic's configuration, without a file of its own."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def newest_revision() -> str:
    """The revision that this code was written for."""
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    if head is None:
        raise RuntimeError("There are no migrations.")
    return head


def migrate(database_url: str) -> None:
    """Apply what is missing, each migration in a transaction of its own.

    Raises:
        sqlalchemy.exc.OperationalError: The database does not answer, or a lock was not granted in time.
    """
    engine = create_engine(database_url, poolclass=NullPool, hide_parameters=True, connect_args=dict(CONNECTING))
    try:
        with engine.connect() as connection:
            connection.execute(text(f"SET lock_timeout = '{_WAIT_FOR_TURN}'"))
            connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _ADVISORY_LOCK})
            connection.execute(text(f"SET lock_timeout = '{_WAIT_FOR_TABLE}'"))
            connection.commit()
            config = alembic_config()
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            finally:
                connection.rollback()
                connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _ADVISORY_LOCK})
                connection.commit()
    finally:
        engine.dispose()


def main() -> None:
    """Migrate the database named by the settings and say so."""
    settings = GatewaySettings()  # pyright: ignore[reportCallIssue] - pydantic reads the rest from the environment.
    migrate(settings.database_url.get_secret_value())
    sys.stdout.write(f"The database is at {newest_revision()}.\n")


if __name__ == "__main__":
    main()
