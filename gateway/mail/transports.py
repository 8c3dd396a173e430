"""Where mail goes: to a mail server, or as files into a folder while none is named."""

import asyncio
import os
from email.message import EmailMessage
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

import aiosmtplib

from gateway.queue.tasks import HopelessError
from gateway.settings import GatewaySettings

SUFFIX: Final = ".eml"
_SUBMISSION_PORT: Final = 587
_TLS_PORT: Final = 465
_PERMANENT: Final = range(500, 600)


class NoMailServerError(Exception):
    """Neither BONAFIDE_SMTP_URL nor BONAFIDE_MAIL_FOLDER is set, so mail cannot leave."""

    def __init__(self) -> None:
        super().__init__(type(self).__doc__)


class Transport(Protocol):
    """One way for mail to leave."""

    async def send(self, message: EmailMessage, *, to: str) -> None:
        """Hand a message over to one address. Raises `HopelessError` where trying again cannot help."""
        ...


class SmtpTransport:
    """Hands mail to a server by SMTP.

    A user and password leave this process under TLS only: over smtp:// the server has to offer STARTTLS then. Without
    them the connection is upgraded where the server offers it.
    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        address = urlsplit(url)
        self._tls = address.scheme == "smtps"
        self._host = address.hostname or ""
        self._port = address.port or (_TLS_PORT if self._tls else _SUBMISSION_PORT)
        self._username = unquote(address.username) if address.username else None
        self._password = unquote(address.password) if address.password else None
        self._timeout_s = timeout_s

    async def send(self, message: EmailMessage, *, to: str) -> None:
        """Hand a message over within the time-out; it goes to this address, whatever its header could be read as.

        Raises:
            HopelessError: The server refuses this message or its recipient for good.
            aiosmtplib.SMTPException: It does not take the message now.
            TimeoutError: It took too long.
        """
        upgrade = None if self._username is None else True
        try:
            async with asyncio.timeout(self._timeout_s):
                await aiosmtplib.send(
                    message,
                    recipients=[to],
                    hostname=self._host,
                    port=self._port,
                    username=self._username,
                    password=self._password,
                    use_tls=self._tls,
                    start_tls=False if self._tls else upgrade,
                    timeout=self._timeout_s,
                )
        except aiosmtplib.SMTPRecipientsRefused as error:
            if all(one.code in _PERMANENT for one in error.recipients):
                raise HopelessError("The mail server refuses the recipient.") from error
            raise
        except aiosmtplib.SMTPDataError as error:
            if error.code in _PERMANENT:
                raise HopelessError("The mail server refuses the message.") from error
            raise


class FolderTransport:
    """Puts mail into a folder, one file each, readable by the owner alone. The same mail twice is one file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, message: EmailMessage, *, to: str) -> None:
        """Write a message, whole or not at all. Raises OSError where that cannot be done."""
        del to
        await asyncio.to_thread(self._write, message)

    def _write(self, message: EmailMessage) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = message["Message-ID"].strip("<>").partition("@")[0]
        aside = self._folder / f".{name}.{os.getpid()}"
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:  # noqa: PTH123 - A mode.
            stream.write(message.as_bytes())
        aside.replace(self._folder / f"{name}{SUFFIX}")


class NoTransport:
    """Mail cannot leave: it waits in the queue for a while, and then has failed."""

    async def send(self, message: EmailMessage, *, to: str) -> None:
        """Raise NoMailServerError."""
        del message, to
        raise NoMailServerError


def choose_transport(settings: GatewaySettings) -> Transport:
    """The server where one is named, else the folder."""
    if settings.smtp_url is not None:
        return SmtpTransport(settings.smtp_url.get_secret_value(), timeout_s=settings.mail_timeout_s)
    return FolderTransport(settings.mail_folder) if settings.mail_folder else NoTransport()
