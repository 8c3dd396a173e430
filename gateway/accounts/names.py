"""What an e-mail address and a username may look like. Pure; whether they are taken only the database knows."""

import re
from typing import Final

from gateway.errors import InvalidBodyError

LONGEST_EMAIL: Final = 254
LONGEST_USERNAME: Final = 64

_SHUNNED: Final = r"@\s<>()\[\],;:\"\\"
"""What parts addresses from each other and from comments and names in a header."""
_LABEL: Final = rf"[^{_SHUNNED}.]+"
_EMAIL: Final = re.compile(rf"(?=[^@]{{1,64}}@){_LABEL}(?:\.{_LABEL})*@{_LABEL}(?:\.{_LABEL})+")
_ENCODED_WORD: Final = "=?"
"""How RFC 2047 begins what readers of headers decode, into another address than the one that was looked at."""
_USERNAME: Final = re.compile(rf"[\w.-]{{2,{LONGEST_USERNAME}}}")


def is_email(text: str) -> bool:
    """Whether mail could be sent there, and nobody could read another address out of it."""
    plain = len(text) <= LONGEST_EMAIL and text.isprintable() and _ENCODED_WORD not in text
    return plain and _EMAIL.fullmatch(text) is not None


def is_username(text: str) -> bool:
    """Whether it is 2 to 64 letters, digits, dots, hyphens and underscores; so never an e-mail address."""
    return _USERNAME.fullmatch(text) is not None


def is_login(text: str) -> bool:
    """Whether somebody could sign in by this name."""
    return is_email(text) if "@" in text else is_username(text)


def check_names(email: str | None, username: str | None) -> None:
    """Refuse what an account cannot be called.

    Raises:
        InvalidBodyError: One of them is malformed, or there is neither.
    """
    if email is None and username is None:
        raise InvalidBodyError("An account needs an e-mail address or a username.")
    if email is not None and not is_email(email):
        raise InvalidBodyError("The e-mail address is not valid.")
    if username is not None and not is_username(username):
        raise InvalidBodyError("A username is 2 to 64 letters, digits, dots, hyphens and underscores.")
