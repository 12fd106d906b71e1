"""Whatever can be rewritten is, while PostgreSQL's catalogs change past Millrace: and each answer is PostgreSQL's own.

MILLRACE_REWRITE_ROUNDS: all changes in both pooling modes, so often, by hand; MILLRACE_REWRITE_SEED: other statements and data.
"""

import json
import os
import random
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from rewrites import CASES, SCHEMA, RandomStatements, Rows, read_cases
from wire import SYNC, Message, bind, connect, describe, eventually, execute, parse, query

from harness import PostgreSQL
from harness.ports import free_port

NO_CACHE = "/* millrace: cache=off */ "
ROUNDS = int(os.environ.get("MILLRACE_REWRITE_ROUNDS", "0"))
SEED = int(os.environ.get("MILLRACE_REWRITE_SEED", "7"))
MOST_AT_ONCE = 12
MODES = ["transaction", "session"]
# What of the cases' schema would keep most statements from being rewritten on the wire: types of users.
PLAIN = {"feeling mood": "feeling text", "dimensions pair NOT NULL DEFAULT ROW(NULL, NULL)": "dimensions text", "stars positive": "stars int"}


class Probe:
    """rewriting_probe before the server."""

    host = "127.0.0.1"

    def __init__(self, postgres: PostgreSQL, pool_mode: str) -> None:
        settings: dict[str, str | int] = {
            "DATABASE_URL": postgres.dsn(), "AUTH_TYPE": "trust", "POOL_MODE": pool_mode, "LISTEN_HOST": self.host, "LISTEN_PORT": free_port(),
            "ENABLE_TRAFFIC_REWRITING": "true", "CACHE_CONSISTENCY_LEVEL": "eventual", "LOG_LEVEL": "warn",
        }  # fmt: skip
        self._process = subprocess.Popen(
            [os.environ["REWRITING_PROBE"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **{f"MILLRACE_{name}": str(value) for name, value in settings.items()}},
        )  # fmt: skip
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())

    def ledger(self) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        assert self._process.wait(timeout=60) == 0


@dataclass(frozen=True)
class Asked:
    sql: str
    values: tuple[str, ...] = ()

    @property
    def ordered(self) -> bool:
        return "ORDER BY" in self.sql.rsplit(")", 1)[-1]


class WithParameters(RandomStatements):
    """Some of their small integers are parameters."""

    _CONDITIONS = [one for one in RandomStatements.CONDITIONS if not re.search(r"'\{small\}|\{small\}\.", one)]

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.CONDITIONS = self._CONDITIONS
        self.given: list[str] = []

    def values(self, c: str) -> dict[str, str]:
        drawn = super().values(c)
        if self.random.random() < 0.7 and len(self.given) < 3:
            self.given.append(drawn["small"])
            drawn["small"] = f"${len(self.given)}"
        return drawn

    def asked(self) -> Asked:
        self.given = []
        sql = self.statement()
        used = tuple(value for number, value in enumerate(self.given, 1) if f"${number}" in sql)
        return Asked(sql, used if len(used) == len(self.given) else ())


@dataclass(frozen=True)
class Change:
    """What is done past Millrace, to what statements that read it stand on, and undone."""

    of: str  # a pattern of the statements
    do: str
    undo: str


