"""The Python package and a Millrace that is newer: there is more in its answers, and that does no harm."""

import json
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from wire import connect, eventually

from harness import Millrace, PostgreSQL

SCHEMA = "CREATE TABLE visits (page int, at int); INSERT INTO visits SELECT i, i FROM generate_series(1, 20000) i; ANALYZE visits"
MAPS = ("level_stats", "services", "historical_trends")  # by name: nothing is added to these


def newer(value: Any, name: str = "") -> Any:
    """With one field more in each object, on every level."""
    if isinstance(value, list):
        return [newer(one, name) for one in value]
    if not isinstance(value, dict):
        return value
    more = {} if name in MAPS else {"of_a_newer_version": {"since": 2}}
    return {key: newer(one, key) for key, one in value.items()} | more


class Newer(BaseHTTPRequestHandler):
    """Passes on to `upstream`, and adds to what it answers."""

    protocol_version = "HTTP/1.1"
    upstream = ("", 0)

    def _pass_on(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        connection = HTTPConnection(*self.upstream, timeout=60)
        kept = {name: value for name, value in self.headers.items() if name in ("Content-Type", "Host")}
        connection.request(self.command, self.path, sent, kept)
        answer = connection.getresponse()
        got = answer.read()
        connection.close()
        if answer.status == 200:
            got = json.dumps(newer(json.loads(got))).encode()
        self.send_response(answer.status)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(got)))
        self.end_headers()
        self.wfile.write(got)

    do_GET = do_POST = do_PUT = do_DELETE = _pass_on

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL) -> Iterator[Millrace]:
    with Millrace(postgres, {"SLOW_QUERY_THRESHOLD_MS": 50}) as server:
        yield server


@pytest.fixture
def newer_url(millrace: Millrace, python_package: object) -> Iterator[str]:
    Newer.upstream = ("127.0.0.1", int(millrace.http_url.rsplit(":", 1)[1]))
    with ThreadingHTTPServer(("127.0.0.1", 0), Newer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_what_is_kept(newer_url: str) -> None:
    from millrace import SyncIntelligentCacheManager

    with SyncIntelligentCacheManager(newer_url) as manager:
        assert manager.cache_result("k", [1, 2], tags={"t"})
        cached = manager.get_cached_result("k")
        assert cached and cached.data == [1, 2]
        assert cached.metadata["of_a_newer_version"], "the answers are what this test is about"
        stats = manager.get_statistics()
        assert stats.top_keys == [("k", 1)] and stats.level_stats["memory"].hits == 1
        assert manager.optimize().entries_evicted == 0
        assert manager.invalidate("k", "key_exact").estimated_impact == 1
        assert manager.get_cached_result("k") is None


def test_what_is_known_of_statements(newer_url: str, millrace: Millrace) -> None:
    from millrace import SyncQueryOptimizationEngine, UnavailableError

    with connect(millrace) as client:
        for _ in range(3):
            client.rows("SELECT at FROM visits WHERE page = 7")
    with SyncQueryOptimizationEngine(newer_url) as engine:
        analysis = engine.analyze_query("SELECT at FROM visits WHERE page = 7")
        assert analysis.plan and analysis.plan.table_scans and analysis.cache.cache_key
        optimized = engine.optimize_query("SELECT at FROM visits WHERE page + 1 = 7")
        assert optimized.steps and optimized.cost_before and optimized.cost_before.resource_usage_estimate
        health, status = engine.get_health(), engine.get_status()
        assert health.services["postgresql"] and health.services["postgresql"].available and status.wire["version"]
        budgets = iter(range(10, 1000))  # an answer is kept

        def recommended() -> bool:
            try:
                found = engine.get_optimization_recommendations("visits", budget_mb=next(budgets))
            except UnavailableError:  # nothing was recorded yet
                return False
            return any(one.index and one.index.queries for one in found)

        eventually(recommended, what="a recommendation")


def test_what_was_recorded(newer_url: str, millrace: Millrace) -> None:
    from millrace import SyncQueryPerformanceMonitor
    from millrace.query_performance_monitor import AlertThreshold

    with connect(millrace) as client:
        client.rows("SELECT pg_sleep(0.1)")
    with SyncQueryPerformanceMonitor(newer_url) as monitor:
        eventually(lambda: bool(monitor.get_slow_queries(min_duration_ms=50).slow_queries), what="the slow query")
        assert any(one.sample for one in monitor.get_templates().templates)
        assert monitor.get_usage().usage[0].figures.calls
        assert monitor.track_query_execution("SELECT 1", 1.0).template_id
        assert monitor.get_performance_dashboard().historical_trends
        made = monitor.create_alert(AlertThreshold("execution_time", 1e6, "<"))
        assert made.threshold.threshold_value == 1e6
        with connect(millrace) as client:
            client.rows("SELECT 1")
        eventually(lambda: bool(monitor.get_alerts()), what="a second with a query")
        assert any(rule.rule_id == made.rule_id for rule in monitor.get_alert_rules())
        assert monitor.detect_performance_anomalies() == []
        assert monitor.delete_alert_rule(made.rule_id)


def test_jobs(newer_url: str) -> None:
    from millrace.adaptive_query_executor import Query, QueryStatus, ResourceQuota, SyncAdaptiveQueryExecutor

    with SyncAdaptiveQueryExecutor(newer_url) as executor:
        execution = executor.wait(executor.schedule_query(Query("q", "SELECT 1 AS one")))
        assert execution.result == [{"one": 1}]
        assert [one.status for one in executor.list_executions()] == [QueryStatus.COMPLETED]
        failed = executor.wait(executor.schedule_query(Query("q", "SELECT 1/0")))
        assert failed.sqlstate == "22012"
        assert executor.get_execution_metrics().circuit_breakers[0].config.failure_threshold
        quota = executor.set_resource_quota(ResourceQuota("ada", daily_query_limit=10))
        assert quota.day and quota.day.left == 10
