"""What is answered from memory depends on the rows that it reads: it is right whatever is changed past Millrace, and stays
where other rows change.

Reads and writes at random, seeded and bounded; PostgreSQL itself says what is right. MILLRACE_WALKS makes it longer.
"""

import os
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from test_change_stream import LOGICAL, SETTINGS, hits, is_live, stream
from wire import SYNC, Client, bind, connect, eventually, execute, parse, query

from harness import Millrace, PostgreSQL

KEYS = [str(uuid.UUID(int=number * 0x1111, version=4)) for number in range(6)]
WORDS = ["a", "B", "it's", "ab ", "é", ""]
POSTGRESQL = LOGICAL
SCHEMA = """
CREATE TABLE marks (n serial PRIMARY KEY);
CREATE TABLE things (id int PRIMARY KEY, team int, name text, code varchar(20), key uuid, flag bool, big bigint);
CREATE TABLE told (id int, team int, name text, code varchar(20), key uuid, flag bool, big bigint);
ALTER TABLE told REPLICA IDENTITY FULL;
CREATE TABLE parts (id int, team int, name text, code varchar(20), key uuid, flag bool, big bigint, region int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN (0);
CREATE TABLE parts_b (region int NOT NULL, big bigint, flag bool, key uuid, gone int, code varchar(20), name text, team int, id int NOT NULL);
ALTER TABLE parts_b DROP COLUMN gone;
ALTER TABLE parts ATTACH PARTITION parts_b FOR VALUES IN (1);
ALTER TABLE parts_b REPLICA IDENTITY FULL;
CREATE TABLE odd (id int PRIMARY KEY, x int, team int);
CREATE TABLE whole (id int PRIMARY KEY, x int, team int) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF whole FOR VALUES FROM (0) TO (1000);
CREATE TABLE victim (n int);
CREATE FUNCTION evil(i int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO victim VALUES (i); RETURN i; END $$;
CREATE TABLE base (id int PRIMARY KEY, team int, name text, code varchar(20), key uuid, flag bool, big bigint);
CREATE TABLE heir (PRIMARY KEY (id), large text) INHERITS (base);
"""
COLUMNS = ["id", "team", "name", "code", "key", "flag", "big"]
TABLES = ["things", "told", "parts", "base"]
WRITTEN = ["things", "told", "parts", "base", "heir"]
READ = [*TABLES, "parts_a", "parts_b", "heir"]
OIDS = {"id": [0, 20, 21, 23], "team": [0, 20, 23], "big": [0, 20, 23], "name": [0, 25, 1043], "code": [0, 25, 1043], "key": [0, 2950], "flag": [0, 16]}
SIZES = {0: 4, 20: 8, 21: 2, 23: 4}
CASTS = {"id": "int", "team": "bigint", "big": "int", "name": "text", "code": "varchar", "key": "uuid", "flag": "boolean"}


def drawn(random: random.Random, column: str) -> str | None:
    match column:
        case "id":
            return str(random.randrange(12))
        case "name" | "code":
            return random.choice([*WORDS, None])
        case "key":
            return random.choice([*KEYS, None])
        case "flag":
            return random.choice(["t", "f", None])
        case _:
            return random.choice(["-1", "0", "1", "2", "3", "3", None])


def literal(column: str, value: str | None) -> str:
    if value is None:
        return "NULL"
    if column in ("id", "team", "big"):
        return value
    return "'" + value.replace("'", "''") + "'"


@dataclass
class Question:
    shown: str
    messages: list[bytes]

    def answer(self, client: Client) -> list[str]:
        return [str(one) for one in client.ask(*self.messages)]


