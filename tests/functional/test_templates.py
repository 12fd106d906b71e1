"""What is recorded by templates and by who asks, and of slow queries; asked over REST."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from wire import SYNC, bind, connect, describe, eventually, execute, parse, query

from harness import Millrace, PostgreSQL

TABLES = "CREATE TABLE words (id int PRIMARY KEY, word text); INSERT INTO words SELECT i, 'word ' || i FROM generate_series(1, 100) i"
SETTINGS: dict[str, str | int] = {"SLOW_QUERY_THRESHOLD_MS": 100, "IO_THREADS": 2}


def connect_api(server: Millrace) -> httpx.Client:
    return httpx.Client(base_url=server.http_url, trust_env=False, timeout=60)


@pytest.fixture
def api(millrace: Millrace) -> Iterator[httpx.Client]:
    with connect_api(millrace) as client:
        yield client


def ask(api: httpx.Client, path: str) -> dict[str, Any]:
    answer = api.get(f"/api/v1/performance/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def template(api: httpx.Client, text: str, calls: int, window: str = "") -> dict[str, Any]:
    """The template of this text, once so many calls of it were recorded."""
    found: list[dict[str, Any]] = []

    def is_there() -> bool:
        found[:] = [one for one in ask(api, f"templates?limit=2000{window}")["templates"] if one["query"] == text]
        return bool(found) and found[0]["figures"]["calls"] >= calls

    eventually(is_there, what=f"{calls} calls of {text}")
    (one,) = found
    assert one["figures"]["calls"] == calls
    return one


def usage(api: httpx.Client, by: str, name: str) -> int:
    calls = [one["figures"]["calls"] for one in ask(api, f"usage?by={by}&limit=1000")["usage"] if one["name"] == name]
    return calls[0] if calls else 0


def slow(api: httpx.Client, part: str, at_least: int = 1) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def is_there() -> bool:
        found[:] = [one for one in ask(api, "slow-queries?min_duration_ms=0&limit=1000")["slow_queries"] if part in one["query"]]
        return len(found) >= at_least

    eventually(is_there, what=f"a slow query with {part}")
    return found


CONSTANTS = "SELECT word AS constants FROM words WHERE id = {} AND word <> {}"
LISTS = "SELECT word AS lists FROM words WHERE id IN ({}) LIMIT {}"
PARAMETERS = "SELECT word, $2 AS given_{} FROM words WHERE id = $1"
COMMENT = "/*route='%2Fslow',traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/"
KEPT = {"simple": f"SELECT pg_sleep(0.2) AS kept_simple {COMMENT}", "extended": f"SELECT pg_sleep($1::float8) AS kept_extended {COMMENT}"}
LONG = f"SELECT 1 WHERE 1 IN ({', '.join(['1'] * 4000)})"  # it is parsed elsewhere
ROLE = "CREATE ROLE kept_nowhere PASSWORD {}"
FLOOD = 3000


@pytest.fixture(scope="module", autouse=True)
def asked(millrace: Millrace) -> None:
    """All that the tests look at: what is recorded can be seen a second or two later, so they wait together."""
    with connect(millrace, database="cached", application_name="plain") as one, connect(millrace, database="cached") as other:
        for number in (3, 4, 5):
            assert one.one(CONSTANTS.format(number, f"'secret {number}'")) == f"word {number}"
            assert other.one(CONSTANTS.format(number, "''") + f" /* {number} */") == f"word {number}"
        one.ask(query(CONSTANTS.format("1/0", "''")))
        for listed in ("1, 2", "1, 2, 3, 4"):
            one.one(LISTS.format(listed, 1))
        for _ in range(4):
            assert one.one("SELECT word AS hits FROM words WHERE id = 7") == "word 7"
        for name in ("", "prepared"):
            other.ask(parse(PARAMETERS.format(name), name), SYNC)
            for number in ("8", "9"):
                other.ask(bind([number, None], statement=name), execute(), SYNC)
        other.one("SELECT 2 AS who /*application='a%20shop',project_id='456'*/")
        other.ask(parse("SELECT $1::int AS who /*application='a%20shop'*/", "s"), bind(["1"], statement="s"), execute(), SYNC)
        other.one("/*application='a%20shop'*/ SELECT pg_sleep(0.15) AS who")
        one.ask(query(KEPT["simple"]))
        one.ask(parse(KEPT["extended"]), bind(["0.2"]), describe("P"), execute(), SYNC)
        one.ask(query("SELECT pg_sleep(0.2), 1 / (random() * 0)::int AS fails_slowly"))
        for comment in ("/*application='long%20text'*/", "/* another's */"):
            other.ask(parse(f"{comment} {LONG}"), bind([]), execute(), SYNC)
        one.ask(query(ROLE.format("'hush'")))
        one.ask(query("DROP ROLE kept_nowhere"))


def test_statements_that_differ_in_constants_are_one(api: httpx.Client) -> None:
    text = CONSTANTS.format("?", "?")
    made = template(api, text, 6)
    assert made["kind"] == "select"
    assert made["database_type"] == "postgresql"
    sent = {CONSTANTS.format(3, "'secret 3'"), CONSTANTS.format(3, "''") + " /* 3 */"}
    assert made["sample"]["query"] in sent
    assert made["sample"]["database"] == "cached"
    figures = made["figures"]
    assert (figures["rows"], figures["errors"]) == (6, 0)
    assert 0 < figures["p50_ms"] <= figures["p99_ms"] <= figures["max_ms"] * 65 / 64
    assert template(api, text, 6, "&window=60")["figures"]["total_time_ms"] == figures["total_time_ms"]
    assert template(api, CONSTANTS.format("?/?", "?"), 1)["figures"]["error_rate"] == 100
    template(api, LISTS.format("?, ...", "?"), 2)


def test_hits_and_misses_are_told_apart(api: httpx.Client) -> None:
    figures = template(api, "SELECT word AS hits FROM words WHERE id = ?", 4)["figures"]
    assert figures["cache_hits"] + figures["cache_misses"] == 4
    assert figures["cache_hits"] > 0
    assert figures["cache_hit_rate"] == 100 * figures["cache_hits"] / 4


@pytest.mark.parametrize("name", ["", "prepared"])
def test_prepared_statements_have_their_parameters(api: httpx.Client, name: str) -> None:
    text = PARAMETERS.format(name)
    assert template(api, text, 2)["sample"] == {"query": text, "parameters": ["8", None], "database": "cached"}


def test_comments_say_who_asks(api: httpx.Client) -> None:
    template(api, "SELECT ? AS who", 1)
    eventually(lambda: usage(api, "application", "a shop") == 3, what="the application that the comments say")
    assert usage(api, "project", "456") == 1
    eventually(lambda: usage(api, "application", "plain") > 10, what="the application that has none")
    assert usage(api, "user", "postgres") > 0
    assert usage(api, "database", "cached") > 0


@pytest.mark.parametrize("protocol", KEPT)
def test_slow_queries_are_kept(api: httpx.Client, protocol: str) -> None:
    (one,) = slow(api, f"kept_{protocol}")
    assert one["query"] == KEPT[protocol]
    assert one["parameters"] == (["0.2"] if protocol == "extended" else [])
    assert one["duration_ms"] >= 200
    assert (one["user_id"], one["database"], one["application"]) == ("postgres", "cached", "plain")
    assert (one["route"], one["traceparent"]) == ("/slow", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    assert (one["rows_returned"], one["error"], one["kind"]) == (1, None, "select")
    assert one["cpu_usage_percent"] is None


def test_slow_queries_of_one_template_are_each_shown_as_they_were_sent(postgres: PostgreSQL, pool_mode: str) -> None:
    settings: dict[str, str | int] = SETTINGS | {"IO_THREADS": 1, "POOL_MODE": pool_mode}
    sent = {way: f"SELECT 'of {way}' AS as_sent, pg_sleep(0.11), $1::text" for way in ("unnamed", "named", "again", "portal", "job")}
    with Millrace(postgres, settings) as server, connect_api(server) as api, connect(server) as client:
        client.ask(parse(sent["unnamed"]), bind(["unnamed"]), execute(), SYNC)
        client.ask(parse(sent["named"], "s"), parse(sent["again"], "t"), bind(["named"], statement="s"), execute(), SYNC)
        client.ask(bind(["again"], statement="t"), execute(), SYNC)
        client.ask(parse(sent["portal"]), bind(["portal"], portal="p"), parse(sent["named"]), execute("p"), SYNC)
        job = {"sql": sent["job"], "parameters": ["job"]}
        assert api.post("/api/v1/execution/queries", json=job).status_code == 202
        found = slow(api, "as_sent", len(sent))
    assert len({one["template_id"] for one in found}) == 1
    parameters = {one["query"]: one["parameters"] for one in found}
    assert parameters == {text: [] if way == "portal" else [way] for way, text in sent.items()}


def test_who_is_named_is_who_asks(postgres: PostgreSQL, tables: None, pool_mode: str) -> None:
    slowly, reads = "SELECT pg_sleep(0.11) AS asks_{}", 4
    with Millrace(postgres, SETTINGS | {"POOL_MODE": pool_mode}) as server, connect_api(server) as api:
        with connect(server, database="cached") as one, connect(server, options="-c millrace.user_id=u2") as other:
            one.one(slowly.format("nobody"))
            one.rows("SET millrace.user_id = 'u1'")
            one.rows("SET millrace.project_id = 'p1'")
            one.one(slowly.format("set"))
            for _ in range(reads):
                assert one.one("SELECT word AS named FROM words WHERE id = 7") == "word 7"
            other.ask(parse(slowly.format("options")), bind([]), execute(), SYNC)
            other.one(slowly.format("comment") + " /* millrace: user_id=u3, project_id=p3 */")
            one.one(slowly.format("label") + " /*project_id='p4'*/")
            for _ in range(reads):
                one.one("SELECT word AS named FROM words WHERE id = 7 /* millrace: user_id=u7 */")
            one.ask(parse("SELECT 8 AS named /* millrace: user_id=u8 */"), bind([], portal="p"), execute("p"), SYNC)
        job = {"sql": slowly.format("job"), "user_id": "u5", "project_id": "p5"}
        assert api.post("/api/v1/execution/queries", json=job).status_code == 202
        found = {query["query"].split("asks_")[1].split()[0]: query for query in slow(api, "asks_", 6)}
        assert {word: (query["user_id"], query["project_id"]) for word, query in found.items()} == {
            "nobody": ("postgres", None),
            "set": ("u1", "p1"),
            "options": ("u2", None),
            "comment": ("u3", "p3"),
            "label": ("u1", "p4"),
            "job": ("u5", "p5"),
        }
        eventually(lambda: usage(api, "user", "u1") >= reads + 2, what="all that was asked for u1")
        assert usage(api, "project", "p1") >= reads + 1 and usage(api, "project", "p5") == 1
        assert usage(api, "user", "u7") == reads and usage(api, "user", "u8") == 1
        top = {query["user_id"] for query in ask(api, "dashboard")["top_slow_queries"]}
        assert {"u1", "u5"} <= top


def test_what_fails_before_it_is_executed_is_shown_as_it_was_sent(postgres: PostgreSQL, tables: None, pool_mode: str) -> None:
    """In PostgreSQL it waits for a lock as it is analysed, up to its end."""
    with Millrace(postgres, SETTINGS | {"POOL_MODE": pool_mode}) as server, connect_api(server) as api:
        options = "-c millrace.user_id=u9 -c statement_timeout=300"
        with connect(server, database="cached") as one, connect(server, database="cached", options=options) as other:
            one.ask(parse("SELECT 'of one' AS as_failed FROM words WHERE id = 7"), bind([]), execute(), SYNC)
            with connect(postgres, database="cached") as holder:
                holder.ask(query("BEGIN"), query("LOCK words"), times=2)
                failed = other.ask(parse("SELECT 'of other' AS as_failed FROM words WHERE id = 8"), bind([]), execute(), SYNC)
                assert [message.sqlstate for message in failed if message.kind == "E"] == ["57014"]
                holder.ask(query("ROLLBACK"))
        (found,) = slow(api, "as_failed", 1)
        assert "of other" in found["query"]
        assert (found["user_id"], found["error"]) == ("u9", "57014")


def test_slow_queries_that_fail_say_so(api: httpx.Client) -> None:
    (one,) = slow(api, "fails_slowly")
    assert one["error"] == "22012"
    assert one["rows_returned"] == 0


def test_a_comment_is_its_clients_own_also_of_a_long_text(api: httpx.Client) -> None:
    eventually(lambda: usage(api, "application", "long text") > 0, what="the application that the comment says")
    template(api, "DROP ROLE kept_nowhere", 1)  # which came later
    assert usage(api, "application", "long text") == 1


def test_a_password_is_kept_nowhere(api: httpx.Client) -> None:
    text = ROLE.format("?")
    assert template(api, text, 1)["sample"] == {"query": text, "parameters": [], "database": "cached"}
    for path in ("templates?limit=2000", "slow-queries?min_duration_ms=0&limit=1000", "dashboard"):
        assert "hush" not in api.get(f"/api/v1/performance/{path}").text


def test_the_dashboard_shows_it(postgres: PostgreSQL, tables: None) -> None:
    with Millrace(postgres, SETTINGS) as server, connect_api(server) as api, connect(server) as client:
        dashboard: dict[str, Any] = {}

        def shows_it() -> bool:
            client.rows("SELECT pg_sleep(0.2) AS shown")  # its figures are of the last minute
            dashboard.update(ask(api, "dashboard"))
            current = dashboard["current_metrics"]
            return current["throughput"] > 0 and current["slow_queries"] > 0

        eventually(shows_it, what="the dashboard to show a slow query")
        assert any("shown" in one["query"] for one in dashboard["top_slow_queries"])
        assert len(dashboard["historical_trends"]["throughput"]) > 0
        assert dashboard["system_health"]["services"]["postgresql"]["available"]
        assert dashboard["recent_anomalies"] == dashboard["active_alerts"] == dashboard["optimization_opportunities"] == []


def test_a_flood_of_templates_is_bounded(postgres: PostgreSQL, tables: None) -> None:
    answer: dict[str, Any] = {}

    def all_are_counted() -> bool:
        answer.update(ask(api, "templates?limit=2000"))
        of_flood = [one for one in answer["templates"] if one["template_id"] == "other" or "flood_" in one["query"]]
        return sum(one["figures"]["calls"] for one in of_flood) >= FLOOD

    with Millrace(postgres, SETTINGS) as server, connect_api(server) as api:
        with connect(server) as client:
            for start in range(0, FLOOD, 500):
                client.ask(*[query(f"SELECT 1 AS flood_{number}") for number in range(start, start + 500)], times=500)
        eventually(all_are_counted, what="all of the flood to be counted")
        assert answer["total_count"] <= 1001
        assert "other" in [one["template_id"] for one in answer["templates"]]


def test_without_parameters_no_constant_is_told(postgres: PostgreSQL, tables: None) -> None:
    settings: dict[str, str | int] = {"ENABLE_QUERY_PARAMETER_CAPTURE": "false", "SLOW_QUERY_THRESHOLD_MS": 1}
    with Millrace(postgres, settings) as server, connect_api(server) as api:
        with connect(server) as client:
            client.rows("SELECT 'secret', pg_sleep(0.01)")
            client.ask(parse("SELECT $1::text, pg_sleep(0.01)"), bind(["secret"]), execute(), SYNC)
        slow(api, "SELECT ?, pg_sleep(?)")
        slow(api, "SELECT $1::text, pg_sleep(?)")
        template(api, "SELECT ?, pg_sleep(?)", 1)
        for path in ("templates", "slow-queries?min_duration_ms=0", "dashboard"):
            assert "secret" not in api.get(f"/api/v1/performance/{path}").text


def test_names_and_texts_are_for_who_has_a_key(postgres: PostgreSQL) -> None:
    with Millrace(postgres, {"API_KEY_HASHES": "0" * 64}) as server, connect_api(server) as api:
        for path in ("templates", "usage", "slow-queries", "dashboard"):
            assert api.get(f"/api/v1/performance/{path}").status_code == 401


def test_recording_can_be_switched_off(postgres: PostgreSQL) -> None:
    settings = {"QUERY_PERFORMANCE_TRACKING_ENABLED": "false"}
    with Millrace(postgres, settings) as server, connect_api(server) as api:
        with connect(server) as client:
            assert client.one("SELECT 1") == "1"
        assert api.get("/api/v1/performance/templates").status_code == 503
        assert server.metric("queries_total") == 1


@pytest.mark.parametrize(
    "setting, lacking",
    [
        ("PERFORMANCE_MONITORING_ENABLED", {"performance_monitor"}),
        ("QUERY_PERFORMANCE_TRACKING_ENABLED", {"performance_monitor"}),
        ("ENABLE_MULTI_LEVEL_CACHING", {"optimization_engine", "cache_manager"}),
    ],
)
def test_the_health_says_what_is_switched_off(postgres: PostgreSQL, setting: str, lacking: set[str]) -> None:
    with Millrace(postgres, {setting: "false"}) as server, connect_api(server) as api:
        services = api.get("/api/v1/optimization/health").json()["services"]
        status = api.get("/api/v1/optimization/status").json()
    known = {"postgresql", "optimization_engine", "cache_manager", "performance_monitor", "query_executor"}
    assert {name for name in known if not services[name]["available"]} == lacking
    assert all(setting in services[name]["reason"] for name in lacking)
    assert status["optimization_engine_available"] == ("optimization_engine" not in lacking)
