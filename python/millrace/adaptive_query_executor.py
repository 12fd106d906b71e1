"""Queries that Millrace runs while nobody waits for them.

    executor = get_query_executor()
    execution = await executor.schedule_query(Query(sql="SELECT count(*) FROM pages"), Priority.LOW)
    await executor.wait(execution)
    print(execution.result)

Times are milliseconds where their names end so, and None where they aren't known (yet).
"""

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from threading import Lock
from typing import Any, Self
from urllib.parse import quote, urlencode
from weakref import WeakValueDictionary

from . import _protocol
from ._answers import known, read, time_or_none
from ._circuit_breakers import CircuitBreakerConfig, CircuitBreakerMetrics, CircuitBreakerStatus, CircuitState
from ._connection import Caller, shared
from ._protocol import Call
from ._resource_quotas import QuotaWindow, ResourceQuota, ResourceQuotas, SyncResourceQuotas

__all__ = [
    "AdaptiveQueryExecutor",
    "CircuitBreakerConfig",
    "CircuitBreakerMetrics",
    "CircuitBreakerStatus",
    "CircuitState",
    "ExecutionMetrics",
    "ExecutionStatus",
    "Priority",
    "Query",
    "QueryExecution",
    "QueryStatus",
    "QuotaWindow",
    "ResourceQuota",
    "ResourceType",
    "ResultPage",
    "SyncAdaptiveQueryExecutor",
    "get_query_executor",
    "get_sync_query_executor",
]

_PAGE = 10_000  # rows
_LONGEST_PAUSE = 1.0  # seconds


class Priority(IntEnum):
    LOW = 1
    NORMAL = 2
    HIGH = 3
    CRITICAL = 4
    EMERGENCY = 5


class QueryStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"


class ResourceType(StrEnum):
    """The keys of `ExecutionMetrics.resource_utilization`."""

    CPU = "cpu"
    MEMORY = "memory"
    CONNECTIONS = "connections"
    IO = "io"
    NETWORK = "network"


_UNDER_WAY = (QueryStatus.QUEUED, QueryStatus.RUNNING)


@dataclass
class Query:
    """`sql` must be said: `Query(sql="SELECT 1")`, or `Query("my id", "SELECT 1")`."""

    query_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    sql: str = ""  # $1 and so on stand for parameters
    parameters: Sequence[Any] | None = None
    database_type: str = "postgresql"
    user_id: str | None = None
    project_id: str | None = None
    priority: Priority = Priority.NORMAL
    timeout_seconds: float | None = None  # None: Millrace's QUERY_TIMEOUT_SECONDS
    memory_limit_mb: int | None = None  # of PostgreSQL's process, if that is on Millrace's machine
    enable_optimization: bool = True
    enable_caching: bool = True
    metadata: dict[str, Any] = field(default_factory=dict)  # of the program's own; it isn't sent
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        if not self.sql:
            raise TypeError("a Query needs its sql; query_id is what comes first")


@dataclass
class QueryExecution:
    """Follows what `monitor_execution` learns of it. What Millrace doesn't say is None for ever."""

    execution_id: str
    query: Query
    status: QueryStatus = QueryStatus.QUEUED
    assigned_worker: str | None = None  # Millrace doesn't say it
    started_at: datetime | None = None
    completed_at: datetime | None = None
    result: list[dict[str, Any]] | None = None  # once it is completed; a column whose name was there before is NAME_2
    error: str | None = None
    duration_ms: float | None = None
    resources_used: dict[str, Any] | None = None  # Millrace doesn't say it, nor the next two
    optimization_applied: bool | None = None
    cache_hit: bool | None = None
    retry_count: int = 0  # how often it was begun again, or may have been, after a restart of Millrace
    max_retries: int | None = None  # Millrace doesn't say it
    sqlstate: str | None = None
    command_tag: str | None = None
    row_count: int = 0
    warnings: list[str] = field(default_factory=list)
    restored: bool = False  # it is of before a restart of Millrace

    def _follow(self, body: dict[str, Any]) -> None:
        self.started_at, self.completed_at = time_or_none(body["started_at"]), time_or_none(body["completed_at"])
        self.duration_ms, self.command_tag, self.row_count = body["duration_ms"], body["command_tag"], body["row_count"]
        self.retry_count, self.restored = body["retry_count"], body["restored"]
        if body["error"] is not None:
            self.error, self.sqlstate = body["error"]["message"], body["error"]["sqlstate"]
        self.status = QueryStatus(body["status"])


