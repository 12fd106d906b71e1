"""GET /api/v1/optimization/recommendations: which indexes the queries seen would gain by, and which are there in vain."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
from wire import eventually

from harness import Millrace, PostgreSQL

PATH = "optimization/recommendations"
TABLES = """
CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL, plan text NOT NULL, active bool NOT NULL, joined timestamptz NOT NULL);
INSERT INTO users SELECT i, 'User' || i || '@example.org', (ARRAY['free', 'pro', 'team'])[1 + i % 3], i % 50 <> 0,
  timestamptz '2024-01-01' + i * interval '1 minute' FROM generate_series(1, 20000) i;
CREATE TABLE orders (id int PRIMARY KEY, user_id int NOT NULL, status text NOT NULL, total int NOT NULL, made timestamptz NOT NULL);
INSERT INTO orders SELECT i, 1 + i * 7 % 20000, 's' || i % 200, i % 1000,
  timestamptz '2024-01-01' + i * interval '1 minute' FROM generate_series(1, 60000) i;
CREATE TABLE "odd ""na'me" ("se lect" int, "B;c" int);
INSERT INTO "odd ""na'me" SELECT i, i % 100 FROM generate_series(1, 20000) i;
"""
MEASURING = "CREATE EXTENSION hypopg;"
NEWEST = "SELECT id, total FROM orders WHERE status = 's7' ORDER BY made DESC LIMIT 10"
BY_EMAIL = "SELECT id FROM users WHERE lower(email) = 'user500@example.org'"
JOINED = "SELECT u.email, o.total FROM users u JOIN orders o ON o.user_id = u.id WHERE u.id BETWEEN 100 AND 105"
INACTIVE = "SELECT id FROM users WHERE NOT active AND joined > '2024-01-14'"
ODD = 'SELECT * FROM "odd ""na\'me" WHERE "se lect" = 5'
QUERIES = [NEWEST, BY_EMAIL, JOINED, INACTIVE, ODD]


def dsn(server: PostgreSQL | Millrace, database: str) -> str:
    return f"postgresql://{server.user}:{server.password}@{server.host}:{server.port}/{database}"


def get(millrace: Millrace, status: int = 200, **asked: object) -> Any:
    return millrace.api("GET", f"{PATH}?{urlencode(asked)}" if asked else PATH, status=status)


def make(postgres: PostgreSQL, database: str, *scripts: str) -> None:
    postgres.admin(f"CREATE DATABASE {database}")
    for script in scripts:
        postgres.admin(script, database=database)
    postgres.admin("VACUUM ANALYZE", database=database)


def serving(postgres: PostgreSQL, database: str, **settings: str) -> Millrace:
    return Millrace(postgres, {"DATABASE_URL": dsn(postgres, database), "CACHE_CONSISTENCY_LEVEL": "strong", **settings})


def run(millrace: Millrace, database: str, queries: list[str] = QUERIES, times: int = 5) -> None:
    with psycopg.connect(dsn(millrace, database), autocommit=True) as connection:
        for query in queries * times:
            connection.execute(query)


def send(millrace: Millrace, database: str, user: str, queries: list[str]) -> None:
    with psycopg.connect(dsn(millrace, database), user=user, autocommit=True) as connection:
        for query in queries * 5:
            connection.execute(query)


def templates(millrace: Millrace) -> int:
    return sum("FROM" in one["query"] for one in millrace.api("GET", "performance/templates")["templates"])


def cost(connection: psycopg.Connection[Any], query: str) -> tuple[float, str]:
    row = connection.execute(f"EXPLAIN (FORMAT json) {query}").fetchone()
    assert row is not None
    return row[0][0]["Plan"]["Total Cost"], json.dumps(row[0])


@pytest.fixture(scope="module")
def advised(postgres: PostgreSQL) -> Iterator[tuple[Millrace, dict[str, Any]]]:
    make(postgres, "measured", MEASURING, TABLES)
    with serving(postgres, "measured") as millrace:
        run(millrace, "measured")
        eventually(lambda: templates(millrace) >= len(QUERIES), what="the queries to be recorded")
        yield millrace, get(millrace, budget_mb=20)


def new_indexes(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [one["index"] for one in answer["recommendations"] if one["index"]]


def test_each_query_gets_what_serves_it(advised: tuple[Millrace, dict[str, Any]]) -> None:
    _, answer = advised
    assert answer["basis"]["measured"] and answer["basis"]["database"] == "measured"
    assert answer["basis"]["queries"] >= len(QUERIES) and answer["basis"]["plans"] > 0
    indexes = new_indexes(answer)
    said = {index["sql_statement"].split(" ON ", 1)[1] for index in indexes}
    assert "public.orders (status, made)" in said, said
    assert any(text.startswith("public.orders (user_id)") for text in said), said
    assert "public.users (lower(email))" in said, said
    assert any(text.startswith('public."odd ""na\'me" ("se lect"') for text in said), said
    assert any("WHERE NOT active" in text for text in said), said
    for one in answer["recommendations"]:
        assert one["type"] == "query_optimization" and 1 <= one["priority"] <= 5 and one["affected_queries"]
        assert one["sql_changes"] == [one["index"]["sql_statement"]]
        assert one["index"]["measured"] and one["index"]["estimated_size_mb"] > 0
        assert one["estimated_improvement_percent"] > 50 and one["index"]["creation_cost"] > 0
        assert all(gain["cost_after"] < gain["cost_before"] for gain in one["index"]["queries"])
    assert sum(index["estimated_size_mb"] for index in indexes) <= 20


def test_a_table_of_its_own_and_the_command_line(advised: tuple[Millrace, dict[str, Any]]) -> None:
    millrace, answer = advised
    for name in ("users", "public.users"):
        found = get(millrace, table_name=name, budget_mb=20)["recommendations"]
        assert found == [one for one in answer["recommendations"] if one["table_name"] == "public.users"] != []
    assert get(millrace, table_name="nobody", budget_mb=20)["recommendations"] == []
    printed = millrace.run_command("recommend", "--budget-mb", "20")
    for index in new_indexes(answer):
        assert index["sql_statement"] + ";\n" in printed
    whole = millrace.run_command("recommend", "--json", "--budget-mb", "20")
    assert json.loads(whole)["recommendations"] == answer["recommendations"]


def test_the_dashboard_shows_what_was_recommended(advised: tuple[Millrace, dict[str, Any]]) -> None:
    millrace, _ = advised
    assert millrace.api("GET", "performance/dashboard")["optimization_opportunities"] == [], "one with a budget isn't shown"
    recommendations = get(millrace)["recommendations"]
    fields = ("recommendation_id", "type", "description", "estimated_improvement_percent", "priority")
    shown = millrace.api("GET", "performance/dashboard")["optimization_opportunities"]
    assert shown == [{field: one[field] for field in fields} for one in recommendations[:10]] != []


def test_none_fit_into_nothing(advised: tuple[Millrace, dict[str, Any]]) -> None:
    millrace, _ = advised
    assert get(millrace, budget_mb=0)["recommendations"] == []


@pytest.mark.parametrize(
    ("asked", "field"),
    [({"budget_mb": "x"}, "budget_mb"), ({"budget_mb": 4_000_000_000}, "budget_mb"), ({"table_name": ""}, "table_name"),
     ({"database": "x" * 64}, "database"), ({"what": 1}, "what")],
)  # fmt: skip
def test_bad_input(advised: tuple[Millrace, dict[str, Any]], asked: dict[str, object], field: str) -> None:
    assert get(advised[0], 422, **asked)["detail"][0]["loc"] == ["query", field]


def test_what_is_promised_comes_true(advised: tuple[Millrace, dict[str, Any]], postgres: PostgreSQL) -> None:
    """Last of those that share the database: it changes it."""
    _, answer = advised
    with psycopg.connect(dsn(postgres, "measured"), autocommit=True) as connection:
        before = {query: cost(connection, query)[0] for query in QUERIES}
        for index in new_indexes(answer):
            connection.execute(index["sql_statement"])
        connection.execute("VACUUM ANALYZE")
        promised = {
            gain["query"]: gain["cost_after"] for index in new_indexes(answer) for gain in index["queries"]
        }
        names = {index["sql_statement"].split()[3].strip('"') for index in new_indexes(answer)}
        used = ""
        for query in QUERIES:
            after, plan = cost(connection, query)
            used += plan
            assert after < before[query] / 2, query
            kept = [cost for shown, cost in promised.items() if shown.split(" WHERE ")[0] == query.split(" WHERE ")[0]]
            assert kept and after <= 1.5 * kept[0] + 10, (query, after, kept)
        assert all(name.split('"')[0] in used for name in names), names


def test_without_the_extension_it_is_an_estimate_that_says_so(postgres: PostgreSQL) -> None:
    make(postgres, "estimated", TABLES)
    with serving(postgres, "estimated") as millrace:
        run(millrace, "estimated")
        eventually(lambda: templates(millrace) >= len(QUERIES), what="the queries to be recorded")
        answer = get(millrace, budget_mb=20)
    assert not answer["basis"]["measured"]
    assert any("CREATE EXTENSION hypopg" in warning for warning in answer["warnings"])
    indexes = new_indexes(answer)
    assert not any(index["measured"] for index in indexes)
    said = {index["sql_statement"].split(" ON ", 1)[1] for index in indexes}
    assert any(text.startswith("public.orders (status, made)") for text in said), said
    assert "public.users (lower(email))" in said, said
    with psycopg.connect(dsn(postgres, "estimated"), autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM pg_extension WHERE extname = 'hypopg'").fetchone() == (0,)
        was = cost(connection, NEWEST)[0]
        for index in indexes:
            connection.execute(index["sql_statement"])
        assert cost(connection, NEWEST)[0] < was / 2


def test_indexes_that_are_there_in_vain(postgres: PostgreSQL) -> None:
    make(
        postgres,
        "tidied",
        "CREATE TABLE t (a int PRIMARY KEY, b int, c text, d int UNIQUE); INSERT INTO t SELECT i, i % 100, i, i FROM generate_series(1, 3000) i;"
        "CREATE INDEX twice ON t (b); CREATE INDEX again ON t (b, c); CREATE INDEX same_1 ON t (c DESC, b); CREATE INDEX same_2 ON t (c DESC, b);"
        'CREATE INDEX "never read" ON t ((b + 1)); CREATE UNIQUE INDEX rows_are_unique ON t (c);'
        "CREATE TABLE u (v int); INSERT INTO u VALUES (1), (1);",
    )  # fmt: skip
    with psycopg.connect(dsn(postgres, "tidied"), autocommit=True) as connection:
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("CREATE UNIQUE INDEX CONCURRENTLY broken ON u (v)")
        with connection.transaction():
            for key in range(1200):
                connection.execute(f"SELECT b FROM t WHERE a = {key}")
        connection.execute("SET enable_seqscan = off")
        connection.execute("SELECT b, c FROM t WHERE b = 5")
        connection.execute("SELECT c, b FROM t ORDER BY c DESC, b")
    with serving(postgres, "tidied") as millrace:
        run(millrace, "tidied", ["SELECT count(*) FROM t WHERE a < 5"])
        eventually(lambda: templates(millrace) >= 1, what="the query to be recorded")
        eventually(lambda: len(findings(postgres, millrace)) >= 4, what="statistics to be counted")
        found = findings(postgres, millrace)
    twin = "same_1" if "same_1" in found else "same_2"
    assert found.keys() == {"twice", twin, '"never read"', "broken"}, found
    assert "is the beginning of again" in found["twice"]["description"]
    assert "has the same columns as same_" in found[twin]["description"]
    assert "never read since" in found['"never read"']["description"]
    assert found["broken"]["sql_changes"] == ["REINDEX INDEX CONCURRENTLY public.broken", "DROP INDEX CONCURRENTLY public.broken"]
    with psycopg.connect(dsn(postgres, "tidied"), autocommit=True) as connection:
        for one in found.values():
            connection.execute(one["sql_changes"][-1])


def findings(postgres: PostgreSQL, millrace: Millrace) -> dict[str, Any]:
    """By the index; asked with a budget of its own each time, as an answer is kept."""
    findings.asked = getattr(findings, "asked", 0) + 1  # type: ignore[attr-defined]
    all = get(millrace, budget_mb=findings.asked)["recommendations"]  # type: ignore[attr-defined]
    return {one["sql_changes"][-1].split("public.")[1]: one for one in all if one["type"] == "resource_optimization"}


def test_nothing_was_recorded_yet(postgres: PostgreSQL) -> None:
    postgres.admin("CREATE DATABASE idle")
    with serving(postgres, "idle") as millrace:
        assert "nothing to advise by" in get(millrace, 503)["detail"]
        assert "catalogs of database nowhere" in get(millrace, 503, database="nowhere")["detail"]
    with serving(postgres, "idle", QUERY_PERFORMANCE_TRACKING_ENABLED="false") as millrace:
        assert "no query is recorded" in get(millrace, 503)["detail"]


def test_whoever_sent_it_must_be_able_to_read_a_table_not_who_asks(postgres: PostgreSQL) -> None:
    roles = "CREATE ROLE asking LOGIN; CREATE ROLE onlooker LOGIN; GRANT SELECT ON users, orders TO onlooker"
    make(postgres, "guarded", MEASURING, TABLES, roles)
    url = dsn(postgres, "guarded").replace(f"{postgres.user}:{postgres.password}", "asking")
    with serving(postgres, "guarded", DATABASE_URL=url) as millrace:
        send(millrace, "guarded", "onlooker", [NEWEST, BY_EMAIL])
        eventually(lambda: templates(millrace) >= 2, what="the queries to be recorded")
        postgres.admin("REVOKE SELECT ON orders FROM onlooker", database="guarded")
        answer = get(millrace, budget_mb=20)
    assert {index["table_name"]: index["columns"] for index in new_indexes(answer)} == {"public.users": ["lower(email)"]}
    assert any("permission denied for table orders" in warning for warning in answer["warnings"]), answer["warnings"]


# What planning calls says whose rights it has, as an error and in the server's log.
GUEST = """
CREATE SCHEMA measuring; CREATE EXTENSION hypopg SCHEMA measuring;
CREATE ROLE guest LOGIN; CREATE ROLE barred LOGIN; CREATE ROLE onlooking LOGIN;
GRANT USAGE ON SCHEMA measuring TO guest, barred; GRANT SELECT ON users, orders TO PUBLIC;
CREATE SCHEMA guest AUTHORIZATION guest;
SET SESSION AUTHORIZATION guest; SET search_path = guest;
CREATE FUNCTION tell(what text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$BEGIN
  IF current_setting('application_name') = 'millrace' THEN
    RAISE LOG '% has the rights of %', what, current_user;
    RAISE EXCEPTION '%: % of %, read only: %', what, current_user, session_user, current_setting('transaction_read_only')
      USING ERRCODE = 'XX' || lpad(length(what)::text, 3, '0'); END IF; RETURN ''; END$$;
CREATE FUNCTION stable(what text) RETURNS text STABLE LANGUAGE sql AS $$SELECT guest.tell(what)$$;
CREATE TYPE mood AS ENUM ('fine', 'bad');
CREATE FUNCTION told(mood, mood) RETURNS bool IMMUTABLE LANGUAGE sql AS $$SELECT guest.tell('an operator') = ''$$;
CREATE OPERATOR #@# (LEFTARG = mood, RIGHTARG = mood, FUNCTION = told);
CREATE TABLE own AS SELECT i AS id, i % 100 AS kind, i % 500 AS other, 'x' AS note FROM generate_series(1, 20000) i;
CREATE TABLE indexed AS SELECT *, kind = 1 AS flag FROM own; CREATE INDEX ON indexed (id) WHERE tell('an index') = '';
CREATE DOMAIN word AS text CHECK (value <> 'w' OR tell('one domain') = '');
CREATE TABLE shared AS SELECT *, '{a}'::word[] AS words FROM own; GRANT USAGE ON SCHEMA guest TO PUBLIC; GRANT SELECT ON shared TO PUBLIC;
RESET SESSION AUTHORIZATION;
"""
CALLING = {
    "immutable": "SELECT id FROM guest.own WHERE kind = 1 AND note = guest.tell('immutable')",
    "a stable one": "SELECT id FROM guest.own WHERE kind = 2 AND note = guest.stable('a stable one')",
    "an operator": "SELECT id FROM guest.own WHERE kind = 3 AND 'fine' OPERATOR(guest.#@#) 'bad'",
    "an index": "SELECT other FROM guest.indexed WHERE flag AND kind = 4",
    "one domain": "SELECT id FROM guest.shared WHERE kind = 4 AND arrayoverlap(words, '{w}') = true",
}
PLAIN = "SELECT id FROM guest.own WHERE other = 7"


def test_each_statement_is_planned_with_the_rights_of_who_sent_it(postgres: PostgreSQL) -> None:
    """Planning calls what users have made: it must have no other rights than theirs."""
    make(postgres, "others", TABLES, GUEST)
    with serving(postgres, "others") as millrace:
        send(millrace, "others", "guest", [PLAIN, *CALLING.values()])
        send(millrace, "others", postgres.user, ["SELECT other FROM guest.shared WHERE kind = 5"])
        send(millrace, "others", "barred", ["SELECT total FROM orders WHERE user_id = 5"])
        send(millrace, "others", "onlooking", ["SELECT status FROM orders WHERE user_id = 5"])
        eventually(lambda: templates(millrace) >= 4 + len(CALLING), what="the queries to be recorded")
        postgres.admin("ALTER ROLE barred NOLOGIN")
        answer = get(millrace, budget_mb=20)
        assert answer["basis"]["measured"]
        said = {index["table_name"]: index["columns"] for index in new_indexes(answer)}
        assert said == {"guest.own": ["other"], "guest.shared": ["kind"]}
        why = "weren't planned, and count for nothing here; the first because: "
        reasons = {warning.split(why)[1] for warning in answer["warnings"] if why in warning}
        assert reasons == {
            *(f"{what}: guest of guest, read only: on" for what in CALLING),
            'role "barred" is not permitted to log in',
            '"onlooking" may not use HypoPG: GRANT USAGE on its schema',
        }
        told = {line.split("LOG:  ")[1].split(" at ")[0] for line in postgres.log.splitlines() if "has the rights of" in line and "LOG:  " in line}
        assert told == {f"{what} has the rights of guest" for what in CALLING}
        eventually(
            lambda: postgres.admin("SELECT count(*) FROM pg_stat_activity WHERE usename = 'guest' AND application_name = 'millrace'") == "0",
            what="what was opened for them to end",
        )


def test_few_users_are_logged_in_for_it(postgres: PostgreSQL) -> None:
    roles = [f"one_of_many_{i}" for i in range(10)]
    make(postgres, "many", MEASURING, TABLES, "GRANT SELECT ON orders TO PUBLIC;" + ";".join(f"CREATE ROLE {role} LOGIN" for role in roles))
    with serving(postgres, "many") as millrace:
        for i, role in enumerate(roles, 1):
            send(millrace, "many", role, [f"SELECT {', '.join(['id'] * i)} FROM orders WHERE user_id = 5"])
        eventually(lambda: templates(millrace) >= len(roles), what="the queries to be recorded")
        answer = get(millrace, budget_mb=20)
        assert answer["basis"]["queries"] == 8
        assert any(warning.startswith("2 statements") and "8 other users" in warning for warning in answer["warnings"])


def not_planned(answer: dict[str, Any]) -> set[str]:
    return {warning.split("the first because: ")[1] for warning in answer["warnings"] if "the first because: " in warning}


def test_clients_keep_their_connections(postgres: PostgreSQL) -> None:
    make(postgres, "crowded", TABLES, "CREATE ROLE crowd LOGIN; GRANT SELECT ON orders TO crowd")
    with serving(postgres, "crowded", POOL_MODE="session", POOL_SIZE="2") as millrace:
        send(millrace, "crowded", "crowd", ["SELECT total FROM orders WHERE user_id = 5"])
        send(millrace, "crowded", postgres.user, [BY_EMAIL])
        eventually(lambda: templates(millrace) >= 2, what="the queries to be recorded")
        held = [psycopg.connect(dsn(millrace, "crowded"), user="crowd") for _ in range(2)]
        for one in held:
            one.execute("SELECT 1")
        answer = get(millrace, budget_mb=20)
        assert not_planned(answer) == {'the connections of "crowd" are all in use'}
        assert {index["table_name"] for index in new_indexes(answer)} == {"public.users"}
        for one in held:
            one.close()
        eventually(lambda: not not_planned(get(millrace, budget_mb=20)), what="room for the advice")


def test_nobody_is_logged_in_whose_connections_are_gone(postgres: PostgreSQL) -> None:
    make(postgres, "deserted", TABLES, "CREATE ROLE gone LOGIN; GRANT SELECT ON orders TO gone")
    with serving(postgres, "deserted", POOL_IDLE_TIMEOUT_SECONDS="1") as millrace:
        send(millrace, "deserted", "gone", ["SELECT total FROM orders WHERE user_id = 5"])
        eventually(lambda: templates(millrace) >= 1, what="the query to be recorded")
        eventually(
            lambda: not_planned(get(millrace, budget_mb=20)) == {'no client has logged in as "gone" lately'},
            what="its connections to be closed",
        )

        def is_advised() -> bool:
            send(millrace, "deserted", "gone", ["SELECT total FROM orders WHERE user_id = 6"])
            return {index["table_name"] for index in new_indexes(get(millrace, budget_mb=20))} == {"public.orders"}

        eventually(is_advised, what="an index for who is here again")
