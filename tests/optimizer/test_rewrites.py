"""Each rule fires where its cases say so, not one condition short of it, and what it gives says the same: by running both."""

import itertools
import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from rewrites import CASES, SCHEMA, Case, Probe, RandomStatements, Rows, outcome, read_cases

from harness import PostgreSQL

RULES = sorted(path.stem for path in CASES.glob("*.cases"))
ALL = [case for rule in RULES for case in read_cases(rule)]
ZONES = ["UTC", "Europe/Berlin", "America/Havana", "America/Sao_Paulo", "Pacific/Apia", "FOO+160"]
ROUNDS = int(os.environ.get("MILLRACE_REWRITE_ROUNDS", "5"))


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with PostgreSQL() as server:
        server.admin("CREATE DATABASE rewrites")
        server.admin(SCHEMA.read_text(), database="rewrites")
        yield f"postgresql://{server.user}:{server.password}@{server.host}:{server.port}/rewrites"


@pytest.fixture(scope="module")
def probe(database: str) -> Iterator[Probe]:
    started = Probe(database)
    yield started
    started.close()


@pytest.fixture(scope="module")
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True, prepare_threshold=None) as one:
        one.execute("SET jit TO off")  # which the costs of enable_seqscan would turn on
        yield one


def test_every_rule_has_cases(probe: Probe) -> None:
    assert sorted(probe.rules) == RULES
    for rule in RULES:
        cases = list(read_cases(rule))
        assert any(case.fires for case in cases) and any(not case.fires for case in cases), rule


@pytest.mark.parametrize("case", ALL, ids=lambda case: f"{case.rule}: {case.sql}")
def test_case(probe: Probe, case: Case) -> None:
    found = probe.rewrite(case.sql, **case.options)
    rules = [step["rule"] for step in found["steps"]]
    assert (case.rule in rules) == case.fires, found
    assert len(rules) < 15, f"it goes on and on: {rules}"
    if case.becomes:
        # Both as the printer says them: a statement that no rule fires for stays as it was written.
        expected = probe.say(print=case.becomes)
        assert found["text"] == expected, found
    if case.missing:
        misses = [miss["missing"] for miss in found["near_misses"] if miss["rule"] == case.rule]
        assert any(case.missing in miss for miss in misses), found


def compare(connection: psycopg.Connection[Any], sql: str, found: dict[str, Any], context: str) -> int:
    texts = {step["after"] for step in found["steps"]}
    if texts:
        meant = outcome(connection, sql)
        for text in texts:
            assert outcome(connection, text) == meant, f"{context}\n{sql}\nisn't\n{text}\n{[step['rule'] for step in found['steps']]}"
    return len(texts)


def test_cases_say_the_same(probe: Probe, connection: psycopg.Connection[Any]) -> None:
    compared = 0
    for seed in range(ROUNDS):
        connection.execute(Rows(seed).sql())
        connection.execute(f"SET enable_seqscan TO {'off' if seed % 2 else 'on'}")
        for case in ALL:
            zone = case.options.get("time_zone", "UTC")
            connection.execute(f"SET TimeZone TO '{zone}'")
            found = probe.rewrite(case.sql, **{"level": 5, **case.options})
            compared += compare(connection, case.sql, found, f"seed {seed}, {zone}")
    assert compared >= ROUNDS * sum(case.fires for case in ALL)


def test_random_statements_say_the_same(probe: Probe, connection: psycopg.Connection[Any]) -> None:
    compared = 0
    used: set[str] = set()
    for seed, _ in zip(itertools.count(), range(ROUNDS)):
        connection.execute(Rows(1000 + seed).sql())
        connection.execute(f"SET enable_seqscan TO {'off' if seed % 2 else 'on'}")
        zone = ZONES[seed % len(ZONES)]
        connection.execute(f"SET TimeZone TO '{zone}'")
        statements = RandomStatements(seed)
        for _ in range(100):
            sql = statements.statement()
            found = probe.rewrite(sql, level=5, time_zone=zone)
            assert "error" not in found, (sql, found)
            compared += compare(connection, sql, found, f"seed {seed}, {zone}")
            used |= {step["rule"] for step in found["steps"]}
    assert compared > 20 * ROUNDS
    assert len(used) > 15


