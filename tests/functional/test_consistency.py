"""What each level of consistency promises, against writes that don't pass through Millrace."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from test_change_stream import LOGICAL, hits, is_a_hit, stream
from wire import SYNC, Client, bind, connect, eventually, execute, parse, query

from harness import Millrace, PostgreSQL

POSTGRESQL = LOGICAL
SCHEMA = """
CREATE TABLE t (id int PRIMARY KEY, v int);
INSERT INTO t SELECT i, 0 FROM generate_series(1, 100) i;
CREATE TABLE u (id int PRIMARY KEY, v int);
INSERT INTO u SELECT i, 0 FROM generate_series(1, 100) i;
CREATE TABLE plain (id int, v int);
INSERT INTO plain VALUES (1, 0);
CREATE UNLOGGED TABLE fleeting (id int PRIMARY KEY, v int);
INSERT INTO fleeting VALUES (1, 0);
"""
SETTINGS = {"AUTH_TYPE": "trust", "CACHE_DEFAULT_TTL_SECONDS": 3600}
NEEDS_STREAM = ["session", "read_after_write", "strong"]


@pytest.fixture(scope="module", params=["transaction", "session"])
def millrace(postgres: PostgreSQL, request: pytest.FixtureRequest) -> Iterator[Millrace]:
    with Millrace(postgres, {**SETTINGS, "POOL_MODE": request.param}) as server:
        begin(server)
        yield server


def begin(millrace: Millrace) -> None:
    """The level is the default one: nobody has asked for anything."""

    def answers() -> bool:
        with at(millrace) as client:
            client.one("SELECT count(*) FROM t")
            before = hits(millrace)
            client.one("SELECT count(*) FROM t")
            return hits(millrace) > before

    eventually(answers)


@contextmanager
def at(millrace: Millrace, level: str = "", **log_in: str) -> Iterator[Client]:
    options = {"options": f"-c millrace.consistency={level}"} if level else {}
    with connect(millrace, **options, **log_in) as client:
        yield client


def is_kept(millrace: Millrace, client: Client, sql: str) -> None:
    eventually(lambda: is_a_hit(millrace, client, sql))


def facts(client: Client, sql: str) -> dict[str, str]:
    """The first of each."""
    return {str(row[0]): str(row[1]) for row in reversed(client.rows(f"EXPLAIN (MILLRACE) {sql}"))}


def value(row: int) -> str:
    return f"SELECT v FROM t WHERE id = {row}"


@pytest.mark.parametrize("level", NEEDS_STREAM)
def test_strong_shows_what_is_committed_and_session_what_it_saw(millrace: Millrace, postgres: PostgreSQL, level: str) -> None:
    with at(millrace, level) as client, at(millrace, level) as other:
        is_kept(millrace, client, value(1))
        is_kept(millrace, client, value(2))
        for step in range(1, 31):
            postgres.admin(f"UPDATE t SET v = {step} WHERE id IN (1, 2)")
            if level == "strong":
                assert client.one(value(1)) == str(step)
            first = int(client.one("SELECT v FROM t WHERE id = 1 AND random() < 2") or 0)  # runs on PostgreSQL
            assert first == step
            assert client.one(value(2)) == str(step), "it has seen the transaction by the other row"
            assert int(other.one(value(2)) or 0) <= step
        # Where a proof takes longer than the server's answer, the server is asked now and then; or mostly, for `strong`.
        before = hits(millrace)
        for _ in range(1000):
            client.one(value(1))
            if hits(millrace) >= before + 10:
                return
        raise AssertionError("it isn't answered from memory")


def test_default_level_is_session(millrace: Millrace) -> None:
    with at(millrace) as client:
        is_kept(millrace, client, value(3))
        said = facts(client, value(3))
        assert (said["decision"], said["consistency"], said["changes"]) == ("hit", "session", "followed")


@pytest.mark.parametrize("level", [*NEEDS_STREAM, "eventual", "bounded(100000)"])
def test_own_writes_are_seen_at_every_level(millrace: Millrace, level: str) -> None:
    with at(millrace, level) as client:
        is_kept(millrace, client, value(4))
        for step in range(1, 31):
            client.ask(query(f"UPDATE t SET v = {step} WHERE id = 4"))
            assert client.one(value(4)) == str(step)
            client.ask(parse("UPDATE t SET v = $1 WHERE id = 4"), bind([str(-step)]), execute(), SYNC)
            assert client.one(value(4)) == str(-step)
            client.ask(query("BEGIN"))
            client.ask(query(f"UPDATE t SET v = {step} WHERE id = 4"))
            assert client.one(value(4)) == str(step)
            client.ask(query("ROLLBACK" if step % 2 else "COMMIT"))
            assert client.one(value(4)) == str(-step if step % 2 else step)


@pytest.mark.parametrize("level", [*NEEDS_STREAM, "bounded(1)"])
def test_writes_through_millrace_are_seen_in_other_sessions(millrace: Millrace, postgres: PostgreSQL, level: str) -> None:
    """Whatever the stream does: here what it tells is stopped on its way."""
    with at(millrace, level) as writer, at(millrace, level) as reader:
        is_kept(millrace, reader, value(5))
        sender = int(postgres.admin("SELECT active_pid FROM pg_replication_slots WHERE active"))
        for step in range(1, 31):
            if step == 15:
                os.kill(sender, signal.SIGSTOP)
            try:
                writer.ask(query(f"UPDATE t SET v = {step} WHERE id = 5"))
                if level == "bounded(1)":
                    time.sleep(0.002)
                assert reader.one(value(5)) == str(step)
            finally:
                if step == 20:
                    os.kill(sender, signal.SIGCONT)
        os.kill(sender, signal.SIGCONT)


@pytest.mark.parametrize("level", ["eventual", "bounded(100000)"])
def test_who_asks_for_less_waits_for_nobody_elses_writes(millrace: Millrace, postgres: PostgreSQL, level: str) -> None:
    with at(millrace, level) as writer, at(millrace, level) as reader:
        writer.ask(query("UPDATE t SET v = 0 WHERE id = 13"))
        eventually(lambda: reader.one(value(13)) == "0")
        is_kept(millrace, reader, value(13))
        sender = int(postgres.admin("SELECT active_pid FROM pg_replication_slots WHERE active"))
        os.kill(sender, signal.SIGSTOP)
        try:
            writer.ask(query("UPDATE t SET v = 1 WHERE id = 13"))
            assert is_a_hit(millrace, reader, value(13)), "the table is written all the time, say"
            assert reader.one(value(13)) == "0"
            assert writer.one(value(13)) == "1", "its own"
        finally:
            os.kill(sender, signal.SIGCONT)
        eventually(lambda: reader.one(value(13)) == "1")


@pytest.mark.parametrize("level", ["session", "read_after_write", "strong"])
def test_time_does_not_run_backwards_within_a_batch(millrace: Millrace, postgres: PostgreSQL, level: str) -> None:
    with at(millrace, level) as client, connect(postgres) as writer:
        postgres.admin("UPDATE t SET v = 0 WHERE id = 12; UPDATE u SET v = 0 WHERE id = 12")
        reads = [(f"SELECT v FROM {table} WHERE id = $1") for table in "tu"]
        for step in range(1, 101):
            writer.ask(query(f"UPDATE t SET v = {step} WHERE id = 12; UPDATE u SET v = {step} WHERE id = 12"))
            client.ask(parse(reads[0]), bind(["12"]), execute(), SYNC)  # kept anew, or from memory
            both = [one for sql in reads for one in (parse(sql), bind(["12"]), execute())]
            seen = [int(one.row[0] or 0) for one in client.ask(*both, SYNC) if one.kind == "D"]
            assert seen[0] <= seen[1], f"{step}: {seen}"


def test_bounded_shows_what_is_older_than_its_bound(millrace: Millrace, postgres: PostgreSQL) -> None:
    with at(millrace, "bounded(30)") as client:
        is_kept(millrace, client, value(6))
        for step in range(1, 21):
            postgres.admin(f"UPDATE t SET v = {step} WHERE id = 6")
            time.sleep(0.031)
            assert client.one(value(6)) == str(step)


def test_by_setting_and_by_comment(millrace: Millrace) -> None:
    with at(millrace, "eventual") as client:
        assert facts(client, value(7))["consistency"] == "eventual"
        assert facts(client, value(7) + " /* millrace: consistency=strong */")["consistency"] == "strong"
        assert facts(client, value(7) + " /* millrace: consistency='bounded(20)' */")["consistency"] == "bounded(20)"
        assert facts(client, value(7) + " /* millrace: consistency=none */")["reason"] == "consistency"
        assert facts(client, value(7) + " /* millrace: cache=off */")["reason"] == "cache_off"


def test_what_is_not_followed_is_only_for_levels_without_a_promise(millrace: Millrace, postgres: PostgreSQL) -> None:
    for sql in ("SELECT v FROM plain", "SELECT v FROM fleeting"):
        for level in NEEDS_STREAM:
            with at(millrace, level) as client:
                assert facts(client, sql)["decision"] in ("miss", "bypass")
                before = hits(millrace)
                for _ in range(3):
                    client.one(sql)
                assert hits(millrace) == before
        with at(millrace, "eventual") as client:
            is_kept(millrace, client, sql)
        with at(millrace, "session") as client:  # though it is there
            table = sql.split()[-1]
            postgres.admin(f"UPDATE {table} SET v = v + 1")
            assert client.one(sql) == postgres.admin(sql).strip()


class Hidden:
    """A commit that is in the log, and that nobody sees yet: it waits for a standby that isn't there."""

    def __init__(self, postgres: PostgreSQL, sql: str) -> None:
        self.postgres, self.sql = postgres, sql

    def set_standbys(self, names: str) -> None:
        self.postgres.admin(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        self.postgres.admin("SELECT pg_reload_conf()")
        eventually(lambda: self.postgres.admin("SHOW synchronous_standby_names").strip() == names)

    def __enter__(self) -> "Hidden":
        self.set_standbys("nobody")
        self.writer = threading.Thread(target=self.write)
        self.writer.start()
        return self

    def write(self) -> None:
        with connect(self.postgres) as client:
            client.ask(query(self.sql))

    def show(self) -> None:
        self.set_standbys("")
        self.writer.join()

    def __exit__(self, *_: Any) -> None:
        self.show()


@pytest.mark.parametrize("level", ["eventual", *NEEDS_STREAM])
def test_what_is_read_before_a_commit_is_visible_is_not_kept(millrace: Millrace, postgres: PostgreSQL, level: str) -> None:
    def waits() -> bool:
        return postgres.admin("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'").strip() == "1"

    with at(millrace, level) as client:
        old = postgres.admin(value(8)).strip()
        is_kept(millrace, client, value(8))
        told = stream(millrace)["transactions"]
        with Hidden(postgres, f"UPDATE t SET v = {int(old) + 1} WHERE id = 8") as hidden:
            eventually(lambda: stream(millrace)["transactions"] > told and waits())
            for _ in range(50):
                assert client.one(value(8)) == old, "nobody sees it yet"
            hidden.show()
            if level in ("eventual", "session", "read_after_write"):
                client.one("SELECT random()")  # the session sees time go on
            assert client.one(value(8)) == str(int(old) + 1)
        is_kept(millrace, client, value(8))


def test_time_never_runs_backwards(millrace: Millrace, postgres: PostgreSQL) -> None:
    """Writers past Millrace move two rows of two tables together; nobody sees the one before the other."""
    stop = threading.Event()
    postgres.admin("UPDATE t SET v = 0 WHERE id IN (9, 10); UPDATE u SET v = 0 WHERE id IN (9, 10)")
    problems: list[str] = []

    def write(connection: Client, row: int) -> None:
        step = 0
        while not stop.is_set():
            step += 1
            connection.ask(query(f"UPDATE t SET v = {step} WHERE id = {row}; UPDATE u SET v = {step} WHERE id = {row}"))
            time.sleep(0.05 * (step % 3))

    def read(level: str) -> None:
        with at(millrace, level) as client:
            last = {9: 0, 10: 0}
            turn = 0
            while not stop.is_set():
                turn += 1
                row = 9 + turn % 2
                table = "tu"[turn // 2 % 2]
                seen = int(client.one(f"SELECT v FROM {table} WHERE id = {row} /* millrace: cache=on */") or 0)
                if seen < last[row]:
                    problems.append(f"{level}: {table}.{row} was {last[row]}, then {seen}")
                last[row] = max(last[row], seen)

    before = hits(millrace)
    with connect(postgres) as first, connect(postgres) as second:
        threads = [threading.Thread(target=write, args=(first, 9)), threading.Thread(target=write, args=(second, 10))]
        threads += [threading.Thread(target=read, args=(level,)) for level in NEEDS_STREAM]
        for thread in threads:
            thread.start()
        time.sleep(4)
        try:  # a machine that is busy enough has few moments at which all is proved while others write
            eventually(lambda: bool(problems) or hits(millrace) > before + 20)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert not problems, problems[:5]


@pytest.mark.parametrize("level", NEEDS_STREAM)
def test_without_the_stream_the_server_is_asked(postgres: PostgreSQL, level: str) -> None:
    with Millrace(postgres, {**SETTINGS, "ENABLE_CHANGE_STREAM": "false", "CACHE_CONSISTENCY_LEVEL": level}) as millrace:
        with at(millrace) as client:
            for _ in range(3):
                client.one(value(1))
            assert hits(millrace) == 0
            assert facts(client, value(1))["reason"] == "no_stream"


def test_a_lost_stream_makes_nothing_stale(millrace: Millrace, postgres: PostgreSQL) -> None:
    with at(millrace, "strong") as client:
        is_kept(millrace, client, value(11))
        for step in range(1, 6):
            postgres.admin("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active")
            postgres.admin(f"UPDATE t SET v = {step} WHERE id = 11")
            assert client.one(value(11)) == str(step)
        is_kept(millrace, client, value(11))


def test_a_publication_that_somebody_has_filtered_is_made_anew(millrace: Millrace, postgres: PostgreSQL) -> None:
    starts = stream(millrace)["starts"]
    postgres.admin("ALTER PUBLICATION millrace_changes SET TABLE t WHERE (id > 1000)")
    eventually(lambda: stream(millrace)["starts"] > starts and stream(millrace)["settled"])
    with at(millrace, "strong") as client:  # one that comes afterwards
        is_kept(millrace, client, value(13))
        for step in range(1, 6):
            postgres.admin(f"UPDATE t SET v = {step} WHERE id = 13")
            assert client.one(value(13)) == str(step)
