"""Sends what was posted: the task `send_mail` of the worker."""

from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Final

from gateway.mail.service import SEND_MAIL, Mail
from gateway.mail.transports import Transport
from gateway.queue.lanes import MAIL_QUEUE
from gateway.queue.tasks import HopelessError, Patience, Task

_PATIENCE: Final = Patience(attempts=8, first_pause_s=30)
"""Tried for about an hour: what is mailed is of little use later."""


class Mailer:
    """Writes messages as the sender that the deployment names, and hands them to its transport."""

    def __init__(self, transport: Transport, *, sender: str) -> None:
        self._transport = transport
        self._sender = sender

    async def send(self, id: str, to: str, subject: str, text: str) -> None:  # noqa: A002 - It is the job's word.
        """Send a mail; what is sent twice carries the same Message-ID.

        Raises:
            HopelessError: It is no mail that could be sent, or it is refused for good.
        """
        try:
            message = write_message(Mail(to=to, subject=subject, text=text), identifier=id, sender=self._sender)
        except ValueError as error:
            raise HopelessError(str(error)) from error
        await self._transport.send(message, to=to)


def mail_task(mailer: Mailer) -> Task:
    """The task that sends mail."""
    return Task(name=SEND_MAIL, work=mailer.send, queue=MAIL_QUEUE, patience=_PATIENCE)


def write_message(mail: Mail, *, identifier: str, sender: str) -> EmailMessage:
    """The message of a mail. Raises ValueError where a header would not stay one line."""
    message = EmailMessage()
    message["From"] = sender
    # As an address, so that nothing is decoded or looked for in it.
    mailbox, _, domain = mail.to.rpartition("@")
    message["To"] = Address(username=mailbox, domain=domain)
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = f"<{identifier}@{parseaddr(sender)[1].rpartition('@')[2]}>"
    # Answers by machines, such as "I am on holiday", are not to come back.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    return message
