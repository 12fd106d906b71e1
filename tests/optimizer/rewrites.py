"""The optimizer's rules from outside: their cases, a probe that rewrites, small tables with nasty values, and whether two statements say the same."""

import json
import os
import random
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

CASES = Path(__file__).resolve().parents[2] / "src/optimizer/cases"
SCHEMA = CASES / "schema.sql"
PARAMETER = re.compile(r"\$(\d+)")
TABLES = ["countries", "customers", "products", "orders", "items", "blocked", "blocked_maybe", "parent", "child", "late", "unchecked", "events", "odd", "nicks", "event_notes", "lines", "mixed"]  # fmt: skip


@dataclass
class Case:
    rule: str
    sql: str
    fires: bool
    becomes: str = ""
    missing: str = ""
    options: dict[str, Any] = field(default_factory=dict)


def read_cases(rule: str) -> Iterator[Case]:
    for block in (CASES / f"{rule}.cases").read_text().split("\n\n"):
        lines = [line for line in block.splitlines() if line]
        if not lines:
            continue
        case = Case(rule, lines[0][2:], lines[0][0] == "+")
        for line in lines[1:]:
            if line[0] == "=":
                case.becomes = line[2:]
            elif line[0] == "!":
                case.missing = line[2:]
            elif line[0] == "@":
                for option in line[2:].split():
                    name, value = option.split("=", 1)
                    case.options[name] = int(value) if name == "level" else value
        yield case


class Probe:
    def __init__(self, dsn: str) -> None:
        probe = os.environ["REWRITE_PROBE"]
        self._process = subprocess.Popen([probe], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "DATABASE_URL": dsn})  # fmt: skip
        self.rules: list[str] = self.say(rules=True)

    def say(self, **line: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def rewrite(self, sql: str, **options: Any) -> dict[str, Any]:
        return dict(self.say(sql=sql, **options))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(timeout=30) == 0


Outcome = tuple[str, Any]


def outcome(connection: psycopg.Connection[Any], sql: str) -> Outcome:
    """The parameters' types, and the rows as PostgreSQL writes them, in their order if the statement has ORDER BY at its end; or the SQLSTATE."""
    types = None
    with connection.cursor() as cursor:
        try:
            if numbers := {int(number) for number in PARAMETER.findall(sql)}:
                cursor.execute("DEALLOCATE ALL")
                cursor.execute(f"PREPARE one AS {sql}")
                types = cursor.execute("SELECT parameter_types::text FROM pg_prepared_statements").fetchone()
                cursor.execute(f"EXECUTE one({', '.join(['2'] * max(numbers))})")
            else:
                cursor.execute(sql)
        except psycopg.Error as error:
            return "error", error.sqlstate
        result = cursor.pgresult
        assert result is not None
        names = tuple(result.fname(j) for j in range(result.nfields)), tuple(result.ftype(j) for j in range(result.nfields))
        rows = [tuple(result.get_value(i, j) for j in range(result.nfields)) for i in range(result.ntuples)]
    # Which rows a LIMIT leaves, and in which order those come that are alike, is by ORDER BY: the cases order by a key then.
    ordered = "ORDER BY" in sql.rsplit(")", 1)[-1]
    return "rows", (types, names, rows if ordered else Counter(rows))


# What is near the edges of the cases' literals, of the types, of days in zones that jump.
TIMES = [
    "2025-12-31 23:59:59.999999", "2026-01-01", "2026-01-01 00:00:00.000001", "2026-01-05", "2026-01-10", "2026-01-11 23:59:59.999999", "2026-01-12",
    "2026-01-30 00:00:00", "2026-01-31", "2026-01-31 12:00", "2026-01-31 12:59:59.999999", "2026-01-31 13:00", "2026-01-31 23:59:59.999999", "2026-02-01",
    "2026-02-28 23:59:59.999999", "2026-03-01", "2026-03-29 00:30", "2026-03-29 02:30", "2026-10-24 22:30", "2026-10-25 00:30", "2026-10-25 23:30",
    "2026-10-26", "2026-11-01 04:30", "2026-11-01 05:30", "2027-01-01", "1999-12-31 23:59:59", "2000-01-01", "infinity", "-infinity",
    "2026-01-31 BC", "0044-03-15 BC", "0001-01-01", "9999-12-31 23:59:59",
]  # fmt: skip
INTEGERS = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "15", "20", "-3", "2147483647", "2147483646", "-2147483648"]
NUMBERS = ["0", "1", "1.0", "1.00", "2", "3", "5", "5.000", "4.9999", "10", "-0.0", "NaN", "Infinity", "-Infinity", "1e-20"]
TEXTS = ["", "a", "an", "ann", "anna", "ANN", "a_%x", "abc", "a%", "de", "fr", "DE", "new", "paid", "x", "7"]
UUIDS = ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12"]


