"""EXPLAIN (MILLRACE): what would become of a statement, and why; answered by Millrace, in each protocol."""

import asyncio
import re
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import psycopg2
import pytest
from wire import FLUSH, SYNC, Client, Message, bind, close, connect, describe, eventually, execute, parse, query

from harness import Millrace, PostgreSQL

EXPLAIN = "EXPLAIN (MILLRACE) "
READ = "SELECT name FROM things WHERE id = 1"
TEXT = 25
SETTINGS = {"CACHE_DEFAULT_TTL_SECONDS": 100}
TABLES = (
    "CREATE TABLE things (id int PRIMARY KEY, name text); INSERT INTO things SELECT i, 'n' || i FROM generate_series(1, 20) i;"
    "CREATE TABLE logs (id int, at timestamptz) PARTITION BY RANGE (id); CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM (0) TO (9);"
    "CREATE TABLE hidden (id int); ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;"
)


@pytest.fixture
def client(millrace: Millrace, client: Client) -> Client:
    eventually(lambda: facts(client, "SELECT 1")["decision"] != ["bypass"], what="the catalogs to be read")
    return client


def by_item(rows: list[list[str | None]]) -> dict[str, list[str | None]]:
    found: dict[str, list[str | None]] = defaultdict(list)
    for item, value in rows:
        assert item
        found[item].append(value)
    return found


def facts(client: Client, sql: str) -> dict[str, list[str | None]]:
    return by_item(client.rows(EXPLAIN + sql))


def facts_of(answer: list[Message]) -> dict[str, list[str | None]]:
    return by_item([[value and value.decode() for value in one.row] for one in answer if one.kind == "D"])


def kinds(answer: list[Message]) -> str:
    """Each kind once where several follow each other."""
    found = ""
    for one in answer:
        found += "" if found.endswith(one.kind) else one.kind
    return found


def errors(answer: list[Message]) -> list[str]:
    return [one.sqlstate for one in answer if one.kind == "E"]


def test_what_would_be_kept_is_kept_and_then_there(millrace: Millrace, client: Client) -> None:
    sql = "SELECT name FROM things WHERE id = 2"
    said = facts(client, sql)
    assert said["decision"] == ["miss"]
    assert said["reads"] == ["public.things (id = 2)"]
    assert said["ttl"] == ["100.0 s"]
    assert said["level"] == ["L1 (memory)"]
    assert said["key database"] == ["cached"]
    assert said["key user"] == ["postgres"]
    assert said["key text"] == [sql]
    assert said["key search path"] == ["public"]
    assert said["consistency"] == ["eventual"]
    assert "why not" not in said and "kept" not in said
    before = millrace.metric("statements_answered_from_memory_total")
    assert facts(client, sql)["decision"] == ["miss"], "asking keeps nothing"
    client.ask(query(sql))
    said = facts(client, sql)
    assert said["decision"] == ["hit"]
    assert said["kept"] == ["fresh"]
    assert said["kept rows"] == ["1"]
    assert float(said["kept age"][0].split()[0]) < 60 and 40 < float(said["kept for"][0].split()[0]) <= 100
    assert millrace.metric("statements_answered_from_memory_total") == before, "asking is no hit"
    client.ask(query(sql))
    assert millrace.metric("statements_answered_from_memory_total") == before + 1, "the truth was told"
    client.ask(query("UPDATE things SET name = name WHERE id = 2"))
    said = facts(client, sql)
    assert said["decision"] == ["miss"]
    assert said["kept"] == ["stale: what it was computed from may have changed"]


def test_comments_count(millrace: Millrace, client: Client) -> None:
    said = facts(client, f"/* millrace: ttl=7, tags='a,b' */ {READ}")
    assert (said["decision"], said["ttl"], said["tag"]) == (["miss"], ["7.0 s"], ["a", "b"])
    said = facts(client, f"{READ} /* millrace: cache=off */")
    assert (said["decision"], said["reason"]) == (["bypass"], ["cache_off"])
    said = facts(client, f"{READ} /*millrace_consistency='strong'*/")
    assert (said["decision"], said["reason"]) == (["bypass"], ["consistency"])


