"""What Millrace knows of a database's catalogs: it is so, and stops being known when it is so no longer."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from harness import PostgreSQL

PROBE = os.environ["CATALOG_PROBE"]
Direct = psycopg.Connection[Any]

SCHEMA = r"""
CREATE ROLE app LOGIN; CREATE ROLE plain LOGIN; CREATE ROLE everywhere LOGIN; CREATE ROLE team;
ALTER ROLE app SET search_path TO "$user", "Odd ""Schema"; ALTER ROLE app IN DATABASE postgres SET search_path TO a, public;
ALTER ROLE everywhere SET default_transaction_isolation TO 'SERIALIZABLE';

CREATE SCHEMA a; CREATE SCHEMA b; GRANT USAGE ON SCHEMA a TO PUBLIC; CREATE SCHEMA "Odd ""Schema";
CREATE TYPE public.mood AS ENUM ('sad', 'ok'); CREATE DOMAIN b.mood AS int; CREATE TYPE public.pair AS (x int, y text);
CREATE TABLE public.customers (id bigint PRIMARY KEY, email text NOT NULL, gone int, feeling public.mood, tags text[],
  UNIQUE (email, id), UNIQUE (feeling) DEFERRABLE);
ALTER TABLE public.customers DROP COLUMN gone; ALTER TABLE public.customers REPLICA IDENTITY FULL;
CREATE UNIQUE INDEX ON public.customers (feeling) WHERE id > 5; CREATE UNIQUE INDEX ON public.customers (lower(email));
CREATE UNIQUE INDEX ON public.customers (tags) INCLUDE (email);
CREATE TABLE public.orders (id int PRIMARY KEY, customer bigint REFERENCES public.customers ON DELETE CASCADE);
CREATE TABLE public.notes (id int PRIMARY KEY, "order" int REFERENCES public.orders ON UPDATE SET NULL);
CREATE TABLE public.loose (id int, "order" int REFERENCES public.orders);
CREATE TABLE "Odd ""Schema"."Odd, {Name}" ("a b" int, "c,""d" int, PRIMARY KEY ("c,""d", "a b"));
CREATE TABLE a.customers (id int); CREATE TABLE b.customers (id int); CREATE TABLE b.only (id int);
CREATE TABLE b.pg_class (id int); CREATE UNLOGGED TABLE public.quick (id int);
CREATE TABLE public.parts (id int PRIMARY KEY, day date) PARTITION BY RANGE (id);
CREATE TABLE public.parts_1 PARTITION OF public.parts FOR VALUES FROM (0) TO (10);
CREATE TABLE public.parts_2 PARTITION OF public.parts FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id);
CREATE TABLE public.parts_2_1 PARTITION OF public.parts_2 FOR VALUES FROM (10) TO (15);
CREATE TABLE public.of_parts (part int REFERENCES public.parts ON DELETE CASCADE);
CREATE TABLE public.animal (name text); CREATE TABLE public.dog (tail int) INHERITS (public.animal);
CREATE TABLE public.watched (id int); CREATE TABLE public.ruled (id int); CREATE TABLE public.secret (id int);
ALTER TABLE public.secret ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON public.secret USING (id > 1);
CREATE FUNCTION public.noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER t BEFORE INSERT ON public.watched FOR EACH ROW EXECUTE FUNCTION public.noop();
ALTER TABLE public.watched DISABLE TRIGGER t;
CREATE RULE r AS ON INSERT TO public.ruled DO ALSO DELETE FROM public.secret;
CREATE VIEW public.seen AS SELECT c.id, upper(c.email) AS email FROM public.customers c JOIN b.customers d ON d.id = c.id;
CREATE MATERIALIZED VIEW public.kept AS SELECT count(*) AS n FROM public.orders;