# Each makes what was right before wrong, or what could be bound before not to be.
CHANGES = {
    "a NULL where there was none": Change(
        r"NOT IN|<> ALL", "ALTER TABLE blocked ALTER customer_id DROP NOT NULL; INSERT INTO blocked VALUES (NULL, 'x', NULL)",
        "DELETE FROM blocked WHERE customer_id IS NULL; ALTER TABLE blocked ALTER customer_id SET NOT NULL"),
    "a NULL in what is grouped by": Change(
        r"email", "ALTER TABLE customers ALTER email DROP NOT NULL; UPDATE customers SET email = NULL",
        "UPDATE customers SET email = id::text; ALTER TABLE customers ALTER email SET NOT NULL"),
    "a key that isn't one any more": Change(
        r"DISTINCT|orders o JOIN|IN \(SELECT", "ALTER TABLE orders DROP CONSTRAINT orders_pkey CASCADE; INSERT INTO orders SELECT * FROM orders",
        "DELETE FROM orders o USING orders p WHERE o.id = p.id AND o.ctid > p.ctid; ALTER TABLE orders ADD PRIMARY KEY (id);"
        "ALTER TABLE items ADD FOREIGN KEY (order_id) REFERENCES orders"),
    "an index that isn't there any more": Change(
        r"customers|DISTINCT", "ALTER TABLE customers DROP CONSTRAINT customers_email_key; UPDATE customers SET email = 'same'",
        "UPDATE customers SET email = id::text; ALTER TABLE customers ADD UNIQUE (email)"),
    "a reference to nothing": Change(
        r"JOIN customers", "ALTER TABLE orders DROP CONSTRAINT orders_customer_id_fkey; UPDATE orders SET customer_id = 999",
        "DELETE FROM items; DELETE FROM orders; ALTER TABLE orders ADD FOREIGN KEY (customer_id) REFERENCES customers"),
    "another table of its name": Change(
        r"customers", "ALTER TABLE customers RENAME TO customers_away; CREATE TABLE customers AS SELECT * FROM customers_away UNION ALL SELECT * FROM customers_away",
        "DROP TABLE customers; ALTER TABLE customers_away RENAME TO customers"),
    "a table in a schema that comes first": Change(
        r"orders|blocked", "CREATE SCHEMA postgres; CREATE TABLE postgres.orders AS SELECT * FROM orders UNION ALL SELECT * FROM orders;"
        "CREATE TABLE postgres.blocked AS SELECT * FROM blocked; INSERT INTO postgres.blocked VALUES (NULL, 'x', NULL)",
        "DROP SCHEMA postgres CASCADE"),
    "a function that fits better": Change(
        r"to_char\(|count\(\w+\.note\)", "CREATE FUNCTION to_char(date, text) RETURNS text IMMUTABLE LANGUAGE sql AS $$SELECT '2026-01-31'$$;"
        "CREATE FUNCTION ten_more(bigint, text) RETURNS bigint IMMUTABLE LANGUAGE sql AS 'SELECT $1 + 10';"
        "CREATE AGGREGATE count(text) (SFUNC = ten_more, STYPE = bigint, INITCOND = 7)",
        "DROP AGGREGATE count(text); DROP FUNCTION ten_more, to_char(date, text)"),
    "an operator that fits better": Change(
        r"\d\.0\b|::numeric", "CREATE FUNCTION always(int, numeric) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true';"
        "CREATE OPERATOR = (LEFTARG = int, RIGHTARG = numeric, FUNCTION = always)",
        "DROP OPERATOR = (int, numeric); DROP FUNCTION always"),
    "a cast that does otherwise": Change(
        r"id::text", "CREATE FUNCTION as_text(int) RETURNS text IMMUTABLE LANGUAGE sql AS $$SELECT '5'$$; CREATE CAST (int AS text) WITH FUNCTION as_text",
        "DROP CAST (int AS text); DROP FUNCTION as_text"),
    "columns of other types": Change(
        r"rank|loose_customer_id", "ALTER TABLE customers ALTER rank TYPE text; ALTER TABLE orders ALTER loose_customer_id TYPE numeric",
        "ALTER TABLE customers ALTER rank DROP DEFAULT; ALTER TABLE customers ALTER rank TYPE bigint USING 0, ALTER rank SET DEFAULT 0;"
        "ALTER TABLE orders ALTER loose_customer_id TYPE int"),
    "a column more": Change(
        r"\* FROM", "ALTER TABLE orders ADD more int DEFAULT 1; ALTER TABLE customers ADD more int DEFAULT 1",
        "ALTER TABLE orders DROP more; ALTER TABLE customers DROP more"),
    "a table that inherits": Change(
        r"blocked", "CREATE TABLE blocked_more () INHERITS (blocked); ALTER TABLE blocked_more ALTER customer_id DROP NOT NULL;"
        "INSERT INTO blocked_more VALUES (NULL, 'x', NULL)",
        "DROP TABLE blocked_more"),
}  # fmt: skip


def statements(seed: int) -> list[Asked]:
    cases = [case for path in sorted(CASES.glob("*.cases")) for case in read_cases(path.stem) if case.fires and not case.options]
    plain, given = RandomStatements(seed), WithParameters(seed)
    asked = [Asked(case.sql, ("2", "3", "5")[: len(set(re.findall(r"\$\d", case.sql)))]) for case in cases]
    asked += [Asked(plain.statement()) for _ in range(60)] + [given.asked() for _ in range(120)]
    return [one for one in asked if len(set(re.findall(r"\$\d", one.sql))) == len(one.values)]


def shown(messages: Sequence[Message], ordered: bool) -> list[str]:
    """All that a client is told; of a failure the SQLSTATE."""
    rows = [str(one) for one in messages if one.kind == "D"]
    rest = [f"E {one.sqlstate}" if one.kind == "E" else str(one) for one in messages if one.kind != "D"]
    if any(one.startswith("E ") for one in rest):
        return [one for one in rest if one[0] in "EZ" or one.startswith("Ready")]
    return rest + (rows if ordered else sorted(rows))


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgreSQL]:
    with PostgreSQL(config={"deadlock_timeout": "100ms"}) as server:
        schema = SCHEMA.read_text()
        for users, plain in PLAIN.items():
            assert users in schema
            schema = schema.replace(users, plain)
        server.admin(schema)
        yield server


