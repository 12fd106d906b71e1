"""The demo behind tools/demo: real servers, a sample database, page loads with and without Millrace, then yours to try."""

import argparse
import asyncio
import os
import secrets
import signal
import stat
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import NoReturn

import asyncpg

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import application  # noqa: E402
import comparison  # noqa: E402
import freshness  # noqa: E402
import rewriting  # noqa: E402
import sample_data  # noqa: E402
from harness import Millrace, PostgreSQL, Redis, ServerError  # noqa: E402
from harness.ports import free_port, is_free  # noqa: E402
from harness.server import unprivileged_user  # noqa: E402

# The application's user and database. Not a superuser, and on loopback only: a password that can be typed will do.
APPLICATION = "demo"

# Lets Millrace, which is no superuser, read what it needs to check passwords, and nothing else.
SECRETS_FUNCTION = """
CREATE SCHEMA IF NOT EXISTS millrace;
CREATE OR REPLACE FUNCTION millrace.secret(name text) RETURNS TABLE (rolname name, rolpassword text)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
  AS $$SELECT rolname, rolpassword FROM pg_authid WHERE rolname = name AND rolcanlogin AND NOT rolsuper$$;
REVOKE ALL ON FUNCTION millrace.secret FROM public;
GRANT USAGE ON SCHEMA millrace TO millrace;
GRANT EXECUTE ON FUNCTION millrace.secret TO millrace;
"""
AUTH_QUERY = "SELECT rolname, rolpassword FROM millrace.secret($1)"

# What lets Millrace follow the changes of the application's tables.
CHANGE_STREAM = f"""
ALTER ROLE millrace REPLICATION;
GRANT {APPLICATION} TO millrace;
GRANT CREATE ON DATABASE {APPLICATION} TO millrace;
"""

# Of the application, and not to lock: what PostgreSQL itself or a driver asks for is from other tables.
READS_RUN = rf"""
SELECT coalesce(sum(calls), 0) FROM pg_stat_statements JOIN pg_database ON pg_database.oid = dbid
WHERE datname = '{APPLICATION}' AND query ~ '^SELECT\s.*FROM (users|projects|domains|project_pages)\s' AND query !~ 'FOR UPDATE'
"""


# With pages, and the same ones each time.
PROJECTS = f"SELECT project_id FROM project_pages GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT {comparison.PROJECTS}"

CHANGE_STREAM_SECONDS = 20

STATEMENT = "SELECT name, status FROM projects WHERE id = 1"
SHOWN_OF_EXPLAIN = ("decision", "meaning", "reason", "why not", "what helps", "reads", "kept age", "kept for")