WHY_NOT = {
    "SELECT now()": ("stable_function", "calls now(), which is stable"),
    "SELECT random()": ("volatile_function", "calls random(), which is volatile"),
    "SELECT current_date": ("current_date", "holds CURRENT_DATE"),
    "SELECT * FROM hidden": ("row_security", "reads public.hidden, which is under row security"),
    "SELECT * FROM pg_class": ("system_catalog", "reads pg_class, a system catalog"),
    "SELECT 'now'::timestamptz": ("constant_of_time", "has a constant or parameter that may stand for the time, such as 'now'"),
    "SELECT * FROM nowhere": ("unknown_relation", "the name nowhere isn't known"),
    "SELECT name FROM things FOR UPDATE": ("for_update", "holds FOR UPDATE"),
    "DELETE FROM things": ("not_a_select", "isn't one SELECT"),
    "SELECT nextval('s')": ("writes", "calls a function that writes or locks"),
    "CREATE TABLE made AS SELECT 1": ("not_a_select", "isn't one SELECT"),
}  # fmt: skip


@pytest.mark.parametrize("sql", WHY_NOT)
def test_why_not(millrace: Millrace, client: Client, sql: str) -> None:
    said = facts(client, sql)
    assert said["decision"] == ["bypass"]
    assert (said["reason"], said["why not"]) == ([WHY_NOT[sql][0]], [WHY_NOT[sql][1]])
    assert client.one("SELECT count(*) FROM things") == "20", "nothing of it has run"
    assert client.one("SELECT to_regclass('made')") is None


def test_reads_what_lies_below(client: Client) -> None:
    assert facts(client, "SELECT id FROM logs")["reads"] == ["public.logs", "public.logs_1"]


def test_what_the_session_has_set(client: Client) -> None:
    client.ask(query("SET datestyle = 'German'"))
    assert facts(client, READ)["key settings"] == ["SET datestyle = 'German'"]
    client.ask(query("SET search_path = other, public"))
    assert facts(client, READ)["key search path"] == ["public"], "there is no schema of the other name"
    client.ask(query("SET default_transaction_isolation = serializable"))
    assert facts(client, READ)["reason"] == ["settings"]


def test_a_session_that_keeps_its_connection(client: Client) -> None:
    client.ask(query("LISTEN news"))
    assert facts(client, READ)["reason"] == []
    client.ask(query("PREPARE mine AS SELECT 1"))
    said = facts(client, READ)
    assert (said["reason"], said["why not"]) == (["pinned"], ["the session keeps its server connection: prepared statement"])
    assert said["reads"] == ["public.things (id = 1)"]


def test_in_transactions(client: Client) -> None:
    client.ask(query("BEGIN"))
    answer = client.ask(query(EXPLAIN + READ))
    assert (kinds(answer), answer[-1].body) == ("TDCZ", b"T")
    assert facts_of(answer)["decision"] != ["bypass"]
    client.ask(query("UPDATE things SET name = name WHERE id = 3"))
    answer = client.ask(query(EXPLAIN + READ))
    assert (facts_of(answer)["reason"], answer[-1].body) == (["transaction"], b"T")
    assert errors(client.ask(query("SELECT 1 / 0"))) == ["22012"]
    answer = client.ask(query(EXPLAIN + READ))
    assert (errors(answer), answer[-1].body) == (["25P02"], b"E")
    answer = client.ask(query("ROLLBACK"))
    assert answer[-1].body == b"I"
    answer = client.ask(query(EXPLAIN + READ))
    assert (facts_of(answer)["decision"] != ["bypass"], answer[-1].body) == (True, b"I")


def test_behind_what_is_under_way(client: Client) -> None:
    client.send(query("BEGIN"), query("SELECT pg_sleep(0.2)"), query(EXPLAIN + READ), query("COMMIT"), query(EXPLAIN + READ))
    answer = client.until("Z", 5)
    assert kinds(answer) == "CZTDCZTDCZCZTDCZ"
    assert [one.body for one in answer if one.kind == "Z"] == [b"T", b"T", b"T", b"I", b"I"]
    client.send(query("BEGIN"), query("SELECT 1 / 0"), query(EXPLAIN + READ), query("ROLLBACK"))
    answer = client.until("Z", 4)
    assert errors(answer) == ["22012", "25P02"]


