"""`bonafide mail`: what would have been sent, while no mail server is named."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from gateway.mail.transports import SUFFIX
from scripts.stack.commands.settings import EXIT_USAGE, read_settings
from scripts.stack.folder import DataFolder

EXIT_NONE: Final = 1
_SHOWN: Final = 8
"""Characters of an id in the list; as many suffice to name a mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptMail:
    """A mail in the folder."""

    id: str
    date: datetime
    sender: str
    to: str
    subject: str
    text: str


def mail(
    identifier: Annotated[str | None, typer.Argument(help="Id of a mail, or how it begins. Default: list all.")] = None,
    *,
    last: Annotated[bool, typer.Option("--last", help="Show the newest mail.")] = False,
    to: Annotated[str | None, typer.Option(help="Only mail to this address.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Show mail that was kept as files because no mail server is named (BONAFIDE_SMTP_URL).

    Exit status: 0, or 1 when there is no such mail.
    """
    environment, settings = read_settings()
    folder = Path(environment.get("BONAFIDE_MAIL_FOLDER") or DataFolder(settings.home).mail)
    found = [one for one in read_folder(folder) if to is None or one.to.lower() == to.lower()]
    if identifier is not None:
        found = [one for one in found if one.id.startswith(identifier)]
    if last:
        found = found[-1:]
    single = last or identifier is not None
    if single and len(found) != 1:
        text = "There is no such mail." if not found else f"{len(found)} mails begin so."
        Console(stderr=True, soft_wrap=True).print(text)
        raise typer.Exit(EXIT_USAGE if found else EXIT_NONE)
    if as_json:
        for one in found:
            print(json.dumps(asdict(one) | {"date": one.date.isoformat()}, ensure_ascii=False))
    elif single:
        _show(found[0])
    else:
        _list(found, folder)


def read_folder(folder: Path) -> list[KeptMail]:
    """The mail in a folder, oldest first."""
    files = folder.glob(f"*{SUFFIX}") if folder.is_dir() else ()
    return sorted((_read(file) for file in files), key=lambda one: one.date)


def _read(file: Path) -> KeptMail:
    message = message_from_bytes(file.read_bytes(), policy=policy.default)
    return KeptMail(
        id=file.stem,
        # The Date of a message has whole seconds; the file knows better which of two came first.
        date=datetime.fromtimestamp(file.stat().st_mtime, UTC),
        sender=str(message["From"]),
        to=str(message["To"]),
        subject=str(message["Subject"]),
        text=message.get_content(),
    )


def _show(one: KeptMail) -> None:
    console = Console(highlight=False, soft_wrap=True, markup=False)
    console.print(f"From: {one.sender}\nTo: {one.to}\nSubject: {one.subject}\nDate: {one.date:%Y-%m-%d %H:%M:%S %Z}\n")
    console.print(one.text.rstrip())


def _list(found: list[KeptMail], folder: Path) -> None:
    if not found:
        Console().print(f"No mail in {folder}.", highlight=False, soft_wrap=True)
        return
    table = Table("id", "date", "to", "subject", box=None, pad_edge=False)
    for one in found:
        table.add_row(one.id[:_SHOWN], f"{one.date:%Y-%m-%d %H:%M:%S}", one.to, one.subject)
    Console().print(table)
