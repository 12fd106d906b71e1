"""Clients that prepare the same text share it on a server connection, and none of them can tell."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from wire import SYNC, Client, bind, close, connect, describe, execute, parse, query

from harness import PostgreSQL
from harness.wire import Wire


@pytest.fixture(scope="module")
def proxy(postgres: PostgreSQL, through) -> Iterator[Wire]:
    """One server connection for all, so that whatever can be shared is."""
    with through(postgres, POOL_MODE="transaction", POOL_SIZE=1, POOL_WAIT_TIMEOUT_SECONDS=5) as server:
        yield server


def run(client: Client, name: str = "s") -> list[bytes | None]:
    answer = client.ask(bind(statement=name), execute(), SYNC)
    return [one.row[0] if one.kind == "D" else one.sqlstate.encode() for one in answer if one.kind in "DE"]


def prepare(client: Client, sql: str, name: str = "s") -> list[str]:
    return [one.sqlstate for one in client.ask(parse(sql, name), SYNC) if one.kind == "E"]


MEANINGS = {
    "DateStyle": ("SET datestyle = 'ISO, DMY'", "SELECT extract(month FROM '01/02/2024'::date)", b"1", b"2"),
    "TimeZone": ("SET TIME ZONE 'Asia/Tokyo'", "SELECT extract(epoch FROM '2024-01-01'::timestamptz)::int", b"1704067200", b"1704034800"),
    "IntervalStyle": ("SET intervalstyle = 'sql_standard'", "SELECT extract(hour FROM '-1 2:00:00'::interval)", b"2", b"-2"),
    "xmloption": ("SET xmloption = 'document'", "SELECT xmlserialize(content 'a'::xml AS text)", b"a", b"2200M"),
    "a role's schema": ("SET ROLE named", "SELECT v FROM meant", b"public", b"named"),
    "search path": ("SET search_path = elsewhere", "SELECT v FROM meant", b"public", b"7"),
}  # fmt: skip


@pytest.fixture(scope="module")
def meant(postgres: PostgreSQL) -> None:
    postgres.admin(
        "DROP TABLE IF EXISTS meant; DROP SCHEMA IF EXISTS elsewhere, named CASCADE; DROP ROLE IF EXISTS named;"
        "CREATE TABLE meant AS SELECT 'public' AS v; CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.meant AS SELECT 7 AS v;"
        "CREATE ROLE named; CREATE SCHEMA named AUTHORIZATION named; CREATE TABLE named.meant AS SELECT 'named' AS v;"
        "GRANT SELECT ON named.meant TO named"
    )


@pytest.mark.parametrize(("setting", "sql", "usual", "other"), MEANINGS.values(), ids=MEANINGS)
def test_each_clients_settings_decide_what_its_text_means(proxy: Wire, meant: None, setting: str, sql: str, usual: bytes, other: bytes) -> None:
    with connect(proxy) as one, connect(proxy) as two:
        assert prepare(one, sql) == []
        two.ask(query(setting))
        refused = prepare(two, sql)
        for _ in range(2):
            assert run(one) == [usual]
            assert refused == [other.decode()] if refused else run(two) == [other]


@pytest.mark.parametrize("setting", ["SET datestyle = 'ISO, DMY'", "BEGIN; SET datestyle = 'ISO, DMY'"])
def test_a_statement_keeps_the_meaning_that_it_was_prepared_with(postgres: PostgreSQL, through, setting: str) -> None:
    with through(postgres, POOL_MODE="transaction", POOL_SIZE=2) as server:
        with connect(server) as client, connect(server) as rival:
            prepare(client, "SELECT extract(month FROM '01/02/2024'::date)")
            rival.ask(query("BEGIN; SELECT 1"))  # has the connection on which it was prepared
            client.ask(query(setting))
            assert run(client) == [b"1"]
            assert prepare(client, "SELECT extract(month FROM '01/02/2024'::date)", "t") == []
            client.ask(query("COMMIT"))
            rival.ask(query("COMMIT"))
            assert run(client) == [b"1"]
            assert run(client, "t") == [b"2"]


def test_settings_of_the_transaction_at_hand(proxy: Wire) -> None:
    sql = "SELECT extract(month FROM '01/02/2024'::date)"
    with connect(proxy) as one, connect(proxy) as two:
        two.ask(query("BEGIN"))
        two.ask(query("SET LOCAL datestyle = 'ISO, DMY'"))
        assert prepare(two, sql) == []
        assert run(two) == [b"2"]
        two.ask(query("COMMIT"))
        two.ask(query("DISCARD ALL"))
        assert prepare(one, sql) == []
        assert run(one) == [b"1"]
    with connect(proxy) as one, connect(proxy) as two:  # as one pipeline
        two.ask(query("SET datestyle = 'ISO, DMY'"), parse(sql, "s"), bind(statement="s"), execute(), SYNC, times=2)
        two.ask(query("DISCARD ALL"))
        assert prepare(one, sql) == []
        assert run(one) == [b"1"]


def test_settings_that_decide_nothing_share(proxy: Wire) -> None:
    names = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%shared by all%'"
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(proxy)) for _ in range(10)]
        for number, client in enumerate(clients):
            client.ask(query(f"SET work_mem = '{number + 1}MB'"))
            prepare(client, "SELECT 'shared by all'")
            assert run(client) == [b"shared by all"]
        assert int(clients[0].one(names) or 0) <= 2


def test_a_text_that_can_no_longer_be_prepared_stays_for_those_that_have_it(postgres: PostgreSQL, proxy: Wire) -> None:
    postgres.admin("DROP TYPE IF EXISTS mood; CREATE TYPE mood AS ENUM ('happy', 'sad')")
    with connect(proxy) as one, connect(proxy) as two:
        assert prepare(one, "SELECT 'happy'::mood::text") == []
        assert run(one) == [b"happy"]
        postgres.admin("ALTER TYPE mood RENAME VALUE 'happy' TO 'glad'")
        before = run(one)
        assert prepare(two, "SELECT 'happy'::mood::text") == ["22P02"]
        assert run(one) == before == [b"glad"]
        assert run(two) == [b"26000"]


def test_what_is_prepared_after_a_change_is_as_of_now(postgres: PostgreSQL, proxy: Wire) -> None:
    postgres.admin("DROP TABLE IF EXISTS growing; CREATE TABLE growing AS SELECT 1 AS a")
    with connect(proxy) as one, connect(proxy) as two, connect(proxy) as three:
        for client in (one, two):
            client.ask(parse("SELECT * FROM growing", "s"), describe("S", "s"), SYNC)
            assert run(client) == [b"1"]
        postgres.admin("ALTER TABLE growing ADD b int")
        for client in (three, two):
            client.ask(close("S", "s"), SYNC)
            answer = client.ask(parse("SELECT * FROM growing", "s"), describe("S", "s"), bind(statement="s"), execute(), SYNC)
            assert [one.kind for one in answer] == ["1", "t", "T", "2", "D", "C", "Z"]
            assert len(answer[4].row) == 2
        assert run(one) == [b"0A000"]
        assert run(three) == run(two) == [b"1"]


def test_now_is_when_a_text_is_prepared(proxy: Wire) -> None:
    with connect(proxy) as one, connect(proxy) as two:
        prepare(one, "SELECT 'now'::timestamptz::text")
        first = run(one)
        prepare(two, "SELECT 'now'::timestamptz::text")
        assert run(one) == first
        assert run(two) > first
