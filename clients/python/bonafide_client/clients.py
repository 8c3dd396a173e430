"""The two clients: `Bonafide` blocks, `AsyncBonafide` is awaited; both have the same surface."""

import ipaddress
import os
import re
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from datetime import date
from functools import cached_property
from typing import Any, Final, Self, cast

import httpx

from bonafide_client.answers import reader_of
from bonafide_client.calls import Call, path_of, query_of
from bonafide_client.credentials import Credentials, Tokens
from bonafide_client.drivers import AsyncDriver, SyncDriver
from bonafide_client.operations import D, Listing, Operation, Resource
from bonafide_client.paging import Page, PageCall
from bonafide_client.resources.account import AccountResource
from bonafide_client.resources.admin import Admin
from bonafide_client.resources.auth import Auth, refresh_call
from bonafide_client.resources.batches import Batches
from bonafide_client.resources.detections import Detections
from bonafide_client.resources.jobs import Jobs
from bonafide_client.resources.keys import Keys
from bonafide_client.resources.models import Models
from bonafide_client.resources.storage import Storage
from bonafide_client.resources.uploads import Uploads
from bonafide_client.resources.webhooks import Webhooks
from bonafide_client.retrying import Retries, Timeouts
from bonafide_client.schemas.usage import DayUsage, Grouping, Interval, Stats, Usage
from bonafide_client.steps import Context
from bonafide_client.wire import USER_AGENT, checked_url

URL_VARIABLE: Final = "BONAFIDE_URL"
KEY_VARIABLE: Final = "BONAFIDE_API_KEY"
DEFAULT_URL: Final = "http://127.0.0.1:8000"
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
_READ_STATS = reader_of(Stats)
_READ_USAGE = reader_of(Usage)
_READ_DAYS = reader_of(Page[DayUsage])
_CONNECTIONS: Final = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=30)


