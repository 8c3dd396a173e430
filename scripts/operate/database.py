"""How a command reaches the platform's database, and how it tells what went wrong."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import psycopg
import sqlalchemy.exc
import typer
from rich.console import Console
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from gateway.db.engine import CONNECTING, connection_string
from gateway.errors import GatewayError
from scripts.stack.commands.settings import read_settings
from scripts.stack.folder import DataFolder
from scripts.stack.postgres import Cluster

Result = TypeVar("Result")

EXIT_REFUSED: Final = 1
EXIT_NO_DATABASE: Final = 4


def database_url() -> str:
    """Address of the database: BONAFIDE_DATABASE_URL, else that of the embedded platform.

    Exits with 4 where there is neither.
    """
    environment, settings = read_settings()
    given = environment.get("BONAFIDE_DATABASE_URL")
    if given:
        return given
    folder = DataFolder(settings.home)
    if not folder.postgres.is_dir():
        _tell("There is no platform here yet. Start it with `bonafide up`, or set BONAFIDE_DATABASE_URL.")
        raise typer.Exit(EXIT_NO_DATABASE)
    return Cluster(folder=folder.postgres, password=folder.secret("database-password")).url()


def with_engine(work: Callable[[AsyncEngine], Awaitable[Result]]) -> Result:
    """Do something with the database. Exits with 1 where it is refused and with 4 where the database is away."""

    async def run(url: str) -> Result:
        engine = create_async_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=dict(CONNECTING))
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    return _told(lambda: run(database_url()))


def with_connection(work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[Result]]) -> Result:
    """Read from the database, in one transaction that sees one state of it. Exits as `with_engine` does."""

    async def run(url: str) -> Result:
        async with await psycopg.AsyncConnection.connect(connection_string(url), **CONNECTING) as connection:
            await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
            await connection.set_read_only(True)
            return await work(connection)

    return _told(lambda: run(database_url()))


def _told(run: Callable[[], Any]) -> Any:
    try:
        return asyncio.run(run())
    except GatewayError as error:
        _tell(error.message)
        raise typer.Exit(EXIT_REFUSED) from error
    except (psycopg.OperationalError, sqlalchemy.exc.OperationalError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        _tell(f"The database does not answer; does the platform run? {reason}")
        raise typer.Exit(EXIT_NO_DATABASE) from error
    except (psycopg.errors.UndefinedTable, sqlalchemy.exc.ProgrammingError) as error:
        if not isinstance(getattr(error, "orig", None) or error, psycopg.errors.UndefinedTable):
            raise
        _tell("The database has no tables yet; they are made when the platform starts.")
        raise typer.Exit(EXIT_NO_DATABASE) from error


def _tell(text: str) -> None:
    Console(stderr=True, soft_wrap=True).print(text, style="red", highlight=False, markup=False)