@dataclass(frozen=True)
class ExecutionStatus:
    execution_id: str
    status: QueryStatus
    progress_percent: float | None
    estimated_remaining_ms: float | None
    queue_position: int | None  # from 1; None: it doesn't wait
    row_count: int  # so far
    error: str | None
    retry_count: int
    restored: bool
    current_operation: str | None = None  # Millrace doesn't say it, nor the next
    resources_allocated: dict[str, Any] | None = None

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        error = body["error"] and body["error"]["message"]
        return known(cls, body, status=QueryStatus(body["status"]), error=error)


@dataclass(frozen=True)
class ResultPage:
    columns: list[str]
    rows: list[list[Any]]
    row_count: int  # of the whole result
    offset: int

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        return cls([one["name"] for one in body["columns"]], body["rows"], body["row_count"], body["offset"])


@dataclass(frozen=True)
class ExecutionMetrics:
    active_queries: int
    queued_queries: int
    completed_queries_last_hour: int | None
    failed_queries_last_hour: int | None
    average_execution_time_ms: float | None
    resource_utilization: dict[str, float | None]  # by ResourceType
    queue_wait_time_ms: float | None
    system_load: float | None
    connection_pool_usage: float | None
    circuit_breakers: list[CircuitBreakerStatus]  # of PostgreSQL's servers

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        breakers = [CircuitBreakerStatus._of(one) for one in body["circuit_breakers"]]
        return known(cls, body, circuit_breakers=breakers)


def _path(execution_id: str | None = None, rest: str = "", **parameters: object) -> str:
    one = "" if execution_id is None else "/" + quote(execution_id, safe="")
    given = urlencode({key: str(value) for key, value in parameters.items() if value is not None})
    return f"/api/v1/execution/queries{one}{rest}{'?' if given else ''}{given}"


def _schedule(caller: Caller, query: Query, priority: Priority | None) -> Call:
    body = {
        "sql": query.sql,
        "query_id": query.query_id,
        "parameters": None if query.parameters is None else list(query.parameters),
        "database_type": query.database_type,
        "user_id": query.user_id,
        "project_id": query.project_id,
        "priority": int(query.priority if priority is None else priority),
        "timeout_seconds": query.timeout_seconds,
        "memory_limit_mb": query.memory_limit_mb,
        "enable_optimization": query.enable_optimization,
        "enable_caching": query.enable_caching,
    }
    said = {name: value for name, value in body.items() if value is not None}
    return _protocol.with_json("POST", _path(), said, caller._default)


def _page(execution_id: str, offset: int, limit: int) -> Call:
    return Call("GET", _path(execution_id, "/result", format="json", offset=offset, limit=limit), seconds=60)


def _different(names: Sequence[str]) -> list[str]:
    """As NDJSON has them."""
    taken, given = set(names), set[str]()
    different = []
    for name in names:
        one, number = name, 2
        while one in given or (one != name and one in taken):
            one, number = f"{name}_{number}", number + 1
        given.add(one)
        different.append(one)
    return different


def _dicts(pages: Sequence[ResultPage]) -> list[dict[str, Any]]:
    names = _different(pages[0].columns)
    return [dict(zip(names, row, strict=True)) for page in pages for row in page.rows]


