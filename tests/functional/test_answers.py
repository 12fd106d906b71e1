"""What is answered from memory: by which messages, for whom, and what makes it ask the server again."""

import time

import pytest
from random_reads import warm
from wire import FLUSH, SYNC, Client, Message, bind, close, connect, describe, eventually, execute, parse, query

from harness import Millrace, PostgreSQL

SETTINGS: dict[str, str | int] = {"POOL_SIZE": 4, "AUTH_TYPE": "trust"}
TABLES = (
    "CREATE TABLE people (id int PRIMARY KEY, name text); INSERT INTO people SELECT i, 'n' || i FROM generate_series(1, 50) i;"
    "CREATE TABLE wide (v text); INSERT INTO wide SELECT repeat('x', 1000) FROM generate_series(1, 6000);"
    "CREATE SCHEMA other; GRANT USAGE ON SCHEMA other TO public; CREATE TABLE other.people AS SELECT 1 AS id, 'of the other'::text AS name;"
    "CREATE TABLE secret (id int, owner text); INSERT INTO secret VALUES (1, 'ada'), (2, 'bob');"
    "ALTER TABLE secret ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON secret USING (owner = current_user);"
    "CREATE ROLE ada LOGIN PASSWORD 'a'; CREATE ROLE bob LOGIN PASSWORD 'b'; GRANT SELECT ON people, secret TO ada;"
)
SQL = "SELECT id, name FROM people WHERE id = $1"


def hits(millrace: Millrace) -> float:
    return millrace.metric("statements_answered_from_memory_total")


def is_answered(millrace: Millrace, client: Client, *messages: bytes, tries: int = 30) -> bool:
    """The second time; and it is the same answer. What was done to the catalogs before, past Millrace, may be noticed in
    between: so it is tried again."""
    for _ in range(tries):
        first = client.ask(*messages)
        before = hits(millrace)
        assert [str(one) for one in client.ask(*messages)] == [str(one) for one in first]
        if hits(millrace) > before:
            return True
        time.sleep(0.1)
    return False


BATCHES = {
    "simple": [query("SELECT id, name FROM people WHERE id = 1")],
    "unnamed": [parse(SQL), bind(["2"]), describe("P"), execute(), SYNC],
    "without Describe": [parse(SQL), bind(["3"]), execute(), SYNC],
    "binary results": [parse(SQL, types=[23]), bind([b"\0\0\0\4"], formats=[1], results=[1]), describe("P"), execute(), SYNC],
    "one format a column": [parse(SQL), bind(["5"], results=[0, 1]), describe("P"), execute(), SYNC],
    "no rows": [query("SELECT name FROM people WHERE id = -1")],
    "a NULL": [parse(SQL), bind([None]), describe("P"), execute(), SYNC],
    "fewer rows than asked for": [parse(SQL), bind(["6"]), describe("P"), execute(rows=50), SYNC],
    "only the first row": [parse(SQL), bind(["10"]), execute(rows=1), SYNC],
    "only the first rows": [parse("SELECT id FROM people ORDER BY id"), bind(), describe("P"), execute(rows=3), SYNC],
    "the first of no rows": [parse(SQL), bind(["-2"]), describe("P"), execute(rows=1), SYNC],
    "two in a batch": [parse(SQL), bind(["7"]), describe("P"), execute(), bind(["8"]), execute(), SYNC],
}  # fmt: skip


@pytest.mark.parametrize("messages", BATCHES.values(), ids=BATCHES)
def test_the_second_time_is_answered_from_memory(millrace: Millrace, client: Client, messages: list[bytes]) -> None:
    assert is_answered(millrace, client, *messages)


def test_a_prepared_statement(millrace: Millrace, client: Client, postgres: PostgreSQL) -> None:
    for one in (client, connect(millrace, database="cached")):
        one.ask(parse(SQL, "s"), describe("S", "s"), SYNC)
        one.ask(bind(["9"], statement="s"), execute(), SYNC)
        assert is_answered(millrace, one, bind(["9"], statement="s"), execute(), SYNC)
        one.ask(close("S", "s"), SYNC)


