"""What is answered from memory while PostgreSQL can't be reached, at each level of consistency; others may reach it."""

import contextlib
import os
import signal
from collections.abc import Iterator

import pytest
from test_change_stream import LOGICAL
from test_circuit_breaker import SETTINGS, UNCACHED, closes, failure, is_kept, is_open, level, opens
from wire import Client, Gone, connect, eventually, query

from harness import Millrace, PostgreSQL, Way

POSTGRESQL = LOGICAL
SCHEMA = """
CREATE TABLE t (id int PRIMARY KEY, v int);
INSERT INTO t VALUES (1, 10), (2, 20);
CREATE TABLE u (id int PRIMARY KEY, v int);
INSERT INTO u VALUES (1, 10), (2, 20);
"""
READ, ELSEWHERE = "SELECT v FROM t WHERE id = 1", "SELECT v FROM u WHERE id = 1"


@pytest.fixture
def way(postgres: PostgreSQL) -> Iterator[Way]:
    postgres.admin("UPDATE t SET v = id * 10; UPDATE u SET v = id * 10")
    with Way(postgres) as way:
        yield way


@contextlib.contextmanager
def behind(way: Way, **settings: str) -> Iterator[Millrace]:
    with Millrace(None, {**SETTINGS, "DATABASE_URL": way.url, "AUTH_TYPE": "trust", **settings}) as millrace:
        with level(millrace, "session") as client:
            is_kept(millrace, client, READ)  # so the change stream is followed
        yield millrace