@pytest.mark.parametrize(
    ("sql", "sqlstate"),
    [
        ("EXPLAIN (MILLRACE, ANALYZE) DELETE FROM things", "42601"),
        ("EXPLAIN (ANALYZE, MILLRACE) DELETE FROM things", "42601"),
        ("EXPLAIN (MILLRACE on) SELECT 1", "42601"),
        ("EXPLAIN (MILLRACE) SELECT 1; SELECT 2", "42601"),
        ("EXPLAIN (MILLRACE) SELEC 1", "42601"),
        ("EXPLAIN (MILLRACE)", "42601"),
    ],
)
def test_all_else_is_for_postgresql(client: Client, sql: str, sqlstate: str) -> None:
    assert errors(client.ask(query(sql))) == [sqlstate]
    assert errors(client.ask(parse(sql), bind(), describe("P"), execute(), SYNC)) == [sqlstate]
    assert client.one("SELECT count(*) FROM things") == "20"


def test_extended(client: Client) -> None:
    sql = "SELECT name FROM things WHERE id = $1"
    batch = [bind(["4"]), describe("P"), execute(), SYNC]
    said = facts_of(client.ask(parse(EXPLAIN + sql), *batch))
    assert said["decision"] == ["miss"]
    assert said["key protocol"] == ["extended"]
    assert said["key parameters"] == ["'4'"]
    client.ask(parse(sql), *batch)
    answer = client.ask(parse(EXPLAIN + sql), *batch)
    assert kinds(answer) == "12TDCZ"
    assert facts_of(answer)["decision"] == ["hit"]
    assert facts_of(client.ask(parse(EXPLAIN + sql), bind(["5"]), describe("P"), execute(), SYNC))["decision"] == ["miss"]
    answer = client.ask(parse(EXPLAIN + sql), bind(["4"], results=[1]), describe("P"), execute(), SYNC)
    assert facts_of(answer)["decision"] == ["miss"], "rows of another format"
    assert facts_of(answer)["key formats of results"] == ["binary"]
    answer = client.ask(parse(EXPLAIN + sql, types=[23]), bind([b"\0\0\0\4"], formats=[1]), describe("P"), execute(), SYNC)
    assert (facts_of(answer)["key parameters"], facts_of(answer)["key parameter types"]) == (["\\x00000004"], ["23"])


def test_a_prepared_one(client: Client) -> None:
    sql = "SELECT name FROM things WHERE id = $1"
    client.send(parse(EXPLAIN + sql, "e"), describe("S", "e"), FLUSH)
    described = client.until("T")
    assert kinds(described) == "1tT"
    assert described[1].body == b"\0\1\0\0\0\x19", "what PostgreSQL hasn't said yet is text"
    for number in ("6", "7", "8"):
        answer = client.ask(bind([number], statement="e"), execute(), SYNC)
        assert (kinds(answer), facts_of(answer)["key parameters"]) == ("2DCZ", [f"'{number}'"])
    client.ask(parse(sql, "s"), describe("S", "s"), SYNC)
    client.ask(parse(EXPLAIN + sql), SYNC)
    assert b"\0\1\0\0\0\x17" in [one.body for one in client.ask(describe("S", "e"), SYNC)], "what it has said is known"
    assert kinds(client.ask(close("S", "e"), SYNC)) == "3Z"
    assert errors(client.ask(bind(["6"], statement="e"), execute(), SYNC)) == ["26000"]


def test_a_part_of_the_rows(client: Client) -> None:
    whole = [one for one in client.ask(parse(EXPLAIN + READ), bind(), execute(), SYNC) if one.kind == "D"]
    answer = client.ask(parse(EXPLAIN + READ), bind(), execute(rows=2), execute(rows=100), SYNC)
    assert kinds(answer) == "12DsDCZ"
    assert [one for one in answer if one.kind == "D"] == whole


def test_extended_behind_what_is_under_way(client: Client) -> None:
    explain = [parse(EXPLAIN + READ), bind(), execute(), SYNC]
    client.send(query("BEGIN"), parse("SELECT pg_sleep(0.2)"), bind(), execute(), SYNC, *explain, query("COMMIT"), *explain)
    answer = client.until("Z", 5)
    assert [one.body for one in answer if one.kind == "Z"] == [b"T", b"T", b"T", b"I", b"I"]
    assert kinds(answer).count("12DCZ") == 3
    client.send(query("BEGIN"), parse("SELECT 1 / 0"), bind(), execute(), SYNC, *explain, query("ROLLBACK"))
    assert errors(client.until("Z", 4)) == ["22012", "25P02"]


