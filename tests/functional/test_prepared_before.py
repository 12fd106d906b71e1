"""A statement that was prepared before its names came to stand for other tables: what it answers isn't given to others."""

from collections.abc import Iterator

import pytest
from test_change_stream import LOGICAL, is_live, stream
from wire import SYNC, Client, bind, connect, describe, eventually, execute, parse, query

from harness import Millrace, PostgreSQL

POSTGRESQL = LOGICAL
SCHEMA = """
CREATE SCHEMA early;
GRANT USAGE ON SCHEMA early TO public;
CREATE TABLE public.t (id int PRIMARY KEY, v text);
CREATE TABLE public.other (id int PRIMARY KEY, v text);
INSERT INTO t VALUES (1, 'public');
INSERT INTO other VALUES (1, 'public');
"""
OPTIONS = "-c search_path=early,public"
READ = "SELECT v FROM t WHERE id = $1"


@pytest.fixture
def millrace(postgres: PostgreSQL, pool_mode: str) -> Iterator[Millrace]:
    postgres.admin("DROP TABLE IF EXISTS early.t; UPDATE public.t SET v = 'public'")
    settings = {"AUTH_TYPE": "trust", "CACHE_DEFAULT_TTL_SECONDS": 3600, "POOL_MODE": pool_mode}
    with Millrace(postgres, settings) as server:
        with connect(server, options=OPTIONS) as client:
            client.ask(query("SELECT 1 FROM t WHERE id = 1"))
        eventually(lambda: is_live(server) and stream(server)["settled"])
        with connect(server, options=OPTIONS) as client:
            eventually(lambda: kept(server, lambda: client.one("SELECT v FROM other WHERE id = 1")))
        yield server


def kept(millrace: Millrace, ask) -> bool:  # type: ignore[no-untyped-def]
    before = millrace.metric("statements_answered_from_memory_total")
    ask()
    return millrace.metric("statements_answered_from_memory_total") > before


def executed(client: Client, name: str) -> str:
    rows = [one.row for one in client.ask(bind(["1"], statement=name), execute(), SYNC) if one.kind == "D"]
    return rows[0][0].decode()


def makes_an_earlier_one(postgres: PostgreSQL, millrace: Millrace) -> None:
    """And it is known."""
    postgres.admin("CREATE TABLE early.t (id int PRIMARY KEY, v text); INSERT INTO early.t VALUES (1, 'early')")
    with connect(millrace, options=OPTIONS) as client:
        eventually(lambda: dict(client.rows("EXPLAIN (MILLRACE) SELECT v FROM t")).get("reads") == "early.t")
    eventually(lambda: stream(millrace)["settled"])


def test_what_it_reads_is_not_given_to_others(postgres: PostgreSQL, millrace: Millrace, pool_mode: str) -> None:
    with connect(millrace, options=OPTIONS) as before:
        before.ask(parse(READ, "p"), SYNC)
        eventually(lambda: kept(millrace, lambda: executed(before, "p")))
        makes_an_earlier_one(postgres, millrace)
        if pool_mode == "transaction":
            eventually(lambda: executed(before, "p") == "early", what="it to be prepared anew")
        assert {executed(before, "p") for _ in range(3)} == {"public" if pool_mode == "session" else "early"}
        with connect(millrace, options=OPTIONS) as client:
            client.ask(parse(READ, "q"), SYNC)
            assert [executed(client, "q") for _ in range(3)] == ["early"] * 3
            eventually(lambda: kept(millrace, lambda: executed(client, "q")), what="what is prepared since to be kept")
            postgres.admin("UPDATE early.t SET v = 'changed'")
            eventually(lambda: executed(client, "q") == "changed")
            eventually(lambda: kept(millrace, lambda: executed(client, "q")))
        assert {executed(before, "p") for _ in range(3)} == {"public" if pool_mode == "session" else "changed"}


def test_it_follows_its_own_tables_changes(postgres: PostgreSQL, millrace: Millrace) -> None:
    with connect(millrace, options=OPTIONS) as before:
        before.ask(parse(READ, "p"), SYNC)
        executed(before, "p")
        makes_an_earlier_one(postgres, millrace)
        table = "public.t" if executed(before, "p") == "public" else "early.t"
        postgres.admin(f"UPDATE {table} SET v = 'changed'")
        eventually(lambda: executed(before, "p") == "changed")


@pytest.mark.parametrize("described", [False, True])
def test_prepared_anew_it_is_kept(postgres: PostgreSQL, millrace: Millrace, described: bool) -> None:
    with connect(millrace, options=OPTIONS) as client:
        client.ask(parse(READ, "p"), *[describe("S", "p")] * described, SYNC)
        executed(client, "p")
        makes_an_earlier_one(postgres, millrace)
        client.ask(parse(READ, "r"), SYNC)
        assert executed(client, "r") == "early"
        eventually(lambda: kept(millrace, lambda: executed(client, "r")))


def test_where_a_table_was_replaced_it_is_kept(postgres: PostgreSQL, millrace: Millrace) -> None:
    postgres.admin("DROP TABLE IF EXISTS swapped, older; CREATE TABLE swapped (id int PRIMARY KEY, v text); INSERT INTO swapped VALUES (1, 'one')")

    def is_known() -> bool:
        with connect(millrace, options=OPTIONS) as client:
            return kept(millrace, lambda: client.one("SELECT v FROM swapped WHERE id = 1"))

    eventually(is_known)
    with connect(millrace, options=OPTIONS) as client:
        client.ask(parse("SELECT v FROM swapped WHERE id = $1", "p"), SYNC)
        eventually(lambda: kept(millrace, lambda: executed(client, "p")))
        client.ask(query("BEGIN; ALTER TABLE swapped RENAME TO older; CREATE TABLE swapped (id int PRIMARY KEY, v text); INSERT INTO swapped VALUES (1, 'two'); COMMIT"))
        assert executed(client, "p") == "two"
        eventually(lambda: kept(millrace, lambda: executed(client, "p")))


def test_prepared_before_the_catalogs_were_known_it_is_kept(postgres: PostgreSQL) -> None:
    with Millrace(postgres, {"AUTH_TYPE": "trust", "POOL_MODE": "transaction"}) as server, connect(server, options=OPTIONS) as client:
        client.ask(parse("SELECT v FROM other WHERE id = $1", "p"), SYNC)
        eventually(lambda: is_live(server) and stream(server)["settled"])
        eventually(lambda: kept(server, lambda: executed(client, "p")))
