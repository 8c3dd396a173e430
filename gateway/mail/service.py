"""Posts mail: it leaves with the transaction that calls for it, and the worker sends it (`mail.tasks`)."""

import re
from dataclasses import asdict, dataclass
from typing import Final
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.accounts.names import is_email
from gateway.queue.deferring import defer
from gateway.queue.lanes import MAIL_QUEUE

SEND_MAIL: Final = "send_mail"

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A message of plain text to one address.

    Raises:
        ValueError: The address is not exactly one, or the subject would not stay one line.
    """

    to: str
    subject: str
    text: str

    def __post_init__(self) -> None:
        if not is_email(self.to):
            raise ValueError("A mail goes to exactly one address.")
        if _CONTROL.search(self.subject):
            raise ValueError("The subject of a mail is one line.")


async def post(connection: AsyncConnection, mail: Mail) -> None:
    """Have a mail sent once the transaction of the connection is committed."""
    await defer(connection, SEND_MAIL, {"id": uuid4().hex, **asdict(mail)}, queue=MAIL_QUEUE)