class Maker:
    """Makes reads whose rows are restricted, or look like it, and says them in one of the ways of drivers."""

    def __init__(self, random: random.Random) -> None:
        self.random = random
        self.values: list[bytes | str | None] = []
        self.types: list[int] = []
        self.formats: list[int] = []

    def value(self, column: str) -> str:
        value = drawn(self.random, column)
        way = self.random.randrange(4)
        if way == 0 or not self.extended:
            spelt = literal(column, value)
            if column in ("id", "team", "big") and value is not None and self.random.random() < 0.3:
                spelt = f"' 0{value}'" if not value.startswith("-") else f"'{value}'"
            return spelt
        type_ = self.random.choice(OIDS[column])
        cast = f"::{CASTS[column]}" if way == 1 else ""
        self.types.append(type_)
        binary = value is not None and self.random.random() < 0.4
        self.formats.append(int(binary))
        self.values.append(self.binary(column, type_, bool(cast), value) if binary and value is not None else value)
        return f"${len(self.values)}{cast}"

    def binary(self, column: str, type_: int, cast: bool, value: str) -> bytes:
        if column == "key":
            return uuid.UUID(value).bytes
        if column == "flag":
            return b"\1" if value == "t" else b"\0"
        if column in ("name", "code"):
            return value.encode()
        inferred = {"int": 4, "bigint": 8}[CASTS[column]] if cast else {"id": 4, "team": 4, "big": 8}[column]
        size = SIZES[type_] if type_ else inferred
        return int(value).to_bytes(size, "big", signed=True)

    def many(self, column: str) -> str:
        if self.extended and self.random.random() < 0.4:
            values = [drawn(self.random, column) for _ in range(self.random.randrange(3))]
            self.types.append(0)
            self.formats.append(0)
            self.values.append("{" + ",".join("NULL" if v is None else '"' + v + '"' if column in ("name", "code") else v for v in values) + "}")
            return f"= ANY (${len(self.values)})"
        return f"IN ({', '.join(self.value(column) for _ in range(self.random.randrange(1, 4)))})"

    def condition(self, alias: str) -> str:
        column = self.random.choice(["id", "id", "team", *COLUMNS])
        name = f"{alias}.{column}" if alias else column
        match self.random.randrange(8):
            case 0:
                return f"{name} {self.many(column)}"
            case 1:
                return f"{name} = {self.value(column)} AND {'' if not alias else alias + '.'}flag IS NOT FALSE"
            case 2:
                return f"({name} = {self.value(column)} OR {'' if not alias else alias + '.'}team = {self.value('team')})"
            case 3:
                return f"{self.value(column)} = {name}"
            case _:
                return f"{name} = {self.value(column)}"

    def text(self) -> str:
        table, other = self.random.choice(READ), self.random.choice(READ)
        match self.random.randrange(13):
            case 0 | 1 | 2 | 3:
                return f"SELECT id, team, name, code, key, flag, big FROM {table} WHERE {self.condition('')} ORDER BY 1, 2, 3, 4, 5, 6, 7"
            case 4:
                return f"SELECT count(*), sum(big), min(name), max(code) FROM {table} WHERE {self.condition('')}"
            case 5:
                join = self.random.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
                return f"SELECT a.id, a.name, b.id, b.name FROM {table} a {join} {other} b ON a.id = b.id WHERE {self.condition('a')} AND {self.condition('b')} ORDER BY 1, 2, 3, 4"
            case 6:
                # The condition of a full join must be one that can be merged.
                join = self.random.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN"])
                return f"SELECT a.id, a.name, b.id, b.name FROM {table} a {join} {other} b ON a.id = b.id AND {self.condition('a')} AND {self.condition('b')} ORDER BY 1, 2, 3, 4"
            case 7:
                return f"SELECT a.id, a.big, b.id FROM {table} a CROSS JOIN {table} b WHERE {self.condition('a')} AND {self.condition('b')} ORDER BY 1, 2, 3"
            case 8:
                return f"WITH w AS (SELECT * FROM {table} WHERE {self.condition('')}) SELECT x.id, y.name FROM w x, w y ORDER BY 1, 2"
            case 9:
                return f"SELECT id, name FROM {table} a WHERE {self.condition('a')} AND EXISTS (SELECT 1 FROM {other} b WHERE b.id = a.id AND {self.condition('b')}) ORDER BY 1, 2"
            case 10:
                return f"SELECT id, name FROM {table} WHERE {self.condition('')} UNION ALL SELECT id, name FROM {other} WHERE {self.condition('')} ORDER BY 1, 2"
            case 11:
                return f"SELECT a.id, (SELECT max(b.big) FROM {other} b WHERE {self.condition('b')} AND b.id >= a.id) FROM {table} a WHERE {self.condition('a')} ORDER BY 1, 2"
            case _:
                return f"SELECT a.id, x.n FROM {table} a LEFT JOIN LATERAL (SELECT count(*) AS n FROM {other} b WHERE {self.condition('b')} AND b.team = a.team) x ON true WHERE {self.condition('a')} ORDER BY 1, 2"

    def question(self) -> Question:
        self.extended = self.random.random() < 0.6
        self.values, self.types, self.formats = [], [], []
        text = self.text()
        if not self.extended:
            return Question(text, [query(text)])
        return Question(f"{text} {self.values} {self.types} {self.formats}", [parse(text, types=self.types), bind(self.values, formats=self.formats), execute(), SYNC])


