"""Mail as it leaves: to a real SMTP server of this machine, or into a folder."""

import asyncio
import datetime as dt
import gc
import ipaddress
import ssl
import warnings
from collections.abc import Callable, Generator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.mail.service import Mail
from gateway.mail.tasks import Mailer, write_message
from gateway.mail.transports import (
    FolderTransport,
    NoMailServerError,
    NoTransport,
    SmtpTransport,
)
from gateway.queue.tasks import HopelessError
from scripts.stack.ports import free_port

SENDER = "Bonafide <no-reply@bonafide.example>"
MAIL = Mail(to="somebody@example.org", subject="Grüße", text="Open https://bonafide.example/?token=abc\n")


class Inbox:
    """What an SMTP server does with what it gets."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.recipient_reply = "250 OK"
        self.data_reply = "250 OK"

    async def handle_RCPT(self, *arguments: Any) -> str:  # noqa: N802 - The library's name.
        envelope, address = arguments[2], arguments[3]
        if self.recipient_reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.recipient_reply

    async def handle_DATA(self, _: Any, __: Any, envelope: Envelope) -> str:  # noqa: N802 - The library's name.
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        self.recipients += envelope.rcpt_tos
        return self.data_reply


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def serve(inbox: Inbox) -> Generator[Callable[..., int]]:
    """Starts SMTP servers that deliver to the inbox; returns their ports."""
    started: list[Controller] = []

    def start(**options: Any) -> int:
        controller = Controller(inbox, hostname="127.0.0.1", port=free_port(), **options)
        controller.start()
        started.append(controller)
        return controller.port

    yield start
    with warnings.catch_warnings():
        # The library leaves the stream open that it upgraded to TLS.
        warnings.simplefilter("ignore", ResourceWarning)
        upgrading = [each for each in started if each.SMTP_kwargs.get("tls_context")]
        while started:
            started.pop().stop()
        if upgrading:
            upgrading.clear()
            gc.collect()


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's TLS context with a certificate for 127.0.0.1, which this process trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + built.public_bytes(serialization.Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def login(_: Any, __: Any, ___: Any, ____: Any, credentials: LoginPassword) -> AuthResult:
    return AuthResult(success=credentials == LoginPassword(b"user", b"p@ss word"), handled=False)


def names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


async def send(transport: Any, mail: Mail = MAIL) -> None:
    await Mailer(transport, sender=SENDER).send(id="a" * 32, to=mail.to, subject=mail.subject, text=mail.text)


async def test_a_message_reaches_the_server_whole(serve: Callable[..., int], inbox: Inbox) -> None:
    await send(SmtpTransport(f"smtp://127.0.0.1:{serve()}", timeout_s=10))
    (message,) = inbox.messages
    assert message["From"] == SENDER
    assert message["To"] == MAIL.to
    assert message["Subject"] == MAIL.subject
    assert message["Message-ID"] == f"<{'a' * 32}@bonafide.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content().replace("\r\n", "\n") == MAIL.text


@pytest.mark.parametrize("to", ["somebody@example.org", "a=40b=3e@example.org", "o'x+y{z}@example.org"])
async def test_the_envelope_names_the_stored_address(serve: Callable[..., int], inbox: Inbox, to: str) -> None:
    await send(SmtpTransport(f"smtp://127.0.0.1:{serve()}", timeout_s=10), Mail(to=to, subject="Hello", text="…"))
    assert inbox.recipients == [to]
    assert [one.addr_spec for one in inbox.messages[0]["To"].addresses] == [to]


async def test_the_envelope_does_not_follow_what_a_header_can_be_read_as(
    serve: Callable[..., int], inbox: Inbox
) -> None:
    message = write_message(MAIL, identifier="a" * 32, sender=SENDER)
    del message["To"]
    message["To"] = "=?utf-8?q?attacker=40evil.org=3e=00?=foo@company.com"
    await SmtpTransport(f"smtp://127.0.0.1:{serve()}", timeout_s=10).send(message, to=MAIL.to)
    assert inbox.recipients == [MAIL.to]


async def test_an_address_that_could_be_read_as_another_is_never_sent_to(
    serve: Callable[..., int], inbox: Inbox
) -> None:
    arguments = {"to": "=?utf-8?q?attacker=40evil.org=3e=00?=foo@company.com", "subject": "Hello", "text": "…"}
    with pytest.raises(HopelessError):
        await Mailer(SmtpTransport(f"smtp://127.0.0.1:{serve()}", timeout_s=10), sender=SENDER).send(
            id="a" * 32, **arguments
        )
    assert inbox.recipients == []


async def test_credentials_go_over_tls_that_the_server_upgrades_to(
    serve: Callable[..., int], inbox: Inbox, certificate: ssl.SSLContext
) -> None:
    port = serve(tls_context=certificate, authenticator=login, auth_required=True)
    await send(SmtpTransport(f"smtp://user:p%40ss%20word@127.0.0.1:{port}", timeout_s=10))
    assert len(inbox.messages) == 1
    with pytest.raises(aiosmtplib.SMTPAuthenticationError):
        await send(SmtpTransport(f"smtp://user:wrong@127.0.0.1:{port}", timeout_s=10))


async def test_credentials_are_kept_from_a_server_without_tls(serve: Callable[..., int], inbox: Inbox) -> None:
    offered: list[Any] = []

    def note(*arguments: Any) -> AuthResult:
        offered.append(arguments)
        return AuthResult(success=True)

    port = serve(authenticator=note, auth_require_tls=False)
    with pytest.raises(aiosmtplib.SMTPException):
        await send(SmtpTransport(f"smtp://user:password@127.0.0.1:{port}", timeout_s=10))
    assert offered == []
    assert inbox.messages == []


async def test_tls_from_the_first_byte(serve: Callable[..., int], inbox: Inbox, certificate: ssl.SSLContext) -> None:
    port = serve(ssl_context=certificate)
    await send(SmtpTransport(f"smtps://127.0.0.1:{port}", timeout_s=10))
    assert len(inbox.messages) == 1


async def test_a_server_that_nobody_vouches_for_gets_nothing(
    serve: Callable[..., int], inbox: Inbox, certificate: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = serve(ssl_context=certificate)
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(aiosmtplib.SMTPException):
        await send(SmtpTransport(f"smtps://127.0.0.1:{port}", timeout_s=10))
    assert inbox.messages == []


@pytest.mark.parametrize("reply", ["recipient_reply", "data_reply"])
async def test_a_refusal_for_good_is_hopeless_and_another_is_not(
    serve: Callable[..., int], inbox: Inbox, reply: str
) -> None:
    transport = SmtpTransport(f"smtp://127.0.0.1:{serve()}", timeout_s=10)
    setattr(inbox, reply, "550 No such user")
    with pytest.raises(HopelessError):
        await send(transport)
    setattr(inbox, reply, "451 Later")
    with pytest.raises(aiosmtplib.SMTPException):
        await send(transport)


async def test_a_server_that_is_away_is_an_error_to_try_again(serve: Callable[..., int]) -> None:
    assert serve
    with pytest.raises(aiosmtplib.SMTPConnectError):
        await send(SmtpTransport(f"smtp://127.0.0.1:{free_port()}", timeout_s=10))


async def test_a_server_that_says_nothing_is_not_waited_for_long() -> None:
    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises((TimeoutError, aiosmtplib.SMTPTimeoutError)):
        await send(SmtpTransport(f"smtp://127.0.0.1:{port}", timeout_s=0.3))
    server.close()


async def test_the_folder_keeps_each_mail_once_and_to_its_owner(tmp_path: Path) -> None:
    folder = tmp_path / "mail"
    for _ in range(2):
        await send(FolderTransport(folder))
    assert names(folder) == [f"{'a' * 32}.eml"]
    file = folder / names(folder)[0]
    assert file.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    message = message_from_bytes(file.read_bytes(), policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert message["Subject"] == MAIL.subject
    assert message.get_content() == MAIL.text


async def test_without_server_and_folder_it_is_said_what_is_missing() -> None:
    with pytest.raises(NoMailServerError, match="BONAFIDE_SMTP_URL"):
        await send(NoTransport())


@pytest.mark.parametrize("mail", [{"to": "a@b, c@d"}, {"subject": "a\r\nBcc: b@example.org"}])
async def test_a_header_that_would_break_is_refused_for_good(tmp_path: Path, mail: dict[str, str]) -> None:
    arguments = {"to": "a@example.org", "subject": "Hello", "text": "…"} | mail
    with pytest.raises(HopelessError):
        await Mailer(FolderTransport(tmp_path), sender=SENDER).send(id="b" * 32, **arguments)
    assert names(tmp_path) == []


def test_lines_of_the_text_are_no_headers() -> None:
    mail = Mail(to="a@example.org", subject="Hello", text="\r\nBcc: b@example.org\r\n.\r\nQUIT\r\n")
    written = write_message(mail, identifier="c" * 32, sender=SENDER).as_bytes()
    assert message_from_bytes(written, policy=policy.default)["Bcc"] is None
