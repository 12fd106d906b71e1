"""POST /api/v1/optimization/optimize-query: another way to say a query, chosen by PostgreSQL's estimates."""

from collections.abc import Iterator
from typing import Any

import pytest
from wire import connect, eventually

from harness import Millrace, PostgreSQL

SCHEMA = (
    "CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL UNIQUE, created_at timestamp NOT NULL);"
    "INSERT INTO users SELECT i, 'u' || i, timestamp '2024-01-01' + i * interval '1 minute' FROM generate_series(1, 20000) i;"
    "CREATE INDEX ON users (created_at);"
    "CREATE TABLE orders (id int PRIMARY KEY, user_id int, total int NOT NULL);"
    "INSERT INTO orders SELECT i, 1 + i * 7 % 20000, i % 100 FROM generate_series(1, 20000) i;"
    "CREATE INDEX ON orders (user_id);"
    "ANALYZE;"
)
DAY = "SELECT id FROM users WHERE created_at::date = '2024-01-03'"


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL) -> Iterator[Millrace]:
    with Millrace(postgres) as server:
        yield server


def optimized(millrace: Millrace, query: str, status: int = 200, **asked: object) -> dict[str, Any]:
    return millrace.api("POST", "optimization/optimize-query", {"query": query} | asked, status)


def rows(postgres: PostgreSQL, query: str) -> list[str]:
    return sorted(postgres.admin(query).splitlines())


def test_what_is_cheaper_is_chosen(millrace: Millrace, postgres: PostgreSQL) -> None:
    said = optimized(millrace, DAY)
    assert said["original_query"] == DAY
    assert said["optimized_query"] != DAY
    assert rows(postgres, said["optimized_query"]) == rows(postgres, DAY)
    assert said["rules"] == [step["rule"] for step in said["steps"]] != []
    assert said["optimization_types"] == ["predicate_pushdown"]
    assert said["steps"][0]["before"] and said["steps"][-1]["after"] == said["optimized_query"]
    before, after = said["estimated_cost_before"], said["estimated_cost_after"]
    for cost in (before, after):
        assert cost["total_cost"] == pytest.approx(cost["cpu_cost"] + cost["io_cost"])
    percent = 100 * (before["total_cost"] - after["total_cost"]) / before["total_cost"]
    assert said["estimated_improvement_percent"] == pytest.approx(percent)
    assert percent > 10
    assert said["cache_key"].startswith("query:")
    assert said["warnings"] == []
    assert optimized(millrace, DAY, enable_caching=False)["cache_key"] is None


def test_how_long_both_take(postgres: PostgreSQL) -> None:
    others = [f"SELECT {what} FROM users" for what in ("count(email)", "count(id + 1)", "sum(id)", "count(DISTINCT email)", "avg(id)")]
    with Millrace(postgres) as server, connect(server, user=postgres.user) as client:

        def is_known() -> bool:
            for statement in (DAY, *others):
                client.rows("/* millrace: cache=off */ " + statement)
            return optimized(server, DAY)["estimated_cost_after"]["estimated_from"] is not None

        eventually(is_known, what="times of both to be known")
        said = optimized(server, DAY)
        before, after = said["estimated_cost_before"], said["estimated_cost_after"]
        assert before["estimated_from"].endswith("calls of it")
        assert after["estimated_from"].startswith("costs and times of")
        assert 0 < after["execution_time_estimate_ms"] < before["execution_time_estimate_ms"]


def test_values_are_told_apart_by_an_index_where_they_are_few(millrace: Millrace, postgres: PostgreSQL) -> None:
    """PostgreSQL's estimate of a recursion knows nothing of how many there are."""
    postgres.admin(
        "CREATE TABLE visits (id int PRIMARY KEY, state text, page int NOT NULL, agent text);"
        "INSERT INTO visits SELECT i, CASE WHEN i % 6 > 0 THEN 's' || i % 6 END, i / 2, 'a' || i % 5 FROM generate_series(1, 60000) i;"
        "CREATE INDEX ON visits (state); CREATE INDEX ON visits (page);"
    )
    postgres.admin("VACUUM ANALYZE visits")
    few, many, lacking = (f"SELECT DISTINCT {column} FROM visits" for column in ("state", "page", "agent"))

    def is_chosen(query: str) -> bool:
        return "distinct_to_skip_scan" in optimized(millrace, query, optimization_level=4)["rules"]

    eventually(lambda: is_chosen(few), what="the table to be known")
    said = optimized(millrace, few, optimization_level=4)["optimized_query"]
    assert rows(postgres, f"SELECT coalesce(state, 'none') FROM ({said}) q") == ["none", "s1", "s2", "s3", "s4", "s5"]
    assert not is_chosen(many), "each has two rows"
    assert not is_chosen(lacking), "there is no index"
    assert not optimized(millrace, few)["rules"], "what can be slower isn't done by default"


def test_what_is_as_good_as_it_is_stays(millrace: Millrace) -> None:
    query = "SELECT id FROM users WHERE id = 3"
    said = optimized(millrace, query)
    assert said["optimized_query"] == query
    assert said["optimization_types"] == said["rules"] == said["steps"] == []
    assert said["estimated_improvement_percent"] == 0
    assert said["estimated_cost_before"] == said["estimated_cost_after"]


def test_what_is_missing_is_said(millrace: Millrace) -> None:
    said = optimized(millrace, "SELECT id FROM users WHERE id NOT IN (SELECT user_id FROM orders)")
    assert any("user_id" in rule["missing"] and "NOT NULL" in rule["missing"] for rule in said["rules_not_used"]), said


def test_a_level_does_what_those_below_it_do(millrace: Millrace) -> None:
    query = "SELECT u.id FROM users u WHERE (SELECT count(*) FROM orders o WHERE o.user_id = u.id) > 0"
    assert optimized(millrace, query, optimization_level=1)["steps"] == []
    assert optimized(millrace, query, optimization_level=2)["steps"] != []
    assert optimized(millrace, query, optimization_level=3)["steps"] != []


@pytest.mark.parametrize(
    ("query", "asked", "field"),
    [
        ("SELEC", {}, "query"),
        ("SELECT 1", {"optimization_level": 0}, "optimization_level"),
        ("SELECT 1", {"optimization_level": 6}, "optimization_level"),
        ("SELECT 1", {"database_type": "duckdb"}, "database_type"),
        ("x" * 70_000, {}, "query"),
    ],
)
def test_bad_input_is_refused_by_its_field(millrace: Millrace, query: str, asked: dict[str, object], field: str) -> None:
    assert optimized(millrace, query, 422, **asked)["detail"][0]["loc"] == ["body", field]


def test_what_cannot_be_planned_says_why(millrace: Millrace) -> None:
    said = optimized(millrace, "SELECT 1 FROM nowhere")
    assert said["estimated_cost_before"] is None
    assert any("42P01" in warning for warning in said["warnings"])
    said = optimized(millrace, "VACUUM")
    assert said["optimized_query"] == "VACUUM"
    assert len(said["warnings"]) == 2
