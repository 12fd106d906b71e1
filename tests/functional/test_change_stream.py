"""What is changed past Millrace is seen through it at once, without any time to live; and nobody is hurt by that."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from wire import Client, connect, eventually, query

from harness import Millrace, PostgreSQL

# Where commits don't wait for the log, it is told up to wal_writer_delay later.
LOGICAL = {"wal_level": "logical", "synchronous_commit": "on", "max_prepared_transactions": 5, "logical_decoding_work_mem": "64kB", "wal_sender_timeout": "5s"}
SETTINGS = {"CACHE_CONSISTENCY_LEVEL": "eventual", "AUTH_TYPE": "trust", "CACHE_DEFAULT_TTL_SECONDS": 3600}
POSTGRESQL = LOGICAL
SCHEMA = """
CREATE TABLE people (id int PRIMARY KEY, name text, note text);
INSERT INTO people SELECT i, 'n' || i, repeat('x', 10) FROM generate_series(1, 100) i;
CREATE TABLE pets (id int PRIMARY KEY, owner int REFERENCES people ON DELETE CASCADE ON UPDATE CASCADE);
INSERT INTO pets SELECT i, i FROM generate_series(1, 100) i;
CREATE TABLE parts (id int, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN ('a');
CREATE TABLE parts_b PARTITION OF parts FOR VALUES IN ('b');
CREATE TABLE animals (id int PRIMARY KEY, name text);
CREATE TABLE cats (lives int, PRIMARY KEY (id)) INHERITS (animals);
CREATE TABLE plain (id int, v int);
INSERT INTO plain VALUES (1, 1);
CREATE TABLE late_key (id int, v int, PRIMARY KEY (id) DEFERRABLE);
INSERT INTO late_key VALUES (1, 1);
CREATE TABLE whole (id int, v text);
ALTER TABLE whole REPLICA IDENTITY FULL;
INSERT INTO whole VALUES (1, repeat('a', 10));
CREATE TABLE by_index (id int NOT NULL UNIQUE, v int);
ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_id_key;
INSERT INTO by_index VALUES (1, 1);
CREATE TABLE large (id int PRIMARY KEY, v text);
INSERT INTO large SELECT i, 'v' FROM generate_series(1, 10) i;
"""


def reason(millrace: Millrace) -> str:
    return str(stream(millrace).get("reason"))


def stream(millrace: Millrace, database: str = "postgres") -> dict[str, Any]:
    return millrace.change_stream(database)


def is_live(millrace: Millrace) -> bool:
    """And has followed all tables for long enough."""
    now = stream(millrace)
    return now.get("state") == "live"


def warm(millrace: Millrace) -> None:
    with connect(millrace) as client:
        client.ask(query("SELECT 1 FROM people WHERE id = 1"))
    eventually(lambda: is_live(millrace))


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL) -> Iterator[Millrace]:
    with Millrace(postgres, SETTINGS) as server:
        warm(server)
        time.sleep(1)  # the tables are told once more when all that ran before has ended
        yield server


@pytest.fixture
def client(millrace: Millrace) -> Iterator[Client]:
    with connect(millrace) as one:
        yield one


def hits(millrace: Millrace) -> float:
    return millrace.metric("statements_answered_from_memory_total")


def is_a_hit(millrace: Millrace, client: Client, sql: str) -> bool:
    before = hits(millrace)
    client.one(sql)
    return hits(millrace) > before


def kept(millrace: Millrace, client: Client, sql: str, **log_in: str) -> str:
    """What it answers, once that comes from memory.

    On connections of its own until then: who has read a table that isn't known yet may have done anything.
    """
    answer: list[str] = []

    def is_answered() -> bool:
        with connect(millrace, **log_in) as first:
            first.ask(query(sql))
            before = hits(millrace)
            answer[:] = [first.one(sql)]
            return hits(millrace) > before

    eventually(is_answered)  # once the catalogs have been looked at again
    assert client.one(sql) == answer[0]
    return answer[0]


def sees(millrace: Millrace, client: Client, sql: str, change: Callable[[], object], **log_in: str) -> None:
    """The read was answered from memory, and is another after the change."""
    before = kept(millrace, client, sql, **log_in)
    change()
    eventually(lambda: client.one(sql) != before)


CHANGES = {
    "insert": ("SELECT count(*) FROM people", "INSERT INTO people VALUES (1000, 'new')"),
    "update": ("SELECT name FROM people WHERE id = 2", "UPDATE people SET name = 'other' WHERE id = 2"),
    "update of the key": ("SELECT count(*) FROM people WHERE id = 3", "UPDATE people SET id = 3000 WHERE id = 3"),
    "delete": ("SELECT count(*) FROM people", "DELETE FROM people WHERE id = 4"),
    "cascade": ("SELECT count(*) FROM pets", "DELETE FROM people WHERE id = 5"),
    "cascade of an update": ("SELECT count(*) FROM pets WHERE owner = 6", "UPDATE people SET id = 6000 WHERE id = 6"),
    "copy": ("SELECT count(*) FROM people", "COPY people (id) FROM PROGRAM 'seq 2000 2010'"),
    "leaf": ("SELECT count(*) FROM parts", "INSERT INTO parts_a VALUES (1, 'a')"),
    "root": ("SELECT count(*) FROM parts_b", "INSERT INTO parts VALUES (1, 'b')"),
    "from leaf to leaf": ("SELECT count(*) FROM parts_a", "UPDATE parts SET region = 'a', id = 2 WHERE region = 'b'"),
    "truncate of a leaf": ("SELECT count(*) FROM parts", "TRUNCATE parts_a"),
    "inherited": ("SELECT count(*) FROM animals", "INSERT INTO cats VALUES (2, 'tom', 9)"),
    "parent's row": ("SELECT count(*) FROM animals", "INSERT INTO animals VALUES (3, 'fish')"),
    "update in a child": ("SELECT name FROM animals WHERE id = 2", "UPDATE animals SET name = 'tim' WHERE id = 2"),
    "truncate with children": ("SELECT count(*) FROM animals", "TRUNCATE animals"),
    "insert without identity": ("SELECT count(*) FROM plain", "INSERT INTO plain VALUES (2, 2)"),
    "truncate without identity": ("SELECT count(*) FROM plain", "TRUNCATE plain"),
    "identity full": ("SELECT v FROM whole WHERE id = 1", "UPDATE whole SET v = 'b' WHERE id = 1"),
    "delete, identity full": ("SELECT count(*) FROM whole", "DELETE FROM whole"),
    "identity by index": ("SELECT v FROM by_index WHERE id = 1", "UPDATE by_index SET v = 2"),
    "toast": ("SELECT length(note) FROM people WHERE id = 7", "UPDATE people SET note = repeat(md5(id::text), 100000) WHERE id = 7"),
    "beside unchanged toast": ("SELECT name FROM people WHERE id = 7", "UPDATE people SET name = 'toasted' WHERE id = 7"),
    "large": ("SELECT count(*) FROM large", "INSERT INTO large SELECT i, repeat('v', 100) FROM generate_series(100, 20000) i"),
    "a megabyte in a row": ("SELECT length(v) FROM large WHERE id = 1", "UPDATE large SET v = (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 50000) i) WHERE id = 1"),
    "truncate": ("SELECT count(*) FROM large", "TRUNCATE large"),
    "schema of its own": ("SELECT count(*) FROM people", "CREATE SCHEMA later; INSERT INTO people VALUES (5000)"),
}  # fmt: skip


@pytest.mark.parametrize("sql, change", CHANGES.values(), ids=CHANGES)
def test_a_change_past_millrace_is_seen_at_once(millrace: Millrace, postgres: PostgreSQL, client: Client, sql: str, change: str) -> None:
    sees(millrace, client, sql, lambda: postgres.admin(change))


def test_every_write_past_millrace_is_told(millrace: Millrace, postgres: PostgreSQL, client: Client) -> None:
    for number in range(20):
        sql = "SELECT name FROM people WHERE id = 10"
        kept(millrace, client, sql)
        postgres.admin(f"UPDATE people SET name = 'at {number}' WHERE id = 10")
        eventually(lambda: client.one(sql) == f"at {number}")


def test_what_is_not_committed_is_not_told(millrace: Millrace, postgres: PostgreSQL, client: Client) -> None:
    """Large enough to be streamed before its end; a savepoint and the whole are rolled back."""
    sql = "SELECT count(*) FROM pets"

    def is_not_told() -> bool:
        """False: something else has made it stale meanwhile, such as a look at the catalogs."""
        before = kept(millrace, client, sql)
        transactions = stream(millrace)["transactions"]
        with connect(postgres) as writer:
            writer.ask(query("BEGIN; INSERT INTO people SELECT i FROM generate_series(100000, 120000) i"))
            writer.ask(query("SAVEPOINT s; DELETE FROM pets; ROLLBACK TO s"))
            writer.ask(query("INSERT INTO large SELECT i FROM generate_series(30000, 50000) i"))
            time.sleep(0.3)
            found = hits(millrace)
            assert client.one(sql) == before
            during = hits(millrace)
            writer.ask(query("ROLLBACK"))
        time.sleep(0.3)
        assert client.one(sql) == before
        assert stream(millrace)["transactions"] == transactions
        return (during, hits(millrace)) == (found + 1, found + 2)

    assert is_not_told() or is_not_told() or is_not_told()


def test_a_large_transaction_counts_from_its_commit_on(millrace: Millrace, postgres: PostgreSQL, client: Client) -> None:
    sql = "SELECT count(*) FROM large"
    with connect(postgres) as writer:
        before = kept(millrace, client, sql)
        writer.ask(query("BEGIN; INSERT INTO large SELECT i, repeat('w', 50) FROM generate_series(60000, 80000) i"))
        writer.ask(query("SAVEPOINT s; INSERT INTO large SELECT -i FROM generate_series(1, 5000) i; ROLLBACK TO s"))
        assert client.one(sql) == before
        writer.ask(query("COMMIT"))
        eventually(lambda: client.one(sql) != before)
    assert client.one(sql) == postgres.admin(sql)


def test_two_phase_commit(millrace: Millrace, postgres: PostgreSQL, client: Client) -> None:
    sql = "SELECT count(*) FROM people"
    with connect(postgres) as writer:
        before = kept(millrace, client, sql)
        writer.ask(query("BEGIN"))
        writer.ask(query("INSERT INTO people VALUES (7777)"))
        writer.ask(query("PREPARE TRANSACTION 'p'"))
        time.sleep(0.2)
        assert client.one(sql) == before
        writer.ask(query("COMMIT PREPARED 'p'"))
        eventually(lambda: client.one(sql) != before)


def test_updates_of_tables_without_identity_never_fail(millrace: Millrace, postgres: PostgreSQL) -> None:
    for table in ("plain", "late_key"):
        postgres.admin(f"INSERT INTO {table} VALUES (9, 9); UPDATE {table} SET v = 5 WHERE id = 9; DELETE FROM {table} WHERE id = 9")
    told = {one["table"]: one for one in stream(millrace)["unfollowed"]}
    assert told["public.plain"]["reason"] == "no replica identity"
    assert told["public.plain"]["remedy"] == "ALTER TABLE public.plain REPLICA IDENTITY FULL"
    assert "public.late_key" in told
    assert "public.people" not in told


def fails(postgres: PostgreSQL, sql: str) -> bool:
    with connect(postgres) as writer:
        return "E" in [one.kind for one in writer.ask(query(sql))]


def follows(postgres: PostgreSQL, table: str) -> bool:
    return postgres.admin(f"SELECT count(*) FROM pg_publication_tables WHERE pubname = 'millrace_changes' AND tablename = '{table}'") == "1"


def test_tables_that_come_later(millrace: Millrace, postgres: PostgreSQL, client: Client) -> None:
    postgres.admin("CREATE TABLE later_one (id int PRIMARY KEY, v int); INSERT INTO later_one VALUES (1, 1)")
    postgres.admin("CREATE TABLE parts_c PARTITION OF parts FOR VALUES IN ('c')")
    eventually(lambda: follows(postgres, "later_one") and follows(postgres, "parts_c"))
    time.sleep(1)
    sees(millrace, client, "SELECT v FROM later_one", lambda: postgres.admin("UPDATE later_one SET v = 2"))
    sees(millrace, client, "SELECT count(*) FROM parts", lambda: postgres.admin("INSERT INTO parts_c VALUES (1, 'c')"))


def test_what_changed_before_a_table_was_followed_is_seen(millrace: Millrace, postgres: PostgreSQL, client: Client) -> None:
    """A transaction that wrote to it before it was published, and ends after: none of that is told."""
    postgres.admin("CREATE TABLE unfollowed_yet (id int PRIMARY KEY, v int); INSERT INTO unfollowed_yet VALUES (1, 1)")
    with connect(postgres) as writer:
        writer.ask(query("BEGIN"))
        writer.ask(query("UPDATE unfollowed_yet SET v = 2"))
        eventually(lambda: follows(postgres, "unfollowed_yet"))
        assert kept(millrace, client, "SELECT v FROM unfollowed_yet") == "1"
        writer.ask(query("COMMIT"))
        eventually(lambda: client.one("SELECT v FROM unfollowed_yet") == "2")


def test_a_table_that_loses_its_identity_is_soon_writable(millrace: Millrace, postgres: PostgreSQL) -> None:
    postgres.admin("CREATE TABLE loses (id int CONSTRAINT loses_key PRIMARY KEY, v int)")
    eventually(lambda: follows(postgres, "loses"))
    with connect(millrace) as client:
        client.ask(query("ALTER TABLE loses DROP CONSTRAINT loses_key"))

    eventually(lambda: not fails(postgres, "UPDATE loses SET v = 1"))
    assert not follows(postgres, "loses")
    postgres.admin("ALTER TABLE loses ADD PRIMARY KEY (id)")
    eventually(lambda: follows(postgres, "loses"))


def test_a_lock_on_a_table_holds_up_nobody(millrace: Millrace, postgres: PostgreSQL, client: Client) -> None:
    """ADD TABLE would wait behind it: Millrace doesn't."""
    with connect(postgres) as holder:
        holder.ask(query("BEGIN; CREATE TABLE held (id int PRIMARY KEY)"))
        holder.ask(query("COMMIT; BEGIN; LOCK TABLE held IN SHARE UPDATE EXCLUSIVE MODE"))
        time.sleep(3)
        assert not follows(postgres, "held")
        sees(millrace, client, "SELECT name FROM people WHERE id = 20", lambda: postgres.admin("UPDATE people SET name = 'held' WHERE id = 20"))
        assert postgres.admin("SELECT count(*) FROM pg_locks WHERE NOT granted") == "0"
        holder.ask(query("COMMIT"))
    eventually(lambda: follows(postgres, "held"))


def test_a_table_that_was_changed_by_ddl_is_read_anew(millrace: Millrace, postgres: PostgreSQL, client: Client) -> None:
    postgres.admin("CREATE TABLE shape (id int PRIMARY KEY, v int); INSERT INTO shape VALUES (1, 1)")
    eventually(lambda: follows(postgres, "shape"))
    sees(millrace, client, "SELECT v FROM shape", lambda: postgres.admin("ALTER TABLE shape ALTER v TYPE text USING 'text'; UPDATE shape SET id = 2"))


def test_a_publication_that_was_dropped_is_made_again(millrace: Millrace, postgres: PostgreSQL, client: Client) -> None:
    starts = stream(millrace)["starts"]
    postgres.admin("DROP PUBLICATION millrace_changes; UPDATE people SET name = 'meanwhile' WHERE id = 21")
    eventually(lambda: is_live(millrace) and stream(millrace)["starts"] > starts)
    sees(millrace, client, "SELECT name FROM people WHERE id = 21", lambda: postgres.admin("UPDATE people SET name = 'again' WHERE id = 21"))


def test_a_connection_that_was_cut_begins_anew_and_nothing_stays(millrace: Millrace, postgres: PostgreSQL, client: Client) -> None:
    starts = stream(millrace)["starts"]
    sql = "SELECT name FROM people WHERE id = 22"
    kept(millrace, client, sql)
    postgres.admin("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots; UPDATE people SET name = 'in the gap' WHERE id = 22")
    eventually(lambda: client.one(sql) == "in the gap")
    eventually(lambda: is_live(millrace) and stream(millrace)["starts"] > starts)
    assert postgres.admin("SELECT count(*) FROM pg_replication_slots") == "1"


def test_the_log_that_the_slot_holds_is_given_back(millrace: Millrace, postgres: PostgreSQL) -> None:
    """By what isn't published, too."""
    postgres.admin("CREATE DATABASE elsewhere")
    postgres.admin("CREATE TABLE noise AS SELECT repeat('z', 1000) FROM generate_series(1, 20000)", database="elsewhere")
    postgres.admin("CHECKPOINT")
    behind = "SELECT pg_current_wal_lsn() - confirmed_flush_lsn < 100000 FROM pg_replication_slots"
    eventually(lambda: postgres.admin(behind) == "t")


def test_metrics_and_health_tell(millrace: Millrace) -> None:
    assert millrace.metric("change_stream_live", database="postgres") == 1
    assert millrace.metric("change_stream_transactions_total", database="postgres") > 10
    assert millrace.metric("change_stream_rows_total", database="postgres") > 10
    assert is_healthy(millrace)


def test_a_database_that_nobody_uses_lacks_no_stream(postgres: PostgreSQL) -> None:
    with Millrace(postgres, SETTINGS) as unused:
        assert unused.change_streams() == [] and is_healthy(unused)
    with Millrace(postgres, {**SETTINGS, "ENABLE_CHANGE_STREAM": "false"}) as without:
        assert not is_healthy(without)


def is_healthy(millrace: Millrace) -> bool:
    connection = millrace.http_connection()
    try:
        connection.request("GET", "/health")
        return json.loads(connection.getresponse().read())["services"]["cache_integration"]["available"]
    finally:
        connection.close()


def test_postgresql_restarts() -> None:
    with PostgreSQL(config=LOGICAL) as postgres:
        postgres.admin(SCHEMA)
        with Millrace(postgres, SETTINGS) as millrace:
            warm(millrace)
            postgres.restart()
            eventually(lambda: stream(millrace)["starts"] == 2 and is_live(millrace))
            with connect(millrace) as client:
                sees(millrace, client, "SELECT name FROM people WHERE id = 1", lambda: postgres.admin("UPDATE people SET name = 'x' WHERE id = 1"))


def test_nothing_stays_in_postgresql() -> None:
    left = "SELECT (SELECT count(*) FROM pg_replication_slots) || ' ' || (SELECT count(*) FROM pg_publication)"
    with PostgreSQL(config=LOGICAL) as postgres:
        postgres.admin(SCHEMA)
        with Millrace(postgres, SETTINGS) as one, Millrace(postgres, SETTINGS) as other:
            warm(one)
            warm(other)
            assert postgres.admin(left) == "2 2"
            other.stop()
            eventually(lambda: postgres.admin(left) == "1 2")
            with connect(one) as client:
                sees(one, client, "SELECT name FROM people WHERE id = 1", lambda: postgres.admin("UPDATE people SET name = 'x' WHERE id = 1"))
            one.stop()
            eventually(lambda: postgres.admin(left) == "0 0")


def test_without_logical_decoding_it_works_as_before() -> None:
    with PostgreSQL() as postgres:
        postgres.admin(SCHEMA)
        with Millrace(postgres, SETTINGS) as millrace:
            with connect(millrace) as client:
                kept(millrace, client, "SELECT name FROM people WHERE id = 1")
                eventually(lambda: stream(millrace).get("state") == "unavailable")
                assert stream(millrace)["reason"] == "wal_level is replica, not logical"
                assert stream(millrace)["remedy"].startswith("ALTER SYSTEM SET wal_level = logical")
                time.sleep(2)
                assert millrace.log.count("no change stream") == 1
                assert client.one("SELECT name FROM people WHERE id = 1") == "n1"
        assert postgres.admin("SELECT count(*) FROM pg_publication") == "0"


def test_a_role_that_is_no_superuser_is_told_what_it_lacks() -> None:
    with PostgreSQL(config=LOGICAL) as postgres:
        postgres.admin("CREATE ROLE app LOGIN; CREATE ROLE watcher LOGIN")
        postgres.admin("CREATE DATABASE plainly")
        postgres.admin("CREATE TABLE people (id int PRIMARY KEY, name text); INSERT INTO people VALUES (1, 'n1'); ALTER TABLE people OWNER TO app; GRANT SELECT ON people TO watcher", database="plainly")
        url = f"postgresql://watcher@{postgres.host}:{postgres.port}/plainly"
        with Millrace(postgres, {**SETTINGS, "DATABASE_URL": url}) as millrace, connect(millrace, user="watcher", database="plainly") as client:

            def remedy() -> str | None:
                return stream(millrace, "plainly").get("remedy")

            client.ask(query("SELECT name FROM people"))
            eventually(lambda: remedy() == "ALTER ROLE watcher REPLICATION")
            postgres.admin(str(remedy()))
            eventually(lambda: remedy() == "GRANT CREATE ON DATABASE plainly TO watcher")
            postgres.admin(str(remedy()), database="plainly")
            eventually(lambda: stream(millrace, "plainly")["state"] == "live")
            [told] = stream(millrace, "plainly")["unfollowed"]
            assert told == {"table": "public.people", "reason": "not owned", "remedy": "GRANT app TO watcher"}
            postgres.admin(told["remedy"])
            eventually(lambda: stream(millrace, "plainly")["tables_followed"] == 1)
            time.sleep(1)
            sees(millrace, client, "SELECT name FROM people", lambda: postgres.admin("UPDATE people SET name = 'x'", database="plainly"), user="watcher", database="plainly")


def test_commits_never_wait_for_millrace() -> None:
    with PostgreSQL(config=LOGICAL | {"synchronous_standby_names": "*", "synchronous_commit": "local"}) as postgres:
        postgres.admin(SCHEMA)
        with Millrace(postgres, SETTINGS) as millrace:
            with connect(millrace) as client:
                client.ask(query("SELECT name FROM people WHERE id = 1"))
            eventually(lambda: "synchronous_standby_names" in str(stream(millrace).get("reason")))
        assert postgres.admin("SELECT count(*) FROM pg_stat_replication") == "0"


def test_it_can_be_switched_off() -> None:
    with PostgreSQL(config=LOGICAL) as postgres:
        postgres.admin(SCHEMA)
        with Millrace(postgres, {**SETTINGS, "ENABLE_CHANGE_STREAM": "false"}) as millrace, connect(millrace) as client:
            kept(millrace, client, "SELECT name FROM people WHERE id = 1")
            assert millrace.change_streams() == []
            assert postgres.admin("SELECT count(*) FROM pg_publication") == "0"


KEYED = "CREATE TABLE keyed (id int CONSTRAINT keyed_key PRIMARY KEY, v int); INSERT INTO keyed VALUES (1, 1)"
LOSES_KEY = "ALTER TABLE keyed DROP CONSTRAINT keyed_key"
PUBLICATIONS = "SELECT count(*) FROM pg_publication"
SLOTS = "SELECT count(*) FROM pg_replication_slots"


@pytest.fixture
def server() -> Iterator[PostgreSQL]:
    """A PostgreSQL of the test's own, which knows one table."""
    with PostgreSQL(config=LOGICAL) as own:
        own.admin(KEYED)
        yield own


def begin_to_follow(millrace: Millrace) -> None:
    with connect(millrace) as client:
        client.ask(query("SELECT v FROM keyed"))


def test_a_table_that_loses_its_key_is_writable_while_the_stream_waits_for_its_slot(server: PostgreSQL) -> None:
    with connect(server) as writer, Millrace(server, SETTINGS) as millrace:
        writer.ask(query("BEGIN; CREATE TABLE never ()"))
        pid = writer.one("SELECT pg_backend_pid()")
        begin_to_follow(millrace)
        eventually(lambda: f"process {pid} has been writing since" in reason(millrace))
        assert stream(millrace)["state"] == "starting"
        assert follows(server, "keyed")
        server.admin(LOSES_KEY)
        assert fails(server, "UPDATE keyed SET v = 2")
        eventually(lambda: not fails(server, "UPDATE keyed SET v = 2"))
        writer.ask(query("ROLLBACK"))
        eventually(lambda: is_live(millrace))
        assert stream(millrace)["reason"] is None


def test_no_slot_stays_that_waits_when_millrace_ends(server: PostgreSQL) -> None:
    """PostgreSQL's process doesn't notice by itself that nobody waits any more."""
    with connect(server) as writer:
        with Millrace(server, SETTINGS) as millrace:
            writer.ask(query("BEGIN; CREATE TABLE never ()"))
            begin_to_follow(millrace)
            eventually(lambda: "has been writing since" in reason(millrace))
            assert server.admin(SLOTS) == "1"
            millrace.stop()
        eventually(lambda: server.admin(SLOTS) == "0")
        assert server.admin(PUBLICATIONS) == "0"


def test_a_table_that_loses_its_key_is_writable_while_there_is_no_stream(server: PostgreSQL) -> None:
    """The publications stay what they were while another needs them, and are seen to."""
    with Millrace(server, SETTINGS) as millrace:
        begin_to_follow(millrace)
        eventually(lambda: is_live(millrace))
        with connect(server) as other:  # it keeps the publications, as another Millrace does
            other.ask(query("SELECT pg_advisory_lock_shared(1298754668, 1)"))
            server.admin("ALTER SYSTEM SET synchronous_standby_names = '*'")
            server.admin("ALTER SYSTEM SET synchronous_commit = 'local'")
            server.reload()
            eventually(lambda: "synchronous_standby_names" in reason(millrace))
            assert follows(server, "keyed")
            server.admin(LOSES_KEY)
            eventually(lambda: not fails(server, "UPDATE keyed SET v = 2"))
        # Nobody else needs them any more.
        eventually(lambda: server.admin(PUBLICATIONS) == "0")


def test_publications_are_dropped_where_a_table_cannot_be_taken_out(server: PostgreSQL) -> None:
    server.admin("CREATE TABLE other (id int PRIMARY KEY)")
    with Millrace(server, SETTINGS) as millrace:
        begin_to_follow(millrace)
        eventually(lambda: is_live(millrace))
        with connect(server) as holder:
            holder.ask(query(LOSES_KEY))
            holder.ask(query("BEGIN; LOCK TABLE keyed IN SHARE UPDATE EXCLUSIVE MODE"))
            eventually(lambda: not fails(server, "UPDATE keyed SET v = 2"))
            eventually(lambda: is_live(millrace) and follows(server, "other"))
            assert not follows(server, "keyed")


def test_the_log_that_a_slot_holds_back_is_bounded(server: PostgreSQL) -> None:
    with connect(server) as writer, Millrace(server, SETTINGS | {"CHANGE_STREAM_MAX_RETAINED_MB": 4}) as millrace:
        begin_to_follow(millrace)
        eventually(lambda: is_live(millrace))
        writer.ask(query("BEGIN; UPDATE keyed SET v = 2"))
        pid = writer.one("SELECT pg_backend_pid()")
        server.admin("CREATE TABLE noise AS SELECT repeat('z', 1000) FROM generate_series(1, 8000)")
        eventually(lambda: stream(millrace)["state"] != "live")
        assert f"process {pid} has been writing since" in reason(millrace)
        writer.ask(query("COMMIT"))
        eventually(lambda: is_live(millrace) and stream(millrace)["starts"] == 2)
        eventually(lambda: stream(millrace)["settled"])
        assert millrace.metric("change_stream_retained_bytes", database="server") < 4 << 20
        assert "CHANGE_STREAM_MAX_RETAINED_MB" in millrace.log


def test_it_is_settled_when_what_ran_at_its_start_is_over(server: PostgreSQL) -> None:
    with Millrace(server, SETTINGS) as millrace:
        begin_to_follow(millrace)
        eventually(lambda: stream(millrace).get("settled"))
        with connect(server) as writer:
            writer.ask(query("BEGIN; SELECT pg_current_xact_id()"))
            server.admin("CREATE TABLE added (id int PRIMARY KEY)")
            eventually(lambda: not stream(millrace)["settled"])
            time.sleep(1)
            assert is_live(millrace) and not stream(millrace)["settled"]
            writer.ask(query("COMMIT"))
            eventually(lambda: stream(millrace)["settled"])


def test_a_stream_that_does_not_last_is_tried_less_and_less_often(server: PostgreSQL) -> None:
    with Millrace(server, SETTINGS) as millrace:
        begin_to_follow(millrace)
        eventually(lambda: is_live(millrace))
        before = stream(millrace)["starts"]
        until = time.monotonic() + 7
        while time.monotonic() < until:
            if is_live(millrace):
                server.admin("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active")
            time.sleep(0.05)
        assert stream(millrace)["starts"] - before <= 4


def test_a_migration_that_drops_a_key_and_updates(server: PostgreSQL) -> None:
    """PostgreSQL refuses it while the table is published; what docs/cache.md says to do instead."""
    migration = f"{LOSES_KEY}; UPDATE keyed SET v = v + 1; ALTER TABLE keyed ADD CONSTRAINT keyed_key PRIMARY KEY (id)"
    with Millrace(server, SETTINGS) as millrace:
        begin_to_follow(millrace)
        eventually(lambda: is_live(millrace) and follows(server, "keyed"))
        assert fails(server, migration)
        assert not fails(server, f"ALTER TABLE keyed REPLICA IDENTITY FULL; {migration}; ALTER TABLE keyed REPLICA IDENTITY DEFAULT")
        assert not fails(server, f"ALTER PUBLICATION millrace_changes DROP TABLE keyed; {migration}")
        eventually(lambda: follows(server, "keyed"))


def test_names_of_tables_are_told_only_to_who_has_a_key() -> None:
    with PostgreSQL(config=LOGICAL) as postgres:
        postgres.admin("CREATE TABLE secret (id int)")
        digest = hashlib.sha256(b"key").hexdigest()
        with Millrace(postgres, SETTINGS | {"API_KEY_HASHES": digest}) as millrace:
            with connect(millrace) as client:
                client.ask(query("SELECT id FROM secret"))
            eventually(lambda: is_live(millrace))

            def told(**headers: str) -> Any:
                connection = millrace.http_connection()
                connection.request("GET", "/api/v1/optimization/status", headers={name.replace("_", "-"): value for name, value in headers.items()})
                [one] = json.loads(connection.getresponse().read())["change_streams"]
                assert one["tables_unfollowed"] == 1
                return one["unfollowed"]

            assert told() == told(X_API_Key="other") == []
            assert [one["table"] for one in told(X_API_Key="key")] == ["public.secret"]