def test_a_prepared_statement_is_answered_what_an_unnamed_one_was(millrace: Millrace, client: Client) -> None:
    sql = "SELECT id, name, 'of both' AS whose FROM people WHERE id = $1"
    with connect(millrace, database="cached") as other:
        other.ask(parse(sql, "s"), describe("S", "s"), SYNC)
        expected = client.ask(parse(sql), bind(["9"]), describe("P"), execute(), SYNC)
        before = hits(millrace)
        answer = other.ask(bind(["9"], statement="s"), describe("P"), execute(), SYNC)
        assert [str(one) for one in answer] == [str(one) for one in expected[1:]]
        assert hits(millrace) == before + 1


def test_a_portal_is_executed_again(millrace: Millrace, client: Client, postgres: PostgreSQL) -> None:
    """It has no more rows."""
    batch = [parse(SQL), bind(["11"]), execute(), SYNC]
    client.ask(*batch)
    before = hits(millrace)
    with connect(postgres, database="cached") as direct:
        for messages in ([query("BEGIN")], batch, [execute(), SYNC], [execute(), execute(rows=1), SYNC], [query("COMMIT")], [execute(), SYNC]):
            assert [str(one) for one in client.ask(*messages)] == [str(one) for one in direct.ask(*messages)]
    assert hits(millrace) == before + 4


def test_a_table_that_isnt_known_yet(millrace: Millrace, client: Client, postgres: PostgreSQL, pool_mode: str) -> None:
    """The session recovers when it is."""
    table = f"new_with_{pool_mode}"
    postgres.admin(f"CREATE TABLE {table} AS SELECT 1 AS id", database="cached")
    assert client.one(f"SELECT id FROM {table}") == "1"
    assert "unknown_relation" in [row[1] for row in client.rows(f"EXPLAIN (MILLRACE) SELECT id FROM {table}")]
    eventually(lambda: is_answered(millrace, client, query(f"SELECT id FROM {table}")), what="an answer from memory")


def test_preparing_what_is_known(millrace: Millrace, client: Client) -> None:
    """As asyncpg says it: Parse, Describe and Flush, then the rest."""
    sql = "SELECT name FROM people WHERE id = $1"
    for _ in range(3):
        client.send(parse(sql, "p"), describe("S", "p"), FLUSH)
        described = client.until("T")
        assert [one.kind for one in described] == ["1", "t", "T"]
        answer = client.ask(bind(["1"], statement="p"), execute(), SYNC)
        assert [one.row for one in answer if one.kind == "D"] == [[b"n1"]]
        client.ask(close("S", "p"), SYNC)


def test_many_names_for_what_is_known(millrace: Millrace, client: Client) -> None:
    for number in range(200):
        answer = client.ask(parse(SQL, f"n{number}"), describe("S", f"n{number}"), SYNC)
        assert [one.kind for one in answer] == ["1", "t", "T", "Z"]


def test_a_batch_that_comes_in_pieces(millrace: Millrace, client: Client) -> None:
    batch = [parse(SQL), bind(["12"]), describe("P"), execute(), SYNC]
    expected = [str(one) for one in client.ask(*batch)]
    whole = b"".join(batch)
    for cut in range(1, len(whole)):
        client.send(whole[:cut])
        time.sleep(0.002)
        client.send(whole[cut:])
        assert [str(one) for one in client.until("Z")] == expected
        assert client.one(f"SELECT {'1' * (1 + cut % 9)} -- {'x' * (cut % 60)}") == "1" * (1 + cut % 9)


def test_columns_that_have_changed_since_they_were_told(millrace: Millrace, client: Client) -> None:
    client.ask(query("DROP TABLE IF EXISTS shape"))
    client.ask(query("CREATE TABLE shape AS SELECT 1 AS v"))
    warm(millrace)
    sql = "SELECT v FROM shape"
    client.ask(parse(sql, "shape"), describe("S", "shape"), SYNC)
    with connect(millrace, database="cached") as other:
        other.ask(query("ALTER TABLE shape ALTER v TYPE text"))
        warm(millrace)
        for _ in range(2):
            other.ask(parse(sql), bind(results=[1]), execute(), SYNC)
    answer = client.ask(bind(statement="shape", results=[1]), execute(), SYNC)
    assert [one.sqlstate for one in answer if one.kind == "E"] == ["0A000"]


def test_who_describes_twice_spoils_nothing(millrace: Millrace, client: Client) -> None:
    client.ask(parse(SQL), bind(["13"]), describe("P"), describe("P"), execute(), SYNC)
    for _ in range(3):
        assert [one.kind for one in client.ask(parse(SQL), bind(["13"]), describe("P"), execute(), SYNC)] == list("12TDCZ")


