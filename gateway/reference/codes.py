"""Every code that an error may carry: those of the tree of errors, and the special ones given where they are raised.

`python -m gateway.reference.codes` prints them as the table that `docs/api-policy.md` holds.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import gateway
import gateway.errors as tree
from gateway.errors import ClientGoneError, GatewayError

_SOURCE: Final = Path(gateway.__file__).parent


def every_error(root: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    """The class and all below it, each before those below it."""
    yield root
    for one in root.__subclasses__():
        yield from every_error(one)


def every_code() -> list[str]:
    """The codes of the classes, in their order; a class may be raised with a more special one."""
    return list(dict.fromkeys(one.code for one in every_error() if one is not ClientGoneError))


def special_codes() -> dict[str, tuple[int, str]]:
    """The codes given where an error is raised, with their status and message, as the source has them."""
    found: dict[str, tuple[int, str]] = {}
    for file in sorted(_SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                error: Any = getattr(tree, node.func.id, None)
                if isinstance(error, type) and issubclass(error, GatewayError):
                    _note(node, error, found)
    return dict(sorted(found.items()))


def _note(call: ast.Call, error: type[GatewayError], found: dict[str, tuple[int, str]]) -> None:
    given = {one.arg: one.value for one in call.keywords}
    code, status = given.get("code"), given.get("status")
    if not isinstance(code, ast.Constant):
        return
    found.setdefault(
        str(code.value),
        (
            int(str(status.value)) if isinstance(status, ast.Constant) else error.status,
            (_text(call.args[0]) if call.args else "") or _title(error),
        ),
    )


def _text(message: ast.expr) -> str:
    """A message as the source has it, with … for what is only known when it is raised; empty where all of it is."""
    if isinstance(message, ast.JoinedStr):
        return "".join(str(one.value) if isinstance(one, ast.Constant) else "…" for one in message.values)
    return str(message.value) if isinstance(message, ast.Constant) else ""


def _title(error: type[GatewayError]) -> str:
    return (error.__doc__ or "").strip().partition("\n")[0]


def table() -> str:
    """All codes as a table in Markdown, by status."""
    codes = {one.code: (one.status, _title(one)) for one in every_error() if one is not ClientGoneError}
    rows = sorted((status, code, message) for code, (status, message) in (special_codes() | codes).items())
    lines = [f"| {status} | `{code}` | {message} |" for status, code, message in rows]
    return "\n".join(["| status | code | what it says |", "|---|---|---|", *lines])


if __name__ == "__main__":
    print(table())  # noqa: T201 - It is run to be read.
