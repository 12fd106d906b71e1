"""Plans of slow queries, and plans that change, as Millrace asks for them off any query's way."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from wire import connect, eventually

from harness import Millrace, PostgreSQL

SCHEMA = """
CREATE TABLE pages (id int PRIMARY KEY, site int, body text);
INSERT INTO pages SELECT n, n % 1000, repeat('x', 100) FROM generate_series(1, 20000) n;
CREATE INDEX pages_site ON pages (site);
ANALYZE pages;
"""


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL) -> Iterator[Millrace]:
    with Millrace(postgres, {"SLOW_QUERY_THRESHOLD_MS": 20, "CACHE_CONSISTENCY_LEVEL": "strong"}) as server:
        yield server


def performance(millrace: Millrace, what: str, **parameters: Any) -> Any:
    answer = httpx.get(f"{millrace.http_url}/api/v1/performance/{what}", params=parameters, trust_env=False)
    assert answer.status_code == 200, answer.text
    return answer.json()


def slow(millrace: Millrace, word: str) -> list[dict[str, Any]]:
    found = performance(millrace, "slow-queries", min_duration_ms=1)["slow_queries"]
    return [query for query in found if word in query["query"]]


def test_a_slow_query_has_its_plan(millrace: Millrace) -> None:
    with connect(millrace) as client:
        client.rows("SET millrace.user_id = 'no_user_of_the_database'")
        client.rows("SELECT count(body), pg_sleep(0.05) FROM pages WHERE site = 7")
        eventually(lambda: any(query["plan"] for query in slow(millrace, "site = 7")), what="its plan")
        (query,) = slow(millrace, "site = 7")
        assert query["user_id"] == "no_user_of_the_database"
        assert any(line.strip() == "Bitmap Index Scan by pages_site" for line in query["plan"]["outline"])
        assert query["plan"]["total_cost"] > 0 and query["why_no_plan"] is None


def test_a_slow_query_has_its_plan_where_nothing_is_cached(postgres: PostgreSQL) -> None:
    with Millrace(postgres, {"SLOW_QUERY_THRESHOLD_MS": 20, "ENABLE_MULTI_LEVEL_CACHING": "false"}) as server:
        test_a_slow_query_has_its_plan(server)


def test_what_has_no_plan_says_why(millrace: Millrace, postgres: PostgreSQL) -> None:
    with connect(millrace) as client:
        client.rows("CREATE TEMPORARY TABLE mine AS SELECT 1 AS one")
        client.rows("SELECT one, pg_sleep(0.05) FROM mine")  # nobody else can see it
        eventually(lambda: any(query["why_no_plan"] for query in slow(millrace, "FROM mine")), what="the reason")
        (query,) = slow(millrace, "FROM mine")
        assert query["plan"] is None and "mine" in query["why_no_plan"]
        client.rows("DO $$BEGIN PERFORM pg_sleep(0.05); END$$")
        eventually(lambda: slow(millrace, "DO"), what="the slow block")
        (query,) = slow(millrace, "DO")
        assert query["plan"] is None and query["why_no_plan"] is None


def test_planning_has_no_other_rights_than_the_sender(postgres: PostgreSQL) -> None:
    """Planning calls immutable functions: one that undoes a SET ROLE must find nobody else behind it."""
    postgres.admin("CREATE ROLE guest LOGIN; CREATE SCHEMA guest AUTHORIZATION guest; GRANT guest TO CURRENT_USER")
    with Millrace(postgres, {"SLOW_QUERY_THRESHOLD_MS": 20}) as server, connect(server, user="guest") as client:
        client.rows(
            "CREATE FUNCTION guest.who() RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$BEGIN"
            " IF current_setting('application_name') <> 'millrace' THEN RETURN ''; END IF;"
            " PERFORM set_config('role', 'none', true); RAISE EXCEPTION 'it is %', current_user; END$$"
        )
        client.rows("SELECT guest.who(), pg_sleep(0.05)")
        eventually(lambda: any(query["why_no_plan"] for query in slow(server, "guest.who()")), what="the reason")
        assert [query["why_no_plan"] for query in slow(server, "guest.who()") if "SELECT" in query["query"]] == ["it is guest"]
        of_millrace = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'guest' AND application_name = 'millrace'"
        eventually(lambda: postgres.admin(of_millrace) == "0", what="the question's connection to be closed")


def test_nothing_of_it_is_run(millrace: Millrace, postgres: PostgreSQL) -> None:
    with connect(millrace) as client:
        client.rows("INSERT INTO pages SELECT 30000, 1, pg_sleep(0.05)::text")
        eventually(lambda: any(query["plan"] for query in slow(millrace, "30000")), what="its plan")
        assert client.rows("SELECT count(*) FROM pages WHERE id = 30000") == [["1"]]