def test_a_portal_that_was_answered_here_is_not_the_servers(millrace: Millrace, client: Client) -> None:
    read = [parse(SQL), bind(["14"]), describe("P"), execute(), SYNC]
    client.ask(*read)
    client.ask(query("BEGIN"))
    client.ask(parse("SELECT 'another'"), bind(), execute(rows=1), SYNC)
    client.ask(*read)
    answer = client.ask(describe("P"), execute(rows=2), SYNC)
    assert [one.kind for one in answer if one.kind in "TD"] == []
    client.ask(query("ROLLBACK"))


def test_many_answers_at_once_are_taken_by_and_by(millrace: Millrace, client: Client) -> None:
    sql = "SELECT name, repeat('x', 20000) FROM people WHERE id < 4"
    one = len(client.ask(query(sql)))
    client.send(*[query(sql)] * 300)
    time.sleep(0.5)
    assert len(client.until("Z", 300)) == 300 * one


def test_the_first_rows_of_what_is_known_whole(millrace: Millrace, client: Client, postgres: PostgreSQL) -> None:
    sql = "SELECT id, name FROM people WHERE id < 6 ORDER BY id"
    assert is_answered(millrace, client, parse(sql), bind(), describe("P"), execute(), SYNC)
    before = hits(millrace)
    with connect(postgres, database="cached") as direct:
        for rows in (1, 2, 5, 6):
            first = [parse(sql), bind(), describe("P"), execute(rows=rows), SYNC]
            assert [str(one) for one in client.ask(*first)] == [str(one) for one in direct.ask(*first)]
    assert hits(millrace) == before + 4


def test_a_portal_that_stops_in_a_transaction_goes_on(millrace: Millrace, client: Client, postgres: PostgreSQL) -> None:
    sql = "SELECT id, name FROM people WHERE id > 40 ORDER BY id"
    with connect(postgres, database="cached") as direct:
        for _ in range(3):
            for batch in (
                [parse("BEGIN"), bind(), execute(), SYNC],
                [parse(sql), bind(), describe("P"), execute(rows=4), SYNC],
                [execute(rows=4), SYNC],
                [execute(), SYNC],
                [query("COMMIT")],
            ):
                assert [str(one) for one in client.ask(*batch)] == [str(one) for one in direct.ask(*batch)]


@pytest.mark.parametrize("begin", ["BEGIN", "BEGIN ISOLATION LEVEL READ COMMITTED", "START TRANSACTION READ ONLY"])
@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_a_transaction_of_an_orm_needs_no_server(millrace: Millrace, client: Client, extended: bool, begin: str) -> None:
    def say(sql: str) -> list[str]:
        return [str(one) for one in client.ask(*([parse(sql), bind(), describe("P"), execute(), SYNC] if extended else [query(sql)]))]

    read = f"SELECT name FROM people WHERE id = {11 + extended}"
    heard = [[say(begin), say(read), say("COMMIT")] for _ in range(3)]
    assert heard[0] == heard[1] == heard[2]
    with connect(millrace, database="cached") as another:
        before = hits(millrace)
        client, another = another, client
        assert [say(begin), say(read), say("COMMIT")] == heard[0]
        assert hits(millrace) == before + 1
        client, another = another, client


def test_a_transaction_that_was_to_read_only_does_so(client: Client) -> None:
    client.ask(query("BEGIN READ ONLY"))
    client.ask(query("SELECT name FROM people WHERE id = 19"))
    assert client.ask_or_error("UPDATE people SET name = 'x' WHERE id = 19").sqlstate == "25006"
    client.ask(query("ROLLBACK"))


RESET = "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;"  # as asyncpg's pool says it