@contextlib.contextmanager
def nothing_is_told(postgres: PostgreSQL) -> Iterator[None]:
    """By the change stream, which is behind from now on."""
    sender = int(postgres.admin("SELECT active_pid FROM pg_replication_slots WHERE active"))
    os.kill(sender, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(sender, signal.SIGCONT)


def is_refused(client: Client, sql: str) -> bool:
    return any(one.kind == "E" for one in client.ask(query(sql)))


def test_what_was_written_just_before_is_seen_or_nothing(postgres: PostgreSQL, way: Way) -> None:
    """The stream had no time to tell it, and nobody can be asked whether it has. What wasn't written is answered."""
    with behind(way) as millrace, contextlib.ExitStack() as stack:
        writer, other, session, user = (
            stack.enter_context(level(millrace, name)) for name in ("eventual", "eventual", "session", "read_after_write")
        )
        clients = (other, session, user)
        for client in clients:
            is_kept(millrace, client, READ)
            is_kept(millrace, client, ELSEWHERE)
        with nothing_is_told(postgres):
            assert [one.kind for one in writer.ask(query("UPDATE t SET v = 11 WHERE id = 1"))] == ["C", "Z"]
            way.cut()
            opens(millrace, writer)
            for client in (*clients, writer):
                assert failure(client, READ).sqlstate == "55000"
            # Who has written, and where the user's writes count, needs the server for all that was written meanwhile.
            for client in (other, session):
                assert client.one(ELSEWHERE) == "10"
            assert failure(user, ELSEWHERE).sqlstate == "55000"
        way.let_through()
        closes(millrace)
        assert {client.one(READ) for client in (*clients, writer)} == {"11"}


def test_a_network_that_swallows_all_hides_nothing_that_was_written(postgres: PostgreSQL, way: Way) -> None:
    """The stream's connection still seems to be there, but nobody can be asked: then it is as lost as if it were not."""
    with behind(way, IO_THREADS="1") as millrace, contextlib.ExitStack() as stack:
        writer, other, third = (stack.enter_context(level(millrace, "eventual")) for _ in range(3))
        for sql in (READ, ELSEWHERE):
            is_kept(millrace, other, sql)
        with nothing_is_told(postgres):
            assert [one.kind for one in writer.ask(query("UPDATE t SET v = 11 WHERE id = 1"))] == ["C", "Z"]
            assert other.one(READ) == "10", "it was expected not to be told yet"
            way.swallow()
            writer.send(query(UNCACHED))
            assert failure(third, UNCACHED).sqlstate == "55000"
            assert is_open(millrace)
            assert millrace.change_stream("postgres").get("state") != "live"
            assert failure(other, READ).sqlstate == "55000"
            assert other.one(ELSEWHERE) == "10"
        way.cut()
        way.let_through()
        closes(millrace)
        eventually(lambda: other.one(READ) == "11")


def test_what_was_under_way_is_not_answered(postgres: PostgreSQL, way: Way) -> None:
    """A write whose outcome nobody has heard may have been done."""
    with behind(way) as millrace, level(millrace, "eventual") as other, level(millrace, "none") as writer:
        for sql in (READ, ELSEWHERE):
            is_kept(millrace, other, sql)
        writer.ask(query("BEGIN"), query("UPDATE t SET v = 12 WHERE id = 1"), times=2)
        writer.send(query("SELECT pg_sleep(60)"))
        eventually(lambda: postgres.admin("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'").strip() == "1")
        with nothing_is_told(postgres):
            way.cut()
            with pytest.raises(Gone):
                while True:
                    writer.receive()
            opens(millrace, other)
            assert failure(other, READ).sqlstate == "55000"
            assert other.one(ELSEWHERE) == "10"
        postgres.admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")


def test_what_others_wrote_just_before_is_hidden_from_nobody_who_needs_it(postgres: PostgreSQL, way: Way) -> None:
    """Past Millrace, which hasn't heard of it: a session that has seen nothing since may be shown what was before."""
    with behind(way) as millrace, contextlib.ExitStack() as stack:
        session, strong, bounded = (stack.enter_context(level(millrace, name)) for name in ("session", "strong", "bounded(200)"))
        for client in (session, strong, bounded):
            is_kept(millrace, client, READ)
        with nothing_is_told(postgres):
            postgres.admin("UPDATE t SET v = 11 WHERE id = 1")
            assert strong.one(f"/* millrace: cache=off */ {READ}") == "11"
            way.cut()
            opens(millrace, strong)
            assert session.one(READ) == "10"
            assert failure(strong, READ).sqlstate == "55000"
            eventually(lambda: is_refused(bounded, READ))
            token = strong.one("SHOW millrace.token")
            assert failure(session, f"/* millrace: after={token} */ {READ}").sqlstate == "55000"
        way.let_through()
        closes(millrace)
        assert strong.one(READ) == bounded.one(READ) == session.one(READ) == "11"


def test_what_comes_back_may_be_another_server(postgres: PostgreSQL, way: Way) -> None:
    """One that lacks the last transactions, say, and whose log is shorter: nothing of what was kept is answered."""
    with PostgreSQL(config=LOGICAL) as another, behind(way) as millrace:
        another.admin("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 9)")
        with level(millrace, "eventual") as eventual, level(millrace, "session") as session:
            for client in (eventual, session):
                is_kept(millrace, client, READ)
            way.cut()
            opens(millrace, eventual)
            assert eventual.one(READ) == session.one(READ) == "10"
            way.leads_to(another)
            way.let_through()
            closes(millrace)
            eventually(lambda: eventual.one(READ) == session.one(READ) == "9")
            for client in (eventual, session):
                is_kept(millrace, client, READ)
                assert client.one(READ) == "9"


def test_only_the_stream_is_lost(postgres: PostgreSQL, way: Way) -> None:
    """The server is there: what it can't tell is asked for, though the stream can't begin anew yet."""
    with behind(way) as millrace, level(millrace, "eventual") as client, connect(postgres) as writes:
        is_kept(millrace, client, READ)
        writes.ask(query("BEGIN"), query("INSERT INTO u VALUES (3, 30)"), times=2)
        postgres.admin("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active")
        eventually(lambda: millrace.change_stream("postgres").get("state") != "live")
        postgres.admin("UPDATE t SET v = 11 WHERE id = 1")
        eventually(lambda: client.one(READ) == "11")
        assert millrace.change_stream("postgres").get("state") != "live"
        writes.ask(query("ROLLBACK"))


def test_where_nobody_knows_that_it_is_out_of_reach_nothing_is_kept_for_long(way: Way) -> None:
    with behind(way, ENABLE_EMERGENCY_CIRCUIT_BREAKER="false") as millrace, level(millrace, "eventual") as client:
        is_kept(millrace, client, READ)
        way.cut()
        eventually(lambda: is_refused(client, READ))


def test_what_others_do_meanwhile_is_seen_when_it_is_back(postgres: PostgreSQL, way: Way) -> None:
    with behind(way) as millrace:
        with level(millrace, "eventual") as eventual, level(millrace, "session") as session, level(millrace, "strong") as strong:
            for client in (eventual, session, strong):
                is_kept(millrace, client, READ)
            way.cut()
            opens(millrace, eventual)
            postgres.admin("UPDATE t SET v = 11 WHERE id = 1")
            assert eventual.one(READ) == session.one(READ) == "10"
            assert failure(strong, READ).sqlstate == "55000"
            way.let_through()
            closes(millrace)
            assert strong.one(READ) == "11"
            eventually(lambda: eventual.one(READ) == session.one(READ) == "11")
            postgres.admin("UPDATE t SET v = 12 WHERE id = 1")
            eventually(lambda: eventual.one(READ) == session.one(READ) == "12")
