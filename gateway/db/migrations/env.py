"""How Alembic reaches the database and compares it with the tables.

Run through `gateway.db.migrate`, which hands over a connection that holds the lock.
"""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlmodel.sql.sqltypes import AutoString

from gateway.db.tables import METADATA


def render_item(kind: str, item: Any, _: AutogenContext) -> str | Literal[False]:
    """Write SQLModel's string type as the plain one, which a migration can import."""
    if kind == "type" and isinstance(item, AutoString):
        return "sa.Text()"
    return False


def include_name(name: str | None, kind: str, _: Any) -> bool:
    """Leave tables alone that are not ours, such as those of a job queue."""
    return kind != "table" or name in METADATA.tables


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transaction_per_migration=True,
    render_item=render_item,
    include_name=include_name,
    compare_type=True,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
