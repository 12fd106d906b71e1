"""`millrace check`: it finds the database, says what its server lacks for each guarantee, and what it tells to run is enough."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wire import eventually

from harness import Millrace, PgBouncer, PostgreSQL, millrace_binary

# As a server is where nobody has thought of Millrace.
PLAIN = {"wal_level": "replica", "max_replication_slots": 1, "max_wal_senders": 1, "default_transaction_isolation": "repeatable read"}
SCHEMA = """
CREATE ROLE owner; CREATE ROLE "Other owner";
CREATE ROLE app LOGIN PASSWORD 'hunter2';
ALTER ROLE app IN DATABASE postgres SET default_transaction_isolation = 'serializable';
CREATE SCHEMA "My things"; GRANT ALL ON SCHEMA "My things", public TO owner, "Other owner", app;
CREATE TABLE keyed (id int PRIMARY KEY);
CREATE TABLE unkeyed (id int);
CREATE TABLE late_key (id int PRIMARY KEY DEFERRABLE);
CREATE TABLE unique_only (id int NOT NULL, n int, UNIQUE (id));
CREATE TABLE nullable_unique (id int UNIQUE);
CREATE TABLE partly_unique (id int NOT NULL); CREATE UNIQUE INDEX ON partly_unique (id) WHERE id > 0;
CREATE TABLE told_nothing (id int PRIMARY KEY); ALTER TABLE told_nothing REPLICA IDENTITY NOTHING;
CREATE TABLE "My things"."it's; -- one" (id int);
CREATE TABLE parts (id int, region text) PARTITION BY LIST (region);
CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN ('a');
CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY);
CREATE MATERIALIZED VIEW materialized AS SELECT 1 AS one;
CREATE TABLE secured (id int); ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE TABLE ruled (id int); CREATE RULE nothing AS ON DELETE TO ruled DO INSTEAD NOTHING;
CREATE VIEW seen AS SELECT * FROM keyed;
"""
OWNERS = """
DO $$ DECLARE t regclass; BEGIN
  FOR t IN SELECT oid FROM pg_class WHERE relkind IN ('r', 'p', 'm') AND relnamespace::regnamespace::text IN ('public', '"My things"') LOOP
    EXECUTE format('ALTER TABLE %s OWNER TO %I', t, CASE WHEN t::text LIKE 'un%' THEN 'Other owner' ELSE 'owner' END);
  END LOOP;