class Rows:
    """A few rows for each table that keep what its constraints say."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.nulls = self.random.choice([0.0, 0.2, 0.6])
        self.most = self.random.choice([0, 1, 3, 8])
        # Values that make sums overflow fail most statements: not each time.
        self.integers = INTEGERS if self.random.random() < 0.3 else INTEGERS[:15]
        self.times = TIMES if self.random.random() < 0.5 else [time for time in TIMES if "infinity" not in time]

    def one(self, values: list[str], *, null: bool = True) -> str:
        return "NULL" if null and self.random.random() < self.nulls else f"'{self.random.choice(values)}'"

    def ids(self) -> list[str]:
        return self.random.sample([str(i) for i in range(1, 10)], self.random.randint(0, self.most))

    def sql(self) -> str:
        one, statements = self.one, [f"TRUNCATE {', '.join(TABLES)} CASCADE"]

        def insert(table: str, rows: list[list[str]]) -> None:
            if rows:
                statements.append(f"INSERT INTO {table} VALUES " + ", ".join(f"({', '.join(row)})" for row in rows))

        def some() -> range:
            return range(self.random.randint(0, self.most))

        countries = self.random.sample(["de", "fr", "DE", "xx"], 3)
        insert("countries", [[f"'{code}'", f"'{code}'"] for code in countries])
        customers = self.ids()
        small = ["1", "2", "3", "4"]
        insert("customers", [
            [i, f"'mail{i}'", one(TEXTS), one(countries), one([*NUMBERS, "1e400"]), one(self.times, null=False), one(self.times), one(self.times) + "::timestamp::date",
             one(small), one(UUIDS), self.random.choice(["0", "9", "10", "11", "4"]), one(["ann", "ANN", "x"]), one(["bad", "good"]),
             self.random.choice(["ROW(NULL, NULL)", "ROW(1, NULL)", "ROW(1, 2)"]), one(small), one(["0", "1", "-0.0", "NaN", "1e308"])]
            for i in customers
        ])  # fmt: skip
        products = self.ids()
        insert("products", [[i, f"'sku{i}'", one(TEXTS), one(NUMBERS, null=False), one(small)] for i in products])
        orders = self.ids() if customers else []
        insert("orders", [
            [i, self.random.choice(customers), one(products) if products else "NULL", one(["1", "2", "3", "4", "77"]), one(["new", "paid", "x"], null=False), one(NUMBERS),
             one(self.integers), one(self.times), one(self.times), one(self.times) + "::timestamp::date", one(TEXTS)]
            for i in orders
        ])  # fmt: skip
        if orders:
            keys = {(self.random.choice(orders), self.random.choice(small)) for _ in some()}
            insert("items", [[order, line, one(["1", "2", "3"]), one(NUMBERS), one(["t", "f"])] for order, line in sorted(keys)])
        if customers:
            insert("late", [[str(i), self.random.choice(customers)] for i in some()])
            insert("unchecked", [[str(i), self.random.choice(customers)] for i in some()])
        insert("blocked", [[self.random.choice(small), one(TEXTS), one(self.times)] for _ in some()])
        insert("blocked_maybe", [[one(small), one(["x", "y"])] for _ in some()])
        insert("parent", [[self.random.choice(small), self.random.choice(small)] for _ in some()])
        insert("child", [[self.random.choice(small), one(small), one(small)] for _ in some()])
        events = {(self.random.choice(small), self.random.choice(["1", "2", "5"])) for _ in some()}
        insert("events", [[i, kind, one(self.times, null=False)] for i, kind in sorted(events)])
        if events:
            some_of = self.random.sample(sorted(events), self.random.randint(0, len(events)))
            insert("event_notes", [[str(i), event, kind] for i, (event, kind) in enumerate(some_of)])
        # Amounts that are one as float8, reals that are one literal, an int2 of which the sum overflows.
        odd = [("1", "1", "5"), ("1.00000000000000000001", "16777216", "7"), ("2", "1", "8"), ("3", "4", "32767"), ("0.99999999999999999999", "NaN", "-32768")]
        insert("odd", [
            [str(i), one(["t", "f"]), amount, one([ratio]), one([small_int]), one(["<(0,0),1>", "<(1,1),1>"]), one(["10.0.0.0/8", "11.0.0.0/8"]), one(["{}"])]
            for i, (amount, ratio, small_int) in enumerate(self.random.sample(odd, self.random.randint(0, len(odd))))
        ])  # fmt: skip
        insert("mixed", [[i, one(TEXTS), one(TEXTS), one(small), one(["1", "2", "-1"]), one(["1", "2", "1e400"]), one(["1", "2", "1e308"])] for i in self.ids()])
        codes = self.random.choice([["a", "b", "de"], ["1", "2", "2", "a"]])
        prices = [number for number in NUMBERS if "Inf" not in number]
        insert("lines", [
            [str(i), self.random.choice(small), one(small), one(["1", "2", "3", "7"]), one(prices), one(codes), one(self.times)] for i in range(self.random.randint(0, 3 * self.most))
        ])  # fmt: skip
        insert("nicks", [[f"'{name}'"] for name in self.random.sample(["ann", "ANN", "x"], self.random.randint(0, 3))])
        return ";".join(statements)


class RandomStatements:
    """Conditions in all shapes that rules look for, and near to them, in statements whose tables an outer join, a sub-query, a group stand around."""

    CONDITIONS = [
        "{c}created::date {op} {day}", "date({c}seen) {op} {day}", "{c}seen::date BETWEEN {day} AND {day}", "date_trunc({unit}, {c}created) {op} {time}",
        "date_trunc({unit}, {c}seen) {op} {day}", "extract(year FROM {c}{when}) {op} {year}", "date_part('year', {c}{when}) {op} {year} AND extract(month FROM {c}{when}) = {small}",
        "to_char({c}{when}, {format}) {op} {day}", "{c}referred_by + {small} {op} {int}", "{c}rank - {small} {op} {small}", "{c}score * {small} = {int}", "{int} {op} {c}score + {small}",
        "{c}created + interval {length} {op} {time}", "{c}seen - interval {length} {op} {time}", "coalesce({c}referred_by, {small}) {op} {small}",
        "coalesce({c}name, {text}) = {text}", "coalesce({c}score, 0) {op} {small}", "coalesce({c}country, {text}) = {text}", "{c}id = {small}.0", "{c}rank {op} {small}::numeric",
        "{c}id::text = '{small}'", "{c}rank::text IN ('{small}', '07', 'x')", "CASE WHEN {p} THEN true ELSE false END", "coalesce({p}, {bool})", "({p}) IS TRUE", "({p}) IS NOT TRUE",
        "({p}) = {bool}", "CASE WHEN {p} THEN 1 ELSE {bit} END = {bit}", "{c}referred_by IS NOT DISTINCT FROM {small}", "{c}referred_by IS NOT DISTINCT FROM {c}id",
        "{c}id IS NOT DISTINCT FROM {c}id", "left({c}name, {small}) = {text}", "substr({c}name, 1, {small}) = {text}", "({c}created {order} {time} OR ({c}created = {time} AND {c}id {order} {small}))",
        "({c}referred_by > 2 OR ({c}referred_by = 2 AND {c}id > {small}))", "({c}id = 1 OR {c}id = 2 OR {c}id = {small} OR {c}id = 7 OR {c}id = 9)",
        "(SELECT count(*) FROM orders oo WHERE oo.loose_customer_id = {c}id) {op} {bit}", "(SELECT count(oo.note) FROM orders oo WHERE oo.customer_id = {c}id) {op} {bit}",
        "{c}id IN (SELECT oo.loose_customer_id FROM orders oo WHERE oo.amount > {c}score)", "{c}referred_by IN (SELECT oo.customer_id FROM orders oo WHERE oo.id <> {c}id)",
        "{c}referred_by NOT IN (SELECT bb.customer_id FROM blocked_maybe bb)", "{c}id NOT IN (SELECT bb.customer_id FROM blocked bb WHERE bb.reason = {text})",
        "{c}referred_by <> ALL (SELECT bb.customer_id FROM blocked_maybe bb WHERE bb.customer_id <> {c}id)", "{c}id NOT IN (SELECT oo.loose_customer_id FROM orders oo WHERE oo.customer_id = {c}id)",
        "{c}email IS NULL", "{c}email IS NOT NULL", "{c}name IS NULL", "{c}dimensions IS NULL", "{c}id {op} {small} AND {c}id {op} {small}", "{c}referred_by NOT IN (1, NULL)",
        "{c}id IN (SELECT cc.id FROM customers cc WHERE cc.country = {text})", "EXISTS (SELECT count(*) FROM orders oo WHERE oo.customer_id = {c}id)", "{c}id > {small}", "{c}country = {text}",
        "1 / {c}referred_by > 0",
    ]  # fmt: skip
    STATEMENTS = [
        "SELECT c.id, c.name FROM customers c WHERE {w}", "SELECT id FROM customers WHERE {w0}", "SELECT o.id, c.id AS c FROM orders o JOIN customers c ON c.id = o.customer_id WHERE {w}",
        "SELECT o.id, c.id AS c FROM orders o LEFT JOIN customers c ON c.id = o.loose_customer_id WHERE {w}", "SELECT o.id, c.id AS c FROM orders o LEFT JOIN customers c ON c.id = o.loose_customer_id AND {w}",
        "SELECT o.id, c.id AS c FROM customers c LEFT JOIN orders o ON c.id = o.loose_customer_id AND {w}", "SELECT o.id, c.id AS c FROM customers c FULL JOIN orders o ON c.id = o.loose_customer_id WHERE {w}",
        "SELECT c.id, {w} FROM customers c", "SELECT country, count(*) FROM customers c WHERE {w} GROUP BY country HAVING coalesce(country, 'xx') = 'de'", "SELECT DISTINCT c.id FROM customers c JOIN orders o ON o.customer_id = c.id WHERE {w}",
        "SELECT DISTINCT c.country FROM customers c LEFT JOIN orders o ON o.customer_id = c.id WHERE {w}", "SELECT DISTINCT o.id, o.status FROM orders o JOIN customers c ON c.id = o.customer_id WHERE {w}",
        "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id LEFT JOIN items i ON i.order_id = o.id WHERE o.amount > {small}", "SELECT o.id, d.name FROM orders o JOIN customers c ON c.id = o.customer_id JOIN customers d ON d.id = c.id WHERE {w}",
        "WITH c AS (SELECT * FROM customers) SELECT c.id FROM c WHERE {w}", "SELECT x.id FROM (SELECT * FROM customers) x JOIN customers c ON c.referred_by = x.id WHERE {w}", "SELECT count(*) FROM (SELECT * FROM customers c WHERE {w} ORDER BY name) s",
        "SELECT c.id FROM customers c LEFT JOIN orders o ON o.loose_customer_id = c.id WHERE o.status IS NULL AND {w}", "SELECT p.id FROM products p WHERE p.id NOT IN (SELECT c.referred_by FROM customers c WHERE {w})",
        "SELECT p.id FROM products p WHERE NOT EXISTS (SELECT FROM customers c WHERE c.id = p.id AND {w})", "SELECT id, 'a' AS k FROM customers c WHERE {w} UNION SELECT id, 'b' FROM orders", "SELECT id, country FROM customers c WHERE {w} AND country = 'de' UNION SELECT id, country FROM customers WHERE country = 'fr'",
        "SELECT o.id FROM orders o, customers c LEFT JOIN items i ON i.line = {small} WHERE c.id = o.customer_id", "SELECT o.id FROM orders o JOIN (customers c JOIN countries k ON k.code = c.country) ON c.id = o.customer_id WHERE {w}",
        "SELECT o.id FROM orders o RIGHT JOIN customers c ON c.id = o.customer_id JOIN countries k ON k.code = c.country WHERE {w}", "SELECT i.order_id, i.line FROM items i LEFT JOIN (orders o JOIN customers c ON c.id = o.customer_id) ON o.id = i.order_id AND {w}",
        "SELECT c.id FROM customers c WHERE {w} AND c.id IN (SELECT x.referred_by FROM customers x WHERE x.score > c.score)", "SELECT a.id FROM customers a JOIN LATERAL (SELECT * FROM orders o WHERE o.customer_id = a.id) o ON true JOIN customers c ON c.id = o.customer_id WHERE {w}",
    ]  # fmt: skip

    # What some rows make fail, alone: beside other conditions PostgreSQL asks for it in an order of its own.
    FAILING = [
        "{c}score {op} {c}weight", "{c}nickname LIKE 'a%'", "({c}score > {c}weight) IS TRUE", "coalesce({c}score > {c}weight, false)", "{c}id IN (SELECT cc.id FROM customers cc WHERE cc.nickname LIKE 'a%')",
        "(SELECT count(*) FROM customers x WHERE x.referred_by = {c}id AND x.score > x.weight) {op} {bit}", "(SELECT count(*) FROM mixed m WHERE m.id = {c}referred_by AND ({mixed})) {op} {bit}",
        "(SELECT count(*) FROM mixed m WHERE {mixed}) {op} {bit}", "{c}referred_by NOT IN (SELECT m.id FROM mixed m WHERE {mixed})", "{c}id IN (SELECT m.rank FROM mixed m WHERE m.id > {c}id AND {mixed})",
    ]  # fmt: skip
    OF_FAILING = ["SELECT c.id FROM customers c WHERE {f}", "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id WHERE {f}", "SELECT DISTINCT c.id FROM customers c JOIN orders o ON o.customer_id = c.id WHERE {f}"]

    # Sub-queries for aggregates and for groups, the latest of each, and joins with groups.
    AGGREGATES = ["count(*)", "count(l.quantity)", "sum(l.quantity)", "avg(l.quantity)", "max(l.quantity)", "min(l.price)", "avg(l.price)", "sum(l.price)", "sum(l.price * l.quantity)",
        "coalesce(sum(l.price), 0)", "0.5 * avg(l.price)", "coalesce(max(l.quantity), 2)", "sum(l.price) / nullif(count(*), 0)", "10 / count(*)", "sum(l.quantity * l.quantity)", "greatest(count(*), 2)"]  # fmt: skip
    BY = ["l.product_id = x.id", "l.product_id = x.id", "l.product_id = x.loose", "x.loose = l.quantity", "l.order_id = x.id AND l.product_id = x.loose", "l.product_id = x.id AND l.quantity > {small}",
        "l.product_id = x.id AND l.sent >= {time}", "l.product_id = x.id AND l.code IN ({text}, 'a')", "l.quantity > x.id", "l.product_id = x.loose AND l.quantity > x.id"]  # fmt: skip
    GROUPS = ["SELECT l.product_id AS k, count(*) AS n FROM lines l GROUP BY l.product_id", "SELECT l.product_id AS k, sum(l.quantity) AS n FROM lines l WHERE l.quantity > {small} GROUP BY 1 HAVING count(*) > {bit}",
        "SELECT l.order_id AS k, l.product_id AS j, max(l.quantity) AS n FROM lines l GROUP BY l.order_id, l.product_id", "SELECT o.loose_customer_id AS k, count(o.note) AS n FROM orders o GROUP BY o.loose_customer_id",
        "SELECT l.product_id AS k, count(*) AS n FROM lines l GROUP BY l.product_id LIMIT 100", "SELECT l.product_id AS k, count(*) AS n FROM lines l GROUP BY ROLLUP (l.product_id)", "SELECT c.country AS k, max(c.id) AS n FROM customers c GROUP BY c.country"]  # fmt: skip
    OF_GROUPS = [
        # What may fail in the list, beside LIMIT and in what is read; and what may be a parameter that is there twice.
        "SELECT x.id, 10 / x.quantity AS f, (SELECT {agg} FROM lines l WHERE l.product_id = x.id) AS n FROM orders x ORDER BY x.id LIMIT {bit}", "SELECT x.id, 10 / x.quantity AS f FROM orders x WHERE x.id > (SELECT {agg} FROM lines l WHERE l.product_id = x.id) ORDER BY x.id LIMIT 1",
        "SELECT x.id, 10 / x.quantity AS f FROM orders x WHERE x.loose_customer_id = {small} OR x.id IN (SELECT l.product_id FROM lines l) ORDER BY x.id LIMIT 1", "SELECT v.id FROM (SELECT id, product_id, code::int AS q FROM lines) v WHERE {not}EXISTS (SELECT 1 FROM orders n WHERE n.product_id = v.product_id AND n.quantity {order} v.q)",
        "SELECT v.id, CASE WHEN v.id > {small} THEN (SELECT {agg} FROM lines l WHERE l.product_id = v.q) END AS n FROM (SELECT id, code::int AS q FROM lines) v", "SELECT x.rank = {small} AS a, (SELECT {agg} FROM lines l WHERE l.product_id = x.id AND l.quantity > {small}) AS n FROM customers x",
        "SELECT x.id FROM customers x WHERE x.id IN (SELECT l.product_id FROM lines l WHERE l.quantity = {small}) OR x.stars = 2 OR x.rank = {small} OR x.id IN (SELECT p.id FROM products p WHERE p.category > {small})",
        "SELECT p.id, g.n FROM products p JOIN (SELECT o.product_id AS k, count(*) AS n FROM orders o WHERE 10 / o.quantity > 1 GROUP BY o.product_id) g ON g.k = p.id WHERE p.id < {small}", "SELECT p.id, g.n FROM products p JOIN ({group}) g ON g.k = p.id WHERE p.name IS NOT NULL AND 10 / (g.n - 1) <> 0",
        "SELECT x.id, x.name FROM customers x WHERE x.{number} {op} (SELECT {agg} FROM lines l WHERE {by})", "SELECT x.id, (SELECT {agg} FROM lines l WHERE {by}) AS n FROM customers x WHERE {w}", "SELECT *, (SELECT {agg} FROM lines l WHERE {by}) AS n, (SELECT {agg2} FROM lines l WHERE {by2}) AS m FROM products x",
        "SELECT x.id, (SELECT count(*) FROM lines l WHERE {by}) FROM orders x ORDER BY 2, 1", "SELECT x.id FROM orders x JOIN customers c ON c.id = x.loose_customer_id WHERE x.quantity {op} (SELECT {agg} FROM lines l WHERE {by}) AND ({w_c})",
        "SELECT x.id, c.id AS c FROM orders c LEFT JOIN customers x ON x.id = c.loose_customer_id WHERE (SELECT {agg} FROM lines l WHERE {by}) {op} c.quantity OR c.id = {small}", "SELECT x.country, count(*) FROM customers x WHERE NOT (x.rank {op} (SELECT {agg} FROM lines l WHERE {by})) GROUP BY x.country",
        "SELECT x.id FROM lines x WHERE x.sent = (SELECT max(l.sent) FROM lines l WHERE {by})", "SELECT x.id FROM lines x WHERE {not}EXISTS (SELECT 1 FROM lines l WHERE l.product_id = x.product_id AND l.{ordered} {order} x.{ordered})",
        "SELECT x.id FROM orders x WHERE {not}EXISTS (SELECT 1 FROM lines l WHERE {by} AND x.quantity {order} l.quantity)", "SELECT x.id FROM customers x, products p WHERE p.id = x.referred_by AND p.category {op} (SELECT {agg} FROM lines l WHERE l.product_id = p.id AND l.order_id = x.id)",
        "SELECT x.id, g.n FROM customers x JOIN ({group}) g ON g.k = x.{key} WHERE {w}", "SELECT x.id, g.n FROM customers x LEFT JOIN ({group}) g ON g.k = x.{key} WHERE {w}", "SELECT x.id, g.n FROM ({group}) g RIGHT JOIN customers x ON x.{key} = g.k AND g.n > {bit} WHERE {w}",
        "SELECT x.id, g.n FROM customers x FULL JOIN ({group}) g ON g.k = x.{key} WHERE {w}", "SELECT g.k, g.n FROM ({group}) g WHERE g.k IN (SELECT x.{key} FROM customers x WHERE {w})", "SELECT x.id, g.n FROM customers x, ({group}) g WHERE x.{key} = g.k AND x.{key} {op} {small} AND g.n <> {small}",
        "SELECT x.id, g.n FROM customers x LEFT JOIN ({group}) g ON x.{key} = g.k WHERE x.{key} IN (1, {small}) OR x.id = 4", "SELECT x.id, g.n FROM customers x LEFT JOIN ({group}) g ON x.{key} = g.k WHERE x.{key} BETWEEN {bit} AND {small}",
        "SELECT x.id FROM customers x WHERE {not}(x.{key} IN (SELECT l.product_id FROM lines l WHERE l.quantity = {small}) OR x.{key} IN (SELECT b.customer_id FROM blocked_maybe b WHERE b.reason = 'x'))",
        "SELECT x.id FROM customers x LEFT JOIN orders o ON x.id = o.customer_id AND (x.{key} IN (SELECT l.product_id FROM lines l WHERE l.quantity = {small}) OR x.id = {small} OR x.{key} IN (SELECT id FROM products))",
        "SELECT x.id, o.id AS o FROM customers x JOIN orders o ON o.{joined} = x.id WHERE {not}(x.{number} {op} {small} OR o.quantity = {small} OR x.name = {text}) AND {w}", "SELECT x.id, i.line FROM orders x, items i WHERE i.order_id = x.id AND (x.quantity = {small} OR i.returned OR i.line = {bit})",
        "SELECT x.id, o.id AS o FROM customers x LEFT JOIN orders o ON o.{joined} = x.id WHERE {not}(x.{key} IN (SELECT l.product_id FROM lines l WHERE l.quantity = {small}) OR x.id = {small} OR {w_c0})",
    ]  # fmt: skip

    # What the order of rows shows in, over conditions that other joins are made of; a name that is there twice; numbers that their type doesn't hold.
    SHOWN = ["x.nickname, count(*) AS n", "x.score, count(*) AS n", "DISTINCT x.score", "DISTINCT x.nickname, x.rank", "max(x.score), min(x.score)", "sum(x.weight)", "avg(x.weight)", "array_agg(x.id)",
        "x.id, row_number() OVER () AS n", "x.name, count(*) AS n, max(x.id) AS m", "DISTINCT x.name, x.rank", "sum(x.rank), avg(x.score), max(x.created)", "sum(x.score)", "string_agg(x.name, ',')"]  # fmt: skip
    SHOWN_OF = ["FROM customers x JOIN orders o ON o.customer_id = x.id WHERE (x.rank {op} 9 OR o.quantity {op} {small}) AND x.id > 0 AND o.id > 0", "FROM customers x WHERE x.rank > (SELECT count(*) FROM lines l WHERE l.product_id = x.referred_by)",
        "FROM customers x WHERE NOT EXISTS (SELECT 1 FROM customers d WHERE d.referred_by = x.referred_by AND d.rank {order} x.rank)", "FROM customers x WHERE x.id = {small} OR x.referred_by IN (SELECT l.product_id FROM lines l WHERE l.quantity {op} {small})",
        "FROM customers x JOIN (SELECT l.product_id AS k, count(*) AS n FROM lines l GROUP BY 1) g ON g.k = x.id WHERE g.k IN (SELECT p.id FROM products p WHERE p.category {op} {small})",
        "FROM customers x WHERE x.id IS NOT NULL AND ({bool} OR x.rank = {cast} OR x.id IN (SELECT l.order_id FROM lines l WHERE l.quantity {op} {cast}))", "FROM (SELECT c.*, c.{twice} FROM customers c) x WHERE x.id IN (SELECT l.product_id FROM lines l) OR x.id = {small}",
        "FROM customers x JOIN orders o ON o.customer_id = x.id WHERE (x.rank {op} 9 OR o.quantity {op} {small}) AND (x.rank {op} 10 OR o.quantity {op} 3) AND x.id > 0 AND o.id > 0"]  # fmt: skip

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def of_order(self) -> str:
        pick = self.random.choice
        listed = pick(self.SHOWN)
        by = f" GROUP BY {pick([listed.split(',')[0], '1'])}" if "AS n" in listed and "OVER" not in listed else ""
        sql = pick(self.SHOWN_OF).format(cast=pick(["2::int2", "99999::int2", "3000000000::int"]), twice=pick(["id", "rank", "email"]), **self.values("x."))
        inner, tail = pick([("", ""), ("", ""), ("", " UNION SELECT 1.0, 2"), ("SELECT s.n FROM (", ") s")])
        return f"{inner}SELECT {listed} {sql}{by}{tail}" if not inner or "AS n" in listed else f"SELECT {listed} {sql}{by}"

    def of_failing(self) -> str:
        return self.random.choice(self.OF_FAILING).format(f=self.random.choice(self.FAILING).format(**self.values("c.")))

    def own_condition(self, values: dict[str, str]) -> str:
        """More often one that leaves rows, and can't fail."""
        return self.random.choice([self.condition("x."), "x.id {op} {small}", "x.name IS NOT NULL", "x.id IN (1, 2, {small}, 7)", "true"]).format(**values)

    def of_groups(self) -> str:
        pick, values = self.random.choice, self.values("x.")
        template = pick(self.OF_GROUPS)
        values |= {"by": pick(self.BY).format(**values), "by2": pick(self.BY).format(**values), "agg": pick(self.AGGREGATES), "agg2": pick(self.AGGREGATES), "w": self.own_condition(values), "w_c": self.condition("c."), "w_c0": self.condition("x.", 2), "joined": pick(["customer_id", "loose_customer_id"])}
        values |= {"group": pick(self.GROUPS).format(**values), "key": pick(["id", "id", "referred_by", "referred_by", "rank", "country"]), "not": pick(["", "NOT "]), "number": pick(["id", "score", "referred_by", "rank"])}
        loose = next((column for table, column in [("customers x", "referred_by"), ("products x", "category")] if table in template), "quantity")
        return template.format(ordered=pick(["sent", "quantity", "id", "code"]), **values).replace("x.loose", f"x.{loose}")

    def values(self, c: str) -> dict[str, str]:
        pick = self.random.choice
        return {
            "c": c, "op": pick(["=", "<>", "<", "<=", ">", ">="]), "order": pick(["<", ">"]), "day": f"'{pick(['2026-01-01', '2026-01-31', '2026-03-29', '2026-10-25', '2026-11-01', '2000-01-01'])}'",
            "time": f"'{pick(['2026-01-01', '2026-01-05', '2026-01-31', '2026-01-31 12:00', '2026-02-01', '2026-03-01'])}'", "unit": f"'{pick(['hour', 'day', 'week', 'month', 'quarter', 'year'])}'",
            "year": pick(["2026", "2000", "44", "1"]), "small": pick(["1", "2", "3", "5"]), "int": pick(["0", "3", "6", "10", "2147483647", "-2147483648"]), "when": pick(["created", "seen", "born"]),
            "format": f"'{pick(['YYYY-MM-DD', 'YYYY-MM', 'YYYY', 'DD-MM-YYYY'])}'", "length": f"'{pick(['7 days', '12 hours', '1 week', '1 month', '90 minutes'])}'", "text": f"'{pick(TEXTS)}'",
            "mixed": pick(["m.c = m.p", "m.number = m.rank", "m.exact > m.ratio", "m.exact > 1.5", "m.c LIKE 'a%'", "date_trunc('foo', now()) IS NULL", "coalesce(m.c, 'x') = m.c", "m.exact IN (1, m.ratio)"]),
            "bool": pick(["true", "false"]), "bit": pick(["0", "1"]),
        }  # fmt: skip

    def condition(self, c: str, depth: int = 0) -> str:
        kind = self.random.random()
        if depth < 2 and kind < 0.35:
            word = self.random.choice([" AND ", " AND ", " OR "])
            return "(" + word.join(self.condition(c, depth + 1) for _ in range(self.random.randint(2, 3))) + ")"
        if depth < 2 and kind < 0.45:
            return f"NOT ({self.condition(c, depth + 1)})"
        template = self.random.choice(self.CONDITIONS)
        inner = self.condition(c, 2) if "{p}" in template and depth < 3 else f"{c}id = 1"
        return template.format(p=inner, **self.values(c))

    def with_parameters(self, sql: str) -> str:
        """Some numbers are parameters, of which some stand there twice."""
        return re.sub(r"(?<=[=<>] )[1-9]\b(?![.:])", lambda one: f"${self.random.randint(1, 2)}" if self.random.random() < 0.7 else one[0], sql)

    def statement(self) -> str:
        sql = self.without_parameters()
        return self.with_parameters(sql) if self.random.random() < 0.2 else sql

    def without_parameters(self) -> str:
        if self.random.random() < 0.1:
            return self.of_failing()
        if self.random.random() < 0.1:
            return self.of_order()
        if self.random.random() < 0.4:
            return self.of_groups()
        template = self.random.choice(self.STATEMENTS)
        return template.format(w=self.condition("c."), w0=self.condition(""), small=self.random.choice(["1", "3"]))