@pytest.mark.parametrize(
    "sql, why",
    [
        ("SELECT id FROM orders WHERE id = 7.0 FOR UPDATE", "locks"),
        ("SELECT id FROM orders WHERE id = 7.0 AND random() < 2", "random"),
        ("SELECT id FROM orders WHERE id = 7.0 AND anything(1) = 1", "anything"),
        ("SELECT id FROM secret WHERE id = 7.0", "policies"),
        ("SELECT id FROM of_secret WHERE id = 7.0", "policies"),
        ("SELECT id FROM of_anything WHERE id = 7.0", "anything"),
        ("SELECT id FROM of_views WHERE id = 7.0", "anything"),
        ("SELECT id FROM customers c WHERE id = 7.0 AND c.of_row = 1", "of_row"),
        ("SELECT relname FROM pg_class WHERE relname IS NULL", "system"),
        ("WITH d AS (DELETE FROM late RETURNING id) SELECT id FROM orders WHERE id = 7.0", "writes"),
        ("UPDATE orders SET note = '' WHERE id = 7.0", "SELECT"),
        ("SELECT 1; SELECT 2", "SELECT"),
    ],
)
def test_what_is_left_alone(probe: Probe, sql: str, why: str) -> None:
    found = probe.rewrite(sql, level=5)
    assert found["steps"] == [] and found["text"] == sql
    assert why in found["not_rewritten"]


def test_no_next_value_by_an_operator_of_others(connection: psycopg.Connection[Any], database: str) -> None:
    connection.execute("CREATE DATABASE operators")
    own = database.rsplit("/", 1)[0] + "/operators"
    sql = "SELECT DISTINCT code FROM lines"
    with psycopg.connect(own, autocommit=True) as one:
        one.execute("CREATE TABLE lines (code varchar(5)); INSERT INTO lines VALUES ('a'), ('b')")
        plain = Probe(own)
        assert [step["rule"] for step in plain.rewrite(sql, level=4)["steps"]] == ["distinct_to_skip_scan"]
        plain.close()
        one.execute("CREATE FUNCTION never(varchar, varchar) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false'")
        one.execute("CREATE OPERATOR > (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = never)")
    probe = Probe(own)
    assert probe.rewrite(sql, level=4)["steps"] == []
    probe.close()


def test_text_that_cannot_be_parsed(probe: Probe) -> None:
    found = probe.rewrite("SELECT FROM WHERE")
    assert "position" in found["detail"]
    assert "error" in probe.rewrite("SELECT 1" + "+1" * 200_000)
    assert "error" in probe.rewrite("SELECT 1" + "+" * 9000 + "1")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM orders WHERE id = 7.0 AND " + " + ".join(["id"] * 5000) + " > 0",
        "SELECT id FROM orders WHERE id = 7.0 AND " + "NOT " * 3000 + "true",
        "SELECT id FROM orders WHERE id = 7.0 AND (" + " OR ".join(f"id = {i}" for i in range(5000)) + ")",
        "SELECT id FROM orders WHERE id = 7.0 AND " + "(" * 2000 + "true" + ")" * 2000,
        "SELECT id FROM " + "(SELECT * FROM " * 200 + "orders" + ") o" * 200 + " WHERE id = 7.0",
        "WITH a0 AS (SELECT * FROM orders), " + ", ".join(f"a{i} AS (SELECT x.* FROM a{i - 1} x, a{i - 1} y)" for i in range(1, 60)) + " SELECT id FROM a59 WHERE id = 7.0",
        "SELECT s.a FROM " + "(SELECT a + a AS a FROM " * 60 + "(SELECT quantity AS a FROM orders) s" + ") s" * 60 + " WHERE (SELECT count(*) FROM orders o WHERE o.id = s.a) > 0",
        "SELECT s.k FROM " + "(SELECT s.k, sum(s.a + s.a) AS a FROM " * 40 + "(SELECT l.product_id AS k, sum(l.price) AS a FROM lines l GROUP BY l.product_id) s" + " GROUP BY s.k) s" * 40 + " WHERE s.k IN (SELECT id FROM products)",
    ],
    ids=["sum", "nots", "ors", "parentheses", "sub-queries", "doubling", "doubled sums", "doubled groups"],
)
def test_deep_and_long_texts(probe: Probe, sql: str) -> None:
    found = probe.rewrite(sql, level=5, budget_ms=2000)
    assert "error" in found or "text" in found


