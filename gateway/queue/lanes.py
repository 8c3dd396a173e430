"""In which lanes a worker goes: each takes from some queues, so that what takes long holds up nothing else.

Of jobs the lane that is open to all takes the highest class first; one place each is kept for the lower classes, so
that they go on however much of the higher ones comes in.
"""

from dataclasses import dataclass
from typing import Final

from gateway.queue.deferring import DEFAULT_QUEUE

JOB_QUEUES: Final = ("jobs.interactive", "jobs.api", "jobs.batch")
WEBHOOK_QUEUE: Final = "webhooks"
MAIL_QUEUE: Final = "mail"

_MAILS_AND_THE_LIKE: Final = 4
_WEBHOOKS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """Takes from `queues`, and does at most `places` things at once."""

    name: str
    queues: tuple[str, ...]
    places: int


def lanes_of(worker_concurrency: int) -> tuple[Lane, ...]:
    """The lanes of a worker that runs so many jobs at once, and one more of each lower class."""
    return (
        Lane(name="jobs", queues=JOB_QUEUES, places=worker_concurrency),
        Lane(name="jobs.api", queues=("jobs.api",), places=1),
        Lane(name="jobs.batch", queues=("jobs.batch",), places=1),
        Lane(name="webhooks", queues=(WEBHOOK_QUEUE,), places=_WEBHOOKS),
        Lane(name="others", queues=(DEFAULT_QUEUE, MAIL_QUEUE), places=_MAILS_AND_THE_LIKE),
    )