CREATE FUNCTION public.twice(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 2 * $1';
CREATE FUNCTION b.twice(text) RETURNS text STABLE LANGUAGE sql AS 'SELECT $1 || $1';
CREATE FUNCTION b.lower(int) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION public.once(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION public.of_row(public.customers) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION public.of_any(anyelement, int DEFAULT 5) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION public.of_two(public.customers, int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION public.of_record(record) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE FUNCTION public.of_many(VARIADIC public.pair[]) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE public.total(int) (SFUNC = int4pl, STYPE = int);
CREATE FUNCTION public.hm(int, int) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 1';
CREATE OPERATOR public.~~~ (FUNCTION = public.hm, LEFTARG = int, RIGHTARG = int);
CREATE FUNCTION b.hm(public.mood, int) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 1';
CREATE OPERATOR b.+ (FUNCTION = b.hm, LEFTARG = public.mood, RIGHTARG = int);
"""
HOSTILE = """
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.no(oid, oid) RETURNS bool LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR hostile.= (FUNCTION = hostile.no, LEFTARG = oid, RIGHTARG = oid);
CREATE FUNCTION hostile.no(name, name) RETURNS bool LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR hostile.= (FUNCTION = hostile.no, LEFTARG = name, RIGHTARG = name);
CREATE FUNCTION hostile.no(text, text) RETURNS bool LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR hostile.= (FUNCTION = hostile.no, LEFTARG = text, RIGHTARG = text);
CREATE TABLE hostile.pg_class (oid oid); CREATE TABLE hostile.pg_proc (oid oid);
CREATE FUNCTION hostile.pg_get_viewdef(oid) RETURNS text LANGUAGE sql AS 'SELECT ''SELECT 1''';
"""


class Probe:
    def __init__(self, dsn: str, poll_ms: int = 50) -> None:
        self._process = subprocess.Popen(
            [PROBE, str(poll_ms)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "DATABASE_URL": dsn},
        )  # fmt: skip

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(timeout=30) == 0

    def say(self, **line: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def ask(self, what: str, name: str = "", schema: str = "", **more: Any) -> Any:
        answer = self.say(ask=what, name=name, schema=schema, **more)
        assert answer != "unknown"
        return answer

    def state(self) -> dict[str, Any]:
        return dict(self.say(ask="state"))

    def known(self) -> dict[str, Any]:
        eventually(lambda: self.state()["version"] > 0, "nothing is known")
        return self.state()

    def polled(self, times: int) -> None:
        """So many polls that began after this."""
        until = self.state()["polls"] + times + 1
        eventually(lambda: self.state()["polls"] >= until, "no polls")


def eventually(check: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not check():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgreSQL]:
    with PostgreSQL(auth="scram-sha-256") as server:
        server.admin(SCHEMA)
        yield server


@pytest.fixture(scope="module")
def direct(postgres: PostgreSQL) -> Iterator[Direct]:
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def probe(postgres: PostgreSQL) -> Iterator[Probe]:
    one = Probe(postgres.dsn())
    one.known()
    yield one
    one.close()


@pytest.fixture
def settled(probe: Probe, direct: Direct) -> Probe:
    """Knows all that was done."""
    direct.execute("SELECT pg_stat_force_next_flush()")  # how often rows of roles were written
    direct.execute("SELECT pg_current_xact_id()")
    probe.polled(2)
    probe.known()
    return probe


def test_tables(probe: Probe) -> None:
    customers = probe.ask("relation", "customers", "public")
    assert [(name, not_null) for name, _, not_null in customers["columns"]] == [("id", True), ("email", True), ("feeling", False), ("tags", False)]
    assert [type_ for _, type_, _ in customers["columns"]][:2] == [20, 25]
    assert customers["collations"][:2] == [0, 100]
    assert sorted(customers["keys"]) == [["email", "id"], ["id"], ["tags"]]
    assert (customers["kind"], customers["persistence"], customers["replica_identity"]) == ("r", "p", "f")
    assert customers["cascades"] == ["orders"]
    assert not (customers["row_security"] or customers["rules"] or customers["triggers"] or customers["parents"])
    odd = probe.ask("relation", "Odd, {Name}", 'Odd "Schema')
    assert [name for name, _, _ in odd["columns"]] == ["a b", 'c,"d'] and odd["keys"] == [['c,"d', "a b"]]
    assert probe.ask("relation", "quick", "public")["persistence"] == "u"
    assert probe.ask("relation", "secret", "public")["row_security"]
    assert probe.ask("relation", "watched", "public")["triggers"] and not probe.ask("relation", "watched", "public")["rules"]
    assert probe.ask("relation", "ruled", "public")["rules"] and not probe.ask("relation", "ruled", "public")["triggers"]
    # A foreign key's triggers are nobody's; a view's own rule is none.
    assert not probe.ask("relation", "orders", "public")["triggers"] and not probe.ask("relation", "seen", "public")["rules"]
    assert probe.ask("relation", "orders", "public")["cascades"] == ["notes"]
    assert probe.ask("relation", "pg_class", "pg_catalog")["kind"] == "r"
    assert probe.ask("relation", "customers_pkey", "public") is None and probe.ask("relation", "nosuch", "public") is None
    assert probe.ask("relation", "kept", "public")["kind"] == "m" and probe.ask("relation", "pair", "public")["kind"] == "c"


def test_what_is_above_and_below(probe: Probe) -> None:
    assert probe.ask("relation", "parts", "public")["kind"] == "p"
    assert sorted(probe.ask("relation", "parts", "public")["children"]) == ["parts_1", "parts_2"]
    assert probe.ask("relation", "dog", "public")["parents"] == ["animal"]
    assert sorted(probe.ask("read_with", "parts", "public")) == ["parts", "parts_1", "parts_2", "parts_2_1"]
    assert sorted(probe.ask("changed_with", "parts_2_1", "public")) == ["of_parts", "parts", "parts_2", "parts_2_1"]
    assert sorted(probe.ask("changed_with", "customers", "public")) == ["customers", "notes", "orders"]
    assert sorted(probe.ask("changed_with", "dog", "public")) == ["animal", "dog"]
    assert probe.ask("changed_with", "watched", "public") is None and probe.ask("changed_with", "ruled", "public") is None


def test_resolve(probe: Probe) -> None:
    def schema(name: str, *path: str) -> Any:
        return probe.ask("resolve", name, path=path)

    assert schema("customers", "a", "public") == "a" and schema("customers", "public", "a") == "public"
    assert schema("customers", "b", "public") is None and schema("only", "a", "b") == "b"
    assert schema("pg_class", "b") == "pg_catalog" and schema("pg_class", "b", "public", "pg_catalog") is None
    assert probe.ask("schema", 'Odd "Schema') and not probe.ask("schema", "nosuch")


@pytest.mark.parametrize(
    ("name", "volatility", "built_in", "harmless", "of_rows"),
    [
        ("upper", "i", True, True, False),
        ("now", "s", True, True, False),
        ("random", "v", True, True, False),
        ("twice", "s", False, False, False),
        ("once", "i", False, True, False),
        ("total", "i", False, True, False),
        ("lower", "v", False, False, False),
        ("of_row", "v", False, False, True),
        ("of_any", "v", False, False, True),
        ("of_record", "v", False, False, True),
        ("of_many", "v", False, False, True),
        ("of_two", "v", False, False, False),
    ],
)
def test_functions(probe: Probe, name: str, volatility: str, built_in: bool, harmless: bool, of_rows: bool) -> None:
    assert probe.ask("functions", name) == {
        "volatility": volatility, "built_in": built_in, "all_immutable_or_built_in": harmless, "of_rows": of_rows, "apart": False,
    }  # fmt: skip


def test_operators_types_and_casts(probe: Probe) -> None:
    assert probe.ask("operators", "=")["all_immutable_or_built_in"] and probe.ask("operators", "=")["built_in"]
    assert probe.ask("operators", "=")["apart"]
    assert probe.ask("operators", "~~~")["volatility"] == "v" and not probe.ask("operators", "+")["all_immutable_or_built_in"]
    assert probe.ask("operators", "nosuch") is None and probe.ask("functions", "nosuch") is None
    assert sorted((t["schema"], t["kind"], t["built_in"]) for t in probe.ask("types", "mood")) == [("b", "d", False), ("public", "e", False)]
    (int4,) = probe.ask("types", "int4")
    assert (int4["oid"], int4["built_in"], int4["category"]) == (23, True, "N")
    (array,) = probe.ask("types", "_int4")
    assert (array["category"], array["element"]) == ("A", 23)
    assert not probe.ask("unsafe_casts")
    assert probe.state()["server_version"].startswith("15.")


def new_session(postgres: PostgreSQL, user: str) -> list[str]:
    postgres.admin(f"ALTER ROLE {user} PASSWORD 'x'")
    with psycopg.connect(postgres.dsn(user=user, password="x"), autocommit=True) as session:
        return [session.execute(f"SHOW {name}").fetchone()[0] for name in ("search_path", "default_transaction_isolation")]  # type: ignore[index]


def test_defaults_are_those_of_a_new_session(postgres: PostgreSQL, settled: Probe) -> None:
    assert settled.ask("defaults", "app") == ["a, public", "read committed"]
    assert settled.ask("defaults", "plain") == ['"$user", public', "read committed"]
    assert settled.ask("defaults", "everywhere") == ['"$user", public', "serializable"]
    assert settled.ask("defaults", "nosuch") is None
    for sql in (
        "ALTER DATABASE postgres SET search_path TO b",
        "ALTER ROLE ALL SET default_transaction_isolation TO 'repeatable read'",
        "ALTER SYSTEM SET search_path TO public, a",
        "ALTER ROLE plain IN DATABASE postgres SET search_path TO ''",
    ):
        if "SYSTEM" in sql:
            postgres.admin("ALTER DATABASE postgres RESET ALL")
        before = settled.known()
        postgres.admin(sql)
        if "SYSTEM" in sql:
            postgres.reload()
        eventually(lambda: settled.state()["changed"] > before["changed"], sql)
        settled.polled(2)
        settled.known()
        for user in ("app", "plain", "everywhere"):
            now = new_session(postgres, user)
            settled.polled(2)
            settled.known()
            assert settled.ask("defaults", user) == now, (sql, user)
    for sql in ("ALTER ROLE ALL RESET ALL", "ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()"):
        postgres.admin(sql)


def test_own_settings_are_not_taken_for_the_servers(postgres: PostgreSQL) -> None:
    postgres.admin("CREATE ROLE watcher LOGIN PASSWORD 'x'")
    postgres.admin(f"{HOSTILE} ALTER ROLE watcher SET search_path TO hostile, pg_catalog; GRANT USAGE ON SCHEMA hostile TO PUBLIC")
    watcher = Probe(postgres.dsn(user="watcher", password="x"))
    watcher.known()
    # Neither what stands before pg_catalog is used, nor what is in need of privileges.
    test_tables(watcher)
    test_what_is_above_and_below(watcher)
    assert not watcher.ask("operators", "=")["built_in"] and not watcher.ask("operators", "=")["apart"]
    assert watcher.ask("defaults", "watcher") == ["hostile, pg_catalog", "read committed"]
    assert watcher.ask("defaults", "app") == ["a, public", "read committed"]
    assert watcher.ask("defaults", "everywhere") is None
    check_view(watcher)
    watcher.close()
    postgres.admin("DROP SCHEMA hostile CASCADE; DROP ROLE watcher")


def check_view(probe: Probe) -> None:
    definition = probe.ask("relation", "seen", "public")["definition"]
    assert definition["not_known"] == ""
    assert sorted(definition["reads"]) == [["b", "customers"], ["public", "customers"]]
    assert [name for _, name in definition["functions"]] == ["upper"]
    assert probe.ask("relation", "kept", "public")["definition"]["reads"] == [["public", "orders"]]


def test_views_name_schemas(settled: Probe) -> None:
    """Whatever is in the search path of Millrace's user."""
    check_view(settled)


CHANGES = {
    "table": "CREATE TABLE public.fresh (id int)",
    "renamed table": "ALTER TABLE public.fresh RENAME TO stale",
    "schema of a table": "ALTER TABLE public.stale SET SCHEMA b",
    "owner": "ALTER TABLE b.stale OWNER TO app",
    "column": "ALTER TABLE b.stale ADD COLUMN more int DEFAULT 7",
    "default": "ALTER TABLE b.stale ALTER COLUMN more SET DEFAULT 8",
    "type of a column": "ALTER TABLE b.stale ALTER COLUMN more TYPE bigint",
    "rewritten column": "ALTER TABLE b.stale ALTER COLUMN more TYPE bigint USING more + 1",
    "renamed column": "ALTER TABLE b.stale RENAME COLUMN more TO less",
    "not null": "ALTER TABLE b.stale ALTER COLUMN less SET NOT NULL",
    "key": "ALTER TABLE b.stale ADD PRIMARY KEY (id)",
    "unique index": "CREATE UNIQUE INDEX stale_less ON b.stale (less)",
    "dropped index": "DROP INDEX b.stale_less",
    "replica identity": "ALTER TABLE b.stale REPLICA IDENTITY FULL",
    "unlogged": "ALTER TABLE b.stale SET UNLOGGED",
    "dropped table": "DROP TABLE b.stale",
    "partition": "CREATE TABLE public.parts_2_2 PARTITION OF public.parts_2 FOR VALUES FROM (15) TO (20)",
    "detached partition": "ALTER TABLE public.parts_2 DETACH PARTITION public.parts_2_2",
    "attached partition": "ALTER TABLE public.parts_2 ATTACH PARTITION public.parts_2_2 FOR VALUES FROM (15) TO (20)",
    "no inheritance": "ALTER TABLE public.dog NO INHERIT public.animal",
    "inheritance": "ALTER TABLE public.dog INHERIT public.animal",
    "foreign key": "ALTER TABLE public.quick ADD CONSTRAINT fk FOREIGN KEY (id) REFERENCES public.orders ON DELETE CASCADE",
    "dropped foreign key": "ALTER TABLE public.quick DROP CONSTRAINT fk",
    "trigger": "CREATE TRIGGER t BEFORE UPDATE ON public.secret FOR EACH ROW EXECUTE FUNCTION public.noop()",
    "enabled trigger": "ALTER TABLE public.watched ENABLE TRIGGER t",
    "rule": "CREATE RULE r2 AS ON DELETE TO public.ruled DO ALSO DELETE FROM public.secret",
    "dropped rule": "DROP RULE r2 ON public.ruled",
    "row security": "ALTER TABLE public.quick ENABLE ROW LEVEL SECURITY",
    "forced row security": "ALTER TABLE public.quick FORCE ROW LEVEL SECURITY",
    "policy": "CREATE POLICY p ON public.quick USING (id > 3)",
    "altered policy": "ALTER POLICY p ON public.quick USING (id > 4)",
    "dropped policy": "DROP POLICY p ON public.quick",
    "view": "CREATE VIEW public.look AS SELECT 1 AS one",
    "replaced view": "CREATE OR REPLACE VIEW public.look AS SELECT 2 AS one",
    "option of a view": "ALTER VIEW public.look SET (security_barrier)",
    "materialized view": "CREATE MATERIALIZED VIEW public.stored AS SELECT 1 AS one",
    "function": "CREATE FUNCTION public.body() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "body of a function": "CREATE OR REPLACE FUNCTION public.body() RETURNS int LANGUAGE sql AS 'SELECT 2'",
    "volatility": "ALTER FUNCTION public.body() STABLE",
    "procedure": "CREATE PROCEDURE public.act() LANGUAGE sql AS 'SELECT 1'",
    "aggregate": "CREATE AGGREGATE public.sum2(int) (SFUNC = int4pl, STYPE = int)",
    "operator": "CREATE OPERATOR public.~~~~ (FUNCTION = public.hm, LEFTARG = int, RIGHTARG = int)",
    "dropped operator": "DROP OPERATOR public.~~~~ (int, int)",
    "type": "CREATE TYPE public.colour AS ENUM ('red')",
    "value of an enumeration": "ALTER TYPE public.colour ADD VALUE 'blue'",
    "renamed value": "ALTER TYPE public.colour RENAME VALUE 'blue' TO 'green'",
    "domain": "CREATE DOMAIN public.small AS int",
    "check of a domain": "ALTER DOMAIN public.small ADD CHECK (VALUE < 10)",
    "attribute of a type": "ALTER TYPE public.pair ADD ATTRIBUTE z int",
    "function of a cast": "CREATE FUNCTION public.to_int(public.mood) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 1'",
    "cast": "CREATE CAST (public.mood AS int) WITH FUNCTION public.to_int(public.mood) AS IMPLICIT",
    "dropped cast": "DROP CAST (public.mood AS int)",
    "collation": "CREATE COLLATION public.mine (provider = libc, locale = 'C')",
    "text search": "CREATE TEXT SEARCH CONFIGURATION public.english (COPY = pg_catalog.english)",
    "mapping of text search": "ALTER TEXT SEARCH CONFIGURATION public.english DROP MAPPING FOR url",
    "schema": "CREATE SCHEMA c",
    "dropped schema": "DROP SCHEMA c",
    "grant on a table": "GRANT SELECT ON public.orders TO app",
    "grant on a column": "GRANT SELECT (id) ON public.notes TO app",
    "grant on a schema": "GRANT USAGE ON SCHEMA b TO app",
    "grant on a function": "REVOKE EXECUTE ON FUNCTION public.once(int) FROM PUBLIC",
    "grant on a built-in function": "REVOKE EXECUTE ON FUNCTION pg_catalog.upper(text) FROM PUBLIC",
    "grant on a type": "REVOKE USAGE ON TYPE public.mood FROM PUBLIC",
    "grant on the database": "GRANT CREATE ON DATABASE postgres TO app",
    "role": "CREATE ROLE extra",
    "member": "GRANT team TO app",
    "no member": "REVOKE team FROM app",
    "attribute of a role": "ALTER ROLE plain BYPASSRLS",
    "inheriting role": "ALTER ROLE plain NOINHERIT",
    "dropped role": "DROP ROLE extra",
    "setting of a role": "ALTER ROLE plain SET search_path TO b",
    "setting of a role in the database": "ALTER ROLE plain IN DATABASE postgres SET search_path TO a",
    "setting of the database": "ALTER DATABASE postgres SET default_transaction_isolation TO 'serializable'",
    "setting of all": "ALTER ROLE ALL SET search_path TO a",
    "no setting of all": "ALTER ROLE ALL RESET search_path",
    "cascade": "ALTER TABLE public.loose ADD CONSTRAINT fk2 FOREIGN KEY (\"order\") REFERENCES public.orders ON UPDATE CASCADE",
    "check": "ALTER TABLE public.loose ADD CHECK (id > 0)",
    "deferrable": "ALTER TABLE public.loose ALTER CONSTRAINT fk2 DEFERRABLE",
    "event trigger": "CREATE FUNCTION public.event() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
    " CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION public.event()",
    "configuration": "SELECT pg_reload_conf()",
}  # fmt: skip


@pytest.mark.parametrize("sql", CHANGES.values(), ids=CHANGES)
def test_a_change_behind_its_back_is_noticed(settled: Probe, direct: Direct, sql: str) -> None:
    before = settled.state()
    direct.execute(sql)
    eventually(lambda: settled.state()["changed"] > before["changed"], sql)
    assert settled.known()["version"] > before["version"]


NO_CHANGES = {
    "analyze": ["ANALYZE"],
    "vacuum": ["VACUUM"],
    "vacuum freeze": ["VACUUM (FREEZE, ANALYZE)"],
    "vacuum full": ["VACUUM FULL public.customers"],
    "vacuum full of all": ["VACUUM FULL"],
    "cluster": ["CLUSTER public.customers USING customers_pkey"],
    "reindex": ["REINDEX TABLE public.customers", "REINDEX TABLE CONCURRENTLY public.customers"],
    "truncate": ["TRUNCATE public.customers CASCADE"],
    "rows": ["INSERT INTO public.loose VALUES (1)", "UPDATE public.loose SET id = 2", "DELETE FROM public.loose"],
    "refresh": ["REFRESH MATERIALIZED VIEW public.kept"],
    "index that isn't unique": ["CREATE INDEX ON public.loose (id)"],
    "temporary table": [
        "CREATE TEMP TABLE mine (id serial PRIMARY KEY, name text UNIQUE, big text DEFAULT 'x', customer int CHECK (customer > 1))",
        "CREATE TEMP VIEW my_view AS SELECT * FROM mine", "ALTER TABLE mine ADD COLUMN more int",
        "CREATE FUNCTION pg_temp.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'", "CREATE TYPE pg_temp.my_type AS (a int)",
        "ALTER TABLE mine ENABLE ROW LEVEL SECURITY", "CREATE POLICY p ON mine USING (true)",
        "CREATE TEMP TABLE parted (id int) PARTITION BY LIST (id)", "CREATE TEMP TABLE part PARTITION OF parted FOR VALUES IN (1)",
        "CREATE TEMP TABLE copied AS SELECT * FROM pg_class", "ANALYZE copied",
        "CREATE TRIGGER t BEFORE UPDATE ON mine FOR EACH ROW EXECUTE FUNCTION public.noop()",
        "DROP TABLE mine CASCADE", "DISCARD TEMP",
    ],
    "another database": ["CREATE DATABASE other", "DROP DATABASE other"],
}  # fmt: skip


WRITTEN = {
    "vacuum full": ["customers"],
    "vacuum full of all": None,
    "cluster": ["customers"],
    "truncate": ["customers", "loose", "notes", "orders"],
    "refresh": ["kept"],
}  # such tables count as written


@pytest.mark.parametrize("what", NO_CHANGES)
def test_what_changes_nothing_is_not_noticed(settled: Probe, direct: Direct, what: str) -> None:
    statements = NO_CHANGES[what]
    before = settled.state()
    for sql in statements:
        direct.execute(sql)
        direct.execute("SELECT pg_current_xact_id()")  # so that the next poll looks at all
        settled.polled(1)
    settled.polled(2)
    after = settled.state()
    written = sorted(after["written"][len(before["written"]) :])
    assert WRITTEN.get(what, []) in (written, None)
    unlike = ("polls", "query_ms", "written")
    assert {**after, **{name: before[name] for name in unlike}} == before


# And which table is told as written; "": all counts as changed.
THERE_AND_BACK = {
    "grant on a table": ("GRANT SELECT ON public.shown TO plain", "REVOKE SELECT ON public.shown FROM plain", "shown"),
    "owner": ("ALTER TABLE public.shown OWNER TO app", "ALTER TABLE public.shown OWNER TO postgres", ""),
    "row security": ("ALTER TABLE public.shown ENABLE ROW LEVEL SECURITY", "ALTER TABLE public.shown DISABLE ROW LEVEL SECURITY", "shown"),
    "table's name": ("ALTER TABLE public.shown RENAME TO other", "ALTER TABLE public.other RENAME TO shown", ""),
    "schema": ("ALTER TABLE public.shown SET SCHEMA a", "ALTER TABLE a.shown SET SCHEMA public", ""),
    "option of a view": ("ALTER VIEW public.see SET (security_barrier)", "ALTER VIEW public.see RESET (security_barrier)", "see"),
    "grant on a column": ("GRANT SELECT (id) ON public.shown TO plain", "REVOKE SELECT (id) ON public.shown FROM plain", ""),
    "grant on a schema": ("GRANT USAGE ON SCHEMA public TO plain", "REVOKE USAGE ON SCHEMA public FROM plain", ""),
    "grant on a function": ("GRANT EXECUTE ON FUNCTION public.once(int) TO plain", "REVOKE EXECUTE ON FUNCTION public.once(int) FROM plain", ""),
    "grant on the database": ("GRANT CREATE ON DATABASE postgres TO plain", "REVOKE CREATE ON DATABASE postgres FROM plain", ""),
    "name of the database": ("ALTER DATABASE postgres OWNER TO app", "ALTER DATABASE postgres OWNER TO postgres", ""),
    "volatility": ("ALTER FUNCTION public.once(int) STABLE", "ALTER FUNCTION public.once(int) IMMUTABLE", ""),
    "view": ("CREATE OR REPLACE VIEW public.see AS SELECT 2 AS id", "CREATE OR REPLACE VIEW public.see AS SELECT id FROM public.shown", ""),
    "member": ("GRANT team TO plain", "REVOKE team FROM plain", ""),
    "attribute of a role": ("ALTER ROLE plain SUPERUSER", "ALTER ROLE plain NOSUPERUSER", ""),
    "setting of a role": ("ALTER ROLE plain SET work_mem TO '1MB'", "ALTER ROLE plain RESET work_mem", ""),
}  # fmt: skip


def test_what_was_otherwise_for_a_moment_is_noticed(postgres: PostgreSQL, direct: Direct) -> None:
    direct.execute("CREATE TABLE public.shown (id int); CREATE VIEW public.see AS SELECT id FROM public.shown")
    direct.execute("ALTER ROLE plain RESET ALL")
    for role in ("TABLE public.shown", "SCHEMA public", "FUNCTION public.once(int)", "DATABASE postgres"):
        direct.execute(f"GRANT ALL ON {role} TO plain; REVOKE ALL ON {role} FROM plain")  # from NULL to a list
    with psycopg.connect(postgres.dsn(), autocommit=True) as other:
        other.execute("BEGIN; SELECT pg_current_xact_id()")  # all that comes is after the first that runs
        one = Probe(postgres.dsn(), poll_ms=60_000)
        one.known()
        for what, (there, back, table) in THERE_AND_BACK.items():
            direct.execute("SELECT pg_stat_force_next_flush()")
            assert one.say(ask="confirm") is True  # perhaps of what was before
            before = one.known()
            for _ in range(2):
                direct.execute(there)
                direct.execute(back)
                direct.execute("SELECT pg_stat_force_next_flush()")
            assert one.say(ask="confirm") is True
            after = one.state()
            written = after["written"][len(before["written"]) :]
            assert (written, after["changed"] - before["changed"]) == (([table], 0) if table else (written, 1)), what
            one.known()
            # And only once.
            direct.execute("SELECT pg_current_xact_id()")
            before = one.state()
            assert one.say(ask="confirm") is True
            after = one.state()
            assert after["changed"] == before["changed"] and (not table or after["written"] == before["written"]), what
        one.close()


def test_dangers_that_come_and_go(settled: Probe, direct: Direct) -> None:
    direct.execute("CREATE CAST (public.mood AS int) WITH FUNCTION public.to_int(public.mood) AS IMPLICIT")
    settled.say(tell="ddl")
    settled.known()
    assert settled.ask("unsafe_casts")
    direct.execute("ALTER FUNCTION public.to_int(public.mood) IMMUTABLE")
    settled.say(tell="ddl")
    settled.known()
    assert not settled.ask("unsafe_casts")
    direct.execute("DROP CAST (public.mood AS int)")


def test_nothing_older_than_ddl_becomes_current(postgres: PostgreSQL, direct: Direct) -> None:
    """It passes at whatever moment of a reading."""
    direct.execute("CREATE TABLE public.race (c0 int)")
    slow = Probe(postgres.dsn(), poll_ms=60_000)
    slow.known()
    slow.say(delay=100)
    for i in range(1, 7):
        slow.say(tell="ddl")
        time.sleep(i * 0.06)  # a reading takes two such delays
        direct.execute(f"ALTER TABLE public.race RENAME COLUMN c{i - 1} TO c{i}")
        slow.say(tell="ddl")
        assert slow.state()["version"] == 0
        slow.known()
        assert slow.ask("relation", "race", "public")["columns"][0][0] == f"c{i}"
    slow.close()


def test_what_is_confirmed_is_so(postgres: PostgreSQL, direct: Direct) -> None:
    """Nobody tells it, and it is asked at whatever moment of a reading."""
    direct.execute("CREATE TABLE public.doubted (c0 int)")
    one = Probe(postgres.dsn(), poll_ms=60_000)
    before = one.known()
    assert one.say(ask="confirm") is True
    assert one.state()["polls"] == before["polls"] + 1
    assert one.state()["version"] == before["version"] and one.state()["changed"] == before["changed"]
    one.say(delay=100)
    for i in range(1, 8):
        changed = one.state()["changed"]
        if i > 1:
            one.say(tell="ddl")  # so that it reads
            time.sleep(i * 0.06)
        direct.execute(f"ALTER TABLE public.doubted RENAME COLUMN c{i - 1} TO c{i}")
        assert one.say(ask="confirm") is True
        state = one.state()
        assert state["changed"] > changed
        if state["version"] > 0:
            assert one.ask("relation", "doubted", "public")["columns"][0][0] == f"c{i}"
        one.known()
        assert one.ask("relation", "doubted", "public")["columns"][0][0] == f"c{i}"
    one.close()


def test_held_for_a_transaction_with_ddl(postgres: PostgreSQL, direct: Direct) -> None:
    direct.execute("CREATE TABLE public.held (id int)")
    one = Probe(postgres.dsn())
    one.known()
    one.say(tell="hold")
    with direct.transaction():
        direct.execute("ALTER TABLE public.held ADD COLUMN more int")
        time.sleep(0.3)
        assert one.state()["version"] == 0
    one.say(tell="release")
    one.known()
    assert len(one.ask("relation", "held", "public")["columns"]) == 2
    one.close()


def test_a_lock_is_not_waited_for(settled: Probe, direct: Direct) -> None:
    """Whose owner could become the victim of a deadlock; only definitions of views need any."""
    with direct.transaction():
        direct.execute("LOCK TABLE public.customers IN ACCESS EXCLUSIVE MODE")
        before = settled.state()["version"]
        settled.say(tell="ddl")
        settled.known()
        assert settled.state()["version"] > before
        assert settled.ask("relation", "seen", "public")["definition"] is None
    settled.polled(3)
    readings = settled.known()["readings"]
    settled.polled(3)
    assert settled.state()["readings"] == readings


def test_the_server_goes_and_comes_back(postgres: PostgreSQL) -> None:
    one = Probe(postgres.dsn())
    before = one.known()
    postgres.stop()
    assert one.say(ask="confirm") is False
    eventually(lambda: one.state()["version"] == 0, "still known")
    postgres.start()
    one.known()
    assert one.ask("relation", "orders", "public")["kind"] == "r"
    assert one.state()["readings"] >= before["readings"]
    one.close()
