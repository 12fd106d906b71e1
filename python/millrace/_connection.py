"""Connections to Millrace, for asyncio and without: what asks it has one of these."""

import asyncio
import functools
import os
import ssl
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import httpx

from . import _protocol
from ._protocol import DEFAULT_TIMEOUT, Call, Json
from .errors import UnreachableError


class Caller:
    """What both kinds are made with.

    `url` defaults to MILLRACE_URL, then http://127.0.0.1:8642; `api_key` to MILLRACE_API_KEY. `timeout` is in seconds.
    `verify` as httpx has it: whether and by what the server's certificate is checked. `default` is json.dumps' own: what
    to send in place of what JSON can't say. Raises MillraceErrors (`millrace.errors`), nothing of httpx.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        verify: bool | str | ssl.SSLContext = True,
        default: Json | None = None,
    ) -> None:
        self.url = _protocol.url_from(url)
        self._api_key = _protocol.key_from(api_key)
        self._timeout = timeout
        self._verify = verify
        self._default = default
        self._context: ssl.SSLContext | None = None
        self._clients: dict[Any, Any] = {}  # by process, and event loop where there is one

    def _options(self) -> dict[str, Any]:
        if self._context is None:  # reading the certificates takes long, so once for all clients
            self._context = httpx.create_ssl_context(verify=self._verify, trust_env=False)
        headers = {"X-API-Key": self._api_key} if self._api_key else {}
        return {
            "base_url": self.url,
            "headers": headers,
            "timeout": self._timeout,
            "verify": self._context,
            "trust_env": False,
        }

    def _seconds(self, call: Call) -> float:
        return max(self._timeout, call.seconds)

    def _unreachable(self, error: Exception) -> UnreachableError:
        why = str(error) or type(error).__name__
        return UnreachableError(f"no answer from {self.url}: {why}")


class _OfLoop(NamedTuple):
    client: httpx.AsyncClient
    keeper: AsyncGenerator[None, None]


async def _keeper(client: httpx.AsyncClient) -> AsyncGenerator[None, None]:
    """Ends the client's connections when it is closed itself, as event loops close their generators before they end."""
    try:
        yield
    finally:
        await client.aclose()


class AsyncCaller(Caller):
    """For asyncio; one may be used by any number of tasks and event loops. `aclose`, or `async with`, ends connections.

    Each event loop has connections of its own, which end with it; if it was closed without its `shutdown_asyncgens`, they
    end after the next loop's first call. A process that was forked has its own, too.
    """

    async def _client(self) -> httpx.AsyncClient:
        key = os.getpid(), asyncio.get_running_loop()
        held: _OfLoop | None = self._clients.get(key)
        if held is None or held.client.is_closed:
            # An open loop that a fork has copied stays: closing its connections here would take them from the parent's.
            for ended in [one for one in tuple(self._clients) if one[1].is_closed()]:
                self._clients.pop(ended, None)
            client = httpx.AsyncClient(**self._options())
            held = self._clients[key] = _OfLoop(client, _keeper(client))
            await anext(held.keeper)
        return held.client

    async def aclose(self) -> None:
        """Ends the connections of this event loop; the next call makes new ones."""
        if held := self._clients.pop((os.getpid(), asyncio.get_running_loop()), None):
            await held.keeper.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _ask(self, call: Call, *, or_none: bool = False, absent: Any = None) -> Any:
        client = await self._client()
        try:
            got = await client.request(
                call.method, call.path, content=call.content, headers=call.headers, timeout=self._seconds(call)
            )
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        return absent if or_none and got.status_code == 404 else _protocol.answer(got.status_code, got.content)


class SyncCaller(Caller):
    """Without asyncio; one may be used by any number of threads. `close`, or `with`, ends connections.

    A process that was forked has connections of its own.
    """

    def _client(self) -> httpx.Client:
        process = os.getpid()
        client: httpx.Client | None = self._clients.get(process)
        if client is None:
            # What a fork has copied is dropped: that closes the copies only. To close the client could wait for ever,
            # for a lock that a thread of the parent had.
            for other in [one for one in tuple(self._clients) if one != process]:
                self._clients.pop(other, None)
            client = self._clients.setdefault(process, httpx.Client(**self._options()))
        return client

    def close(self) -> None:
        """Ends the connections; the next call makes new ones."""
        if client := self._clients.pop(os.getpid(), None):
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, call: Call, *, or_none: bool = False, absent: Any = None) -> Any:
        try:
            got = self._client().request(
                call.method, call.path, content=call.content, headers=call.headers, timeout=self._seconds(call)
            )
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        return absent if or_none and got.status_code == 404 else _protocol.answer(got.status_code, got.content)


@functools.cache
def _made(kind: type[Caller], url: str, api_key: str | None) -> Caller:
    return kind(url, api_key=api_key)


Kind = TypeVar("Kind", bound=Caller)


def shared(kind: type[Kind], url: str | None, api_key: str | None) -> Kind:
    """The program's one of this kind for this URL and key, which default as a Caller's do."""
    made = _made(kind, _protocol.url_from(url), _protocol.key_from(api_key))
    assert isinstance(made, kind)
    return made