END $$;
ALTER TABLE told_nothing OWNER TO app;
"""


def run(*arguments: str, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [millrace_binary(), "check", *arguments], capture_output=True, text=True, timeout=60, cwd=folder or "/",
        env={"MILLRACE_CONFIG": "/dev/null", **environment},
    )  # fmt: skip


def check(server: PostgreSQL, *arguments: str, user: str = "app", password: str = "hunter2") -> dict[str, Any]:
    done = run("--json", server.dsn(user=user, password=password), *arguments)
    assert "hunter2" not in done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report["all_met"] else 1), done.stderr
    return report


def odd(report: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["status"] for one in report["checks"] if one["status"] != "ok"}


def tables(report: dict[str, Any]) -> dict[str, tuple[bool, int, int]]:
    return {one["level"]: (one["can_be_met"], one["tables"], one["all_tables"]) for one in report["guarantees"]}


def mend(server: PostgreSQL, report: dict[str, Any], status: str = "missing") -> list[str]:
    """Runs all that the report tells to run, and what is to be done then."""
    statements, restart = [], False
    for one in report["checks"]:
        for remedy in one["remedies"] if one["status"] == status else []:
            server.admin(remedy["statement"])
            statements.append(remedy["statement"])
            restart |= "restart" in remedy["then"]
    if restart:
        server.restart()
    elif statements:
        server.reload()
    return statements


@pytest.fixture
def plain() -> Iterator[PostgreSQL]:
    with PostgreSQL(auth="scram-sha-256", config=PLAIN) as server:
        server.admin(SCHEMA)
        server.admin(OWNERS)
        server.admin("SELECT pg_create_physical_replication_slot('taken')")
        yield server


@pytest.fixture(scope="module")
def logical() -> Iterator[PostgreSQL]:
    with PostgreSQL(auth="scram-sha-256", config={"wal_level": "logical", "synchronous_commit": "on"}) as server:
        server.admin("CREATE ROLE app LOGIN REPLICATION PASSWORD 'hunter2'; GRANT CREATE ON DATABASE postgres TO app")
        server.admin("CREATE TABLE keyed (id int PRIMARY KEY); ALTER TABLE keyed OWNER TO app")
        yield server


def test_what_it_tells_to_run_is_enough(plain: PostgreSQL) -> None:
    report = check(plain)
    assert odd(report) == {
        "wal_level": "missing",
        "replication slots": "missing",
        "REPLICATION": "missing",
        "publications": "missing",
        "table owners": "missing",
        "replica identities": "missing",
        "unlogged tables": "warning",
        "materialized views": "warning",
        "row security": "warning",
        "rules": "warning",
        "default isolation": "warning",
        "max_slot_wal_keep_size": "warning",
    }
    # keyed, unkeyed, late_key, unique_only, nullable_unique, partly_unique, told_nothing, it's, parts_a, unlogged, materialized
    assert tables(report) == {
        "eventual": (True, 11, 13),
        "bounded": (True, 11, 13),
        "session": (False, 0, 13),
        "read_after_write": (False, 0, 13),
        "strong": (False, 0, 13),
    }
    assert sorted(mend(plain, report)) == [
        """ALTER ROLE app REPLICATION""",
        """ALTER SYSTEM SET max_replication_slots = 10""",
        """ALTER SYSTEM SET wal_level = logical""",
        """ALTER TABLE "My things"."it's; -- one" REPLICA IDENTITY FULL""",
        """ALTER TABLE public.late_key REPLICA IDENTITY FULL""",
        """ALTER TABLE public.nullable_unique REPLICA IDENTITY FULL""",
        """ALTER TABLE public.partly_unique REPLICA IDENTITY FULL""",
        """ALTER TABLE public.parts_a REPLICA IDENTITY FULL""",
        """ALTER TABLE public.told_nothing REPLICA IDENTITY DEFAULT""",
        """ALTER TABLE public.unique_only REPLICA IDENTITY USING INDEX unique_only_id_key""",
        """ALTER TABLE public.unkeyed REPLICA IDENTITY FULL""",
        """GRANT "Other owner" TO app""",
        """GRANT CREATE ON DATABASE postgres TO app""",
        """GRANT owner TO app""",
    ]
    report = check(plain)
    assert report["all_met"], odd(report)
    assert tables(report)["strong"] == (False, 9, 13)  # all but unlogged, materialized; secured, ruled

    mend(plain, report, "warning")
    mend(plain, check(plain), "warning")  # the server's own isolation stood behind the role's
    report = check(plain)
    assert set(odd(report)) == {"materialized views", "row security", "rules"}
    assert tables(report)["strong"] == (False, 10, 13)
    plain.admin("DROP MATERIALIZED VIEW materialized")
    assert tables(check(plain))["strong"] == (True, 10, 12)

    # And Millrace says the same of it.
    settings = {"DATABASE_URL": plain.dsn(user="app", password="hunter2"), "AUTH_TYPE": "trust"}
    with Millrace(plain, settings) as millrace:
        assert millrace.psql("SELECT count(*) FROM keyed", user="app", password="hunter2") == "0"
        eventually_followed(millrace, 12 - 2)
        plain.admin("ALTER SYSTEM SET max_replication_slots = 10")
        assert odd(check(plain)).get("replication slots") is None


def eventually_followed(millrace: Millrace, number: int) -> None:
    def followed() -> bool:
        return any(one["state"] == "live" and one["tables_followed"] == number for one in millrace.change_streams())

    eventually(followed)


def test_nothing_is_changed(logical: PostgreSQL) -> None:
    def state() -> str:
        return logical.admin(
            "SELECT pg_current_xact_id_if_assigned(), pg_snapshot_xmax(pg_current_snapshot()), (SELECT count(*) FROM pg_publication),"
            " (SELECT count(*) FROM pg_replication_slots)"
        )

    before = state()
    assert check(logical)["all_met"]
    assert check(logical, user="postgres", password="millrace")["all_met"]
    assert state() == before


def test_what_wasnt_asked_for_is_a_warning(logical: PostgreSQL) -> None:
    logical.admin("CREATE TABLE unkeyed (id int)")
    try:
        assert odd(check(logical))["replica identities"] == "missing"
        for asked in (["--cache-consistency-level", "eventual"], ["--cache-consistency-level", "bounded"]):
            report = check(logical, *asked)
            assert report["all_met"] and report["asked_for"] == asked[1]
            assert odd(report)["replica identities"] == "warning"
    finally:
        logical.admin("DROP TABLE unkeyed")


def test_without_its_stream_in_millraces_settings(logical: PostgreSQL) -> None:
    report = check(logical, "--enable-change-stream", "false")
    assert odd(report)["ENABLE_CHANGE_STREAM"] == "missing" and not report["all_met"]
    assert check(logical, "--enable-change-stream", "false", "--cache-consistency-level", "bounded")["all_met"]


def test_publications_of_others_are_in_the_way(logical: PostgreSQL) -> None:
    logical.admin("CREATE PUBLICATION millrace_changes FOR ALL TABLES")
    report = check(logical)
    assert odd(report)["publications"] == "missing"
    assert mend(logical, report) == ["DROP PUBLICATION IF EXISTS millrace_changes, millrace_inserts"]
    assert check(logical)["all_met"]


def test_a_member_that_inherits_nothing(logical: PostgreSQL) -> None:
    logical.admin("CREATE ROLE maker; CREATE TABLE made (id int PRIMARY KEY); ALTER TABLE made OWNER TO maker; ALTER ROLE app NOINHERIT")
    try:
        said = []
        while not (report := check(logical))["all_met"]:
            said += mend(logical, report)
        assert said == ["GRANT maker TO app", "ALTER ROLE app INHERIT"]
    finally:
        logical.admin("DROP TABLE made; DROP ROLE maker; ALTER ROLE app INHERIT")


def test_commits_that_would_wait_for_millrace(logical: PostgreSQL) -> None:
    logical.admin("ALTER SYSTEM SET synchronous_standby_names = '*'")
    logical.reload()
    try:
        assert odd(check(logical))["synchronous standbys"] == "missing"
    finally:
        logical.admin("ALTER SYSTEM RESET synchronous_standby_names")
        logical.reload()


def test_a_pooler_in_between_takes_no_replication_connection(logical: PostgreSQL) -> None:
    with PgBouncer(logical) as pooler:
        done = run("--json", pooler.dsn())
        assert done.returncode == 1, done
        report = json.loads(done.stdout)
        assert odd(report)["replication connection"] == "missing"
        assert tables(report)["strong"][0] is False
        assert tables(report)["eventual"][0] is True
    assert check(logical, user="postgres", password="millrace")["all_met"]


def test_who_cant_be_asked(logical: PostgreSQL) -> None:
    for url, reason in [
        (logical.dsn(user="app", password="wrong-hunter2"), "password authentication failed"),
        (logical.dsn(user="app", password="hunter2", database="none"), 'database "none" does not exist'),
        ("postgresql://app:hunter2@127.0.0.1:1/postgres", ""),
    ]:
        done = run(url)
        assert done.returncode == 2, done
        assert "missing  connection" in done.stdout and reason in done.stdout
        assert "hunter2" not in done.stdout + done.stderr
        report = json.loads(run("--json", url).stdout)
        assert [one["name"] for one in report["checks"]] == ["connection"] and not report["all_met"]
    for arguments in (["mysql://app:hunter2@h/d"], ["postgresql://app:hunter2@h:x/d"], ["--nonsense"], ["a", "b"]):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr and "hunter2" not in done.stderr


def test_it_finds_the_database(logical: PostgreSQL, tmp_path: Path) -> None:
    url = logical.dsn(user="app", password="hunter2").replace("postgresql://", "postgresql+asyncpg://")
    seen = f"database: postgresql://app:***@127.0.0.1:{logical.port}/postgres (from "
    variables = {"PGHOST": "127.0.0.1", "PGPORT": str(logical.port), "PGUSER": "app", "PGPASSWORD": "hunter2", "PGDATABASE": "postgres"}

    def found(*arguments: str, **environment: str) -> str:
        done = run(*arguments, folder=tmp_path, **environment)
        assert done.returncode == 0, done
        assert "hunter2" not in done.stdout + done.stderr
        assert done.stdout.startswith(seen), done.stdout
        return done.stdout.splitlines()[0][len(seen) :]

    assert found(**variables) == "PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD)"
    (tmp_path / ".env").write_text(f"# ours\nexport DATABASE_URL='{url}?prepared_statement_cache_size=0'\n")
    assert found() == "DATABASE_URL in .env)"
    assert found(**(variables | {"PGPORT": "1"})) == "DATABASE_URL in .env)"
    (tmp_path / ".env").write_text("DATABASE_URL=postgresql://127.0.0.1:1/none\n")
    settings = tmp_path / "m.toml"
    settings.write_text(f'DATABASE_URL = "{url}"\n')
    settings.chmod(0o600)
    assert found("-c", str(settings)) == f"{settings}:1)"
    settings.write_text('DATABASE_URL = "postgresql://127.0.0.1:1/none"\n')
    assert found("-c", str(settings), DATABASE_URL=url) == "environment variable DATABASE_URL)"
    assert found("--database-url", url, DATABASE_URL="postgresql://127.0.0.1:1/none") == "--database-url)"
    assert found("--url", url, DATABASE_URL="postgresql://127.0.0.1:1/none") == "command line)"
    assert "left out: schema\n" in run(url + "?schema=public").stdout


def test_names_dont_reach_the_terminal_as_commands(logical: PostgreSQL) -> None:
    logical.admin('CREATE TABLE "a\x1b[2Jb" (id int)')
    try:
        assert "\x1b" not in run(logical.dsn(user="postgres")).stdout
        statements = [one["remedies"] for one in check(logical)["checks"] if one["name"] == "replica identities"][0]
        assert statements[0]["statement"] == 'ALTER TABLE public."a\x1b[2Jb" REPLICA IDENTITY FULL'
    finally:
        logical.admin('DROP TABLE "a\x1b[2Jb"')
