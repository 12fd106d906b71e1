"""Statements of the wire that are rewritten, once they were tried both ways, and for as long as that is right."""

import asyncio
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
from wire import Client, bind, describe, eventually, execute, parse, query, SYNC

from harness import Millrace, PostgreSQL

# With so little memory NOT IN reads its list for each row.
POSTGRESQL = {"log_statement": "all", "max_connections": 50, "work_mem": "64kB"}
SCHEMA = (
    "CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL UNIQUE, created_at timestamp NOT NULL, note text);"
    "INSERT INTO users SELECT i, 'u' || i, timestamp '2024-01-01' + i * interval '5 minutes', repeat('x', 40)"
    " FROM generate_series(1, 150000) i;"
    "CREATE INDEX ON users (created_at);"
    "CREATE TABLE visits (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users, page text);"
    "INSERT INTO visits SELECT i, 1 + i * 7 % 150000, 'p' || i % 50 FROM generate_series(1, 60000) i;"
    "CREATE INDEX ON visits (user_id);"
    "CREATE TABLE bought (id int PRIMARY KEY, user_id int NOT NULL);"
    "INSERT INTO bought SELECT i, i * 3 FROM generate_series(1, 6000) i;"
    "CREATE ROLE ada LOGIN; GRANT SELECT ON users TO ada;"
    "ANALYZE;"
)
SETTINGS: dict[str, str | int] = {"ENABLE_TRAFFIC_REWRITING": "true", "CACHE_CONSISTENCY_LEVEL": "eventual", "CACHE_DEFAULT_TTL_SECONDS": 1, "POOL_SIZE": 8}
NO_CACHE = "/* millrace: cache=off */ "
DAY = "SELECT id, email FROM users WHERE created_at::date = '2024-01-05'"
COUNTED = "SELECT u.id FROM users u WHERE u.id < 20000 AND (SELECT count(*) FROM visits v WHERE v.user_id = u.id AND v.page = $1) > 0"
NEVER = "SELECT u.id FROM users u WHERE u.id < 400 AND u.id NOT IN (SELECT b.user_id FROM bought b WHERE b.id > $1)"

Use = Callable[[], object]
numbers = itertools.count()


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL, pool_mode: str) -> Iterator[Millrace]:
    with Millrace(postgres, {"POOL_MODE": pool_mode, **SETTINGS}) as server:
        yield server


@pytest.fixture(scope="module")
def pooled(postgres: PostgreSQL) -> Iterator[Millrace]:
    """For what the pooling mode is nothing to."""
    with Millrace(postgres, {"POOL_MODE": "transaction", **SETTINGS}) as server:
        yield server


def ledger(millrace: Millrace) -> dict[str, Any]:
    return millrace.api("GET", "optimization/rewrites")


def case(millrace: Millrace, sql: str, user: str = "postgres") -> dict[str, Any]:
    """What the ledger holds of the statement."""
    found = [one for one in ledger(millrace)["rewrites"] if one["query"] == sql and one["user"] == user]
    return found[0] if found else {"state": "none", "reason": "", "uses": 0}


def until(millrace: Millrace, sql: str, states: tuple[str, ...], use: Use, user: str = "postgres") -> dict[str, Any]:
    """Uses it until its state is one of these: as long as a busy machine may take, as one is tried after the other."""

    def is_there() -> bool:
        use()
        return case(millrace, sql, user)["state"] in states

    try:
        eventually(is_there, 150)
    except AssertionError as waited:
        waited.add_note(f"in the ledger: {ledger(millrace)}")
        raise
    return case(millrace, sql, user)


def connect(server: PostgreSQL | Millrace, **options: Any) -> psycopg.Connection[Any]:
    return psycopg.connect(server.dsn(), autocommit=True, **options)


def described(cursor: psycopg.Cursor[Any]) -> list[tuple[Any, ...]]:
    return [tuple(column) for column in cursor.description or ()]


def of_psycopg(sql: str) -> str:
    return NO_CACHE + sql.replace("$1", "%s")


def lines_with(postgres: PostgreSQL, part: str) -> int:
    return sum(part in line for line in postgres.log.splitlines())


