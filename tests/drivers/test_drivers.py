"""Every driver's script says the same through the proxy as it says directly, in both pooling modes."""

import difflib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import PostgreSQL
from harness.temporary import temporary_folder
from harness.wire import Wire

HERE = Path(__file__).resolve().parent
JDBC = "/usr/share/java/postgresql.jar"
JAVA_CLASSES = temporary_folder("java")
SECONDS = 120

Command = list[str]


def python(script: str) -> Command:
    return ["/usr/bin/python3", str(HERE / script)]


DRIVERS: dict[str, Command] = {
    "psql": ["/usr/lib/postgresql/15/bin/psql", "-X", "-f", str(HERE / "psql.sql")],
    "asyncpg": python("asyncpg_script.py"),
    "psycopg3": python("psycopg3_script.py"),
    "psycopg2": python("psycopg2_script.py"),
    "sqlalchemy": python("sqlalchemy_script.py"),
    "sqlalchemy-async": python("sqlalchemy_async_script.py"),
    "jdbc": ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", f"{JDBC}:{JAVA_CLASSES}", "Jdbc"],
    "node": ["node", str(HERE / "node/script.js")],
}


@pytest.fixture(scope="session", autouse=True)
def node_modules() -> None:
    """node's driver, by the checksums of the lock file."""
    folder = HERE / "node"
    lock, stamp = folder / "package-lock.json", folder / "node_modules/.package-lock.json"
    if not stamp.exists() or stamp.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, check=True)


@pytest.fixture(scope="session", autouse=True)
def java_classes() -> None:
    """Once, not at each start of the script."""
    subprocess.run(["javac", "-cp", JDBC, "-d", JAVA_CLASSES, HERE / "Jdbc.java"], check=True)


@pytest.fixture(scope="module")
def said_directly() -> dict[str, str]:
    return {}


def fresh_database(postgres: PostgreSQL, name: str) -> str:
    postgres.admin(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    postgres.admin(f"CREATE DATABASE {name}")
    postgres.admin((HERE / "schema.sql").read_text(), database=name)
    return name


def environment(server: Wire, database: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**clean, **server.environment_for_clients(), "PGDATABASE": database, "PGSSLMODE": "disable",
            "PYTHONPATH": str(HERE), "TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}  # fmt: skip


def said(server: Wire, command: Command, database: str) -> str:
    done = subprocess.run(command, env=environment(server, database), timeout=SECONDS, text=True, cwd="/",
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    return re.sub(rf"\b{database}\b", "DATABASE", done.stdout) + f"exit code {done.returncode}\n"


@pytest.mark.parametrize("driver", DRIVERS)
def test_says_the_same(
    postgres: PostgreSQL, proxy: Wire, pool_mode: str, said_directly: dict[str, str], driver: str
) -> None:
    name = driver.replace("-", "_")
    if driver not in said_directly:
        said_directly[driver] = said(postgres, DRIVERS[driver], fresh_database(postgres, f"{name}_direct"))
        assert said_directly[driver].endswith("exit code 0\n"), said_directly[driver]
        assert "\n!!" not in said_directly[driver], said_directly[driver]
    through = said(proxy, DRIVERS[driver], fresh_database(postgres, f"{name}_{pool_mode}"))
    if through != said_directly[driver]:
        before, after = said_directly[driver].splitlines(), through.splitlines()
        pytest.fail("\n".join(difflib.unified_diff(before, after, "directly", "through", lineterm="")), pytrace=False)


def test_psql_interrupted(postgres: PostgreSQL, proxy: Wire) -> None:
    """Ctrl-C in psql cancels the statement in the server."""
    script = "SELECT 'before';\nSELECT pg_sleep(60);\n"
    process = subprocess.Popen(
        ["/usr/lib/postgresql/15/bin/psql", "-XAt"], env=environment(proxy, "postgres"), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdin
    process.stdin.write(script)
    process.stdin.flush()
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()"
    deadline = time.monotonic() + 60
    while postgres.admin(sleeping) == "0" and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert output == "before\nCancel request sent\nERROR:  canceling statement due to user request\n"
    assert postgres.admin(sleeping) == "0"
