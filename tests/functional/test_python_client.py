"""The Python package, installed as people install it, against a real Millrace."""

import asyncio
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from wire import connect, eventually

from harness import Certificate, Millrace, PostgreSQL, free_port, millrace_binary

pytestmark = pytest.mark.usefixtures("python_package")


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL) -> Iterator[Millrace]:
    with Millrace(postgres, {"L1_CACHE_SIZE_MB": 16}) as server:
        yield server


# The specification's usage example 2; but for the import it is as it stands there.
EXAMPLE = '''
from millrace.intelligent_cache_manager import get_cache_manager

async def cache_expensive_query_result(query: str, result: any):
    cache_manager = get_cache_manager()

    # Cache with 1 hour TTL, tagged for easy invalidation
    await cache_manager.cache_result(
        query_key=f"analytics:{hash(query)}",
        result=result,
        ttl=3600,
        tags={"analytics", "reports"},
        dependencies={"table:projects", "table:shared_pages"}
    )

async def get_cached_result(query: str):
    cache_manager = get_cache_manager()

    cached = await cache_manager.get_cached_result(f"analytics:{hash(query)}")
    if cached:
        print(f"Cache hit! Source: {cached.source_level}")
        return cached.data

    return None
'''


def test_the_specifications_example(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    example: dict[str, Any] = {}
    exec(EXAMPLE, example)
    query, result = "SELECT count(*) FROM projects", [{"count": 42}]

    async def run() -> None:
        assert await example["get_cached_result"](query) is None
        await example["cache_expensive_query_result"](query, result)
        assert await example["get_cached_result"](query) == result
        assert capsys.readouterr().out == "Cache hit! Source: memory\n"
        cached = await example["get_cache_manager"]().get_cached_result(f"analytics:{hash(query)}")
        assert cached.metadata["tags"] == ["analytics", "reports"]
        assert cached.metadata["dependencies"] == ["table:projects", "table:shared_pages"]
        assert (cached.ttl_seconds, cached.hit_count) == (3600, 2)
        assert abs(datetime.now(UTC) - cached.cached_at) < timedelta(minutes=1)
        done = await example["get_cache_manager"]().invalidate({"shared_pages"}, "table_based")
        assert done.estimated_impact == 1
        assert await example["get_cached_result"](query) is None

    asyncio.run(run())


def test_it_is_typed(python_package: Path) -> None:
    assert (python_package / "millrace/py.typed").exists()


def test_asynchronous(url: str) -> None:
    from millrace import CacheLevel, InvalidationScope, get_cache_manager

    manager = get_cache_manager()
    assert manager is get_cache_manager(url)

    async def run() -> None:
        keys = [f"key/{i}:?#%ü" for i in range(20)]
        assert all(await asyncio.gather(*(manager.cache_result(key, {"of": key}, tags="t") for key in keys)))
        found = await asyncio.gather(*(manager.get_cached_result(key) for key in keys))
        assert [one and one.data for one in found] == [{"of": key} for key in keys]
        assert found[0] and found[0].source_level is CacheLevel.MEMORY
        assert found[0].metadata["tags"] == ["t"]
        assert [await manager.delete(keys[0]) for _ in range(2)] == [True, False]
        done = await manager.invalidate("key/1*", reason="a test")
        assert (done.scope, done.patterns, done.estimated_impact) == (InvalidationScope.KEY_PATTERN, ["key/1*"], 11)
        assert (await manager.invalidate(scope=InvalidationScope.GLOBAL)).estimated_impact == 8
        stats = await manager.get_statistics()
        assert stats.total_entries == 0
        assert stats.level_stats["memory"].hits >= 20 and stats.level_stats["redis"].hits == 0
        assert (await manager.optimize()).entries_compressed == 0
        assert (await manager.get_statistics()).last_cleanup is not None

    asyncio.run(run())
    asyncio.run(run())  # another event loop, the same manager


def test_synchronous_from_threads(url: str) -> None:
    from millrace import get_sync_cache_manager

    wrong: list[Any] = []
    with get_sync_cache_manager() as manager:

        def work(number: int) -> None:
            for i in range(20):
                manager.cache_result(f"thread:{number}", i, ttl=60)
                cached = manager.get_cached_result(f"thread:{number}")
                if cached is None or cached.data != i:
                    wrong.append((number, i, cached))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert manager.get_cached_result("nosuch") is None
        assert manager.delete("thread:0") and not manager.delete("thread:0")
        assert manager.invalidate(["thread:1", "thread:2"], "key_exact").estimated_impact == 2
        assert ("thread:3", 1) in manager.get_statistics().top_keys  # since it was put last
        assert manager.optimize().entries_evicted >= 0
    assert manager.get_cached_result("thread:3")  # it connects again


def test_what_it_knows_of_a_statement(url: str) -> None:
    from millrace import InvalidRequestError, QueryComplexity
    from millrace.query_optimization_engine import get_query_optimization_engine, get_sync_query_optimization_engine

    engine = get_query_optimization_engine()
    assert engine is get_query_optimization_engine(url)

    async def run() -> None:
        said = await engine.analyze_query("SELECT 1 /* millrace: ttl=60, tags='a' */")
        assert (said.statement_kind, said.complexity, said.tables_accessed) == ("select", QueryComplexity.SIMPLE, [])
        assert (said.cache.cacheable, said.cache.ttl_seconds, said.cache.tags) == (True, 60, ["a"])
        assert said.cache.cache_key == f"query:{said.query_hash}"
        assert said.estimated_cost and said.plan and said.plan.plan_operations == ["Result"] and said.missing_indexes == []
        await engine.aclose()

    asyncio.run(run())
    with get_sync_query_optimization_engine() as sync:
        said = sync.analyze_query("SELECT 1", "postgresql", user="nobody")
        assert (said.cache.cacheable, said.cache.reason) == (False, "search_path"), "there is no such role"
        said = sync.analyze_query("SELECT random()")
        assert (said.cache.cacheable, said.cache.why_not) == (False, "calls random(), which is volatile")
        assert said.cache.what_helps
        with pytest.raises(InvalidRequestError, match="syntax error"):
            sync.analyze_query("SELEC")
        with pytest.raises(InvalidRequestError, match="database_type"):
            sync.analyze_query("SELECT 1", "duckdb")


def test_the_specs_example_of_optimizing_a_query(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    from millrace.query_optimization_engine import DatabaseType, QueryContext, get_query_optimization_engine

    async def optimize_user_query(sql_query: str) -> str:
        optimizer = get_query_optimization_engine()

        context = QueryContext(
            database_type=DatabaseType.POSTGRESQL,
            user_id="user_123",
            project_id="project_456",
            optimization_level=3,
        )

        result = await optimizer.optimize_query(sql_query, context)

        print(f"Original: {result.original_query}")
        print(f"Optimized: {result.optimized_query}")
        print(f"Improvement: {result.estimated_improvement_percent}%")

        await optimizer.aclose()
        return result.optimized_query

    query = "SELECT count(*) FROM pg_class"
    assert asyncio.run(optimize_user_query(query)) == query
    assert capsys.readouterr().out == f"Original: {query}\nOptimized: {query}\nImprovement: 0.0%\n"


def test_the_specs_example_of_monitoring(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    from millrace.query_performance_monitor import get_performance_monitor

    async def track_query_performance(query: str, duration_ms: float) -> None:
        monitor = get_performance_monitor()

        metadata = {
            "query_id": "q_12345",
            "user_id": "user_123",
            "database_type": "postgresql",
            "cpu_usage_percent": 45.0,
            "memory_usage_mb": 128.0,
            "cache_hit": False,
        }

        tracked = await monitor.track_query_execution(query, duration_ms, metadata)
        assert tracked.query_id == "q_12345" and tracked.slow

    async def check_for_anomalies() -> None:
        monitor = get_performance_monitor()
        anomalies = await monitor.detect_performance_anomalies()

        for anomaly in anomalies:
            print(f"Anomaly detected: {anomaly.description}")
            print(f"Severity: {anomaly.severity}")
            print(f"Confidence: {anomaly.confidence_score}")

    async def run() -> None:
        monitor = get_performance_monitor()
        await track_query_performance("SELECT name FROM elsewhere WHERE id = 4711", 7_500.0)
        await check_for_anomalies()
        while not (slow := (await monitor.get_slow_queries(min_duration_ms=7_000)).slow_queries):
            await asyncio.sleep(0.1)
        (one,) = slow
        assert (one.query, one.user_id, one.duration_ms) == ("SELECT name FROM elsewhere WHERE id = 4711", "user_123", 7_500)
        assert (one.cpu_usage_percent, one.memory_usage_mb) == (45, 128)
        templates = {template.query: template.figures for template in (await monitor.get_templates()).templates}
        assert templates["SELECT name FROM elsewhere WHERE id = ?"].calls == 1
        await monitor.aclose()

    asyncio.run(run())
    assert capsys.readouterr().out == ""  # nothing was found


def test_what_may_be_told_of_a_query(url: str) -> None:
    from millrace import InvalidRequestError, get_sync_performance_monitor

    with get_sync_performance_monitor() as monitor:
        told = monitor.track_query_execution("SELECT 1", 0.5, {"database_type": "duckdb", "error": "it broke", "rows_returned": 3})
        assert told.query_id is None and not told.slow
        secret = "ALTER ROLE ada PASSWORD 'hunter2'"
        assert monitor.track_query_execution(secret, 8_000).slow
        while not any(one.kind == "ddl" for one in monitor.get_slow_queries(min_duration_ms=7_000).slow_queries):
            time.sleep(0.1)
        assert "hunter2" not in str(monitor.get_slow_queries(window=60)) + str(monitor.get_templates())
        for wrong in [("SELECT 1", -1, {}), ("SELECT 1", 1e12, {}), ("SELECT 1", 1, {"colour": "red"}), ("x" * 70_000, 1, {})]:
            with pytest.raises(InvalidRequestError):
                monitor.track_query_execution(*wrong)


def test_what_is_recommended(url: str, millrace: Millrace, postgres: PostgreSQL) -> None:
    from millrace import UnavailableError
    from millrace.query_optimization_engine import (
        OptimizationRecommendation,
        RecommendationType,
        get_query_optimization_engine,
        get_sync_query_optimization_engine,
    )

    postgres.admin(
        "CREATE TABLE visits (page int, at int); INSERT INTO visits SELECT i, i FROM generate_series(1, 20000) i; ANALYZE visits"
    )
    with connect(millrace) as client:
        for _ in range(3):
            client.rows("SELECT at FROM visits WHERE page = 7")

    def asked(budget_mb: int) -> list[OptimizationRecommendation]:
        try:
            with get_sync_query_optimization_engine() as sync:
                return sync.get_optimization_recommendations("visits", budget_mb=budget_mb)
        except UnavailableError:  # nothing was recorded yet
            return []

    budgets = iter(range(10, 1000))  # an answer is kept
    eventually(lambda: asked(next(budgets)), what="a recommendation")

    async def run() -> None:
        engine = get_query_optimization_engine()
        [said] = await engine.get_optimization_recommendations("public.visits", budget_mb=next(budgets))
        assert said.type is RecommendationType.QUERY_OPTIMIZATION and said.implementation_effort == "Low"
        assert said.index and said.index.table_name == said.table_name == "public.visits"
        assert said.index.columns == ["page"] and said.sql_changes == [said.index.sql_statement]
        assert said.index.queries[0].cost_after < said.index.queries[0].cost_before and not said.index.measured
        assert await engine.get_optimization_recommendations("nobody") == []
        await engine.aclose()

    asyncio.run(run())


def test_what_json_can_say(url: str) -> None:
    from millrace import InvalidRequestError, SyncIntelligentCacheManager

    with SyncIntelligentCacheManager() as manager:
        for result in [None, True, 10**30, -1.5, "ü\n\"", [], {}, {"a": [{"b": None}]}]:
            assert manager.cache_result("k", result)
            cached = manager.get_cached_result("k")
            assert cached and cached.data == result and type(cached.data) is type(result)
        for result in [float("nan"), uuid.uuid4(), {1, 2}]:
            with pytest.raises(InvalidRequestError):
                manager.cache_result("k", result)
        assert not manager.cache_result("k", "x" * 3_000_000)
        assert manager.get_cached_result("k") is None
    with SyncIntelligentCacheManager(default=str) as manager:
        one = uuid.uuid4()
        assert manager.cache_result("k", [one])
        cached = manager.get_cached_result("k")
        assert cached and cached.data == [str(one)]


def test_what_goes_wrong(url: str, postgres: PostgreSQL) -> None:
    from millrace import (
        AuthenticationError,
        InvalidRequestError,
        MillraceError,
        SyncIntelligentCacheManager,
        UnavailableError,
        UnexpectedAnswerError,
        UnreachableError,
    )

    with SyncIntelligentCacheManager() as manager:
        with pytest.raises(InvalidRequestError) as wrong:
            manager.cache_result("k", 1, ttl=0, tags={"a\nb"})
        assert [one.location for one in wrong.value.problems] == [("body", "ttl"), ("body", "tags", 0)]
        with pytest.raises(InvalidRequestError, match="path.key"):
            manager.get_cached_result("k" * 2000)
        for key in ("", ".", ".."):
            with pytest.raises(InvalidRequestError):
                manager.cache_result(key, 1)
        with pytest.raises(InvalidRequestError, match="scope"):
            manager.invalidate("x", "nosuch")
    with SyncIntelligentCacheManager(f"http://127.0.0.1:{free_port()}") as nobody, pytest.raises(UnreachableError):
        nobody.get_statistics()
    with SyncIntelligentCacheManager(f"{url}/elsewhere") as elsewhere, pytest.raises(UnexpectedAnswerError):
        elsewhere.get_statistics()
    with Millrace(postgres, {"ENABLE_MULTI_LEVEL_CACHING": "false"}) as off:
        with SyncIntelligentCacheManager(off.http_url) as manager, pytest.raises(UnavailableError):
            manager.get_cached_result("k")
    assert all(issubclass(one, MillraceError) for one in (AuthenticationError, UnreachableError, UnavailableError))


def test_keys_and_tls(postgres: PostgreSQL, monkeypatch: pytest.MonkeyPatch) -> None:
    from millrace import AuthenticationError, SyncIntelligentCacheManager, UnreachableError

    made = subprocess.run([millrace_binary(), "api-key"], capture_output=True, text=True, check=True, timeout=60).stdout
    key, digest = (line.split()[1] for line in made.splitlines())
    pair = Certificate.make()
    settings = {"API_KEY_HASHES": digest, "TLS_CERT_FILE": str(pair.certificate), "TLS_KEY_FILE": str(pair.key)}
    with Millrace(postgres, settings) as server:
        trusted = str(pair.certificate)
        with SyncIntelligentCacheManager(server.http_url) as manager, pytest.raises(UnreachableError):
            manager.get_statistics()
        with SyncIntelligentCacheManager(server.http_url, verify=trusted) as manager:
            assert manager.get_statistics().total_entries == 0
            with pytest.raises(AuthenticationError, match="API key"):
                manager.cache_result("k", 1)
        with SyncIntelligentCacheManager(server.http_url, verify=trusted, api_key=key) as manager:
            assert manager.cache_result("k", 1)
        monkeypatch.setenv("MILLRACE_API_KEY", key)
        with SyncIntelligentCacheManager(server.http_url, verify=trusted) as manager:
            assert manager.get_cached_result("k")


def test_alerts(url: str, millrace: Millrace) -> None:
    from millrace.query_performance_monitor import (
        AlertSeverity,
        AlertState,
        AlertThreshold,
        QueryPerformanceMonitor,
        SyncQueryPerformanceMonitor,
    )
    from millrace.errors import InvalidRequestError, UnexpectedAnswerError

    with SyncQueryPerformanceMonitor() as monitor:
        rule = AlertThreshold("execution_time", 1e6, "<", severity="low", notification_channels=["ops"])
        made = monitor.create_alert(rule)
        assert made.threshold.severity is AlertSeverity.LOW and made.suggested_actions
        assert monitor.create_alert(rule).rule_id == made.rule_id
        with connect(millrace) as client:
            client.rows("SELECT 1")
        eventually(lambda: bool(monitor.get_alerts()), what="a second with a query")
        (alert,) = monitor.get_alerts()
        assert (alert.rule_id, alert.resolved_at) == (made.rule_id, None)
        acknowledged = monitor.acknowledge_alert(alert.alert_id, "Ada & Bob")
        assert acknowledged and acknowledged.acknowledged_by == "Ada & Bob"
        states = {rule.rule_id: rule.state for rule in monitor.get_alert_rules()}
        assert states[made.rule_id] is AlertState.FIRING
        resolved = monitor.resolve_alert(alert.alert_id)
        assert resolved and resolved.resolved and resolved.resolved_at
        assert monitor.resolve_alert("no/such alert") is None
        assert monitor.delete_alert(alert.alert_id) and not monitor.delete_alert(alert.alert_id)
        assert monitor.delete_alert_rule(made.rule_id) and not monitor.delete_alert_rule(made.rule_id)
        with pytest.raises(UnexpectedAnswerError, match="PERFORMANCE_ALERT_THRESHOLDS"):
            monitor.delete_alert_rule("builtin_error_rate")
        with pytest.raises(InvalidRequestError, match="body.metric_type"):
            monitor.create_alert(AlertThreshold("lock_contention", 1))
        assert monitor.detect_performance_anomalies() == []

    async def run() -> None:
        async with QueryPerformanceMonitor() as monitor:
            made = await monitor.create_alert(AlertThreshold("execution_time", 5000, min_occurrences=3))
            assert made.alert_id == "pending"
            assert await monitor.get_alerts() == []
            assert await monitor.acknowledge_alert("nosuch") is None
            assert await monitor.delete_alert_rule(made.rule_id)
            assert await monitor.detect_performance_anomalies() == []

    asyncio.run(run())


def test_the_monitor_tells_what_was_recorded(postgres: PostgreSQL) -> None:
    from millrace import get_performance_monitor, get_sync_performance_monitor

    with Millrace(postgres, {"SLOW_QUERY_THRESHOLD_MS": 50}) as server:
        with connect(server, application_name="of the monitor") as client:
            client.rows("SELECT pg_sleep(0.1) AS told")
        monitor = get_sync_performance_monitor(server.http_url)
        slow_ones = lambda: monitor.get_slow_queries(min_duration_ms=50).slow_queries
        eventually(lambda: any(one.plan for one in slow_ones()), what="the slow query to be told, with its plan")
        (slow,) = monitor.get_slow_queries(min_duration_ms=50).slow_queries
        assert (slow.query, slow.application) == ("SELECT pg_sleep(0.1) AS told", "of the monitor")
        assert abs(datetime.now(UTC) - slow.start_time) < timedelta(minutes=1)

        async def run() -> None:
            async with get_performance_monitor(server.http_url) as asynchronous:
                told = await asynchronous.get_templates(sort="calls", window=5, limit=1)
                assert told.templates[0].query == "SELECT pg_sleep(?) AS told"
                assert told.templates[0].sample and told.templates[0].sample.query == slow.query
                assert told.templates[0].figures.calls == 1
                assert told.since < told.until
                assert (await asynchronous.get_usage("application")).usage[0].name == "of the monitor"
                assert (await asynchronous.get_slow_queries(min_duration_ms=50)).slow_queries == [slow]
                dashboard = await asynchronous.get_performance_dashboard()
                assert dashboard.top_slow_queries[0]["query_id"] == slow.query_id
                assert dashboard.historical_trends["throughput"][-1][0].tzinfo is not None

        asyncio.run(run())
        with pytest.raises(Exception, match="window"):
            monitor.get_templates(window=0)
        assert monitor.get_templates().total_count == 1
        assert monitor.get_usage("database").usage[0].figures.calls == 1
        assert monitor.get_performance_dashboard().current_metrics["connections"] == 0


# The specification's usage example 5; but for the imports it is as it stands there.
JOB_EXAMPLE = '''
import asyncio
from millrace.adaptive_query_executor import get_query_executor, Query, Priority

async def execute_priority_query(sql: str, user_id: str):
    executor = get_query_executor()

    query = Query(
        query_id="priority_query_001",
        sql=sql,
        user_id=user_id,
        priority=Priority.HIGH,
        timeout_seconds=60,
        memory_limit_mb=512,
        enable_optimization=True,
        enable_caching=True
    )

    execution = await executor.schedule_query(query, Priority.HIGH)

    # Monitor execution progress
    while execution.status in ["queued", "running"]:
        status = await executor.monitor_execution(execution.execution_id)
        print(f"Status: {status.status}, Queue position: {status.queue_position}")
        await asyncio.sleep(1)

    if execution.status == "completed":
        return execution.result
    else:
        raise Exception(f"Query failed: {execution.error}")
'''


def test_the_specifications_example_of_jobs(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    example: dict[str, Any] = {}
    exec(JOB_EXAMPLE, example)
    run = example["execute_priority_query"]
    sql = "SELECT n, 'x' || n AS text, n AS text FROM generate_series(1, 12345) n"
    result = asyncio.run(run(sql, "user_123"))
    assert len(result) == 12345
    assert result[-1] == {"n": 12345, "text": "x12345", "text_2": 12345}
    assert "Status: completed, Queue position: None" in capsys.readouterr().out
    with pytest.raises(Exception, match="Query failed: division by zero"):
        asyncio.run(run("SELECT 1/0", "user_123"))


def test_jobs_without_asyncio(url: str) -> None:
    from millrace.adaptive_query_executor import Priority, Query, QueryStatus, get_sync_query_executor
    from millrace.errors import InvalidRequestError

    executor = get_sync_query_executor()
    execution = executor.schedule_query(Query("sync_001", "SELECT $1::int + 1 AS next", [41]))
    assert executor.wait(execution).result == [{"next": 42}]
    assert (execution.retry_count, execution.restored, execution.cache_hit, execution.max_retries) == (0, False, None, None)
    page = executor.get_result(execution.execution_id)
    assert (page.columns, page.rows, page.row_count) == (["next"], [[42]], 1)
    slow = executor.schedule_query(Query(sql="SELECT pg_sleep(1000)", user_id="sync"), Priority.LOW)
    eventually(lambda: executor.monitor_execution(slow.execution_id).status == QueryStatus.RUNNING, what="it to run")
    assert [one.execution_id for one in executor.list_executions(user_id="sync")] == [slow.execution_id]
    assert executor.cancel_execution(slow.execution_id)
    assert executor.wait(slow).status == QueryStatus.CANCELLED
    assert slow.sqlstate == "57014"
    assert not executor.cancel_execution("exec_0_1")
    with pytest.raises(InvalidRequestError, match="body.timeout_seconds"):
        executor.schedule_query(Query(sql="SELECT 1", timeout_seconds=-1))
    with pytest.raises(TypeError, match="sql"):
        Query("SELECT 1")


def test_quotas(url: str, millrace: Millrace) -> None:
    from millrace import InvalidRequestError, ResourceQuota, get_query_executor, get_sync_query_executor

    executor = get_sync_query_executor()
    assert executor.get_resource_quota("of/python").user_id == "of/python"
    made = executor.set_resource_quota(ResourceQuota("of/python", max_memory_mb=100, hourly_query_limit=1))
    assert (made.max_memory_mb, made.daily_query_limit, made.max_cpu_percent, made.enforced) == (100, None, None, True)
    with connect(millrace, options="-c millrace.user_id=of/python -c millrace.project_id=7") as client:
        client.rows("SELECT 1")
        assert client.ask_or_error("SELECT 1").kind == "E"
    used = executor.get_resource_quota(user_id="of/python")
    assert used.hour and (used.hour.used, used.hour.left) == (1, 0)
    assert executor.set_resource_quota(replace(used, hourly_query_limit=None, priority_boost=-1)).priority_boost == -1
    assert executor.get_resource_quota("of/python").hourly_query_limit is None
    for wrong in ({}, {"user_id": "a", "project_id": "b"}, {"user_id": ""}, {"user_id": "a" * 200}):
        with pytest.raises(InvalidRequestError, match="id"):
            executor.get_resource_quota(**wrong)
    with pytest.raises(InvalidRequestError, match="priority_boost"):
        executor.set_resource_quota(ResourceQuota("of/python", priority_boost=9))

    async def run() -> None:
        async with get_query_executor() as asynchronous:
            assert (await asynchronous.set_resource_quota(ResourceQuota(project_id="7", daily_query_limit=9))).project_id == "7"
            project = await asynchronous.get_resource_quota(project_id="7")
            assert (project.user_id, project.daily_query_limit) == (None, 9)

    asyncio.run(run())


def test_status_and_health(url: str, postgres: PostgreSQL) -> None:
    from millrace import CircuitState, ResourceType, get_query_optimization_engine, get_sync_query_executor
    from millrace.query_optimization_engine import SyncQueryOptimizationEngine

    async def run() -> None:
        async with get_query_optimization_engine() as engine:
            health = await engine.get_health()
            postgresql, cache = health.services["postgresql"], health.services["cache_manager"]
            assert postgresql and postgresql.available and postgresql.status == "healthy"
            assert cache and cache.reason is None and health.services["redis"] is None
            assert abs(datetime.now(UTC) - health.checked_at) < timedelta(minutes=1)
            status = await engine.get_status()
            assert status.status == "active" and status.wire["uptime_seconds"] > 0

    asyncio.run(run())
    metrics = get_sync_query_executor().get_execution_metrics()
    assert set(metrics.resource_utilization) == set(ResourceType)
    (breaker,) = metrics.circuit_breakers
    assert breaker.state is CircuitState.CLOSED and breaker.metrics.successful_requests >= 1
    assert breaker.metrics.last_success_time and breaker.config.failure_threshold == 5
    with Millrace(postgres, {"ENABLE_MULTI_LEVEL_CACHING": "false"}) as off, SyncQueryOptimizationEngine(off.http_url) as engine:
        health = engine.get_health()
        cache = health.services["cache_manager"]
        assert health.overall_status == "degraded" and health.health_score < 100
        assert cache and not cache.available and cache.reason == "ENABLE_MULTI_LEVEL_CACHING is off"
        assert engine.get_status().cache_stats


def test_names_of_the_interface(url: str) -> None:
    from millrace import CompressionType, ConsistencyLevel, DatabaseType, OptimizationType, QueryContext
    from millrace import get_sync_cache_manager, get_sync_query_optimization_engine

    assert (DatabaseType.REDIS, OptimizationType("join_reorder"), CompressionType.ZLIB) == ("redis", "join_reorder", "zlib")
    context = QueryContext(DatabaseType.POSTGRESQL, "user_1", "project_1", {"t": {"rows": 1}}, ["i"], 512, 30, False, 2)
    with get_sync_query_optimization_engine() as engine:
        optimized = engine.optimize_query("SELECT 1", context)
    assert (optimized.cache_key, optimized.cache_ttl, optimized.execution_hints) == (None, None, None)
    guarantees = get_sync_cache_manager().get_statistics().guarantees
    assert all(ConsistencyLevel(level) for one in guarantees for level in one.levels)