@pytest.mark.parametrize(
    ("sql", "values", "part"),
    [
        (DAY, [], "created_at >= '2024-01-05'"),  # first by the simple protocol; psycopg prepares it after some uses
        (COUNTED, ["p7"], "EXISTS (SELECT 1 FROM visits"),
        (NEVER, [100], "NOT EXISTS"),
    ],
)
def test_what_is_slow_is_rewritten_after_some_uses(
    millrace: Millrace, postgres: PostgreSQL, sql: str, values: list[Any], part: str
) -> None:
    with connect(millrace) as client, connect(postgres) as direct:
        expected = direct.execute(of_psycopg(sql), values or None)
        rows, columns = sorted(expected.fetchall()), described(expected)

        def use() -> None:
            got = client.execute(of_psycopg(sql), values or None)
            assert described(got) == columns
            assert sorted(got.fetchall()) == rows

        def is_of_its_calls() -> bool:
            analyzed = millrace.api("POST", "optimization/analyze-query", {"query": sql})
            return str(analyzed["estimated_from"]).endswith("calls of it")

        for _ in range(3):
            use()
        eventually(is_of_its_calls, what="it to be estimated by its calls")
        said = until(millrace, sql, ("active",), use)
        assert said["rules"] and part in said["rewritten"]
        assert said["runs_compared"] >= 3 and said["mismatches"] == 0
        assert said["after_ms"] < said["before_ms"]
        sent, uses = lines_with(postgres, part), said["uses"]
        for _ in range(4):
            use()
        assert lines_with(postgres, part) >= sent + 4
        assert case(millrace, sql)["uses"] >= uses + 4
        with client.transaction():
            use()
        assert case(millrace, sql)["uses"] >= uses + 5
        explained = dict(client.execute("EXPLAIN (MILLRACE) " + of_psycopg(sql), values or None).fetchall())
        assert explained["rewrite"] == "active" and explained["rewritten"] == said["rewritten"]

    eventually(lambda: not is_of_its_calls(), what="it not to be estimated by calls that were another text's")


def test_asyncpg_has_the_same_rows_in_its_own_formats(millrace: Millrace, postgres: PostgreSQL) -> None:
    sql = COUNTED + " AND u.note = $2"

    async def main() -> None:
        direct = await asyncpg.connect(postgres.dsn())
        client = await asyncpg.connect(millrace.dsn(), statement_cache_size=0)
        rows = sorted(await direct.fetch(sql, "p9", "x" * 40))
        text = NO_CACHE + sql

        async def use() -> None:
            assert sorted(await client.fetch(text, "p9", "x" * 40)) == rows

        while case(millrace, sql)["state"] != "active":
            await use()
        uses = case(millrace, sql)["uses"]
        for _ in range(3):
            await use()
        assert case(millrace, sql)["uses"] >= uses + 3
        prepared = await client.prepare(text)  # and what is prepared once
        for _ in range(3):
            assert sorted(await prepared.fetch("p9", "x" * 40)) == rows
        assert case(millrace, sql)["uses"] >= uses + 6
        await client.close()
        await direct.close()

    asyncio.run(asyncio.wait_for(main(), 150))


def test_it_can_be_turned_off(millrace: Millrace) -> None:
    sql = DAY.replace("05", "06")
    with connect(millrace) as client:
        until(millrace, sql, ("active",), lambda: client.execute(NO_CACHE + sql, prepare=False).fetchall())
        uses = case(millrace, sql)["uses"]
        client.execute("/* millrace: cache=off, rewrite=off */ " + sql, prepare=False).fetchall()
        client.execute("SET millrace.rewrite = off")
        client.execute(NO_CACHE + sql, prepare=False).fetchall()
        assert case(millrace, sql)["uses"] == uses
        client.execute("SET millrace.rewrite = on")
        client.execute(NO_CACHE + sql, prepare=False).fetchall()
        assert case(millrace, sql)["uses"] == uses + 1
        with connect(millrace, options="-c millrace.rewrite=off") as other:
            other.execute(NO_CACHE + sql, prepare=False).fetchall()
        assert case(millrace, sql)["uses"] == uses + 1


def test_what_nothing_can_be_done_about_is_said(pooled: Millrace) -> None:
    sql = "SELECT count(DISTINCT u.note) FROM users u JOIN users w USING (id)"
    with connect(pooled) as client:
        said = until(pooled, sql, ("rejected",), lambda: client.execute(NO_CACHE + sql).fetchall())
        assert said["reason"] and said["uses"] == 0


