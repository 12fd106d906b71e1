"""Millrace's cache: results under keys of one's own, invalidation, statistics.

    cache_manager = get_cache_manager()
    await cache_manager.cache_result("report:7", rows, ttl=3600, tags={"reports"}, dependencies={"table:projects"})
    cached = await cache_manager.get_cached_result("report:7")

A result is what JSON can say; it comes back as JSON has it (a tuple as a list, a key of a dict as a text).
"""

import asyncio
import functools
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from types import TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary

import httpx

from . import _protocol
from ._protocol import DEFAULT_TIMEOUT, Call, Json
from .errors import UnexpectedAnswerError, UnreachableError


class CacheLevel(IntEnum):
    MEMORY = 1
    REDIS = 2
    PERSISTENT = 3

    def __str__(self) -> str:
        return self.name.lower()

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


class InvalidationScope(StrEnum):
    """What patterns are: keys, patterns of keys (`*` any text, `?` any character), names, or nothing: all entries."""

    KEY_EXACT = "key_exact"
    KEY_PATTERN = "key_pattern"
    TABLE_BASED = "table_based"
    PROJECT_BASED = "project_based"
    USER_BASED = "user_based"
    TAG_BASED = "tag_based"
    GLOBAL = "global"


@dataclass(frozen=True)
class CachedResult:
    data: Any
    metadata: dict[str, Any]  # tags, dependencies, size_bytes
    cache_key: str
    cached_at: datetime
    ttl_seconds: int  # from cached_at on
    source_level: CacheLevel
    hit_count: int  # this one included

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        level = CacheLevel[body["source_level"].upper()]
        return cls(**body | {"cached_at": datetime.fromisoformat(body["cached_at"]), "source_level": level})


@dataclass(frozen=True)
class LevelStats:
    hits: int
    misses: int
    evictions: int
    hit_rate: float


@dataclass(frozen=True)
class CacheStats:
    """Rates are percentages, 0 to 100; memory_pressure and fragmentation_ratio are from 0 to 1."""

    total_entries: int
    total_size_bytes: int
    total_size_mb: float
    hit_rate: float
    miss_rate: float
    eviction_rate: float
    average_access_time_ms: float
    level_stats: dict[str, LevelStats]  # memory, redis, persistent
    top_keys: list[tuple[str, int]]
    memory_pressure: float
    fragmentation_ratio: float
    last_cleanup: datetime | None

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        cleaned = body["last_cleanup"]
        return cls(
            **body
            | {
                "level_stats": {name: LevelStats(**level) for name, level in body["level_stats"].items()},
                "top_keys": [(one["key"], one["access_count"]) for one in body["top_keys"]],
                "last_cleanup": None if cleaned is None else datetime.fromisoformat(cleaned),
            }
        )


@dataclass(frozen=True)
class CacheOptimizationResult:
    optimizations_applied: list[str]
    space_saved_bytes: int
    space_saved_mb: float
    performance_improvement_ms: float
    entries_relocated: int
    entries_compressed: int
    entries_evicted: int

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        return cls(**body)


@dataclass(frozen=True)
class CrossDatabaseInvalidation:
    invalidation_id: str
    scope: InvalidationScope
    patterns: list[str]
    affected_databases: list[str]
    estimated_impact: int  # the number of entries that were fresh until then
    triggered_at: datetime

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        triggered = datetime.fromisoformat(body["triggered_at"])
        return cls(**body | {"scope": InvalidationScope(body["scope"]), "triggered_at": triggered})