def write(random: random.Random) -> str:
    table = random.choice(WRITTEN)
    row = {column: literal(column, drawn(random, column)) for column in COLUMNS}
    region = str(random.randrange(2))
    where = random.choice([f"id = {row['id']}", f"id = {row['id']}", f"team = {literal('team', drawn(random, 'team'))}", f"name = {literal('name', drawn(random, 'name'))}"])
    match random.randrange(10):
        case 0 | 1 | 2:
            names, values = ", ".join(row), ", ".join(row.values())
            if table == "parts":
                names, values = names + ", region", values + ", " + region
            if table == "heir":
                names, values = names + ", large", values + ", (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 300) i)"
            return f"INSERT INTO {table} ({names}) VALUES ({values}) ON CONFLICT DO NOTHING"
        case 3 | 4 | 5:
            column = random.choice(COLUMNS[1:])
            return f"UPDATE {table} SET {column} = {row[column]} WHERE {where}"
        case 6:
            return f"UPDATE {table} SET id = id + 20 WHERE {where}; UPDATE {table} SET id = id - 20 WHERE id >= 20 AND id - 20 NOT IN (SELECT id FROM {table})"
        case 7:
            return "UPDATE parts SET region = 1 - region WHERE id = " + row["id"] + " AND NOT EXISTS (SELECT 1 FROM parts p WHERE p.id = parts.id AND p.region <> parts.region)"
        case 8:
            if random.random() < 0.1:
                # Without a word in the change stream. One of them makes other rows of it.
                return random.choice([f"ANALYZE {table}", f"ANALYZE {table}", f"ALTER TABLE {random.choice(TABLES)} ALTER big TYPE bigint USING big + 1"])
            return f"DELETE FROM {table} WHERE {where}"
        case _:
            return random.choice([f"TRUNCATE {table}", f"DELETE FROM {table} WHERE team > 1; SAVEPOINT s; DELETE FROM {table}; ROLLBACK TO s", f"UPDATE {table} SET big = big"])


class Server:
    """PostgreSQL, written to directly, and Millrace, which hears of it from the change stream."""

    def __init__(self, postgres: PostgreSQL, millrace: Millrace) -> None:
        self.millrace = millrace
        self.direct = connect(postgres)
        self.through = connect(millrace)

    def write(self, *statements: str) -> None:
        """Returns when Millrace has been told."""
        before = stream(self.millrace)["transactions"]
        for text in (f"BEGIN; {'; '.join(statements)}; INSERT INTO marks DEFAULT VALUES; COMMIT", "INSERT INTO marks DEFAULT VALUES"):
            self.direct.ask(query(text))
            self.direct.ask(query("ROLLBACK"))
        eventually(lambda: stream(self.millrace)["transactions"] >= before + 2)
        if any("ALTER" in text for text in statements):
            eventually(self.is_settled)

    def is_settled(self) -> bool:
        """The tables are told once more when all that ran before has ended; and those that were truncated or altered, when
        the catalogs have been looked at, which `strong` waits for where the read is slow enough."""
        read = query("SELECT count(*), (SELECT count(*) FROM generate_series(1, 300000)) FROM marks /* millrace: consistency=strong */")
        self.through.ask(read)
        before = hits(self.millrace)
        self.through.ask(read)
        return hits(self.millrace) > before

    def close(self) -> None:
        self.direct.close()
        self.through.close()


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL) -> Iterator[Millrace]:
    with Millrace(postgres, SETTINGS) as server:
        with connect(server) as client:
            client.ask(query("SELECT 1 FROM things WHERE id = 1"))
        eventually(lambda: is_live(server))
        yield server


@pytest.fixture
def server(postgres: PostgreSQL, millrace: Millrace) -> Iterator[Server]:
    one = Server(postgres, millrace)
    eventually(one.is_settled)
    yield one
    one.close()


@pytest.mark.parametrize("seed", range(int(os.environ.get("MILLRACE_WALKS", "3"))))
def test_what_is_answered_is_what_is_there(server: Server, seed: int) -> None:
    draws = random.Random(seed)
    server.write(*(f"TRUNCATE {table}" for table in TABLES))
    maker = Maker(draws)
    questions = [maker.question() for _ in range(60)]
    asked, answered = 0, hits(server.millrace)
    said: list[str] = []
    for step in range(120):
        text = write(draws) if step > 0 else "; ".join(write(draws) for _ in range(1))
        said.append(text)
        server.write(text)
        for question in questions:
            asked += 1
            want, got = question.answer(server.direct), question.answer(server.through)
            assert got == want, f"after {said[-5:]}: {question.shown}"
    answered = hits(server.millrace) - answered
    assert answered > asked * 0.5, f"of {asked} reads {answered} were answered from memory"