class Surface(Resource[D]):
    """What both clients offer."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.driver.context.base_url!r})"

    def with_options(self, *, timeouts: Timeouts | None = None, retries: Retries | None = None) -> Self:
        """The same client, with the same connections and credentials, under other time-outs or retries."""
        context = self.driver.context
        changed = replace(context, timeouts=timeouts or context.timeouts, retries=retries or context.retries)
        other = copy(self)
        other.__dict__ = {"_driver": self.driver.changed(changed), "_owned": None}
        return other

    @cached_property
    def detections(self) -> Detections[D]:
        """Judge media, and read back what was judged."""
        return Detections(self.driver)

    @cached_property
    def jobs(self) -> Jobs[D]:
        """Hand media over, and see what becomes of them."""
        return Jobs(self.driver)

    @cached_property
    def uploads(self) -> Uploads[D]:
        """Files on their way to the platform."""
        return Uploads(self.driver)

    @cached_property
    def batches(self) -> Batches[D]:
        """Many media that were handed over at once."""
        return Batches(self.driver)

    @cached_property
    def storage(self) -> Storage[D]:
        """What the account keeps of its media."""
        return Storage(self.driver)

    @cached_property
    def keys(self) -> Keys[D]:
        """The API keys of the account."""
        return Keys(self.driver)

    @cached_property
    def webhooks(self) -> Webhooks[D]:
        """Who is told when jobs and batches have ended."""
        return Webhooks(self.driver)

    @cached_property
    def auth(self) -> Auth[D]:
        """Sign up, in and out."""
        return Auth(self.driver)

    @cached_property
    def account(self) -> AccountResource[D]:
        """What an account sees, changes and ends of itself."""
        return AccountResource(self.driver)

    @cached_property
    def admin(self) -> Admin[D]:
        """Users, plans, tasks and the audit log, for super_admins."""
        return Admin(self.driver)

    @property
    def tokens(self) -> Tokens | None:
        """The tokens of the session that there is, to keep them; None where calls are signed with a key."""
        return self.driver.context.credentials.tokens

    @Operation
    def stats(self, *, since: date | None = None, until: date | None = None, interval: Interval = "day") -> Call[Stats]:
        """Count the detections of the UTC days `since` to `until`, both included; by default of the last 30."""
        query = query_of({"from": since, "to": until, "interval": interval})
        return Call(method="GET", path=path_of("stats"), read=_READ_STATS, query=query)

    @Operation
    def usage(self) -> Call[Usage]:
        """Read what the account has used today and ever, and what is left of its limits."""
        return Call(method="GET", path=path_of("usage"), read=_READ_USAGE)

    @Listing
    def usage_days(
        self,
        *,
        since: date | None = None,
        until: date | None = None,
        group_by: Grouping = "day",
        limit: int | None = None,
        cursor: str | None = None,
    ) -> PageCall[DayUsage]:
        """List what was used on the UTC days `since` to `until` (by default the last 30), newest first.

        `limit` is the number of days on a page.
        """
        query = query_of({"from": since, "to": until, "group_by": group_by, "limit": limit})
        return PageCall(path=path_of("usage", "days"), read=_READ_DAYS, query=query, cursor=cursor)

    @cached_property
    def models(self) -> Models[D]:
        """What can be asked for."""
        return Models(self.driver)


class Bonafide(Surface[SyncDriver]):
    """A blocking client; it may be used by many threads at once.

    `base_url` and `api_key` come from BONAFIDE_URL and BONAFIDE_API_KEY where they are not given. Instead of a key,
    `tokens` (or a call of `auth.login`) sign the calls, and are renewed as they expire; `on_tokens` is told of each
    change. `http` is a client of httpx with proxies, certificates and limits of your own, which stays yours to close.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        tokens: Tokens | None = None,
        on_tokens: Callable[[Tokens | None], None] | None = None,
        timeouts: Timeouts | None = None,
        retries: Retries | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        context = _context(base_url, _credentials(api_key, tokens, on_tokens), timeouts, retries)
        self._owned = None if http else httpx.Client(**_connecting(context.base_url))
        super().__init__(SyncDriver(http or cast("httpx.Client", self._owned), context))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connections, unless they are those of an httpx client that was passed in."""
        if self._owned is not None:
            self._owned.close()


class AsyncBonafide(Surface[AsyncDriver]):
    """An asynchronous client; it may be used by many tasks of one event loop at once.

    Its arguments are those of `Bonafide`, with an asynchronous client of httpx as `http`.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        tokens: Tokens | None = None,
        on_tokens: Callable[[Tokens | None], None] | None = None,
        timeouts: Timeouts | None = None,
        retries: Retries | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        context = _context(base_url, _credentials(api_key, tokens, on_tokens), timeouts, retries)
        self._owned = None if http else httpx.AsyncClient(**_connecting(context.base_url))
        super().__init__(AsyncDriver(http or cast("httpx.AsyncClient", self._owned), context))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the connections, unless they are those of an httpx client that was passed in."""
        if self._owned is not None:
            await self._owned.aclose()


def _credentials(
    api_key: str | None, tokens: Tokens | None, on_tokens: Callable[[Tokens | None], None] | None
) -> Credentials:
    key = api_key or (None if tokens else os.environ.get(KEY_VARIABLE)) or None
    if key and not _VISIBLE.fullmatch(key):
        raise ValueError("The API key holds characters that no key has.")
    return Credentials(api_key=key, tokens=tokens, on_tokens=on_tokens)


def _context(
    base_url: str | None, credentials: Credentials, timeouts: Timeouts | None, retries: Retries | None
) -> Context:
    return Context(
        base_url=checked_url(base_url or os.environ.get(URL_VARIABLE) or DEFAULT_URL),
        user_agent=USER_AGENT,
        credentials=credentials,
        renewal=refresh_call,
        timeouts=timeouts or Timeouts(),
        retries=retries or Retries(),
    )


def _connecting(base_url: str) -> dict[str, Any]:
    """The options of an httpx client of our own: what runs on this machine is not asked through a proxy."""
    host = httpx.URL(base_url).host
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    return {"limits": _CONNECTIONS, "trust_env": not local}