def test_switches(probe: Probe) -> None:
    join = "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id"
    assert probe.rewrite(join)["steps"] and not probe.rewrite(join, join=False)["steps"]
    assert not probe.rewrite(join, level=2)["steps"]
    sargable = "SELECT id FROM orders WHERE id = 7.0"
    assert probe.rewrite(sargable, level=1)["steps"]
    assert probe.rewrite(sargable, budget_ms=0)["out_of_time"]


def test_names_that_a_search_path_gives_another_meaning(probe: Probe, connection: psycopg.Connection[Any]) -> None:
    sql = "SELECT id FROM customers WHERE date_trunc('month', created) = '2026-02-01'"
    assert probe.rewrite(sql)["steps"]
    assert not probe.rewrite(sql, search_path=["nowhere"])["steps"]
    connection.execute("CREATE SCHEMA other; CREATE FUNCTION other.date_trunc(text, timestamp) RETURNS timestamp IMMUTABLE LANGUAGE sql AS 'SELECT $2'")
    try:
        probe.say(reload=True)
        assert not probe.rewrite(sql)["steps"]
    finally:
        connection.execute("DROP SCHEMA other CASCADE")
        probe.say(reload=True)


def test_aggregates_of_a_user(probe: Probe, connection: psycopg.Connection[Any]) -> None:
    sql = "SELECT a.id FROM lines a WHERE NOT EXISTS (SELECT 1 FROM lines b WHERE b.product_id = a.product_id AND b.code > a.code)"
    assert probe.rewrite(sql, level=4)["steps"]
    connection.execute("CREATE FUNCTION first_of(varchar, varchar) RETURNS varchar IMMUTABLE LANGUAGE sql AS 'SELECT $1'")
    connection.execute("CREATE AGGREGATE max(varchar) (sfunc = first_of, stype = varchar)")
    try:
        probe.say(reload=True)
        assert not probe.rewrite(sql, level=4)["steps"]
    finally:
        connection.execute("DROP FUNCTION first_of CASCADE")
        probe.say(reload=True)


def test_comments_before_the_statement_stay(probe: Probe) -> None:
    found = probe.rewrite("/*+ SeqScan(orders) */ -- here\nSELECT id FROM orders WHERE id = 7.0")
    assert found["text"].startswith("/*+ SeqScan(orders) */ -- here\nSELECT")


@pytest.mark.parametrize(
    "sql, other",
    [
        ("SELECT id FROM customers WHERE id NOT IN (SELECT customer_id FROM blocked_maybe)", "SELECT id FROM customers WHERE NOT EXISTS (SELECT 1 FROM blocked_maybe b WHERE b.customer_id = customers.id)"),
        ("SELECT id FROM orders WHERE quantity + 1 = 6", "SELECT id FROM orders WHERE quantity = 5"),
        ("SELECT id FROM customers WHERE to_char(created, 'YYYY-MM-DD') = '2026-01-31'", "SELECT id FROM customers WHERE created >= '2026-01-31' AND created < '2026-02-01'"),
        ("SELECT id FROM customers WHERE NOT coalesce(referred_by = 1, false)", "SELECT id FROM customers WHERE NOT referred_by = 1"),
        ("SELECT DISTINCT name FROM customers", "SELECT name FROM customers"),
        ("SELECT o.id FROM orders o JOIN customers c ON c.id = o.loose_customer_id", "SELECT o.id FROM orders o"),
    ],
)  # fmt: skip
def test_the_comparison_finds_what_is_not_the_same(connection: psycopg.Connection[Any], sql: str, other: str) -> None:
    connection.execute("SET TimeZone TO 'UTC'")
    for seed in range(200):
        connection.execute(Rows(seed).sql())
        if outcome(connection, sql) != outcome(connection, other):
            return
    pytest.fail("two statements that aren't the same weren't told apart")