def one_by_one(server: Server, texts: list[str]) -> list[bool]:
    """Of each whether it was answered from memory."""
    found: list[bool] = []
    for text in texts:
        before = hits(server.millrace)
        server.through.ask(query(text))
        found.append(hits(server.millrace) > before)
    return found


def filled(table: str) -> list[str]:
    return [f"DELETE FROM {table}", f"INSERT INTO {table} (id, team, name, big) SELECT i, i % 10, 'n' || i, 0 FROM generate_series(0, 39) i"]


@pytest.mark.parametrize(
    "table, column, change, stale",
    [
        ("things", "id", "UPDATE things SET big = 1 WHERE id = 7", {7}),
        ("things", "id", "DELETE FROM things WHERE id = 8", {8}),
        ("things", "id", "INSERT INTO things (id) VALUES (50)", set()),
        ("things", "id", "UPDATE things SET id = 9 WHERE id = 50; UPDATE things SET id = 60 WHERE id = 9", {9}),
        ("things", "name", "INSERT INTO things (id, name) VALUES (51, 'n5')", {5}),
        ("told", "name", "UPDATE told SET big = 2 WHERE id = 7", {7}),
        ("told", "name", "UPDATE told SET name = 'n3' WHERE id = 7", {3, 7}),
        ("told", "id", "DELETE FROM told WHERE name = 'n4'", {4}),
        ("things", "id", "TRUNCATE things", set(range(40))),
        ("told", "id", "UPDATE things SET big = 3", set()),
        ("base", "id", "INSERT INTO heir (id) VALUES (7)", {7}),
    ],
)
def test_what_isnt_changed_stays(server: Server, table: str, column: str, change: str, stale: set[int]) -> None:
    server.write(*filled(table))
    values = [str(i) if column == "id" else f"'n{i}'" for i in range(40)]
    reads = [f"SELECT count(*), sum(big) FROM {table} WHERE {column} = {value}" for value in values]
    eventually(lambda: all(one_by_one(server, reads)))
    server.write(change)
    assert {i for i, hit in enumerate(one_by_one(server, reads)) if not hit} == stale


@pytest.mark.parametrize(
    "change, stale",
    [
        ("UPDATE things SET big = 2 WHERE id = 7", {7}),
        ("UPDATE things SET name = 'n3' WHERE id = 7", {3, 7}),
        ("UPDATE things SET id = 70, name = NULL WHERE id = 7", {7}),
        ("DELETE FROM things WHERE id IN (7, 8)", {7, 8}),
        ("ANALYZE things; UPDATE things SET name = 'n5' WHERE id = 7", {5, 7}),
        ("TRUNCATE things", set(range(10))),
    ],
)
def test_what_isnt_told_is_known(server: Server, change: str, stale: set[int]) -> None:
    server.write(*filled("things"))
    reads = [f"SELECT count(*), sum(big) FROM things WHERE name = 'n{i}'" for i in range(10)]

    def one_is_stale() -> bool:
        one_by_one(server, reads)
        server.write("UPDATE things SET big = big + 1 WHERE id = 9")
        return one_by_one(server, reads) == [i != 9 for i in range(10)]

    eventually(one_is_stale)  # the table has been read
    before, *changes = change.split("; ")
    if changes:  # by which the table is described anew: it is known again once it was found to be the same
        server.write(before)
        server.write("UPDATE things SET big = 0 WHERE id = 8")
        eventually(one_is_stale)
    eventually(lambda: all(one_by_one(server, reads)))
    server.write(*(changes or [before]))
    assert {i for i, hit in enumerate(one_by_one(server, reads)) if not hit} == stale


def test_other_tables_depend_on_all_rows(server: Server) -> None:
    server.write(*filled("things"))
    reads = ["SELECT count(*) FROM things", "SELECT count(*) FROM things WHERE id < 5", "SELECT count(*) FROM things WHERE id = 5"]
    eventually(lambda: all(one_by_one(server, reads)))
    server.write("UPDATE things SET big = 1 WHERE id = 30")
    assert one_by_one(server, reads) == [False, False, True]


def test_explain_says_which_rows(server: Server) -> None:
    rows = server.through.rows("EXPLAIN (MILLRACE) SELECT * FROM parts WHERE id IN (2, 1) AND name = 'x'")
    assert ["reads", "public.parts (id in 1, 2)"] in rows
    rows = server.through.rows("EXPLAIN (MILLRACE) SELECT * FROM told, things WHERE told.name = 'x'")
    assert [value for item, value in rows if item == "reads"] == ["public.things", "public.told (name = x)"]


