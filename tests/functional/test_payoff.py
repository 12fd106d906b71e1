"""A template whose answers are stale whenever they are asked for again is passed on, and says so; it recovers."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from wire import SYNC, Client, bind, connect, eventually, execute, parse, query

from harness import Millrace, PostgreSQL

# What the server takes is well over what memory does, on whichever machine.
READ = "SELECT count(*) FROM numbers a JOIN numbers b ON a.n = b.n WHERE a.n <> "
SECONDS = 30  # for what takes a trial of two seconds, or a pause of as long


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL) -> Iterator[Millrace]:
    postgres.psql("CREATE TABLE numbers (n int PRIMARY KEY, t int); INSERT INTO numbers SELECT i, 0 FROM generate_series(1, 3000) i; ANALYZE numbers")
    settings = {"CACHE_CONSISTENCY_LEVEL": "eventual", "AUTH_TYPE": "trust", "POOL_MODE": "transaction", "CACHE_DEFAULT_TTL_SECONDS": 3600}
    with Millrace(postgres, settings) as server:
        with connect(server) as client:
            eventually(lambda: facts(client, "SELECT 1")["decision"] != "bypass", what="the catalogs to be read")
        yield server


@pytest.fixture
def client(millrace: Millrace) -> Iterator[Client]:
    with connect(millrace) as one:
        yield one


def facts(client: Client, sql: str) -> dict[str, str]:
    return {str(item): str(value) for item, value in client.rows("EXPLAIN (MILLRACE) " + sql)}


def write(client: Client) -> None:
    client.ask(query("UPDATE numbers SET t = t + 1 WHERE n = 1"))


def make_unprofitable(client: Client, sql: str) -> dict[str, str]:
    """Asks for what has become stale, until that is passed on."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for _ in range(50):
            client.ask(query(sql))
            write(client)
        if (said := facts(client, sql)).get("reason") == "does_not_pay":
            return said
    raise AssertionError(f"it isn't passed on: {said}")


def ask_until_hit(client: Client, sql: str) -> None:
    eventually(lambda: bool(client.ask(query(sql))) and facts(client, sql)["decision"] == "hit", seconds=SECONDS)


def refusals(millrace: Millrace) -> float:
    return millrace.metric("cache_refusals_total", reason="does_not_pay")


def analyzed(millrace: Millrace, sql: str) -> dict[str, Any]:
    return millrace.api("POST", "optimization/analyze-query", {"query": sql})["cache"]


def test_what_never_pays_is_passed_on_and_says_so_and_recovers(millrace: Millrace, client: Client) -> None:
    sql = READ + "1000"
    before = refusals(millrace)
    said = make_unprofitable(client, sql)
    assert said["decision"] == "bypass" and "from the server" in said["why not"]
    assert said["hit ratio"] == "0.0 %" and said["break even"] != "0.0 %"
    assert {"origin", "hit", "miss extra"} <= said.keys()
    assert facts(client, READ + "7")["reason"] == "does_not_pay", "it is the template"
    assert "reason" not in facts(client, f"/* millrace: cache=on */ {sql}"), "whoever wants it all the same"
    cache = analyzed(millrace, sql)
    assert (cache["cacheable"], cache["reason"]) == (False, "does_not_pay")
    assert cache["payoff"]["hit_ratio"] == 0
    assert cache["payoff"]["origin_us"] > 0 and cache["payoff"]["break_even"] > 0
    client.ask(query(sql))
    eventually(lambda: refusals(millrace) > before, what="it to be counted")

    ask_until_hit(client, sql)
    assert analyzed(millrace, sql)["cacheable"]


def test_a_level_at_which_it_does_not_pay_says_nothing_of_another(client: Client) -> None:
    sql = READ + "a.t AND a.n <> "
    bounded = "/* millrace: consistency=bounded */ " + sql
    make_unprofitable(client, bounded + "1")
    assert facts(client, bounded + "2")["reason"] == "does_not_pay"
    assert "reason" not in facts(client, sql + "2")


def test_what_is_passed_on_is_right_in_the_extended_protocol(client: Client) -> None:
    sql = "SELECT t + $1::int FROM numbers WHERE n = 1 AND EXISTS (SELECT count(*) FROM numbers a JOIN numbers b ON a.n = b.n)"
    until = time.monotonic() + 4
    turn = 0
    while time.monotonic() < until:
        turn += 1
        answer = client.ask(parse(sql), bind([str(turn)]), execute(), SYNC)
        client.ask(query("UPDATE numbers SET t = t + 1 WHERE n = 1"))
        (now,) = client.rows("SELECT t FROM numbers WHERE n = 1")
        (row,) = (one.row for one in answer if one.kind == "D")
        assert int(row[0] or b"") == int(str(now[0])) - 1 + turn


def test_what_is_asked_for_the_first_time_says_nothing(client: Client) -> None:
    sql = READ + "a.n + 9 AND a.n <> "
    until = time.monotonic() + 3
    n = 0
    while time.monotonic() < until:
        n += 1
        client.ask(query(f"{sql}{n}"))
    assert facts(client, f"{sql}{n + 1}")["decision"] == "miss"