def test_only_what_reads_committed_data_is_rewritten(millrace: Millrace) -> None:
    sql = DAY.replace("05", "07")
    with connect(millrace) as client:
        rows = client.execute(NO_CACHE + sql, prepare=False).fetchall()
        until(millrace, sql, ("active",), lambda: client.execute(NO_CACHE + sql, prepare=False).fetchall())
        uses = case(millrace, sql)["uses"]
        for begin in ("BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN; CREATE TEMP TABLE t (a int) ON COMMIT DROP"):
            client.execute(begin)
            assert client.execute(NO_CACHE + sql, prepare=False).fetchall() == rows
            client.execute("ROLLBACK")
        assert case(millrace, sql)["uses"] == uses
        assert case(millrace, sql)["state"] == "active"


@pytest.mark.parametrize("way", ["through", "past"])
def test_what_the_proof_stands_on_may_go_at_any_moment(millrace: Millrace, postgres: PostgreSQL, way: str) -> None:
    """NOT IN of what holds a NULL gives no row; what it is rewritten as, while there can't be one, would give some."""
    sql = NEVER.replace("$1", "5" if way == "past" else "6")
    stop = threading.Event()
    wrong: list[int] = []
    seen = {0: 0, 1: 0}

    def read() -> None:
        with connect(millrace) as client:
            while not stop.is_set():
                client.execute("BEGIN")
                # The same moment, as the table is locked by what has read it.
                rows = len(client.execute(NO_CACHE + sql).fetchall())
                nulls = client.execute(NO_CACHE + "SELECT count(*) FROM bought WHERE user_id IS NULL AND id > 7").fetchone()
                client.execute("COMMIT")
                assert nulls
                seen[nulls[0]] += 1
                if (rows > 0) != (nulls[0] == 0):
                    wrong.append(rows)

    with connect(millrace) as client:
        until(millrace, sql, ("active",), lambda: client.execute(NO_CACHE + sql).fetchall())
    readers = [threading.Thread(target=read, daemon=True) for _ in range(3)]
    for reader in readers:
        reader.start()
    with connect(millrace if way == "through" else postgres) as owner:
        owner.execute("SET lock_timeout = '30s'")
        for _ in range(2):
            uses = case(millrace, sql)["uses"]
            until(millrace, sql, ("active",), lambda: None)
            eventually(lambda before=uses: case(millrace, sql)["uses"] > before)
            with owner.transaction():
                owner.execute("ALTER TABLE bought ALTER user_id DROP NOT NULL")
                owner.execute("INSERT INTO bought VALUES (1000000, NULL)")
            eventually(lambda before=seen[1]: seen[1] > before + 5)
            with owner.transaction():
                owner.execute("DELETE FROM bought WHERE id = 1000000")
                owner.execute("ALTER TABLE bought ALTER user_id SET NOT NULL")
    stop.set()
    for reader in readers:
        reader.join()
    assert not wrong


def test_whoever_may_not_read_is_told_so(millrace: Millrace, postgres: PostgreSQL) -> None:
    sql = DAY.replace("05", "08")
    postgres.admin("GRANT SELECT ON users TO ada")
    with connect(millrace, user="ada") as client:
        rows = client.execute(NO_CACHE + sql, prepare=False).fetchall()
        use: Use = lambda: client.execute(NO_CACHE + sql, prepare=False).fetchall()
        until(millrace, sql, ("active",), use, user="ada")
        assert use() == rows
        assert case(millrace, sql)["state"] != "active"  # what is one user's is nobody else's
        postgres.admin("REVOKE SELECT ON users FROM ada")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            use()
        postgres.admin("GRANT SELECT ON users TO ada")
        assert use() == rows


def test_a_rewrite_reads_all_tables_of_the_original(pooled: Millrace) -> None:
    sql = "SELECT DISTINCT u.email FROM users u LEFT JOIN visits v ON v.user_id = u.id"
    with connect(pooled) as client:
        said = until(pooled, sql, ("rejected",), lambda: client.execute(NO_CACHE + sql, prepare=False).fetchall())
    assert "unused_left_join" in said["rules"] and "may not read them" in said["reason"], said


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT id FROM users WHERE created_at::date = '2025-05-11' LIMIT 3", "an order that isn't told whole"),
        ("SELECT array_agg(id) FROM users WHERE created_at::date = '2024-01-11'", "array_agg() depends on the order"),
        # Rows may be there that a foreign key forbids, and nothing would show it.
        ("SELECT count(*) FROM visits v JOIN users u ON u.id = v.user_id WHERE v.id > (SELECT min(x.id) FROM users x)", "no rule applies"),
    ],
)
def test_what_may_be_something_else_stays_as_it_is(pooled: Millrace, postgres: PostgreSQL, sql: str, why: str) -> None:
    with connect(pooled) as client:
        said = until(pooled, sql, ("rejected", "active"), lambda: client.execute(NO_CACHE + sql, prepare=False).fetchall())
    assert said["state"] == "rejected" and why in said["reason"], said