class _Caller:
    """What both kinds of manager are made with.

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

    def _put(self, key: str, result: Any, ttl: int, tags: Iterable[str] | None, dependencies: Iterable[str] | None) -> Call:
        body = {"result": result, "ttl": ttl, "tags": _protocol.names(tags), "dependencies": _protocol.names(dependencies)}
        return _protocol.with_json("PUT", _protocol.entry_path(key), body, self._default)

    def _invalidate(self, patterns: Iterable[str], scope: InvalidationScope | str, reason: str | None) -> Call:
        body = {"patterns": _protocol.names(patterns), "scope": str(scope), "reason": reason}
        return _protocol.with_json("POST", "/api/v1/cache/invalidate", body)

    def _unreachable(self, error: Exception) -> UnreachableError:
        why = str(error) or type(error).__name__
        return UnreachableError(f"no answer from {self.url}: {why}")


_STATISTICS = Call("GET", "/api/v1/cache/statistics")
_OPTIMIZE = Call("POST", "/api/v1/cache/optimize")


def _read(kind: Any, body: Any) -> Any:
    try:
        return kind._of(body)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise UnexpectedAnswerError(f"not the answer that was expected: {error!r}") from error


class IntelligentCacheManager(_Caller):
    """For asyncio; one may be used by any number of tasks and event loops. `aclose`, or `async with`, ends connections."""

    @functools.cached_property
    def _clients(self) -> WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient]:
        return WeakKeyDictionary()

    async def cache_result(
        self,
        query_key: str,
        result: Any,
        ttl: int = 3600,
        tags: Iterable[str] | None = None,
        dependencies: Iterable[str] | None = None,
    ) -> bool:
        """Whether it was kept: what is too large isn't. `ttl` is in seconds."""
        return bool((await self._ask(self._put(query_key, result, ttl, tags, dependencies)))["cached"])

    async def get_cached_result(self, query_key: str) -> CachedResult | None:
        """None: there is no such entry, or it isn't fresh any more."""
        body = await self._ask(Call("GET", _protocol.entry_path(query_key)), or_none=True)
        return None if body is None else _read(CachedResult, body)

    async def delete(self, query_key: str) -> bool:
        """Whether there was one."""
        return await self._ask(Call("DELETE", _protocol.entry_path(query_key)), or_none=True, absent=False) is not False

    async def invalidate(
        self,
        patterns: Iterable[str] = (),
        scope: InvalidationScope | str = InvalidationScope.KEY_PATTERN,
        reason: str | None = None,
    ) -> CrossDatabaseInvalidation:
        return _read(CrossDatabaseInvalidation, await self._ask(self._invalidate(patterns, scope, reason)))

    async def get_statistics(self) -> CacheStats:
        return _read(CacheStats, await self._ask(_STATISTICS))

    async def optimize(self) -> CacheOptimizationResult:
        return _read(CacheOptimizationResult, await self._ask(_OPTIMIZE))

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
            got = await client.request(call.method, call.path, content=call.content, headers=call.headers)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        return absent if or_none and got.status_code == 404 else _protocol.answer(got.status_code, got.content)


class SyncIntelligentCacheManager(_Caller):
    """Without asyncio; one may be used by any number of threads. `close`, or `with`, ends connections."""

    @functools.cached_property
    def _client(self) -> httpx.Client:
        return httpx.Client(**self._options())

    def cache_result(
        self,
        query_key: str,
        result: Any,
        ttl: int = 3600,
        tags: Iterable[str] | None = None,
        dependencies: Iterable[str] | None = None,
    ) -> bool:
        """Whether it was kept: what is too large isn't. `ttl` is in seconds."""
        return bool(self._ask(self._put(query_key, result, ttl, tags, dependencies))["cached"])

    def get_cached_result(self, query_key: str) -> CachedResult | None:
        """None: there is no such entry, or it isn't fresh any more."""
        body = self._ask(Call("GET", _protocol.entry_path(query_key)), or_none=True)
        return None if body is None else _read(CachedResult, body)

    def delete(self, query_key: str) -> bool:
        """Whether there was one."""
        return self._ask(Call("DELETE", _protocol.entry_path(query_key)), or_none=True, absent=False) is not False

    def invalidate(
        self,
        patterns: Iterable[str] = (),
        scope: InvalidationScope | str = InvalidationScope.KEY_PATTERN,
        reason: str | None = None,
    ) -> CrossDatabaseInvalidation:
        return _read(CrossDatabaseInvalidation, self._ask(self._invalidate(patterns, scope, reason)))

    def get_statistics(self) -> CacheStats:
        return _read(CacheStats, self._ask(_STATISTICS))

    def optimize(self) -> CacheOptimizationResult:
        return _read(CacheOptimizationResult, self._ask(_OPTIMIZE))

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
            got = self._client.request(call.method, call.path, content=call.content, headers=call.headers)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        return absent if or_none and got.status_code == 404 else _protocol.answer(got.status_code, got.content)


@functools.cache
def _shared(url: str, api_key: str | None) -> IntelligentCacheManager:
    return IntelligentCacheManager(url, api_key=api_key)


@functools.cache
def _shared_sync(url: str, api_key: str | None) -> SyncIntelligentCacheManager:
    return SyncIntelligentCacheManager(url, api_key=api_key)


def get_cache_manager(url: str | None = None, *, api_key: str | None = None) -> IntelligentCacheManager:
    """The program's one manager for this URL and key, which default to MILLRACE_URL and MILLRACE_API_KEY."""
    return _shared(_protocol.url_from(url), _protocol.key_from(api_key))


def get_sync_cache_manager(url: str | None = None, *, api_key: str | None = None) -> SyncIntelligentCacheManager:
    """As get_cache_manager, for programs without asyncio."""
    return _shared_sync(_protocol.url_from(url), _protocol.key_from(api_key))