def test_resetting_what_is_as_it_began_needs_no_server(millrace: Millrace, client: Client, postgres: PostgreSQL, pool_mode: str) -> None:
    with connect(postgres, database="cached") as direct:
        expected = [str(one) for one in direct.ask(query(RESET))]
    said = [[str(one) for one in client.ask(query(RESET))] for _ in range(3)]
    assert said == [expected] * 3
    before = hits(millrace)
    client.ask(query(RESET))
    assert hits(millrace) == before + (pool_mode == "transaction")

    zone = client.one("SHOW timezone")
    client.ask(query("SET TIME ZONE 'Asia/Tokyo'"))
    client.ask(query(RESET))
    assert client.one("SHOW timezone") == zone
    client.ask(query("SELECT pg_advisory_lock(77)"))
    client.ask(query(RESET))
    assert client.one("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "0"
    client.ask(query("BEGIN"))
    assert client.ask(query(RESET))[-1].body == b"T"
    client.ask(query("ROLLBACK"))


@pytest.mark.parametrize("text", ["RESET ALL", "UNLISTEN *; RESET ALL", "CLOSE ALL"])
def test_what_undoes_alone_is_answered_too(millrace: Millrace, client: Client, pool_mode: str, text: str) -> None:
    assert is_answered(millrace, client, query(text)) == (pool_mode == "transaction")


def test_a_reset_that_was_prepared_is_executed(client: Client) -> None:
    client.ask(parse("RESET ALL", "undo"), SYNC)
    for number in range(4):
        client.ask(query(f"SET app.tenant = 'ada{number}'"))
        client.ask(bind(statement="undo"), execute(), SYNC)
        assert client.one("SELECT current_setting('app.tenant', true)") == ""


def test_a_portal_that_is_closed_by_name_must_be_there(millrace: Millrace, client: Client) -> None:
    text = "SELECT pg_advisory_unlock_all(); CLOSE foo"
    for _ in range(2):
        client.ask(query("BEGIN"))
        client.ask(parse("SELECT 1"), bind(portal="foo"), SYNC)
        assert "E" not in [one.kind for one in client.ask(query(text))]
        client.ask(query("COMMIT"))
    with connect(millrace, database="cached") as another:
        assert another.ask_or_error(text).sqlstate == "34000"


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
@pytest.mark.parametrize(
    ("begin", "late"),
    [("BEGIN READ ONLY", "SET TRANSACTION READ WRITE"), ("BEGIN", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")],
)
def test_what_must_come_before_the_first_read_is_refused_after_it(client: Client, begin: str, late: str, extended: bool) -> None:
    def say(sql: str) -> list[Message]:
        return client.ask(*([parse(sql), bind(), execute(), SYNC] if extended else [query(sql)]))

    for _ in range(3):
        say(begin)
        say("SELECT name FROM people WHERE id = 18")
        assert [one.sqlstate for one in say(late) if one.kind == "E"] == ["25001"]
        say("ROLLBACK")
        say(begin)
        assert "E" not in [one.kind for one in say(late)]
        say("ROLLBACK")


def test_own_and_others_writes_through_millrace_are_seen(millrace: Millrace, client: Client) -> None:
    read = query("SELECT name FROM people WHERE id = 20")
    for writer in (client, connect(millrace, database="cached")):
        assert is_answered(millrace, client, read)
        writer.ask(query(f"UPDATE people SET name = name || 'x{id(writer)}' WHERE id = 20"))
        assert f"x{id(writer)}" in str(client.ask(read))


def test_what_is_not_committed_is_for_nobody_else(millrace: Millrace, client: Client) -> None:
    read = query("SELECT name FROM people WHERE id = 21")
    with connect(millrace, database="cached") as writer:
        before = str(client.ask(read))
        writer.ask(query("BEGIN"))
        writer.ask(query("UPDATE people SET name = 'never' WHERE id = 21"))
        assert "never" in str(writer.ask(read))
        assert str(client.ask(read)) == before
        writer.ask(query("ROLLBACK"))
        assert str(client.ask(read)) == before == str(writer.ask(read))


def test_what_is_written_past_millrace_is_seen_when_its_time_has_come(postgres: PostgreSQL, tables: None, pool_mode: str) -> None:
    settings = {"POOL_MODE": pool_mode, "CACHE_CONSISTENCY_LEVEL": "eventual", "CACHE_DEFAULT_TTL_SECONDS": 1, "AUTH_TYPE": "trust"}
    with Millrace(postgres, settings) as millrace:
        warm(millrace)
        with connect(millrace, database="cached") as client:
            read = query("SELECT name FROM people WHERE id = 22")
            assert is_answered(millrace, client, read)
            postgres.admin("UPDATE people SET name = 'behind' WHERE id = 22", database="cached")
            eventually(lambda: "behind" in str(client.ask(read)))


def test_a_comment_says_for_how_long_and_whether(millrace: Millrace, client: Client) -> None:
    def read(number: int, comment: str) -> bytes:
        return query(f"SELECT name FROM people WHERE id = {number} /* {comment} */")

    assert is_answered(millrace, client, read(40, "traceparent 1"))
    before = hits(millrace)
    client.ask(read(40, "another trace"), times=1)
    assert hits(millrace) == before + 1, "a comment makes no other statement of it"
    assert not is_answered(millrace, client, read(40, "millrace: cache=off"), tries=3)
    assert not is_answered(millrace, client, read(40, "millrace: consistency=strong"), tries=3)
    client.ask(read(41, "millrace: ttl=1, tags='a,b'"))
    client.ask(query("SELECT pg_sleep(1.2)"))
    before = hits(millrace)
    client.ask(read(41, ""))
    assert hits(millrace) == before


def invalidate(millrace: Millrace, scope: str, *patterns: str) -> dict:
    return millrace.api("POST", "cache/invalidate", {"scope": scope, "patterns": patterns})


@pytest.mark.parametrize(
    ("scope", "pattern", "goes"),
    [("table_based", "people", True), ("table_based", "wide", False), ("tag_based", "reports", True), ("tag_based", "others", False), ("global", None, True)],
)
def test_what_is_invalidated_over_rest_is_asked_for_again(
    millrace: Millrace, client: Client, postgres: PostgreSQL, scope: str, pattern: str | None, goes: bool
) -> None:
    warm(millrace)
    read = query("SELECT name FROM people WHERE id = 44 /* millrace: tags='reports' */")
    assert is_answered(millrace, client, read)
    answer = invalidate(millrace, scope, *([pattern] if pattern else []))
    assert (answer["estimated_impact"] > 0) == goes
    before = hits(millrace)
    client.ask(read)
    assert (hits(millrace) == before) == goes


def test_a_comment_asks_for_it_alone(postgres: PostgreSQL, tables: None) -> None:
    with Millrace(postgres, {"POOL_MODE": "transaction", "AUTH_TYPE": "trust"}) as millrace, connect(millrace, database="cached") as client:
        wanted = "SELECT name FROM people WHERE id = 42 /* millrace: consistency=eventual */"
        eventually(lambda: is_answered(millrace, client, query(wanted)))
        assert is_answered(millrace, client, parse(wanted), bind(), describe("P"), execute(), SYNC)
        assert not is_answered(millrace, client, query("SELECT name FROM people WHERE id = 43"), tries=3)


def test_each_session_gets_its_own(millrace: Millrace, client: Client) -> None:
    read = query("SELECT name, '2024-01-02'::date, '2024-01-02'::timestamptz FROM people WHERE id = 1")
    usual = [str(one) for one in client.ask(read)]
    assert is_answered(millrace, client, read)
    for setting in ("datestyle = 'German'", "TIME ZONE 'Asia/Tokyo'", "search_path = other"):
        with connect(millrace, database="cached") as other:
            other.ask(query(f"SET {setting}"))
            assert [str(one) for one in other.ask(read)] != usual, setting
    assert [str(one) for one in client.ask(read)] == usual


@pytest.mark.parametrize("path", ["other, public", "'other', \"public\"", "OTHER"])
def test_a_search_path_decides_which_table(millrace: Millrace, client: Client, path: str) -> None:
    warm(millrace)
    read = query("SELECT name FROM people WHERE id = 1")
    with connect(millrace, database="cached") as other:
        other.ask(query(f"SET search_path = {path}"))
        assert is_answered(millrace, other, read)
        assert "of the other" in str(other.ask(read))
        client.ask(query("UPDATE other.people SET name = name || '!'"))
        assert "!" in str(other.ask(read))
        assert is_answered(millrace, other, read)
        client.ask(query("UPDATE public.people SET name = name WHERE id = 9"))


@pytest.mark.parametrize("level", ["eventual", "'eventual'"])
def test_a_session_asks_for_it(postgres: PostgreSQL, tables: None, level: str) -> None:
    with Millrace(postgres, {"POOL_MODE": "transaction", "AUTH_TYPE": "trust"}) as millrace, connect(millrace, database="cached") as client:
        client.ask(query(f"SET millrace.consistency = {level}"))
        eventually(lambda: is_answered(millrace, client, query("SELECT 1")))
        client.ask(query("SET millrace.consistency = strong"))
        assert not is_answered(millrace, client, query("SELECT 1"), tries=3)


def test_a_role_reads_what_it_may(millrace: Millrace, client: Client) -> None:
    read, secret = query("SELECT name FROM people WHERE id = 2"), query("SELECT id FROM secret ORDER BY id")
    client.ask(read)
    client.ask(secret)
    with connect(millrace, user="ada", database="cached") as ada, connect(millrace, user="bob", database="cached") as bob:
        with connect(millrace, user="ada", database="cached") as another:  # what a policy calls may do anything
            assert not is_answered(millrace, another, secret, tries=3), "row security isn't answered from memory"
            assert [one.row for one in another.ask(secret) if one.kind == "D"] == [[b"1"]]
        assert is_answered(millrace, ada, read)
        assert [one.sqlstate for one in bob.ask(read) if one.kind == "E"] == ["42501"]
        assert [one.sqlstate for one in bob.ask(read) if one.kind == "E"] == ["42501"]


NEVER = [
    "SELECT now()", "SELECT random()", "SELECT * FROM pg_class LIMIT 1", "SELECT count(*) FROM pg_stat_activity", "SELECT 'now'::timestamptz",
    "SELECT nextval('n')", "SELECT name FROM people WHERE id = 1 FOR UPDATE", "SELECT current_date", "SHOW timezone",
    "SELECT * FROM people TABLESAMPLE system (50)", "SELECT pg_backend_pid()", "SELECT v FROM wide",
]  # fmt: skip


@pytest.mark.parametrize("sql", NEVER)
def test_what_is_never_answered_from_memory(millrace: Millrace, client: Client, sql: str) -> None:
    for _ in range(2):
        before = hits(millrace)
        client.ask(query(sql))
        assert hits(millrace) == before


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_what_was_not_for_it_is_counted(millrace: Millrace, client: Client, extended: bool) -> None:
    before = millrace.metric("statements_not_for_memory_total")
    client.ask(*([parse("SELECT now()"), bind(), describe("P"), execute(), SYNC] if extended else [query("SELECT now()")]))
    assert millrace.metric("statements_not_for_memory_total") == before + 1


def test_repeatable_reads_are_the_servers(millrace: Millrace, client: Client) -> None:
    read = query("SELECT name FROM people WHERE id = 30")
    client.ask(read)
    with connect(millrace, database="cached") as writer:
        client.ask(query("BEGIN ISOLATION LEVEL REPEATABLE READ"))
        before = str(client.ask(read))
        writer.ask(query("UPDATE people SET name = 'later' WHERE id = 30"))
        assert "later" in str(writer.ask(read))
        assert str(client.ask(read)) == before
        client.ask(query("COMMIT"))
        assert "later" in str(client.ask(read))


def test_a_client_that_does_not_want_it_is_not_answered(postgres: PostgreSQL, tables: None, pool_mode: str) -> None:
    with Millrace(postgres, {"POOL_MODE": pool_mode, "AUTH_TYPE": "trust"}) as millrace:
        with connect(millrace, database="cached") as plain:
            for _ in range(3):
                plain.ask(query("SELECT name FROM people WHERE id = 1"))
        assert hits(millrace) == 0
        with connect(millrace, database="cached", options="-c millrace.consistency=eventual") as wants:
            eventually(lambda: is_answered(millrace, wants, query("SELECT 1")))


def test_a_table_dropped_and_made_again(millrace: Millrace, client: Client) -> None:
    client.ask(query("CREATE TABLE again AS SELECT 1 AS v"))
    warm(millrace)
    assert is_answered(millrace, client, query("SELECT v FROM again"))
    client.ask(query("DROP TABLE again"))
    assert [one.sqlstate for one in client.ask(query("SELECT v FROM again")) if one.kind == "E"] == ["42P01"]
    client.ask(query("CREATE TABLE again AS SELECT 'two' AS v"))
    assert [one.row for one in client.ask(query("SELECT v FROM again")) if one.kind == "D"] == [[b"two"]]


def test_a_temporary_table_hides_the_other(millrace: Millrace, client: Client) -> None:
    read = query("SELECT name FROM people WHERE id = 3")
    warm(millrace)
    assert is_answered(millrace, client, read)
    with connect(millrace, database="cached") as hiding:
        hiding.ask(query("CREATE TEMP TABLE people (id int, name text)"))
        assert [one for one in hiding.ask(read) if one.kind == "D"] == []
