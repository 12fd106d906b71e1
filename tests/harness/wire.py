"""What every server that speaks PostgreSQL's protocol has: an address and credentials to try."""

import os
import socket
import subprocess
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from .server import ServerError

POSTGRESQL_BIN = "/usr/lib/postgresql/15/bin"


class Wire:
    """Mixed into a Server; `user`, `password` and `database` are the defaults of dsn() and psql()."""

    host: str = "127.0.0.1"
    port: int
    user: str = "postgres"
    password: str = "millrace"
    database: str = "postgres"

    def dsn(
        self,
        *,
        user: str | None = None,
        password: str | None = None,
        database: str | None = None,
        **parameters: str,
    ) -> str:
        """A postgresql:// URL; `parameters` are libpq's (sslmode, options, ...)."""
        credentials = quote(user or self.user, safe="")
        secret = self.password if password is None else password
        if secret:
            credentials += ":" + quote(secret, safe="")
        query = "?" + urlencode(parameters) if parameters else ""
        return f"postgresql://{credentials}@{self.host}:{self.port}/{quote(database or self.database, safe='')}{query}"

    def environment_for_clients(self) -> Mapping[str, str]:
        """PGHOST and friends, for clients that are started as processes."""
        return {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.database,
        }

    def psql(
        self, sql: str, *, user: str | None = None, password: str | None = None, database: str | None = None,
        **parameters: str,
    ) -> str:
        """Runs a script with psql, stopping at the first error; returns unaligned rows without headers."""
        done = subprocess.run(
            [f"{POSTGRESQL_BIN}/psql", "-XqAt", "-v", "ON_ERROR_STOP=1",
             "-d", self.dsn(user=user, password=password, database=database, **parameters)],
            input=sql, capture_output=True, text=True, env={**os.environ, "PGCONNECT_TIMEOUT": "20"},
        )  # fmt: skip
        if done.returncode != 0:
            raise ServerError(f"psql failed:\n{done.stdout}{done.stderr}")
        return done.stdout.strip("\n")


# The first thing libpq sends when it would like TLS.
_SSL_REQUEST = bytes([0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F])


def answers_ssl_request(host: str, port: int) -> bool:
    """Whether something that speaks PostgreSQL's protocol listens there."""
    try:
        with socket.create_connection((host, port), timeout=2) as connection:
            connection.sendall(_SSL_REQUEST)
            return connection.recv(1) in (b"S", b"N")
    except OSError:
        return False
