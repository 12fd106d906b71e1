"""Connections to Millrace, for asyncio and without: what asks it has one of these."""

import asyncio
import functools
import ssl
from types import TracebackType
from typing import Any, Self, TypeVar
from weakref import WeakKeyDictionary

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

    def _options(self) -> dict[str, Any]:
        headers = {"X-API-Key": self._api_key} if self._api_key else {}
        return {
            "base_url": self.url,
            "headers": headers,
            "timeout": self._timeout,
            "verify": self._verify,
            "trust_env": False,
        }

    def _seconds(self, call: Call) -> float:
        return max(self._timeout, call.seconds)

    def _unreachable(self, error: Exception) -> UnreachableError:
        why = str(error) or type(error).__name__
        return UnreachableError(f"no answer from {self.url}: {why}")


class AsyncCaller(Caller):
    """For asyncio; one may be used by any number of tasks and event loops. `aclose`, or `async with`, ends connections."""

    @functools.cached_property
    def _clients(self) -> WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient]:
        return WeakKeyDictionary()

    async def aclose(self) -> None:
        """Ends the connections of this event loop; the next call makes new ones."""
        if client := self._clients.pop(asyncio.get_running_loop(), None):
            await client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _ask(self, call: Call, *, or_none: bool = False, absent: Any = None) -> Any:
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            client = self._clients[loop] = httpx.AsyncClient(**self._options())
        try:
            got = await client.request(
                call.method, call.path, content=call.content, headers=call.headers, timeout=self._seconds(call)
            )
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        return absent if or_none and got.status_code == 404 else _protocol.answer(got.status_code, got.content)


class SyncCaller(Caller):
    """Without asyncio; one may be used by any number of threads. `close`, or `with`, ends connections."""

    @functools.cached_property
    def _client(self) -> httpx.Client:
        return httpx.Client(**self._options())

    def close(self) -> None:
        """Ends the connections; the next call makes new ones."""
        if client := self.__dict__.pop("_client", None):
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, call: Call, *, or_none: bool = False, absent: Any = None) -> Any:
        try:
            got = self._client.request(
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
