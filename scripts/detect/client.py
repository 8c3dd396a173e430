"""Calls `POST /v1/detections` for the command line: streams the file up, and waits out what asks to be waited out."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from scripts.detect.sources import Source

RETRIED_STATUSES: Final = frozenset({429, 503})
MAX_ATTEMPTS: Final = 4
MAX_RETRY_DELAY_S: Final = 30.0
MAX_RETRY_AFTER_S: Final = 60.0
"""A gateway that asks for a longer wait (a spent daily quota) is taken at its word: the call fails now."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one source: the gateway's answer, or a code and a sentence saying why there is none."""

    source: Source
    detection: Mapping[str, Any] | None = None
    code: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where to send media, as whom, and what is asked for; `timeout_s` bounds one attempt."""

    url: str
    key: str
    modality: str | None = None
    model: str | None = None
    timeout_s: float = 300.0


async def detect(session: aiohttp.ClientSession, source: Source, options: Options) -> Outcome:
    """Ask for a verdict on one source; never raises for what the network or the gateway does."""
    delay = 0.5
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            outcome, retry_after = await _post(session, source, options)
        except TimeoutError:
            return Outcome(source, code="timeout", message=f"no answer within {options.timeout_s:.0f} s")
        except aiohttp.ClientConnectorError:
            return Outcome(
                source, code="unreachable", message=f"nothing answers at {options.url}; is `bonafide up` running?"
            )
        except (aiohttp.ClientError, OSError) as error:
            return Outcome(source, code="connection_failed", message=str(error) or type(error).__name__)
        if retry_after is None or retry_after > MAX_RETRY_AFTER_S or attempt == MAX_ATTEMPTS:
            return outcome
        await asyncio.sleep(min(MAX_RETRY_DELAY_S, max(delay, retry_after)))
        delay *= 2
    raise AssertionError("the loop returns on its last attempt")


async def _post(session: aiohttp.ClientSession, source: Source, options: Options) -> tuple[Outcome, float | None]:
    """One attempt: the outcome, and the seconds to wait where the gateway invites another."""
    form = aiohttp.FormData(quote_fields=False)
    if options.modality:
        form.add_field("modality", options.modality)
    if options.model:
        form.add_field("model", options.model)
    form.add_field("file", source.open(), filename=source.filename, content_type="application/octet-stream")
    async with session.post(
        f"{options.url.rstrip('/')}/v1/detections",
        data=form,
        headers={"x-api-key": options.key},
        timeout=aiohttp.ClientTimeout(total=options.timeout_s),
    ) as response:
        body = await response.json(content_type=None)
        if response.ok:
            return Outcome(source, detection=body), None
        problem: Mapping[str, Any] = body if isinstance(body, dict) else {}
        outcome = Outcome(
            source,
            code=str(problem.get("code", f"http_{response.status}")),
            message=str(problem.get("detail") or problem.get("title") or response.reason),
        )
        if response.status not in RETRIED_STATUSES:
            return outcome, None
        return outcome, _seconds(response.headers.get("Retry-After"))


def _seconds(header: str | None) -> float:
    """`Retry-After` in seconds; our gateway never sends the date form."""
    return float(header) if header is not None and header.isdecimal() else 0.0
