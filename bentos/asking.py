"""Asks the members of an ensemble at once, each with a call of its own that shares what is decoded."""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from bentos.cards import Ensemble, Member
from bentos.deadline import Deadline
from bentos.ensembles import MemberAnswer
from bentos.errors import BrokenModelError, DetectionError
from bentos.http.calls import Call
from bentos.laps import Laps
from bentos.progress import Course
from bentos.verdict import Heard

_RESERVE_SHARE: Final = 0.1
_RESERVE_S: Final = 1.0
"""What of a call's time its members do not get, a tenth but no more than this, so that one which is too slow leaves
the others time to be an answer."""

Ask = Callable[[str, Call], Awaitable[Heard]]
"""Has a model judge a call."""

_log = structlog.stdlib.get_logger(__name__)


def split_call(call: Call, members: int) -> tuple[Call, ...]:
    """Return a call for each member: the same medium, what is decoded shared, times of their own.

    Only the first member's course is told, because those of the others would go over the same medium again.

    Raises:
        DeadlineExceededError: There is no time left.
    """
    left_s = call.deadline.remaining_s()
    ends = time.monotonic() + left_s - min(_RESERVE_S, left_s * _RESERVE_SHARE)
    deadline = Deadline(started=call.deadline.started, ends=ends)
    return tuple(
        dataclasses.replace(call, deadline=deadline, laps=Laps(), course=Course() if place else call.course)
        for place in range(members)
    )


async def ask_members(ensemble: Ensemble, calls: Sequence[Call], ask: Ask) -> tuple[MemberAnswer, ...]:
    """Have each member judge its call; return what they answered or failed with, in the order of the declaration."""

    async def outcome(member: Member, call: Call) -> MemberAnswer:
        try:
            return MemberAnswer(member, await ask(member.model, call))
        except DetectionError as error:
            return MemberAnswer(member, error)
        except Exception:  # noqa: BLE001  # Whatever it is of one member, the others may be an answer.
            _log.exception("member failed", model=member.model)
            return MemberAnswer(member, BrokenModelError())

    return tuple(await asyncio.gather(*map(outcome, ensemble.members, calls)))
