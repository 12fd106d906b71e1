"""POST /api/v1/optimization/analyze-query: how PostgreSQL would run a statement, and what of that is worth a look."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from wire import connect, eventually

from harness import Millrace, PostgreSQL

SCHEMA = (
    "CREATE TABLE pages (id int PRIMARY KEY, status int, url varchar(200), created_at timestamptz DEFAULT now());"
    "INSERT INTO pages SELECT i, i % 1000, 'u' || i FROM generate_series(1, 20000) i;"
    "CREATE TABLE domains (id int PRIMARY KEY, name text); INSERT INTO domains SELECT i, 'n' || i FROM generate_series(1, 2000) i;"
    "CREATE FUNCTION slow() RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1000); RETURN 1; END';"
    "CREATE ROLE reader; GRANT SELECT ON domains TO reader;"
    "ANALYZE;"
)


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL) -> Iterator[Millrace]:
    with Millrace(postgres) as server:
        yield server


def analyzed(millrace: Millrace, query: str, **asked: str) -> dict[str, Any]:
    return millrace.api("POST", "optimization/analyze-query", {"query": query} | asked)


def test_its_figures_are_those_of_explain(millrace: Millrace, postgres: PostgreSQL) -> None:
    query = "SELECT p.url, d.name FROM pages p JOIN domains d ON d.id = p.status WHERE p.status = 4 ORDER BY d.name"
    said = analyzed(millrace, query)
    plan = json.loads(postgres.admin(f"EXPLAIN (FORMAT JSON) {query}"))[0]["Plan"]
    assert said["estimated_cost"] == said["plan"]["total_cost"] == plan["Total Cost"]
    assert said["estimated_rows"] == plan["Plan Rows"]
    assert said["plan"]["plan_operations"][0] == plan["Node Type"] == "Sort"
    assert said["indexes_used"] == ["domains_pkey"]
    assert said["plan"]["table_scans"] == ["public.pages"]
    assert said["missing_indexes"] == ["public.pages (status)"]
    assert said["performance_issues"][0].startswith("public.pages (about 20,000 rows) is read whole to find about 20 rows")
    assert said["optimization_suggestions"] == ["CREATE INDEX CONCURRENTLY idx_pages_status ON public.pages (status)"]
    assert said["warnings"] == []


def test_how_long_it_takes_is_what_it_took(millrace: Millrace, postgres: PostgreSQL) -> None:
    with connect(millrace, user=postgres.user) as client:
        for id in range(10):
            client.rows(f"SELECT url, pg_sleep(0.02) FROM pages WHERE id = {id + 1}")
    eventually(lambda: analyzed(millrace, "SELECT url, pg_sleep(0.02) FROM pages WHERE id = 7")["estimated_from"] == "10 calls of it", what="the calls to be seen")
    said = analyzed(millrace, "SELECT url, pg_sleep(0.02) FROM pages WHERE id = 99")
    assert said["execution_time_estimate_ms"] > 19
    assert 0.5 < said["confidence_score"] <= 1
    unknown = analyzed(millrace, "SELECT status, id FROM pages WHERE url = 'never asked'")
    assert unknown["execution_time_estimate_ms"] is unknown["confidence_score"] is unknown["estimated_from"] is None


def test_how_long_it_takes_is_what_its_cost_comes_to(postgres: PostgreSQL) -> None:
    others = [f"SELECT {what} FROM pages" for what in ("count(status)", "max(url)", "min(created_at)", "sum(id)", "count(DISTINCT status)", "min(url)")]
    with Millrace(postgres, {"ENABLE_MULTI_LEVEL_CACHING": "false"}) as server, connect(server, user=postgres.user) as client:

        def is_estimated() -> bool:
            for other in others:
                client.rows(other)
            return analyzed(server, "SELECT avg(status) FROM pages")["estimated_from"] is not None

        eventually(is_estimated, what="the plans of five to be known")
        large, small = (analyzed(server, f"SELECT avg(id) FROM {table}") for table in ("pages", "domains"))
        for said in (large, small):
            assert said["estimated_from"] in ("costs and times of 5 other statements", "costs and times of 6 other statements")
            assert 0 <= said["confidence_score"] <= 1
        assert 0 < small["execution_time_estimate_ms"] < large["execution_time_estimate_ms"]


def test_what_fails_tells_no_time(millrace: Millrace, postgres: PostgreSQL) -> None:
    query = "SELECT 1 / (id - 5) FROM domains WHERE id = {}"
    with connect(millrace, user=postgres.user) as client:
        for id in (1, 2, 3):
            client.rows(query.format(id))
        eventually(lambda: analyzed(millrace, query.format(4))["estimated_from"] == "3 calls of it", what="the calls to be seen")
        with pytest.raises(RuntimeError, match="22012"):
            client.rows(query.format(5))
        eventually(lambda: analyzed(millrace, query.format(4))["estimated_from"] != "3 calls of it", what="the failure to be seen")
        assert not str(analyzed(millrace, query.format(4))["estimated_from"]).endswith("calls of it")


def test_what_it_suggests_helps(millrace: Millrace, postgres: PostgreSQL) -> None:
    query = "SELECT * FROM pages WHERE url = 'u77' AND status = 77"
    before = analyzed(millrace, query)
    postgres.admin(before["optimization_suggestions"][0])
    try:
        after = analyzed(millrace, query)
    finally:
        postgres.admin("DROP INDEX idx_pages_status_url")
    assert after["indexes_used"] == ["idx_pages_status_url"]
    assert after["estimated_cost"] < before["estimated_cost"] / 10
    assert after["performance_issues"] == after["missing_indexes"] == []


def test_parameters_are_unknown(millrace: Millrace) -> None:
    said = analyzed(millrace, "SELECT url FROM pages WHERE id = $1 AND created_at > $2 -- the rest")
    assert said["indexes_used"] == ["pages_pkey"]
    assert said["warnings"] == []
    said = analyzed(millrace, "UPDATE pages SET status = $1 WHERE url = $2;")
    assert said["plan"]["plan_operations"][0] == "ModifyTable"
    assert said["missing_indexes"] == ["public.pages (url)"]


def test_nothing_is_run_and_nothing_stays(millrace: Millrace, postgres: PostgreSQL) -> None:
    for _ in range(5):
        assert analyzed(millrace, "DELETE FROM pages")["plan"]["plan_operations"][0] == "ModifyTable"
        assert analyzed(millrace, "SELECT 1 FROM nowhere")["plan"] is None
    assert postgres.admin("SELECT count(*) FROM pages").strip() == "20000"
    left_open = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'millrace' AND state LIKE 'idle in%'"
    eventually(lambda: postgres.admin(left_open).strip() == "0", what="no transaction to be left open")


def test_as_a_user_with_a_search_path(millrace: Millrace) -> None:
    said = analyzed(millrace, "SELECT 1 FROM domains", user="reader")
    assert said["plan"]["scan_operations"] == ["Seq Scan on public.domains"]
    refused = analyzed(millrace, "SELECT 1 FROM pages", user="reader")
    assert refused["estimated_cost"] is None and "42501" in refused["warnings"][0]
    unknown = analyzed(millrace, "SELECT 1", user="no\"body'")
    assert unknown["plan"] is None and "22023" in unknown["warnings"][0]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("SELECT 1 FROM nowhere", "42P01"),
        ("SELECT 1 + 'x'", "22P02"),
        ("SELECT 1; DROP TABLE pages", "plans no statement of this kind"),
        ("VACUUM", "plans no statement of this kind"),
        ("EXPLAIN ANALYZE DELETE FROM pages", "plans no statement of this kind"),
    ],
)
def test_what_cannot_be_planned_says_why(millrace: Millrace, query: str, why: str) -> None:
    said = analyzed(millrace, query)
    assert said["estimated_cost"] is said["indexes_used"] is said["plan"] is None
    assert why in said["warnings"][-1]


def test_a_text_cannot_end_another_way_than_it_was_read(millrace: Millrace, postgres: PostgreSQL) -> None:
    """As a server would read it where backslashes escape, a second statement follows."""
    postgres.admin("ALTER DATABASE postgres SET standard_conforming_strings = off")
    try:
        with Millrace(postgres) as server:
            said = analyzed(server, r"SELECT 'a\''; COMMIT; DROP TABLE pages; --'")
    finally:
        postgres.admin("ALTER DATABASE postgres RESET standard_conforming_strings")
    assert said["plan"] is not None, said["warnings"]
    assert said["plan"]["plan_operations"] == ["Result"]
    assert postgres.admin("SELECT count(*) FROM pages").strip() == "20000"


def test_a_planning_that_takes_long_ends(millrace: Millrace) -> None:
    assert "57014" in analyzed(millrace, "SELECT slow()")["warnings"][0]


def test_an_application_is_no_deadlocks_victim(millrace: Millrace, postgres: PostgreSQL) -> None:
    """It locks the tables in another order than the statement does, and PostgreSQL looks for a deadlock soon after."""
    waits = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND application_name = 'millrace'"
    with connect(postgres, user=postgres.user) as application, ThreadPoolExecutor(1) as pool:
        application.rows("SET deadlock_timeout = '500ms'; BEGIN; LOCK TABLE domains")
        said = pool.submit(analyzed, millrace, "SELECT 1 FROM pages JOIN domains USING (id)")
        while not said.done() and postgres.admin(waits) == "0":
            pass
        application.rows("LOCK TABLE pages")
        application.rows("ROLLBACK")
        assert "55P03" in said.result()["warnings"][0]