def test_a_table_that_was_rewritten_is_read_again(server: Server) -> None:
    server.write(*filled("things"))
    reads = [f"SELECT count(*), sum(big) FROM things WHERE team = {i}" for i in range(12)]

    def one_is_stale(id: int) -> bool:
        one_by_one(server, reads)
        server.write(f"UPDATE things SET big = big + 1 WHERE id = {id}")
        return one_by_one(server, reads) == [i != id % 10 for i in range(12)]

    eventually(lambda: one_is_stale(4))
    # Every row has another team, and no change was told.
    server.write("ALTER TABLE things ALTER team TYPE int USING (team + 1) % 10")
    assert server.through.rows("SELECT count(*) FROM things WHERE team = 5") == [["4"]]
    one_by_one(server, reads)
    server.write("UPDATE things SET team = 11 WHERE id = 4")
    assert server.through.rows("SELECT count(*) FROM things WHERE team = 5") == [["3"]]
    eventually(lambda: one_is_stale(39) or server.through.rows("SELECT count(*) FROM things WHERE team = 0") == [["4"]])


@pytest.mark.parametrize(
    "table, changes",
    [
        # Without a word of the rows, which all have another team then; the file and the description stay.
        ("odd", ["ALTER TABLE odd DROP COLUMN team; ALTER TABLE odd ADD COLUMN team int DEFAULT 15"]),
        # Told otherwise for a while.
        ("odd", ["ALTER TABLE odd REPLICA IDENTITY FULL; UPDATE odd SET team = 15 WHERE id = 1; ALTER TABLE odd REPLICA IDENTITY DEFAULT; UPDATE odd SET x = 5 WHERE id = 2"]),
        # Nobody's column for a while.
        ("whole", ["ALTER TABLE whole DETACH PARTITION part", "UPDATE part SET team = 15 WHERE id = 1", "ALTER TABLE whole ATTACH PARTITION part FOR VALUES FROM (0) TO (1000)"]),
    ],
)
def test_what_was_known_is_known_no_more(server: Server, table: str, changes: list[str]) -> None:
    server.write(f"DELETE FROM {table}", f"INSERT INTO {table} (id, x, team) SELECT i, 0, i % 10 FROM generate_series(0, 39) i")
    reads = [f"SELECT id FROM {table} WHERE team = {i} ORDER BY id" for i in (1, 3, 9, 15)]

    def one_is_stale() -> bool:
        one_by_one(server, reads)
        server.write(f"UPDATE {table} SET x = x + 1 WHERE id = 39")
        return one_by_one(server, reads).count(False) <= 1

    eventually(one_is_stale)
    for change in changes:
        server.write(*change.split("; "))
    eventually(one_is_stale)
    eventually(lambda: all(one_by_one(server, reads)))
    server.write(f"UPDATE {table} SET team = 3 WHERE id = 1")
    for read in reads:
        assert server.through.ask(query(read)) == server.direct.ask(query(read))


def test_what_has_taken_a_tables_name_is_not_run(server: Server) -> None:
    """With the rights of Millrace's role."""
    server.write("DELETE FROM things", "INSERT INTO things (id, team) SELECT i, i % 10 FROM generate_series(0, 39) i")
    one_by_one(server, [f"SELECT count(*) FROM things WHERE team = {i}" for i in range(10)])
    before = stream(server.millrace)["rows_known"]
    server.write("UPDATE things SET team = 3 WHERE id = 4")
    eventually(lambda: stream(server.millrace)["rows_known"] >= max(before, 40))
    view = "SELECT i AS id, evil(i) AS team, 'hidden'::regclass::oid AS tableoid, NULL::tid AS ctid FROM generate_series(1, 3) i"
    server.direct.ask(query("TRUNCATE things; UPDATE marks SET n = n"))
    server.direct.ask(query(f"BEGIN; ALTER TABLE things RENAME TO hidden; CREATE VIEW things AS {view}; COMMIT"))
    server.write("INSERT INTO hidden (id, team) VALUES (1, 1)", "UPDATE hidden SET team = 2 WHERE id = 1")
    eventually(server.is_settled)
    assert server.direct.rows("SELECT count(*) FROM victim") == [["0"]]
    server.direct.ask(query("BEGIN; DROP VIEW things; ALTER TABLE hidden RENAME TO things; COMMIT"))
    eventually(server.is_settled)