def test_what_is_hinted_stays_as_it_is(pooled: Millrace) -> None:
    sql = DAY.replace("05", "12")
    with connect(pooled) as client:
        for _ in range(20):
            client.execute(f"/*+ SeqScan(users) */ {sql}", prepare=False).fetchall()
    assert case(pooled, sql)["state"] == "none"


def test_other_catalogs_of_which_nothing_matters_to_it_need_no_runs(pooled: Millrace) -> None:
    sql = DAY.replace("05", "13")
    with connect(pooled) as client:
        use: Use = lambda: client.execute(NO_CACHE + sql, prepare=False).fetchall()
        runs = until(pooled, sql, ("active",), use)["runs_compared"]
        client.execute("CREATE TABLE nothing_to_do_with_it (id int)")
        client.execute("DROP TABLE nothing_to_do_with_it")
        eventually(lambda: (use(), "nothing has changed" in case(pooled, sql)["reason"])[1], 150)
        assert until(pooled, sql, ("active",), use)["runs_compared"] == runs


@pytest.mark.parametrize(("begin", "extended"), [("", False), ("", True), ("BEGIN", True)])
def test_a_cancel_and_a_time_out_end_it_at_once(millrace: Millrace, postgres: PostgreSQL, tags: str, begin: str, extended: bool) -> None:
    sql = f"SELECT word FROM {tags} WHERE id::text = '4242'"
    with connect(millrace) as client, connect(postgres) as other:
        until(millrace, sql, ("active",), lambda: client.execute(NO_CACHE + sql, prepare=False).fetchall())
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = %s::regclass"
        with other.transaction():
            other.execute(f"LOCK TABLE {tags} IN ACCESS EXCLUSIVE MODE")
            client.execute(begin)
            cancel = threading.Thread(target=lambda: (eventually(lambda: other.execute(waiting, [tags]).fetchone() == (1,)), client.cancel()))
            cancel.start()
            with pytest.raises(psycopg.errors.QueryCanceled):
                client.execute(NO_CACHE + sql, prepare=False, binary=extended)
            cancel.join()
            client.execute("ROLLBACK")
            client.execute("SET lock_timeout = '100ms'")
            client.execute(begin)
            with pytest.raises(psycopg.errors.LockNotAvailable):
                client.execute(NO_CACHE + sql, prepare=False, binary=extended)
            client.execute("ROLLBACK")
        assert client.execute(NO_CACHE + sql, prepare=False, binary=extended).fetchall() == [("tag4242",)]


def test_nobody_elses_operators_are_called(millrace: Millrace, postgres: PostgreSQL, tags: str) -> None:
    """By the question whether all is as it was: it is asked with the rights of whoever's statement it is."""
    sql = f"SELECT word FROM {tags} WHERE id::text = '4242'"
    with connect(millrace) as client:
        until(millrace, sql, ("active",), lambda: client.execute(NO_CACHE + sql, prepare=False).fetchall())
        postgres.admin(
            "CREATE FUNCTION trap(oid, regclass) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'called'; END$$;"
            "CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = regclass, FUNCTION = trap)"
        )
        try:
            with client.transaction():
                assert client.execute(NO_CACHE + sql, prepare=False).fetchall() == [("tag4242",)]
        finally:
            postgres.admin("DROP OPERATOR public.= (oid, regclass); DROP FUNCTION trap")


@pytest.fixture
def tags(millrace: Millrace) -> Iterator[str]:
    """A table of the test's own, that Millrace knows at once, and of which the ledger knows nothing yet."""
    name = f"tags_{next(numbers)}"
    with connect(millrace) as owner:
        owner.execute(f"CREATE TABLE {name} AS SELECT i AS id, 'tag' || i AS word FROM generate_series(1, 150000) i")
        owner.execute(f"ALTER TABLE {name} ADD PRIMARY KEY (id)")
        owner.execute(f"ANALYZE {name}")
        yield name
        owner.execute(f"DROP TABLE {name}")