def test_among_others_it_is_for_postgresql(client: Client) -> None:
    """What the server has begun to read up to Sync, it reads up to there."""
    answer = client.ask(parse("SELECT 1"), bind(), execute(), parse(EXPLAIN + READ), bind(), execute(), SYNC)
    assert errors(answer) == ["42601"]
    assert client.one("SELECT 1") == "1"


def test_in_pieces(client: Client) -> None:
    client.one_byte_at_a_time = True
    assert facts(client, READ)["key text"] == [READ]
    assert kinds(client.ask(parse(EXPLAIN + READ), bind(), describe("P"), execute(), SYNC)) == "12TDCZ"


def test_a_long_text(client: Client) -> None:
    sql = f"SELECT name FROM things WHERE name <> '{'x' * 100_000}'"
    assert facts(client, sql)["key text"] == [sql]
    answer = client.ask(parse(EXPLAIN + sql), bind(), describe("P"), execute(), SYNC)
    assert facts_of(answer)["key text"] == [sql]


def test_it_is_recorded(millrace: Millrace, client: Client) -> None:
    before = millrace.metric("queries_total", kind="explain")
    facts(client, READ)
    client.ask(parse(EXPLAIN + READ), bind(), execute(), SYNC)
    assert millrace.metric("queries_total", kind="explain") == before + 2


def test_what_was_refused_is_counted_by_its_reason(millrace: Millrace, client: Client) -> None:
    def counted(reason: str) -> float:
        return millrace.metric("cache_refusals_total", reason=reason)

    def ask_and_wait(reason: str, *messages: bytes) -> None:
        before = counted(reason)
        client.ask(*messages)
        eventually(lambda: counted(reason) > before, what=f"{reason} to be counted")
        time.sleep(0.6)  # a core's counts are taken twice a second
        assert counted(reason) == before + 1

    ask_and_wait("stable_function", query("SELECT now()"))
    ask_and_wait("volatile_function", parse("SELECT random()"), bind(), describe("P"), execute(), SYNC)
    client.ask(query("PREPARE mine AS SELECT 1"))
    ask_and_wait("pinned", query(READ))
    assert millrace.api("GET", "cache/statistics")["refusals"]["pinned"] >= 1


def test_every_reason_is_documented() -> None:
    root = Path(__file__).resolve().parents[2]
    codes: set[str] = set()
    for name in ("cacheability.cpp", "judgements.cpp", "pipeline.cpp", "explanation.cpp"):
        source = (root / "src/pipeline" / name).read_text()
        found = re.findall(r'(?:refuse\(|count_refusal\(|\.code = )"([a-z_]+)"|"([a-z]+_function)"', source)
        codes |= {one or other for one, other in found}
    codes |= set(re.findall(r'"([a-z]+_[a-z_]+|pinned|settings|isolation|transaction)"', (root / "src/gateway/hindrance.cpp").read_text()))
    codes |= set(re.findall(r'\{"([a-z_]+)",', (root / "src/pipeline/refusal.cpp").read_text()))
    assert {"not_asked", "volatile_function", "search_path", "too_large", "constant_of_time", "pinned"} <= codes
    documented = set(re.findall(r"`([a-z_]+)`", (root / "docs/cache.md").read_text()))
    assert codes <= documented, codes - documented


def test_over_rest(millrace: Millrace, client: Client) -> None:
    def analyzed(status: int = 200, **asked: str) -> dict[str, Any]:
        return millrace.api("POST", "optimization/analyze-query", asked, status)

    said = analyzed(query="SELECT * FROM things JOIN logs USING (id)", database="cached")
    assert said["tables_accessed"] == ["public.logs", "public.things"]
    assert said["complexity"] == "moderate"
    assert said["cache"]["cacheable"] is True
    assert said["cache"]["dependency_tables"] == ["public.things", "public.logs", "public.logs_1"]
    assert said["cache"]["ttl_seconds"] == 100
    assert said["estimated_cost"] > 0
    said = analyzed(query="SELECT now()", database="cached")["cache"]
    assert (said["cacheable"], said["reason"], said["why_not"]) == (False, "stable_function", "calls now(), which is stable")
    assert analyzed(query="SELECT 1")["cache"]["cacheable"] is True, "DATABASE_URL's catalogs are waited for"
    assert analyzed(query="SELECT 1", database="nowhere")["cache"]["reason"] == "catalog_unknown"
    assert analyzed(422, query="SELEC")["detail"][0]["loc"] == ["body", "query"]


