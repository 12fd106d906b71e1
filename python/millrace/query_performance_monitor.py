"""What Millrace has recorded of the queries that went through it.

    monitor = get_performance_monitor()
    for one in (await monitor.get_templates(sort="p99", window=15, limit=10)).templates:
        print(one.query, one.figures.calls, one.figures.p99_ms)

Rates are percentages, 0 to 100; times are milliseconds where their names end so. What happened less than two seconds ago
may be missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from urllib.parse import urlencode

from . import _protocol
from ._answers import known, read
from ._connection import shared
from ._performance_alerts import (
    Alert,
    AlertRule,
    AlertSeverity,
    AlertState,
    AlertThreshold,
    AnomalyType,
    CreatedAlert,
    NoDataPolicy,
    PerformanceAlerts,
    PerformanceAnomaly,
    PerformanceMetricType,
    SyncPerformanceAlerts,
)
from ._protocol import Call

__all__ = [
    "Alert",
    "AlertRule",
    "AlertSeverity",
    "AlertState",
    "AlertThreshold",
    "AnomalyType",
    "CreatedAlert",
    "NoDataPolicy",
    "PerformanceAnomaly",
    "PerformanceDashboard",
    "PerformanceFigures",
    "PerformanceMetricType",
    "PerformanceSort",
    "QueryPerformanceMonitor",
    "SlowQueries",
    "SlowQuery",
    "StatementSample",
    "SyncQueryPerformanceMonitor",
    "TemplatePerformance",
    "Templates",
    "TrackedExecution",
    "Usage",
    "UsageBy",
    "UsageOfOne",
    "get_performance_monitor",
    "get_sync_performance_monitor",
]


class PerformanceSort(StrEnum):
    TOTAL_TIME = "total_time"
    CALLS = "calls"
    MEAN = "mean"
    P99 = "p99"
    ERRORS = "errors"


class UsageBy(StrEnum):
    USER = "user"
    DATABASE = "database"
    APPLICATION = "application"
    PROJECT = "project"


@dataclass(frozen=True)
class PerformanceFigures:
    """Of queries that belong together; times that are None: there were none."""

    calls: int
    calls_per_second: float
    errors: int
    error_rate: float
    slow: int
    rows: int
    bytes: int
    cache_hits: int
    cache_misses: int
    cache_bypasses: int
    cache_hit_rate: float | None  # None: none of them asks the cache
    total_time_ms: float
    time_share: float  # of the time of all queries
    queue_time_ms: float  # of the total
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    max_ms: float | None


@dataclass(frozen=True)
class StatementSample:
    """One of a template's statements, as it was sent."""

    query: str
    parameters: list[str | None]
    database: str


@dataclass(frozen=True)
class TemplatePerformance:
    template_id: str  # "other": all that have no place of their own
    query: str  # without constants
    kind: str | None
    database_type: str | None
    figures: PerformanceFigures
    sample: StatementSample | None

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        sample = None if body["sample"] is None else known(StatementSample, body["sample"])
        return known(cls, body, figures=known(PerformanceFigures, body["figures"]), sample=sample)


def _times(body: dict[str, Any]) -> dict[str, datetime]:
    return {"since": datetime.fromisoformat(body["from"]), "until": datetime.fromisoformat(body["to"])}


@dataclass(frozen=True)
class Templates:
    templates: list[TemplatePerformance]
    total_count: int
    evicted_templates: int
    since: datetime
    until: datetime

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        return known(cls, body, templates=[TemplatePerformance._of(one) for one in body["templates"]], **_times(body))


@dataclass(frozen=True)
class UsageOfOne:
    name: str
    is_other: bool  # all that have no place of their own
    figures: PerformanceFigures

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        return known(cls, body, figures=known(PerformanceFigures, body["figures"]))


@dataclass(frozen=True)
class Usage:
    by: UsageBy
    usage: list[UsageOfOne]
    total_count: int
    since: datetime
    until: datetime

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        usage = [UsageOfOne._of(one) for one in body["usage"]]
        return known(cls, body, by=UsageBy(body["by"]), usage=usage, **_times(body))


@dataclass(frozen=True)
class SlowQuery:
    query_id: str
    query: str
    duration_ms: float
    database_type: str
    user_id: str
    project_id: str | None
    cpu_usage_percent: float | None  # None: nobody has told, as is the next
    memory_usage_mb: float | None
    rows_processed: int
    rows_returned: int
    cache_hit: bool
    optimization_applied: bool
    start_time: datetime
    error: str | None  # its SQLSTATE
    template_id: str
    kind: str
    parameters: list[str | None]
    queue_ms: float
    bytes: int
    database: str
    application: str
    route: str | None
    traceparent: str | None
    plan: dict[str, Any] | None  # outline, total_cost, estimated_rows, asked_at; None: nobody has asked, or there is none
    why_no_plan: str | None

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        return known(cls, body, start_time=datetime.fromisoformat(body["start_time"]))


@dataclass(frozen=True)
class SlowQueries:
    slow_queries: list[SlowQuery]  # the slowest first
    total_count: int
    average_duration_ms: float | None
    slow_queries_lost: int  # since the start: too many at once, only their number is known

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        return known(cls, body, slow_queries=[SlowQuery._of(one) for one in body["slow_queries"]])


@dataclass(frozen=True)
class TrackedExecution:
    query_id: str | None  # as it was given
    template_id: str
    slow: bool

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        return known(cls, body)


