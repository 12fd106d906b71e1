"""The tables of src/optimizer/cases, at sizes that take time."""

from support import ROOT

from harness import PostgreSQL

SCHEMA = ROOT / "src/optimizer/cases/schema.sql"
FILL = """
INSERT INTO countries SELECT 'c' || i, 'country ' || i FROM generate_series(1, 50) i;
INSERT INTO countries VALUES ('de', 'Germany'), ('fr', 'France'), ('xx', 'nowhere');
INSERT INTO customers SELECT i, 'mail' || i, 'name' || i % 50000, CASE WHEN i % 10 = 0 THEN NULL WHEN i % 999 = 0 THEN 'de' ELSE 'c' || 1 + i % 50 END, i % 1000,
  '2020-01-01'::timestamp + i * interval '20 minutes', '2020-01-01'::timestamptz + i * interval '20 minutes', '1940-01-01'::date + i % 30000, NULLIF(i % 5000, 0), gen_random_uuid(), i,
  'nick' || i % 50000, CASE WHEN i % 3 = 0 THEN 'good'::mood ELSE 'bad' END, ROW(i, NULL::int)::pair, 1 + i % 5, i * 0.5 FROM generate_series(1, {customers}) i;
INSERT INTO products SELECT i, 'sku' || i, 'product ' || i, i % 500, i % 20 FROM generate_series(1, 5000) i;
INSERT INTO orders SELECT i, 1 + (i * 7919::bigint) % ({customers} * 4 / 5), CASE WHEN i % 20 > 0 THEN 1 + i % 5000 END, NULLIF(1 + (i * 104729::bigint) % ({customers} * 4 / 5), 7), (ARRAY['new', 'paid', 'sent', 'done'])[1 + i % 4], i % 10000, i % 50000,
  '2020-01-01'::timestamp + i * interval '4 minutes', '2020-01-01'::timestamptz + i * interval '4 minutes', '2020-01-01'::date + i % 2000, 'a note on the order ' || i FROM generate_series(1, {orders}) i;
INSERT INTO items SELECT 1 + i / 2, i % 2, 1 + i % 5000, i % 100, i % 7 = 0 FROM generate_series(0, {orders} - 1) i;
INSERT INTO blocked SELECT i, 'reason ' || i % 10 FROM generate_series(2, {orders} * 3 / 2, 3) i;
INSERT INTO blocked_maybe SELECT i, CASE WHEN i % 3 = 0 THEN 'x' ELSE 'y' END FROM generate_series(2, {orders} * 3 / 2, 3) i;
INSERT INTO events SELECT i, 1 + i % 3, '2020-01-01'::timestamp + i * interval '1 minute' FROM generate_series(1, {customers}) i;
INSERT INTO lines SELECT i, 1 + i / 5, CASE WHEN i % 20 > 0 THEN 1 + (i * 7919::bigint) % 5000 END, 1 + i % 50, i % 10000 / 100.0, 'c' || i % 100, '2020-01-01'::timestamp + i * interval '4 minutes' FROM generate_series(1, {orders}) i;
VACUUM ANALYZE;
"""


def make_tables(server: PostgreSQL, customers: int) -> str:
    """In a database of their own, with five orders a customer. Answers its URL."""
    server.admin("CREATE DATABASE rewrites")
    server.admin(SCHEMA.read_text(), database="rewrites")
    server.admin(FILL.format(customers=customers, orders=customers * 5), database="rewrites")
    return f"postgresql://{server.user}:{server.password}@{server.host}:{server.port}/rewrites"