@pytest.fixture(params=MODES)
def probe(postgres: PostgreSQL, request: pytest.FixtureRequest) -> Iterator[Probe]:
    started = Probe(postgres, request.param)
    yield started
    started.close()


class Compared:
    """The same is asked of both."""

    def __init__(self, probe: Probe, postgres: PostgreSQL, seed: int) -> None:
        self._probe, self._random = probe, random.Random(seed)
        self._client, self._direct = connect(probe), connect(postgres)

    def ask(self, one: Asked, context: str) -> bool:
        """In one of the ways of drivers. Answers whether it failed."""
        text, way = NO_CACHE + one.sql, self._random.choice(["simple", "unnamed", "named", "transaction", "transaction of extended"])
        extended = parse(text, types=[0] * len(one.values)) + bind(list(one.values)) + describe("P") + execute() + SYNC
        batches = [query(text)]
        if way == "named":
            batches = [
                query("DEALLOCATE ALL"),
                parse(text, "one", types=[0] * len(one.values)) + describe("S", "one") + SYNC,
                bind(list(one.values), statement="one") + execute() + SYNC,
            ]
        elif way == "unnamed" or one.values:
            batches = [extended]
        if way == "transaction" and not one.values:
            batches = [query("BEGIN"), query(text), query("SELECT 1"), query("COMMIT")]
        if way.startswith("transaction of") or (way == "transaction" and one.values):
            batches = [query("BEGIN"), extended, query("SELECT 1"), query("COMMIT")]
        failed = False
        for batch in batches:
            answers = [shown(client.ask(batch), one.ordered) for client in (self._direct, self._client)]
            assert answers[1] == answers[0], f"{context}, {way}: {one}\n{self._known(one)}"
            failed = failed or any(said.startswith("E ") for said in answers[0])
        return failed

    def _known(self, one: Asked) -> Any:
        return [known for known in self._probe.ledger()["rewrites"] if known["query"] == one.sql]

    def settle(self, several: Sequence[Asked], context: str, least: int = 0) -> set[Asked]:
        """Until nothing is to be tried any more; answers which of them are sent rewritten, of which there are so many."""
        texts = {one.sql: one for one in several}
        active: set[Asked] = set()

        def is_settled() -> bool:
            # What has failed has cost nothing that would be looked at.
            looked_at = {one.sql for one in several if not self.ask(one, context)}
            states = {known["query"]: known["state"] for known in self._probe.ledger()["rewrites"] if known["query"] in texts}
            active.clear()
            active.update(texts[sql] for sql, state in states.items() if state == "active")
            is_over = looked_at <= set(states) and not {"candidate", "proving"} & set(states.values())
            return is_over and len(active) >= least

        eventually(is_settled, 150, f"all of these to be tried: {context}")
        return active

    def tell_of_changes(self) -> None:
        """Millrace would notice by itself; a busy machine makes that take long."""
        self._client.ask(query("COMMENT ON SCHEMA public IS 'changed'"))

    def close(self) -> None:
        self._client.close()
        self._direct.close()


def test_all_answers_are_postgresqls_own(postgres: PostgreSQL, probe: Probe, request: pytest.FixtureRequest) -> None:
    compared = Compared(probe, postgres, SEED)
    drawn = random.Random(SEED)
    changes = list(CHANGES.items())
    if ROUNDS == 0:  # each in one of the modes
        changes = changes[MODES.index(request.node.callspec.params["probe"]) :: len(MODES)]
    for round_ in range(max(ROUNDS, 1)):
        everything = valid(postgres, statements(SEED + round_))
        for number, (what, change) in enumerate(changes):
            postgres.admin(re.sub(r"ROW\(.*?\)", "'row'", Rows(SEED + 100 * round_ + number).sql()))
            concerned = [one for one in everything if re.search(change.of, one.sql)]
            some = drawn.sample(concerned, min(MOST_AT_ONCE, len(concerned)))
            compared.tell_of_changes()
            compared.settle(some, f"before {what}", least=1)
            postgres.admin(change.do)
            for one in some:
                compared.ask(one, f"at once after {what}")
            compared.settle(some, f"after {what}")
            postgres.admin(change.undo)
            for one in some:
                compared.ask(one, f"at once after the end of {what}")
    compared.close()
    ledger = probe.ledger()
    assert ledger["uses"] > 50 and ledger["guards_failed"] > 5 and ledger["mismatches"] == 0, ledger


def valid(postgres: PostgreSQL, several: Sequence[Asked]) -> list[Asked]:
    """Those that fail by their rows at most."""
    with connect(postgres) as client:
        return [one for one in several if client.ask(parse(one.sql, types=[0] * len(one.values)) + SYNC)[0].kind == "1"]