@dataclass(frozen=True)
class PerformanceDashboard:
    current_metrics: dict[str, float | None]
    historical_trends: dict[str, list[tuple[datetime, float]]]
    top_slow_queries: list[dict[str, Any]]
    recent_anomalies: list[dict[str, Any]]
    active_alerts: list[dict[str, Any]]
    system_health: dict[str, Any]
    optimization_opportunities: list[dict[str, Any]]

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        trends = {
            name: [(datetime.fromisoformat(at), value) for at, value in points]
            for name, points in body["historical_trends"].items()
        }
        return known(cls, body, historical_trends=trends)


def _get(name: str, **parameters: object) -> Call:
    given = urlencode({key: str(value) for key, value in parameters.items() if value is not None})
    return Call("GET", f"/api/v1/performance/{name}{'?' if given else ''}{given}")


def _track(query: str, duration_ms: float, metadata: Mapping[str, Any] | None) -> Call:
    body = {"query": query, "duration_ms": duration_ms, "metadata": dict(metadata or {})}
    return _protocol.with_json("POST", "/api/v1/performance/track-execution", body)


class QueryPerformanceMonitor(PerformanceAlerts):
    """For asyncio; one may be used by any number of tasks and event loops. `aclose`, or `async with`, ends connections."""

    async def get_templates(
        self, sort: PerformanceSort | str = PerformanceSort.TOTAL_TIME, window: int | None = None, limit: int = 100
    ) -> Templates:
        """`window` is in minutes; without it figures are since the start."""
        return read(Templates, await self._ask(_get("templates", sort=sort, window=window, limit=limit)))

    async def get_usage(
        self,
        by: UsageBy | str = UsageBy.USER,
        sort: PerformanceSort | str = PerformanceSort.TOTAL_TIME,
        window: int | None = None,
        limit: int = 100,
    ) -> Usage:
        """`window` is in minutes; without it figures are since the start."""
        return read(Usage, await self._ask(_get("usage", by=by, sort=sort, window=window, limit=limit)))

    async def get_slow_queries(
        self, limit: int = 50, min_duration_ms: int = 1000, window: int | None = None
    ) -> SlowQueries:
        """`window` is in minutes; without it they are all that are remembered."""
        asked = _get("slow-queries", limit=limit, min_duration_ms=min_duration_ms, window=window)
        return read(SlowQueries, await self._ask(asked))

    async def track_query_execution(
        self, query: str, duration_ms: float, metadata: Mapping[str, Any] | None = None
    ) -> TrackedExecution:
        """Tells of a query that ran past Millrace and has just ended. `metadata` may have query_id, user_id, project_id,
        application, database_type, cpu_usage_percent, memory_usage_mb, rows_returned, rows_processed, cache_hit, error."""
        return read(TrackedExecution, await self._ask(_track(query, duration_ms, metadata)))

    async def get_performance_dashboard(self) -> PerformanceDashboard:
        return read(PerformanceDashboard, await self._ask(_get("dashboard")))


class SyncQueryPerformanceMonitor(SyncPerformanceAlerts):
    """Without asyncio; one may be used by any number of threads. `close`, or `with`, ends connections."""

    def get_templates(
        self, sort: PerformanceSort | str = PerformanceSort.TOTAL_TIME, window: int | None = None, limit: int = 100
    ) -> Templates:
        """`window` is in minutes; without it figures are since the start."""
        return read(Templates, self._ask(_get("templates", sort=sort, window=window, limit=limit)))

    def get_usage(
        self,
        by: UsageBy | str = UsageBy.USER,
        sort: PerformanceSort | str = PerformanceSort.TOTAL_TIME,
        window: int | None = None,
        limit: int = 100,
    ) -> Usage:
        """`window` is in minutes; without it figures are since the start."""
        return read(Usage, self._ask(_get("usage", by=by, sort=sort, window=window, limit=limit)))

    def get_slow_queries(self, limit: int = 50, min_duration_ms: int = 1000, window: int | None = None) -> SlowQueries:
        """`window` is in minutes; without it they are all that are remembered."""
        asked = _get("slow-queries", limit=limit, min_duration_ms=min_duration_ms, window=window)
        return read(SlowQueries, self._ask(asked))

    def track_query_execution(
        self, query: str, duration_ms: float, metadata: Mapping[str, Any] | None = None
    ) -> TrackedExecution:
        """Tells of a query that ran past Millrace and has just ended. `metadata` may have query_id, user_id, project_id,
        application, database_type, cpu_usage_percent, memory_usage_mb, rows_returned, rows_processed, cache_hit, error."""
        return read(TrackedExecution, self._ask(_track(query, duration_ms, metadata)))

    def get_performance_dashboard(self) -> PerformanceDashboard:
        return read(PerformanceDashboard, self._ask(_get("dashboard")))


def get_performance_monitor(url: str | None = None, *, api_key: str | None = None) -> QueryPerformanceMonitor:
    """The program's one monitor for this URL and key, which default to MILLRACE_URL and MILLRACE_API_KEY."""
    return shared(QueryPerformanceMonitor, url, api_key)


def get_sync_performance_monitor(url: str | None = None, *, api_key: str | None = None) -> SyncQueryPerformanceMonitor:
    """As get_performance_monitor, for programs without asyncio."""
    return shared(SyncQueryPerformanceMonitor, url, api_key)
