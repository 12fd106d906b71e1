"""Who is no longer let in by the server isn't let in by a pool that is warm, in the server's own words."""

from collections.abc import Iterator

import psycopg
import pytest

from harness import PostgreSQL
from harness.wire import Wire

MAKE = "CREATE ROLE guest LOGIN; CREATE DATABASE gate; REVOKE CONNECT ON DATABASE gate FROM PUBLIC; GRANT CONNECT ON DATABASE gate TO guest"
DROP = "DROP DATABASE IF EXISTS gate WITH (FORCE); DROP ROLE IF EXISTS guest, departed"


@pytest.fixture(scope="module", params=["session", "transaction"])
def proxy(request: pytest.FixtureRequest, postgres: PostgreSQL, through) -> Iterator[Wire]:
    with through(postgres, POOL_MODE=request.param) as server:
        yield server


@pytest.fixture
def gate(postgres: PostgreSQL) -> Iterator[None]:
    for sql in (DROP, MAKE):
        for statement in sql.split(";"):
            postgres.admin(statement)
    yield
    for statement in DROP.split(";"):
        postgres.admin(statement)


def try_it(server: Wire) -> str:
    """Who the server says one is; or why one isn't let in."""
    try:
        with psycopg.connect(server.dsn(user="guest", dbname="gate")) as connection:
            return str(connection.execute("SELECT current_user, (SELECT oid FROM pg_roles WHERE rolname = current_user)").fetchone())
    except psycopg.OperationalError as error:
        return str(error).partition("FATAL:")[2]


CHANGES = {
    "CONNECT revoked": ("REVOKE CONNECT ON DATABASE gate FROM guest", "GRANT CONNECT ON DATABASE gate TO guest"),
    "the role's limit": ("ALTER ROLE guest CONNECTION LIMIT 0", "ALTER ROLE guest CONNECTION LIMIT -1"),
    "the database's limit": ("ALTER DATABASE gate CONNECTION LIMIT 0", "ALTER DATABASE gate CONNECTION LIMIT -1"),
    "the database closed": ("ALTER DATABASE gate ALLOW_CONNECTIONS false", "ALTER DATABASE gate ALLOW_CONNECTIONS true"),
    "NOLOGIN": ("ALTER ROLE guest NOLOGIN", "ALTER ROLE guest LOGIN"),
    "the role renamed": ("ALTER ROLE guest RENAME TO departed", "ALTER ROLE departed RENAME TO guest"),
}


@pytest.mark.parametrize(("change", "back"), CHANGES.values(), ids=CHANGES)
def test_a_warm_pool_lets_in_whom_the_server_does(postgres: PostgreSQL, proxy: Wire, gate: None, change: str, back: str) -> None:
    admitted = try_it(postgres)
    assert try_it(proxy) == admitted
    postgres.admin(change)
    refused = try_it(postgres)
    assert refused != admitted
    assert try_it(proxy) == refused
    postgres.admin(back)
    assert try_it(proxy) == admitted


def test_a_role_made_again_is_another(postgres: PostgreSQL, proxy: Wire, gate: None) -> None:
    assert try_it(proxy) == try_it(postgres)
    postgres.admin("REVOKE CONNECT ON DATABASE gate FROM guest; DROP ROLE guest; CREATE ROLE guest LOGIN; GRANT CONNECT ON DATABASE gate TO guest")
    assert try_it(proxy) == try_it(postgres)
