"""Reads and writes at random: what is answered from memory is what PostgreSQL answers.

Two databases that begin equal hear the same: one directly, the other through Millrace, which answers from memory what it
may. As all that is written there is written through Millrace, each answer must be the same, byte for byte.

By hand: random_reads.py --seed 7 --steps 400
"""

import argparse
import random
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import Millrace, PostgreSQL  # noqa: E402
from wire import SYNC, Client, bind, connect, describe, eventually, execute, parse, query  # noqa: E402

SCHEMA = """
CREATE TABLE users (id int PRIMARY KEY, name text, born date, score numeric(6,2), tags text[], at timestamptz DEFAULT '2024-01-01');
CREATE TABLE projects (id int PRIMARY KEY, owner int REFERENCES users ON DELETE CASCADE ON UPDATE CASCADE, title varchar(20), open bool);
CREATE TABLE pages (id int, project int REFERENCES projects ON DELETE SET NULL, words int, kind char(1)) ;
CREATE TABLE parts (id int, region text, amount float8) PARTITION BY LIST (region);
CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN ('a', 'b');
CREATE TABLE parts_rest PARTITION OF parts DEFAULT;
CREATE TABLE animals (id int, name text);
CREATE TABLE cats (lives int) INHERITS (animals);
CREATE TABLE counted (n int);
CREATE TABLE watched (id int, v int);
CREATE TABLE log_of_watched (id int, was int);
CREATE TABLE numbered (id int, v text);
CREATE TABLE numbers_given (last int);
INSERT INTO numbers_given VALUES (0);
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log_of_watched VALUES (NEW.id, NEW.v); RETURN NEW; END $$;
CREATE TRIGGER watch AFTER INSERT OR UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION watch();
CREATE FUNCTION bump() RETURNS int LANGUAGE sql AS 'INSERT INTO counted VALUES (1) RETURNING n';
CREATE FUNCTION next_number() RETURNS int LANGUAGE sql AS 'UPDATE numbers_given SET last = last + 1 RETURNING last';
ALTER TABLE numbered ALTER id SET DEFAULT next_number();
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE VIEW open_projects AS SELECT p.id, p.title, u.name FROM projects p LEFT JOIN users u ON u.id = p.owner WHERE p.open;
CREATE MATERIALIZED VIEW totals AS SELECT kind, count(*) AS n, sum(words) AS words FROM pages GROUP BY kind;
CREATE RULE counted_too AS ON DELETE TO animals DO ALSO INSERT INTO counted VALUES (2);
CREATE SCHEMA other;
CREATE TABLE other.users (id int, name text, born date, score numeric, tags text[], at timestamptz);
INSERT INTO other.users VALUES (1, 'of the other schema');
INSERT INTO users SELECT i, CASE i % 4 WHEN 0 THEN NULL ELSE 'n' || i % 3 END, date '2000-01-01' + i, i * 1.5, ARRAY['x', NULL, 't' || i] FROM generate_series(1, 8) i;
INSERT INTO projects SELECT i, NULLIF(i % 9, 0), 'p' || i, i % 2 = 0 FROM generate_series(1, 12) i;
INSERT INTO pages SELECT i % 7, NULLIF(i % 13, 0), i % 5, chr(97 + i % 3) FROM generate_series(1, 30) i;
INSERT INTO parts SELECT i, chr(97 + i % 4), i / 3.0 FROM generate_series(1, 10) i;
INSERT INTO animals VALUES (1, 'fish'); INSERT INTO cats VALUES (2, 'tom', 9);
INSERT INTO watched VALUES (1, 1);
"""

