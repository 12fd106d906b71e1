"""PgBouncer before a PostgreSQL, to compare with."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from .ports import free_port
from .postgresql import PostgreSQL
from .server import Server, unprivileged_user
from .wire import Wire, answers_ssl_request


class PgBouncer(Wire, Server):
    """`auth` as PgBouncer's auth_type; `users` (name to password) default to the server's superuser."""

    name = "pgbouncer"
    expected_exit_code = None  # its "fast exit" on SIGTERM is 1 in this version

    def __init__(
        self,
        upstream: PostgreSQL,
        *,
        pool_mode: str = "session",
        pool_size: int = 20,
        auth: str = "trust",
        users: Mapping[str, str] | None = None,
        config: Mapping[str, str | int] | None = None,
        folder: Path | None = None,
        port: int | None = None,
    ) -> None:
        super().__init__(folder, run_as=unprivileged_user())
        self.port = port or free_port()
        self.user, self.password, self.database = upstream.user, upstream.password, upstream.database
        users = users or {self.user: self.password}
        self._users_file = self.folder / "users.txt"
        self._write(self._users_file, [f'"{name}" "{password}"' for name, password in users.items()])
        settings: dict[str, str | int] = {
            "listen_addr": self.host,
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": auth,
            "auth_file": str(self._users_file),
            "pool_mode": pool_mode,
            "default_pool_size": pool_size,
            "max_client_conn": 1000,
            "ignore_startup_parameters": "extra_float_digits,options",
            "log_connections": 0,
            "log_disconnections": 0,
            "server_tls_sslmode": "disable",
        }
        settings |= config or {}
        self._ini = self.folder / "pgbouncer.ini"
        self._write(
            self._ini,
            [
                "[databases]",
                f"* = host={upstream.host} port={upstream.port}",
                "[pgbouncer]",
                *(f"{name} = {value}" for name, value in settings.items()),
            ],
        )

    def command(self) -> Sequence[str | Path]:
        return ["/usr/sbin/pgbouncer", self._ini]

    def is_ready(self) -> bool:
        return answers_ssl_request(self.host, self.port)

    def _write(self, path: Path, lines: Sequence[str]) -> None:
        path.write_text("\n".join(lines) + "\n")
        self.give(path)