@pytest.mark.parametrize("begin", ["", "BEGIN"])
def test_what_cannot_be_bound_any_more_is_sent_as_it_was(
    millrace: Millrace, postgres: PostgreSQL, tags: str, begin: str
) -> None:
    """Past Millrace, so that it isn't told."""
    sql = f"SELECT word FROM {tags} WHERE id::text = '4242'"
    with connect(millrace) as client:

        def use() -> list[Any]:
            client.execute(begin)
            try:
                return client.execute(NO_CACHE + sql, prepare=False).fetchall()
            finally:
                client.execute("COMMIT" if begin else "")

        until(millrace, sql, ("active",), use)
        uses = case(millrace, sql)["uses"]
        assert use() == [("tag4242",)]
        assert case(millrace, sql)["uses"] == uses + 1
        postgres.admin(f"ALTER TABLE {tags} ALTER id TYPE text")
        assert use() == [("tag4242",)]
        postgres.admin(f"ALTER TABLE {tags} RENAME word TO other")
        with pytest.raises(psycopg.errors.UndefinedColumn) as failure:
            use()
        assert failure.value.diag.statement_position == str((NO_CACHE + sql).index("word") + 1)
        postgres.admin(f"ALTER TABLE {tags} RENAME other TO word")
        assert use() == [("tag4242",)]


def test_what_was_prepared_before_a_column_came_is_prepared_anew(millrace: Millrace, tags: str) -> None:
    sql = f"SELECT * FROM {tags} WHERE id::text = '4242'"
    with connect(millrace) as client:

        def use() -> list[Any]:
            with client.transaction():
                return client.execute(NO_CACHE + sql, prepare=False).fetchall()

        until(millrace, sql, ("active",), use)
        uses = case(millrace, sql)["uses"]
        eventually(lambda: use() == [(4242, "tag4242")] and case(millrace, sql)["uses"] > uses + 5)
        client.execute(f"ALTER TABLE {tags} ADD more int")
        until(millrace, sql, ("active",), use)
        uses = case(millrace, sql)["uses"]
        eventually(lambda: use() == [(4242, "tag4242", None)] and case(millrace, sql)["uses"] > uses + 5)
        # Once for each proof.
        prepared = f"SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT * FROM {tags} WHERE id = %'"
        ((count,),) = client.execute(prepared, prepare=False).fetchall()
        assert 1 <= count <= 4


def test_what_is_no_value_is_an_error_as_it_was(millrace: Millrace, postgres: PostgreSQL) -> None:
    """And no reason not to use it."""
    sql = NEVER.replace("400", "399")
    told = []
    with connect(millrace) as client, Client(millrace.host, millrace.port) as through, Client(postgres.host, postgres.port) as direct:
        until(millrace, sql, ("active",), lambda: client.execute(of_psycopg(sql), [100]).fetchall())
        for raw in (direct, through):
            raw.log_in()
            asked = parse(NO_CACHE + sql, types=[0]) + bind(["x"]) + execute() + SYNC
            told.append([[str(message) for message in raw.ask(*batch)] for batch in ([query("BEGIN")], [asked], [query("ROLLBACK")], [asked])])
        assert told[1] == told[0]
        uses = case(millrace, sql)["uses"]
        client.execute(of_psycopg(sql), [100])
        assert case(millrace, sql)["uses"] == uses + 1


def test_what_may_pass_is_waited_for(pooled: Millrace, postgres: PostgreSQL) -> None:
    """There is no room for the connection that it would be tried on."""
    sql = DAY.replace("05", "10")
    with connect(pooled) as owner:  # so that Millrace knows the role at once
        owner.execute("CREATE ROLE bob LOGIN CONNECTION LIMIT 1")
        owner.execute("GRANT SELECT ON users TO bob")
    with connect(pooled, user="bob") as client:

        def is_in_the_way() -> bool:
            client.execute(NO_CACHE + sql, prepare=False).fetchall()
            said = case(pooled, sql, "bob")
            assert said["state"] in ("none", "candidate", "proving"), said
            return "53300" in said["reason"]

        try:
            eventually(is_in_the_way, 150)
        except AssertionError as waited:
            waited.add_note(f"in the ledger: {ledger(pooled)}")
            raise
        postgres.admin("ALTER ROLE bob CONNECTION LIMIT -1")
        until(pooled, sql, ("active",), lambda: client.execute(NO_CACHE + sql, prepare=False).fetchall(), user="bob")
    postgres.admin("DROP OWNED BY bob; DROP ROLE bob")