# With $n for what is drawn: i: a small integer or NULL, t: a short text or NULL, b: a boolean.
READS = [
    ("SELECT * FROM users WHERE id = $1", "i"),
    ("SELECT id, name, at FROM users WHERE name = $1 ORDER BY id", "t"),
    ("SELECT born, extract(month FROM born), at::text FROM users WHERE id < $1 ORDER BY id", "i"),
    ("SELECT count(*), sum(score), avg(score), max(name) FROM users WHERE id > $1", "i"),
    ("SELECT p.title, u.name FROM projects p JOIN users u ON u.id = p.owner WHERE u.id = $1 ORDER BY p.id", "i"),
    ("SELECT * FROM open_projects WHERE id <= $1 ORDER BY id", "i"),
    ("SELECT kind, n, words FROM totals ORDER BY kind", ""),
    ("SELECT region, amount FROM parts WHERE region = $1 ORDER BY id", "t"),
    ("SELECT * FROM parts_a ORDER BY id", ""),
    ("SELECT id, name FROM animals ORDER BY id, name", ""),
    ("SELECT count(*) FROM ONLY animals", ""),
    ("SELECT lives FROM cats ORDER BY 1", ""),
    ("SELECT count(*), sum(n) FROM counted", ""),
    ("SELECT v FROM watched WHERE id = $1", "i"),
    ("SELECT count(*), max(was) FROM log_of_watched", ""),
    ("SELECT count(*), max(id) FROM numbered", ""),
    ("SELECT last FROM numbers_given", ""),
    ("SELECT twice(words) FROM pages WHERE project = $1 ORDER BY 1", "i"),
    ("SELECT DISTINCT kind FROM pages WHERE words BETWEEN $1 AND $2 ORDER BY kind", "ii"),
    ("WITH w AS (SELECT project, count(*) AS n FROM pages GROUP BY project) SELECT * FROM w WHERE n > $1 ORDER BY project", "i"),
    ("SELECT id FROM users WHERE id IN (SELECT owner FROM projects WHERE open = $1) ORDER BY id", "b"),
    ("SELECT u.id, x.n FROM users u, LATERAL (SELECT count(*) AS n FROM projects p WHERE p.owner = u.id) x ORDER BY u.id", ""),
    ("SELECT id, row_number() OVER (ORDER BY score DESC, id) FROM users", ""),
    ("SELECT to_char(at, 'YYYY-MM-DD HH24:MI TZ') FROM users WHERE id = $1", "i"),
    ("SELECT tags[1], array_length(tags, 1) FROM users WHERE id = $1", "i"),
    ("SELECT $1::int + 1", "i"),
    ("SELECT name FROM users WHERE id = $1 UNION ALL SELECT title FROM projects WHERE id = $1", "i"),
    ("SELECT 1 / (id - $1) FROM users WHERE id <= 3", "i"),
    ("SELECT current_user, current_setting('search_path')", ""),
    ("SELECT id FROM other.users ORDER BY id", ""),
]
WRITES = [
    ("INSERT INTO users (id, name) VALUES ((SELECT max(id) + 1 FROM users), $1)", "t"),
    ("UPDATE users SET name = $2 WHERE id = $1", "it"),
    ("UPDATE users SET score = score + 1 WHERE name = $1", "t"),
    ("DELETE FROM users WHERE id = $1", "i"),
    ("UPDATE users SET id = id + 100 WHERE id = $1", "i"),
    ("INSERT INTO projects VALUES ((SELECT max(id) + 1 FROM projects), (SELECT min(id) FROM users), $1, true)", "t"),
    ("DELETE FROM projects WHERE id = $1", "i"),
    ("UPDATE projects SET open = NOT open WHERE id = $1", "i"),
    ("INSERT INTO pages VALUES ($1, (SELECT min(id) FROM projects), $1, 'c')", "i"),
    ("INSERT INTO parts VALUES ($1, $2, 0.5)", "it"),
    ("UPDATE parts_rest SET amount = -amount", ""),
    ("UPDATE parts SET region = 'a' WHERE id = $1", "i"),
    ("INSERT INTO cats VALUES ($1, $2, 7)", "it"),
    ("UPDATE animals SET name = $1", "t"),
    ("DELETE FROM animals WHERE id = $1", "i"),
    ("INSERT INTO watched VALUES ($1, $1)", "i"),
    ("UPDATE watched SET v = v + 1", ""),
    ("INSERT INTO numbered (v) VALUES ($1)", "t"),
    ("SELECT bump()", ""),
    ("SELECT bump() FROM users WHERE id = $1", "i"),
    ("WITH gone AS (DELETE FROM pages WHERE words = $1 RETURNING id) SELECT count(*) FROM gone", "i"),
    ("INSERT INTO users (id, name) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET name = excluded.name", "it"),
    ("INSERT INTO other.users (id, name) VALUES ($1, $2)", "it"),
    ("COPY (SELECT bump()) TO STDOUT", ""),
]
# What may change what names mean: until the catalogs have been read again, nothing is answered from memory.
DDL = [
    "DO $$ BEGIN UPDATE pages SET words = words + 1 WHERE id = 3; END $$",
    "REFRESH MATERIALIZED VIEW totals",
    "TRUNCATE counted",
    "TRUNCATE parts_a",
    "ALTER TABLE watched ADD COLUMN IF NOT EXISTS extra int DEFAULT 5",
    "ALTER TABLE watched DROP COLUMN IF EXISTS extra",
    "CREATE OR REPLACE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 3'",
    "CREATE OR REPLACE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2'",
    "CREATE OR REPLACE VIEW open_projects AS SELECT id, title, 'x'::text AS name FROM projects WHERE NOT open",
    "CREATE OR REPLACE VIEW open_projects AS SELECT p.id, p.title, u.name FROM projects p LEFT JOIN users u ON u.id = p.owner WHERE p.open",
    "DROP TABLE numbered; CREATE TABLE numbered (id int DEFAULT next_number(), v text)",
    "ALTER TABLE parts DETACH PARTITION parts_a; ALTER TABLE parts ATTACH PARTITION parts_a FOR VALUES IN ('a', 'b')",
    "ALTER TABLE users RENAME TO swapped; ALTER TABLE other.users SET SCHEMA public; ALTER TABLE swapped SET SCHEMA other; ALTER TABLE other.swapped RENAME TO users",
    "ALTER TABLE pages ENABLE ROW LEVEL SECURITY; ALTER TABLE pages DISABLE ROW LEVEL SECURITY",
    "CREATE TABLE IF NOT EXISTS other.pages (id int, project int, words int, kind char(1)); INSERT INTO other.pages VALUES (9, 1, 9, 'z')",
    "DROP TABLE IF EXISTS other.pages",
]
SETTINGS = [
    "SET search_path = other, public", "SET search_path = public", "RESET search_path", "SET TIME ZONE 'Asia/Tokyo'", "RESET timezone",
    "SET datestyle = 'German'", "RESET datestyle", "SET extra_float_digits = 0", "RESET extra_float_digits", "SET ROLE reader", "RESET ROLE",
    "SET bytea_output = 'escape'", "RESET ALL", "SET statement_timeout = 10000", "DISCARD ALL",
    "SELECT pg_advisory_unlock_all();CLOSE ALL;UNLISTEN *;RESET ALL;", "UNLISTEN *; RESET ALL", "CLOSE ALL",
]  # fmt: skip


