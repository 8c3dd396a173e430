"""How a call is made, without doing it: a generator that says what to do next and is told what came of it.

The blocking and the asynchronous driver both walk through these steps, so that what is retried, when tokens are
renewed and which error is raised is decided in one place.
"""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

from bonafide_client.answers import Answer, NoAnswer, error_of
from bonafide_client.calls import Call
from bonafide_client.credentials import Credentials, Tokens
from bonafide_client.errors import ApiError, AuthenticationError
from bonafide_client.retrying import Retries, Timeouts, may_repeat

T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    """What all calls of a client have in common; `renewal` makes the call that gets new tokens for old."""

    base_url: str
    user_agent: str
    credentials: Credentials
    renewal: Callable[[str], Call[Tokens]]
    timeouts: Timeouts
    retries: Retries


@dataclass(frozen=True)
class Send:
    """Send a call, no later than `deadline` by the monotonic clock; the result is an Answer or a NoAnswer."""

    call: Call[Any]
    bearer: str | None
    deadline: float

    @property
    def left(self) -> float:
        """Seconds until the deadline; a little more than none, since no time-out may be 0."""
        return max(0.001, self.deadline - time.monotonic())


@dataclass(frozen=True)
class Wait:
    """Do nothing for a while."""

    seconds: float


@dataclass(frozen=True)
class Renew:
    """Walk through `renewal` for this access token, one at a time."""

    used: str | None


Step = Send | Wait | Renew
Outcome = Answer | NoAnswer | None
Steps = Generator[Step, Outcome, T]


def perform(call: Call[Any], context: Context) -> Steps[Answer]:
    """Make a call until its answer is good.

    Raises:
        BonafideError: It was refused or failed, and making it again is not allowed, not possible or of no use.
    """
    deadline = time.monotonic() + context.timeouts.total
    credentials = context.credentials
    renewable = call.authenticated and credentials.refresh_token is not None
    failures = 0
    if call.renews:
        yield Renew(credentials.bearer)
        return Answer(HTTPStatus.NO_CONTENT, {}, b"")
    while True:
        if renewable and credentials.expired:
            renewable = False
            yield Renew(credentials.bearer)
        used = credentials.bearer if call.authenticated else None
        outcome = yield from _send(Send(call, used, deadline))
        if isinstance(outcome, Answer) and outcome.good:
            return outcome
        error = error_of(outcome) if isinstance(outcome, Answer) else outcome.error
        rereadable = call.upload is None or call.upload.repeatable
        if renewable and rereadable and isinstance(error, AuthenticationError):
            renewable = False
            yield Renew(used)
            continue
        failures += 1
        delay = None
        if rereadable and may_repeat(outcome, error, repeatable=call.repeatable):
            delay = context.retries.delay(failures, error if isinstance(error, ApiError) else None)
        if delay is None or time.monotonic() + delay >= deadline:
            raise error from (outcome.cause if isinstance(outcome, NoAnswer) else None)
        yield Wait(delay)


def renew(used: str | None, context: Context) -> Steps[None]:
    """Get new tokens, unless somebody else has replaced the access token `used` meanwhile.

    Raises:
        BonafideError: There are none to be had; the session has ended.
    """
    credentials = context.credentials
    refresh_token = credentials.refresh_token
    if credentials.bearer != used or refresh_token is None:
        return
    call = context.renewal(refresh_token)
    answer = yield from perform(call, context)
    credentials.adopt(call.read(answer))


def _send(step: Send) -> Steps[Answer | NoAnswer]:
    outcome = yield step
    if outcome is None:
        raise AssertionError("What is sent has an outcome.")
    return outcome
