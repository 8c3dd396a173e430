"""Whether a version may be rolled out: its files, its card, its graph and its answers, looked at one after the other.

What can be read from the files comes first; then the version stands on a second Triton, where it has to load, to take
what its card says, to give its golden answers again, and the same to a row alone as in a full batch.
"""

import asyncio
from typing import Any

from bentos.cards import Card
from scripts.models import history
from scripts.models.errors import RefusedError
from scripts.models.repository import Repository
from scripts.models.stand import stand
from scripts.models.validation_answers import look_at_answers
from scripts.models.validation_files import look_at_files
from scripts.models.validation_report import Book, Check, FailedError, Report
from scripts.stack.settings import StackSettings


def validate(repository: Repository, model: str, version: int, settings: StackSettings) -> Report:
    """Look at a version, note in the history what was found, and return it.

    Raises:
        UnknownVersionError: There is no such version.
        ModelsError: The second Triton ended while it was asked.
        BusyError: Another command is changing the repository, so that the result could not be noted.
    """
    repository.folder(model, version)
    book = Book()
    measured: dict[str, Any] = {}
    card: Card | None = None
    try:
        card = look_at_files(repository, model, version, book)
        try:
            with stand(repository, [(model, version)], settings) as here:
                book.checks.append(Check(name="loads", passed=True, detail="The second Triton answers for it."))
                measured = asyncio.run(look_at_answers(here, repository, card, book))
        except RefusedError as error:
            book.fail("loads", error)
    except FailedError:
        pass
    report = Report(
        model=model,
        version=version,
        digest=card.digest if card else "",
        passed=all(check.passed for check in book.checks),
        checks=tuple(book.checks),
        **measured,
    )
    _note(repository, report)
    return report


def _note(repository: Repository, report: Report) -> None:
    event = history.new_event(
        "validate", report.model, report.version, passed=report.passed, failures=list(report.failures)
    )
    with repository.changing():
        history.append(repository.root, event)