@dataclass
class Pair:
    """A client of each database; both hear the same."""

    direct: Client
    through: Client
    prepared: set[str] = field(default_factory=set)
    status: str = "I"

    def ask(self, *messages: bytes) -> tuple[list[str], list[str]]:
        ends = sum(one[:1] in b"SQ" for one in messages)
        direct = [str(m) for m in self.direct.ask(*messages, times=ends)]
        self.status = direct[-1][-1]
        return direct, [str(m) for m in self.through.ask(*messages, times=ends)]


@dataclass
class Difference:
    step: int
    what: str
    direct: list[str]
    through: list[str]

    def __str__(self) -> str:
        return f"step {self.step}: {self.what}\n  direct:  {self.direct}\n  through: {self.through}"


class Walk:
    """A walk of steps that its seed decides."""

    def __init__(
        self, seed: int, direct: Callable[[], Client], through: Callable[[], Client], wait: Callable[[bool], None]
    ) -> None:
        self.random = random.Random(seed)
        self.wait = wait
        self.open = lambda: Pair(direct(), through())
        self.pairs = [self.open() for _ in range(3)]
        self.reads = self.random.sample(READS, 10)
        self.said: list[str] = []

    def __enter__(self) -> "Walk":
        return self

    def __exit__(self, *_: object) -> None:
        for pair in self.pairs:
            pair.direct.close()
            pair.through.close()

    def draw(self, kinds: str) -> list[str | None]:
        made: list[str | None] = []
        for kind in kinds:
            choices = {"i": ["1", "1", "2", "3", "7", None], "t": ["a", "n1", "n1", "d", None], "b": ["t", "f", None]}[kind]
            made.append(self.random.choice(choices))
        return made

    def inline(self, sql: str, values: list[str | None], kinds: str) -> str:
        for at, (value, kind) in reversed(list(enumerate(zip(values, kinds, strict=True), 1))):
            shown = "NULL" if value is None else value if kind == "i" else f"'{value}'"
            sql = sql.replace(f"${at}", shown)
        return sql

    def messages(self, pair: Pair, sql: str, kinds: str) -> list[bytes]:
        """One of the ways in which drivers say it."""
        values = self.draw(kinds)
        way = self.random.randrange(6)
        types = [{"i": 23, "t": 25, "b": 16}[kind] for kind in kinds] if self.random.random() < 0.5 or "::" not in sql else []
        if way == 0:
            return [query(self.inline(sql, values, kinds))]
        results = [self.random.randrange(2)] if sql.startswith("SELECT") and self.random.random() < 0.3 else []
        rows = self.random.choice([0, 0, 0, 1, 2, 50])
        if way == 1:
            return [parse(sql, types=types), bind(values, results=results), describe("P"), execute(rows=rows), SYNC]
        if way == 2:
            return [parse(sql, types=types), bind(values, results=results), execute(), SYNC]
        name = f"s{zlib.crc32(sql.encode())}"
        first: list[bytes] = []
        if name not in pair.prepared:
            pair.prepared.add(name)
            first = [parse(sql, name, types), describe("S", name), SYNC]
        shown = [describe("P")] if way == 4 else []
        if way == 5:
            return [*first, bind(values, statement=name), execute(), bind(self.draw(kinds), statement=name), describe("P"), execute(), SYNC]
        return [*first, bind(values, statement=name, results=results), *shown, execute(rows=rows if way == 4 else 0), SYNC]

    def step(self, number: int) -> Difference | None:
        pair = self.random.choice(self.pairs)
        kind = self.random.choices(
            ["read", "write", "transaction", "setting", "ddl", "reconnect", "deallocate"], [85, 5, 4, 1.5, 0.4, 3, 0.5]
        )[0]
        if pair.status == "E" or (pair.status == "T" and self.random.random() < 0.2):
            said = [query(self.random.choice(["COMMIT", "ROLLBACK"]))]
        elif kind == "read":
            said = self.messages(pair, *self.random.choice(self.reads))
        elif kind == "write":
            said = self.messages(pair, *self.random.choice(WRITES))
        elif kind == "transaction":
            text = self.random.choice(["BEGIN", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s", "ROLLBACK TO s", "BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN READ ONLY", "BEGIN ISOLATION LEVEL READ COMMITTED"])
            said = [query(text)] if self.random.random() < 0.6 else [parse(text), bind(), describe("P"), execute(), SYNC]
        elif kind == "setting":
            text = self.random.choice(SETTINGS)
            if text == "DISCARD ALL":
                pair.prepared.clear()
            said = [query(text)]
            if ";" not in text and text != "DISCARD ALL" and self.random.random() < 0.3:
                said = self.messages(pair, text, "")
        elif kind == "ddl":
            # Where its transaction stays open, the catalogs stay unknown.
            pair.ask(query("ROLLBACK"))
            said = [query(self.random.choice(DDL))]
        elif kind == "deallocate":
            pair.prepared.clear()
            said = [query("DEALLOCATE ALL")]
        else:
            at = self.pairs.index(pair)
            pair.direct.close()
            pair.through.close()
            self.pairs[at] = self.open()
            return None
        # A write may wait for a lock that another of these clients holds: it ends in an error, as it does directly.
        self.said.append(f"{number} [{self.pairs.index(pair)}] {said}")
        direct, through = pair.ask(*said)
        if kind == "ddl":
            self.wait(self.random.random() < 0.7)
        return None if direct == through else Difference(number, repr(said), direct, through)


def prepare(postgres: PostgreSQL) -> None:
    for database in ("direct", "cached"):
        postgres.admin(f"DROP DATABASE IF EXISTS {database}")
        postgres.admin(f"CREATE DATABASE {database}")
    postgres.admin("DO $$ BEGIN CREATE ROLE reader; EXCEPTION WHEN duplicate_object THEN END $$")
    for database in ("direct", "cached"):
        postgres.admin(SCHEMA, database=database)
        postgres.admin("GRANT SELECT ON users, projects TO reader", database=database)
        postgres.admin(f"ALTER DATABASE {database} SET lock_timeout = '50ms'")


def warm(millrace: Millrace) -> None:
    """Until the catalogs have been read."""
    def answers() -> bool:
        before = millrace.metric("statements_answered_from_memory_total")
        client.ask(query("SELECT 1"))
        client.ask(query("SELECT 1"))
        return millrace.metric("statements_answered_from_memory_total") > before

    with connect(millrace, database="cached") as client:
        eventually(answers)


def walk(postgres: PostgreSQL, millrace: Millrace, seed: int, steps: int, *, cached: bool = True) -> tuple[int, list[Difference], list[str]]:
    """How many steps were had, what differed first, and what was said."""
    direct, through = lambda: connect(postgres, database="direct"), lambda: connect(millrace, database="cached")
    if cached:
        warm(millrace)
    with Walk(seed, direct, through, lambda wanted: warm(millrace) if cached and wanted else None) as had:
        for number in range(steps):
            difference = had.step(number)
            if difference:
                return number, [difference], had.said
        return steps, [], had.said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=("session", "transaction"), default="transaction")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1, help="how many, from that on")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--uncached", action="store_true", help="nothing is answered from memory: what differs is something else's fault")
    parser.add_argument("--said", action="store_true", help="print what led to a difference")
    options = parser.parse_args()
    settings = {"POOL_MODE": options.mode, "POOL_SIZE": 6, "CACHE_CONSISTENCY_LEVEL": "session" if options.uncached else "eventual", "LOG_CONNECTIONS": "false"}
    with PostgreSQL() as postgres:
        for seed in range(options.seed, options.seed + options.seeds):
            prepare(postgres)
            with Millrace(postgres, settings) as millrace:
                had, differ, said = walk(postgres, millrace, seed, options.steps, cached=not options.uncached)
                hits = millrace.metric("statements_answered_from_memory_total")
                print(f"seed {seed}: {had} steps, {hits:.0f} answered from memory", *differ, sep="\n")
                if options.said and differ:
                    print(*said[-40:], sep="\n")


if __name__ == "__main__":
    main()