class _Executions:
    """Those that the program still has."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[str, QueryExecution] = WeakValueDictionary()
        self._lock = Lock()

    def add(self, query: Query, body: dict[str, Any]) -> QueryExecution:
        execution = QueryExecution(body["execution_id"], query, warnings=body["warnings"])
        with self._lock:
            self._known[execution.execution_id] = execution
        return execution

    def find(self, execution_id: str) -> QueryExecution | None:
        with self._lock:
            return self._known.get(execution_id)


class AdaptiveQueryExecutor(ResourceQuotas):
    """For asyncio; one may be used by any number of tasks and event loops. `aclose`, or `async with`, ends connections."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._executions = _Executions()

    async def schedule_query(self, query: Query, priority: Priority | None = None) -> QueryExecution:
        """Returns at once. Without `priority` the query's own holds."""
        return self._executions.add(query, await self._ask(_schedule(self, query, priority)))

    async def monitor_execution(self, execution_id: str) -> ExecutionStatus:
        """How it is. What `schedule_query` returned for it follows, and has its result once it is completed."""
        body = await self._ask(Call("GET", _path(execution_id)))
        status: ExecutionStatus = read(ExecutionStatus, body)
        execution = self._executions.find(execution_id)
        if execution is not None and execution.status in _UNDER_WAY:
            if status.status == QueryStatus.COMPLETED:
                execution.result = await self._whole(execution_id)
            execution._follow(body)
        return status

    async def _whole(self, execution_id: str) -> list[dict[str, Any]]:
        pages = [await self.get_result(execution_id, 0, _PAGE)]
        while (offset := pages[-1].offset + _PAGE) < pages[0].row_count:
            pages.append(await self.get_result(execution_id, offset, _PAGE))
        return _dicts(pages)

    async def wait(self, execution: QueryExecution) -> QueryExecution:
        """Until it has ended."""
        pause = 0.01
        while execution.status in _UNDER_WAY:
            await self.monitor_execution(execution.execution_id)
            if execution.status in _UNDER_WAY:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        return execution

    async def get_result(self, execution_id: str, offset: int = 0, limit: int = 1000) -> ResultPage:
        return read(ResultPage, await self._ask(_page(execution_id, offset, limit)))

    async def cancel_execution(self, execution_id: str) -> bool:
        """Cancels it; if it has ended, it is forgotten, with its result. False: there is none."""
        return await self._ask(Call("DELETE", _path(execution_id)), or_none=True) is not None

    async def list_executions(
        self, status: QueryStatus | str | None = None, user_id: str | None = None, limit: int = 100
    ) -> list[ExecutionStatus]:
        """The newest first."""
        body = await self._ask(Call("GET", _path(status=status, user_id=user_id, limit=limit)))
        return [read(ExecutionStatus, one) for one in body["executions"]]

    async def get_execution_metrics(self) -> ExecutionMetrics:
        return read(ExecutionMetrics, await self._ask(Call("GET", "/api/v1/execution/metrics")))


class SyncAdaptiveQueryExecutor(SyncResourceQuotas):
    """Without asyncio; one may be used by any number of threads. `close`, or `with`, ends connections."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._executions = _Executions()

    def schedule_query(self, query: Query, priority: Priority | None = None) -> QueryExecution:
        """Returns at once. Without `priority` the query's own holds."""
        return self._executions.add(query, self._ask(_schedule(self, query, priority)))

    def monitor_execution(self, execution_id: str) -> ExecutionStatus:
        """How it is. What `schedule_query` returned for it follows, and has its result once it is completed."""
        body = self._ask(Call("GET", _path(execution_id)))
        status: ExecutionStatus = read(ExecutionStatus, body)
        execution = self._executions.find(execution_id)
        if execution is not None and execution.status in _UNDER_WAY:
            if status.status == QueryStatus.COMPLETED:
                execution.result = self._whole(execution_id)
            execution._follow(body)
        return status

    def _whole(self, execution_id: str) -> list[dict[str, Any]]:
        pages = [self.get_result(execution_id, 0, _PAGE)]
        while (offset := pages[-1].offset + _PAGE) < pages[0].row_count:
            pages.append(self.get_result(execution_id, offset, _PAGE))
        return _dicts(pages)

    def wait(self, execution: QueryExecution) -> QueryExecution:
        """Until it has ended."""
        pause = 0.01
        while execution.status in _UNDER_WAY:
            self.monitor_execution(execution.execution_id)
            if execution.status in _UNDER_WAY:
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        return execution

    def get_result(self, execution_id: str, offset: int = 0, limit: int = 1000) -> ResultPage:
        return read(ResultPage, self._ask(_page(execution_id, offset, limit)))

    def cancel_execution(self, execution_id: str) -> bool:
        """Cancels it; if it has ended, it is forgotten, with its result. False: there is none."""
        return self._ask(Call("DELETE", _path(execution_id)), or_none=True) is not None

    def list_executions(
        self, status: QueryStatus | str | None = None, user_id: str | None = None, limit: int = 100
    ) -> list[ExecutionStatus]:
        """The newest first."""
        body = self._ask(Call("GET", _path(status=status, user_id=user_id, limit=limit)))
        return [read(ExecutionStatus, one) for one in body["executions"]]

    def get_execution_metrics(self) -> ExecutionMetrics:
        return read(ExecutionMetrics, self._ask(Call("GET", "/api/v1/execution/metrics")))


def get_query_executor(url: str | None = None, *, api_key: str | None = None) -> AdaptiveQueryExecutor:
    """The program's one executor for this URL and key, which default to MILLRACE_URL and MILLRACE_API_KEY."""
    return shared(AdaptiveQueryExecutor, url, api_key)


def get_sync_query_executor(url: str | None = None, *, api_key: str | None = None) -> SyncAdaptiveQueryExecutor:
    """As get_query_executor, for programs without asyncio."""
    return shared(SyncAdaptiveQueryExecutor, url, api_key)
