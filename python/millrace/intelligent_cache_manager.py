"""Millrace's cache: results under keys of one's own, invalidation, statistics.

    cache_manager = get_cache_manager()
    await cache_manager.cache_result("report:7", rows, ttl=3600, tags={"reports"}, dependencies={"table:projects"})
    cached = await cache_manager.get_cached_result("report:7")

A result is what JSON can say; it comes back as JSON has it (a tuple as a list, a key of a dict as a text).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any, Self

from . import _protocol
from ._answers import known, read, time_or_none
from ._connection import AsyncCaller, Caller, SyncCaller, shared
from ._protocol import Call


class CacheLevel(IntEnum):
    MEMORY = 1
    REDIS = 2
    PERSISTENT = 3

    def __str__(self) -> str:
        return self.name.lower()

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


class CacheStrategy(StrEnum):
    """What is evicted first. Only a name: Millrace chooses for itself, and no answer says it."""

    LRU = "lru"
    LFU = "lfu"
    TTL = "ttl"
    ADAPTIVE = "adaptive"


class CompressionType(StrEnum):
    """How an entry is packed. Only a name, as CacheStrategy."""

    NONE = "none"
    GZIP = "gzip"
    ZLIB = "zlib"
    LZMA = "lzma"


class ConsistencyLevel(StrEnum):
    """How fresh answers from memory are: docs/consistency.md. `CacheGuarantee.levels` has them."""

    EVENTUAL = "eventual"
    BOUNDED = "bounded"
    SESSION = "session"
    READ_AFTER_WRITE = "read_after_write"
    STRONG = "strong"


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
        return known(cls, body, cached_at=datetime.fromisoformat(body["cached_at"]), source_level=level)


@dataclass(frozen=True)
class LevelStats:
    hits: int
    misses: int
    evictions: int
    hit_rate: float


@dataclass(frozen=True)
class TableInvalidations:
    """How often answers were made stale by changes of a table; a table of None: of all, or it isn't told which."""

    database: str | None
    table: str | None
    reason: str  # change_stream, write, gap, catalog, by_hand
    count: int


@dataclass(frozen=True)
class CacheGuarantee:
    """How fresh a database's answers are at present, at most."""

    database: str
    levels: list[str]  # ConsistencyLevels that can be met
    lag_ms: float | None
    proof_ms: float | None


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
    refusals: dict[str, int]  # statements whose answer wasn't kept, by the reason
    invalidations: list[TableInvalidations]
    guarantees: list[CacheGuarantee]

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        return known(
            cls,
            body,
            level_stats={name: known(LevelStats, level) for name, level in body["level_stats"].items()},
            top_keys=[(one["key"], one["access_count"]) for one in body["top_keys"]],
            invalidations=[known(TableInvalidations, one) for one in body["invalidations"]],
            guarantees=[known(CacheGuarantee, one) for one in body["guarantees"]],
            last_cleanup=time_or_none(body["last_cleanup"]),
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
        return known(cls, body)


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
        return known(cls, body, scope=InvalidationScope(body["scope"]), triggered_at=triggered)


class _CacheCaller(Caller):
    """What both kinds of manager say."""

    def _put(self, key: str, result: Any, ttl: int, tags: Iterable[str] | None, dependencies: Iterable[str] | None) -> Call:
        body = {"result": result, "ttl": ttl, "tags": _protocol.names(tags), "dependencies": _protocol.names(dependencies)}
        return _protocol.with_json("PUT", _protocol.entry_path(key), body, self._default)

    def _invalidate(self, patterns: Iterable[str], scope: InvalidationScope | str, reason: str | None) -> Call:
        body = {"patterns": _protocol.names(patterns), "scope": str(scope), "reason": reason}
        return _protocol.with_json("POST", "/api/v1/cache/invalidate", body)


_STATISTICS = Call("GET", "/api/v1/cache/statistics")
_OPTIMIZE = Call("POST", "/api/v1/cache/optimize")


class IntelligentCacheManager(_CacheCaller, AsyncCaller):
    """For asyncio; one may be used by any number of tasks and event loops. `aclose`, or `async with`, ends connections."""

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
        return None if body is None else read(CachedResult, body)

    async def delete(self, query_key: str) -> bool:
        """Whether there was one."""
        return await self._ask(Call("DELETE", _protocol.entry_path(query_key)), or_none=True, absent=False) is not False

    async def invalidate(
        self,
        patterns: Iterable[str] = (),
        scope: InvalidationScope | str = InvalidationScope.KEY_PATTERN,
        reason: str | None = None,
    ) -> CrossDatabaseInvalidation:
        return read(CrossDatabaseInvalidation, await self._ask(self._invalidate(patterns, scope, reason)))

    async def get_statistics(self) -> CacheStats:
        return read(CacheStats, await self._ask(_STATISTICS))

    async def optimize(self) -> CacheOptimizationResult:
        return read(CacheOptimizationResult, await self._ask(_OPTIMIZE))


class SyncIntelligentCacheManager(_CacheCaller, SyncCaller):
    """Without asyncio; one may be used by any number of threads. `close`, or `with`, ends connections."""

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
        return None if body is None else read(CachedResult, body)

    def delete(self, query_key: str) -> bool:
        """Whether there was one."""
        return self._ask(Call("DELETE", _protocol.entry_path(query_key)), or_none=True, absent=False) is not False

    def invalidate(
        self,
        patterns: Iterable[str] = (),
        scope: InvalidationScope | str = InvalidationScope.KEY_PATTERN,
        reason: str | None = None,
    ) -> CrossDatabaseInvalidation:
        return read(CrossDatabaseInvalidation, self._ask(self._invalidate(patterns, scope, reason)))

    def get_statistics(self) -> CacheStats:
        return read(CacheStats, self._ask(_STATISTICS))

    def optimize(self) -> CacheOptimizationResult:
        return read(CacheOptimizationResult, self._ask(_OPTIMIZE))


def get_cache_manager(url: str | None = None, *, api_key: str | None = None) -> IntelligentCacheManager:
    """The program's one manager for this URL and key, which default to MILLRACE_URL and MILLRACE_API_KEY."""
    return shared(IntelligentCacheManager, url, api_key)


def get_sync_cache_manager(url: str | None = None, *, api_key: str | None = None) -> SyncIntelligentCacheManager:
    """As get_cache_manager, for programs without asyncio."""
    return shared(SyncIntelligentCacheManager, url, api_key)
