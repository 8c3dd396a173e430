import asyncio
import time

import pytest

from bentos.contract import StretchScore
from bentos.progress import Course

SCORE = StretchScore(start_s=0, end_s=1, p_fake=0.5)


def test_nothing_is_known_at_first():
    line = Course(wanted=True).line()
    assert (line.done, line.total, line.remaining_s, line.scores) == (0, 0, None, ())


def test_each_score_is_told_once_and_what_is_left_is_estimated():
    course = Course(wanted=True, unit="seconds")
    course.begin(4)
    time.sleep(0.2)
    course.advance(1, [SCORE])
    assert course.untold
    first, second = course.line(), course.line()
    assert not course.untold
    assert (first.done, first.total, first.unit) == (1, 4, "seconds")
    assert first.remaining_s == pytest.approx(0.6, abs=0.2)
    assert (first.scores, second.scores) == ((SCORE,), ())


def test_what_is_done_is_never_more_than_there_is():
    course = Course()
    course.begin(4)
    course.advance(4.5, [])
    assert course.line().done == 4


def test_scores_that_nobody_reads_are_not_kept():
    course = Course()
    course.begin(4)
    course.advance(1, [SCORE])
    assert course.line().scores == ()


async def test_news_are_waited_for_no_longer_than_said():
    course = Course(wanted=True)
    started = time.monotonic()
    await course.news(0.1)
    assert 0.08 < time.monotonic() - started < 1
    asyncio.get_running_loop().call_later(0.05, course.begin, 3)
    started = time.monotonic()
    await course.news(5)
    assert time.monotonic() - started < 1