def main() -> None:
    options = parse(sys.argv[1:])
    port = choose_port(options.port, 6432, "--port")
    http_port = choose_port(options.http_port, 8642, "--http-port")
    if options.check:
        return
    folder = data_folder(options.data_dir)
    signal.signal(signal.SIGTERM, end)
    try:
        with ExitStack() as servers:
            run(options, folder, servers, port, http_port)
    except KeyboardInterrupt:
        pass
    except (ServerError, comparison.CountError, freshness.StaleError, rewriting.DifferentRowsError) as error:
        fail(str(error))
    print("\nStopped. The data stays in", folder)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/demo", usage="tools/demo [OPTION]... (--help lists them)", add_help=False)
    parser.add_argument("--size", type=size, default=sample_data.SIZES["small"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=positive, default=12.0)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--port", type=port_number)
    parser.add_argument("--http-port", type=port_number)
    parser.add_argument("--exit", action="store_true")
    parser.add_argument("--check", action="store_true", help="only check the options, before anything is built")
    return parser.parse_args(arguments)


def positive(text: str) -> float:
    number = float(text)
    if not 0 < number < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def size(text: str) -> float:
    return sample_data.SIZES[text] if text in sample_data.SIZES else positive(text)


def port_number(text: str) -> int:
    number = int(text)
    if not 0 < number < 65536:
        raise argparse.ArgumentTypeError(f"{text} is not a port")
    return number


def choose_port(asked: int | None, usual: int, option: str) -> int:
    """Only a port that was asked for must be free."""
    if asked:
        if not is_free(asked):
            fail(f"port {asked} is taken: stop what listens there, or choose another {option}")
        return asked
    return usual if is_free(usual) else free_port()


def data_folder(asked: Path | None) -> Path:
    """Where PostgreSQL's user, who isn't us if we are root, can work too."""
    folder = (asked or ROOT / ".millrace/demo").resolve()
    if unprivileged_user() is None or is_open_to_all(folder):
        return folder
    if asked:
        fail(f"{folder} can't be reached by the user that PostgreSQL must run as: choose another --data-dir")
    fallback = Path("/var/lib/millrace-demo")
    print(f"{folder} can't be reached by the user that PostgreSQL must run as; using {fallback}")
    return fallback


def is_open_to_all(folder: Path) -> bool:
    return all(not parent.exists() or parent.stat().st_mode & stat.S_IXOTH for parent in folder.parents)


def run(options: argparse.Namespace, folder: Path, servers: ExitStack, port: int, http_port: int) -> None:
    print(f"Starting PostgreSQL 15 and Redis 7 in {folder}", flush=True)
    postgres = servers.enter_context(
        PostgreSQL(
            auth="scram-sha-256",
            durable=True,
            config={
                "wal_level": "logical",
                "shared_preload_libraries": "pg_stat_statements",
                "shared_buffers": "256MB",
                "max_wal_size": "4GB",
            },
            folder=folder / "postgresql",
        )
    )
    redis = servers.enter_context(Redis(folder=folder / "redis"))
    password = secrets.token_urlsafe()
    prepare_roles(postgres, password)
    fill(postgres, sample_data.Recipe(options.size, options.seed))
    postgres.admin(CHANGE_STREAM)

    millrace = servers.enter_context(
        Millrace(
            settings={
                "DATABASE_URL": postgres.dsn(user="millrace", password=password, database=APPLICATION),
                "LISTEN_PORT": port,
                "HTTP_PORT": http_port,
                "AUTH_QUERY": AUTH_QUERY,
                "POOL_MODE": "transaction",
                "REDIS_URL": redis.url,
            },
            folder=folder / "millrace",
        )
    )
    direct, through = (
        server.dsn(user=APPLICATION, password=APPLICATION, database=APPLICATION) for server in (postgres, millrace)
    )
    measure(options, direct, through, postgres, millrace)
    explain(millrace)
    show_rewriting(direct, millrace)
    show_addresses(direct, through, redis, millrace)
    if not options.exit:
        print("\nStop with Ctrl-C.", flush=True)
        while True:
            time.sleep(0.5)
            for server in (postgres, redis, millrace):
                if not server.is_running:
                    fail(f"{server.name} ended; its log is {server.log_path}")


def prepare_roles(postgres: PostgreSQL, password: str) -> None:
    for role in ("millrace", APPLICATION):
        if not postgres.admin(f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'"):
            postgres.admin(f"CREATE ROLE {role} LOGIN")
    postgres.admin(f"ALTER ROLE millrace PASSWORD '{password}'; ALTER ROLE {APPLICATION} PASSWORD '{APPLICATION}'")
    postgres.admin("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    # The superuser's password is the harness's; here only the Unix socket may be used by it.
    postgres.admin(f"ALTER ROLE {postgres.user} PASSWORD NULL")


def fill(postgres: PostgreSQL, recipe: sample_data.Recipe) -> None:
    found = postgres.admin(
        f"SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{APPLICATION}'"
    )
    if found == recipe.label():
        print(f"The sample database is there ({found})", flush=True)
        return
    print(f"Filling the sample database ({recipe.label()})", flush=True)
    postgres.admin(f"DROP DATABASE IF EXISTS {APPLICATION} WITH (FORCE)")
    postgres.admin(f"CREATE DATABASE {APPLICATION} OWNER {APPLICATION}")
    postgres.admin(SECRETS_FUNCTION, database=APPLICATION)
    sample_data.generate(postgres.dsn(user=APPLICATION, password=APPLICATION, database=APPLICATION), recipe)
    # Said last: an interrupted run starts over.
    postgres.admin(f"COMMENT ON DATABASE {APPLICATION} IS '{recipe.label()}'")


def measure(options: argparse.Namespace, direct: str, through: str, postgres: PostgreSQL, millrace: Millrace) -> None:
    def reads_run() -> int:
        return int(postgres.admin(READS_RUN))

    projects = [int(project) for project in postgres.admin(PROJECTS, database=APPLICATION).split()]
    print(
        f"\nA page of {application.READS} reads, of {len(projects)} projects, loaded over {application.CONNECTIONS} connections, "
        "directly and through Millrace in turn:\n",
        flush=True,
    )
    asyncio.run(wait_for_change_stream(through, millrace))
    result = asyncio.run(
        comparison.compare(direct, through, projects, seconds=options.seconds, seed=options.seed, reads_run=reads_run)
    )
    print(result.table())
    print(
        f"\nOf {result.compared} pages {result.same} are the same, row by row, at the end. 'Answered from memory' are the reads "
        "that PostgreSQL\nhasn't run, by its own count. A write makes every answer stale that read its table: two of the page's "
        f"{application.READS}.\nThe client, Millrace and PostgreSQL share {os.cpu_count()} cores. Millrace uses "
        f"{millrace.rss_bytes() / 2**20:.0f} MiB.",
        flush=True,
    )
    if result.same != result.compared:
        raise ServerError("Millrace answered something else than PostgreSQL")
    show_freshness(direct, through, postgres, millrace, reads_run)


def show_freshness(direct: str, through: str, postgres: PostgreSQL, millrace: Millrace, reads_run: Callable[[], int]) -> None:
    print(
        f"\nA row is changed {freshness.WRITES} times directly at PostgreSQL, past Millrace, and read through Millrace until that is "
        "seen:\n\n"
        "              seen by the    after ms          answered\n"
        "                next read  median    most  from memory",
        flush=True,
    )
    for level in freshness.LEVELS:
        seen = asyncio.run(freshness.measure(direct, through, level, reads_run))
        median, most = 1e3 * comparison.percentile(seen.seconds, 0.5), 1e3 * max(seen.seconds)
        from_memory = 100 * (seen.reads - seen.run_by_postgresql) / seen.reads
        of = f"{seen.at_once} of {len(seen.seconds)}"
        print(f"    {level:<9}{of:>12}{median:>8.1f}{most:>8.1f}{from_memory:>11.0f} %", flush=True)
    project = {"user": APPLICATION, "password": APPLICATION, "database": APPLICATION}
    read = "SELECT name FROM projects WHERE id = 2"
    millrace.psql(f"{read}; {read};", **project)
    write = "UPDATE projects SET name = name || '!' WHERE id = 2 RETURNING name"
    written, seen_next = postgres.psql(write, **project), millrace.psql(read, **project)
    print(f"\nThe same with psql:\n  directly: {write}\n    {written}\n  through Millrace: {read}\n    {seen_next}")
    if seen_next != written:
        raise freshness.StaleError("what psql wrote at PostgreSQL wasn't seen through Millrace by a session that began later")


def explain(millrace: Millrace) -> None:
    """Of a statement that was asked just before, and of one whose answer is never kept."""
    statements = (STATEMENT, f"EXPLAIN (MILLRACE) {STATEMENT}", "EXPLAIN (MILLRACE) SELECT now()")
    said = millrace.psql(";\n".join(statements) + ";", user=APPLICATION, password=APPLICATION, database=APPLICATION)
    print("\nWhat becomes of a statement, and why, is what Millrace answers to EXPLAIN (MILLRACE):")
    for line in said.splitlines()[1:]:
        item, _, value = line.partition("|")
        if item == "decision":
            print()
        if item in SHOWN_OF_EXPLAIN:
            print(f"  {item:<13}{value}")


def show_rewriting(direct: str, millrace: Millrace) -> None:
    print(
        "\nQueries that PostgreSQL is slow with, as they are and as optimize-query says them, run in turn directly at "
        "PostgreSQL;\nboth have the same rows:\n\n"
        "                                              rows  before, ms  after, ms",
        flush=True,
    )
    all_found: list[rewriting.Rewritten] = []
    for name, query in rewriting.QUERIES:
        answer = millrace.api("POST", "optimization/optimize-query", rewriting.asked(query))
        one = asyncio.run(rewriting.measure(direct, name, query, answer))
        print(f"    {one.name:<40}{one.rows:>6}{one.before_ms:>12.1f}{one.after_ms:>11.1f}", flush=True)
        all_found.append(one)
    best = max(all_found, key=lambda one: one.before_ms / one.after_ms)
    print(f"\n  {best.query}\n  becomes, by {', '.join(best.rules) or 'nothing'},\n  {best.becomes}", flush=True)


async def wait_for_change_stream(through: str, millrace: Millrace) -> None:
    """It begins when the first client asks for answers from memory."""
    connection = await asyncpg.connect(through)
    try:
        await connection.fetchval("SELECT count(*) FROM projects")
        deadline = time.monotonic() + CHANGE_STREAM_SECONDS
        while (stream := millrace.change_stream(APPLICATION)).get("state") != "live":
            if time.monotonic() > deadline:
                raise ServerError(f"Millrace doesn't follow PostgreSQL's changes: {stream.get('reason') or stream}")
            await asyncio.sleep(0.1)
        # Two seconds later all that was kept counts as stale once more: transactions were under way when it began.
        await asyncio.sleep(2.5)
    finally:
        await connection.close()


def show_addresses(direct: str, through: str, redis: Redis, millrace: Millrace) -> None:
    api = f"{millrace.http_url}/api/v1/optimization"
    print(
        f"""
Try it:
  psql {through}
  curl {api}/status
  curl {api}/health
  curl {millrace.http_url}/api/v1/cache/statistics
  curl {millrace.http_url}/metrics
  curl {millrace.http_url}/openapi.json
Behind it:
  psql {direct}
  redis-cli -u {redis.url}   (quotas of users and projects)
  less {millrace.log_path}"""
    )


def end(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def fail(message: str) -> NoReturn:
    print(f"demo: {message}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