def test_psycopg2(millrace: Millrace) -> None:
    with psycopg2.connect(millrace.dsn(database="cached")) as connection, connection.cursor() as cursor:
        cursor.execute(EXPLAIN + "SELECT name FROM things WHERE id = %s", (9,))
        assert [column.name for column in cursor.description] == ["item", "value"]
        assert dict(cursor.fetchall())["decision"] == "miss"
    connection.close()


def test_psycopg3(millrace: Millrace) -> None:
    with psycopg.connect(millrace.dsn(database="cached")) as connection:
        for _ in range(8):  # from the sixth on it is prepared
            rows = dict(connection.execute(EXPLAIN + "SELECT name FROM things WHERE id = %s", (10,)).fetchall())
            assert (rows["decision"], rows["key protocol"]) == ("miss", "extended")
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_asyncpg(millrace: Millrace) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(millrace.dsn(database="cached"))
        try:
            sql = "SELECT name FROM things WHERE id = $1"
            await connection.fetch(sql, 11)
            assert dict(await connection.fetch(EXPLAIN + sql, 11))["decision"] == "hit"
            assert dict(await connection.fetch(EXPLAIN + sql, 12))["decision"] == "miss"
            assert dict(await connection.fetch(EXPLAIN + "SELECT now()"))["reason"] == "stable_function"
            assert tuple(await connection.fetchrow(EXPLAIN + "SELECT now()")) == ("decision", "bypass")
            async with connection.transaction():
                assert tuple(await connection.fetchrow(EXPLAIN + "SELECT now()")) == ("decision", "bypass")
                assert await connection.fetchval("SELECT 1") == 1
        finally:
            await connection.close()

    asyncio.run(run())


def test_who_has_not_asked_hears_how(postgres: PostgreSQL, tables: None, pool_mode: str) -> None:
    with Millrace(postgres, {"POOL_MODE": pool_mode}) as millrace:
        with connect(millrace, database="cached") as client:
            said = facts(client, READ)
            assert (said["decision"], said["reason"][0]) == (["bypass"], "no_stream")
            assert "millrace.consistency=eventual" in (said["what helps"][0] or "")
            answer = client.ask(parse(EXPLAIN + READ, "e"), bind(statement="e"), describe("P"), execute(), SYNC)
            assert (kinds(answer), facts_of(answer)["reason"][0]) == ("12TDCZ", "no_stream")
            assert kinds(client.ask(bind(statement="e"), execute(), SYNC)) == "2DCZ"
            if pool_mode == "transaction":
                asking = f"{READ} /* millrace: consistency=eventual */"
                eventually(lambda: facts(client, asking)["decision"] == ["miss"])
                client.ask(query("SET millrace.consistency = eventual"))
                eventually(lambda: facts(client, READ)["decision"] == ["miss"])
        with connect(millrace, database="cached", options="-c millrace.consistency=eventual") as client:
            eventually(lambda: facts(client, READ)["decision"] == ["miss"])


def test_without_a_cache(postgres: PostgreSQL, tables: None, pool_mode: str) -> None:
    with Millrace(postgres, {"POOL_MODE": pool_mode, "ENABLE_MULTI_LEVEL_CACHING": "false"}) as millrace:
        with connect(millrace, database="cached") as client:
            said = facts(client, READ)
            assert (said["decision"], said["reason"]) == (["bypass"], ["no_cache"])
            answer = client.ask(parse(EXPLAIN + READ), bind(), describe("P"), execute(), SYNC)
            assert facts_of(answer)["reason"] == ["no_cache"]


@pytest.mark.parametrize("number", [65536, 5_000_000, 2147483647])
def test_more_parameters_than_there_can_be_are_the_servers_to_refuse(millrace: Millrace, client: Client, number: int) -> None:
    answer = client.ask(parse(f"{EXPLAIN}SELECT ${number}"), describe("S"), SYNC)
    assert [one[:2] for one in errors(answer)] == ["42"]
    assert kinds(client.ask(parse(f"{EXPLAIN}SELECT $3"), describe("S"), SYNC)) == "1tTZ"


def test_a_batch_of_very_many_is_the_servers_to_refuse(client: Client) -> None:
    text = f"{EXPLAIN}SELECT '{'x' * 2000}'"
    few, many = (client.ask(parse(text), *[bind(), execute()] * count, SYNC) for count in (8, 9))
    assert errors(few) == []
    assert errors(many) == ["42601"]