def test_the_ledger_survives_a_restart(postgres: PostgreSQL, tmp_path: Path) -> None:
    sql = DAY.replace("05", "09")
    settings = {**SETTINGS, "DATA_DIR": str(tmp_path)}
    kept = tmp_path / "rewrites.json"

    def use_of(millrace: Millrace) -> Use:
        return lambda: connect_once(millrace, sql)

    with Millrace(postgres, settings) as millrace:
        before = until(millrace, sql, ("active",), use_of(millrace))
        eventually(lambda: kept.exists() and '"active"' in kept.read_text())
        assert kept.stat().st_mode & 0o777 == 0o600
    with Millrace(postgres, settings) as millrace:
        restored = case(millrace, sql)
        assert restored["state"] == "candidate" and "restart" in restored["reason"]
        assert restored["rewritten"] == before["rewritten"]
        assert until(millrace, sql, ("active",), use_of(millrace))["runs_compared"] > before["runs_compared"]
    kept.write_text("{")
    with Millrace(postgres, settings) as millrace:
        assert ledger(millrace)["rewrites"] == []
        assert (tmp_path / "rewrites.json.unreadable").exists()


def test_constants_are_kept_from_who_may_not_see_them(postgres: PostgreSQL, tmp_path: Path) -> None:
    sql = DAY.replace("05", "14")
    with Millrace(postgres, {**SETTINGS, "DATA_DIR": str(tmp_path), "ENABLE_QUERY_PARAMETER_CAPTURE": "false"}) as millrace:
        shown = "SELECT id, email FROM users WHERE created_at::date = ?"
        said = until(millrace, shown, ("active",), lambda: connect_once(millrace, sql))
        assert "2024" not in json.dumps(ledger(millrace)) and "created_at >= ?" in said["rewritten"]
    assert not (tmp_path / "rewrites.json").exists()


def connect_once(millrace: Millrace, sql: str) -> list[Any]:
    with connect(millrace) as client:
        return client.execute(NO_CACHE + sql, prepare=False).fetchall()


def test_without_the_switch_nothing_is_looked_at(postgres: PostgreSQL) -> None:
    with Millrace(postgres, {**SETTINGS, "ENABLE_AUTOMATIC_QUERY_REWRITING": "false"}) as millrace:
        for _ in range(6):
            connect_once(millrace, DAY)
        assert ledger(millrace) == {
            "enabled": False, "rewrites": [], "uses": 0, "guards_failed": 0, "proofs": 0, "mismatches": 0, "demotions": 0,
        }  # fmt: skip


def test_message_by_message_it_is_as_without(millrace: Millrace, postgres: PostgreSQL) -> None:
    """Named and unnamed statements, formats, rows at a time, several in a batch, an open transaction."""
    sql = COUNTED + " ORDER BY u.id"
    text = NO_CACHE + sql
    batches = [
        query(NO_CACHE + DAY + " ORDER BY id"),
        parse(text, types=[0]) + bind(["p7"]) + describe("P") + execute() + SYNC,
        parse(text, "one", types=[0]) + describe("S", "one") + SYNC,
        bind(["p7"], statement="one", results=[1]) + describe("P") + execute(rows=5) + execute() + SYNC,
        bind(["p8"], statement="one") + execute() + bind(["p9"], statement="one") + execute() + SYNC,
        bind(["p8"], statement="one", portal="named") + execute("named") + SYNC,
        query("BEGIN"),
        bind(["p7"], statement="one") + describe("P") + execute(rows=3) + SYNC,
        execute() + SYNC,
        query(NO_CACHE + DAY + " ORDER BY id"),
        bind(["p7", "x"], statement="one") + execute() + SYNC,
        query("SELECT 1"),
        query("ROLLBACK"),
        bind(["p7"], statement="one") + execute() + SYNC,
    ]
    with connect(millrace) as client:
        until(millrace, sql, ("active",), lambda: client.execute(of_psycopg(sql), ["p7"]).fetchall())
        until(millrace, DAY + " ORDER BY id", ("active",), lambda: connect_once(millrace, DAY + " ORDER BY id"))
    uses = ledger(millrace)["uses"]
    answers = []
    for server in (postgres, millrace):
        with Client(server.host, server.port) as raw:
            raw.log_in()
            answers.append([])
            for batch in batches:
                answers[-1].append([str(message) for message in raw.ask(batch)])
    assert answers[1] == answers[0]
    assert ledger(millrace)["uses"] >= uses + 8
