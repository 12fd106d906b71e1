"""PostgreSQL 15 in a folder of its own."""

import signal
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from .certificate import Certificate
from .ports import free_port
from .server import Server, ServerError, unprivileged_user
from .session import Session
from .temporary import temporary_folder
from .wire import POSTGRESQL_BIN, Wire

_SOCKET_PATH_LIMIT = 107

# A test's database need not survive a power cut.
_FAST: Mapping[str, str | int] = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgreSQL(Wire, Server):
    """`auth` is what TCP clients must do; the Unix socket is always trusted.

    The superuser is `postgres` with the password `millrace`, whatever `auth` says. `hba` adds lines before the
    standard ones. `durable` keeps the settings that survive a power cut. An existing folder is used as it is.
    `programs` is the folder of another installation's initdb and postgres.
    """

    name = "postgresql"
    stop_signal = signal.SIGINT  # fast: sessions are ended

    def __init__(
        self,
        *,
        auth: str = "trust",
        config: Mapping[str, str | int] | None = None,
        hba: Sequence[str] = (),
        tls: Certificate | None = None,
        durable: bool = False,
        programs: Path | str = POSTGRESQL_BIN,
        folder: Path | None = None,
        port: int | None = None,
    ) -> None:
        super().__init__(folder, run_as=unprivileged_user())
        self._programs = programs
        self.auth = auth
        self.port = port or free_port()
        self._config = {**({} if durable else _FAST), **(config or {})}
        self._hba = hba
        self._tls = tls
        self.data = self.folder / "data"
        self.socket_folder = self._make_socket_folder()
        self._session: Session | None = None
        self._asking = threading.Lock()

    def command(self) -> Sequence[str | Path]:
        return [f"{self._programs}/postgres", "-D", self.data]

    def environment(self) -> Mapping[str, str]:
        return {"LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def is_ready(self) -> bool:
        probe = [f"{POSTGRESQL_BIN}/pg_isready", "-q", "-h", str(self.socket_folder), "-p", str(self.port)]
        return subprocess.run(probe, capture_output=True).returncode == 0

    def start(self) -> "PostgreSQL":
        is_new = not (self.data / "PG_VERSION").exists()
        if is_new:
            self.run_tool(
                [f"{self._programs}/initdb", "-D", self.data, "-U", self.user, "--auth=trust", "--no-sync",
                 "--no-instructions", "--encoding=UTF8", "--locale=C.UTF-8"]
            )  # fmt: skip
        self._write_settings()
        super().start()
        if is_new:
            self.admin(f"ALTER ROLE {self.user} PASSWORD '{self.password}'")
            self.settle_statistics()
        return self

    def standby(self) -> "PostgreSQL":
        """Another server that follows this one, not started yet; `SELECT pg_promote()` makes it the primary."""
        other = PostgreSQL(auth=self.auth, config=self._config, hba=self._hba, programs=self._programs)
        other.run_tool(
            [f"{self._programs}/pg_basebackup", "-D", other.data, "-h", self.socket_folder, "-p", str(self.port), "-U", self.user,
             "--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
        )  # fmt: skip
        return other

    def stop(self) -> int:
        self._forget_session()
        return super().stop()

    def kill(self) -> None:
        self._forget_session()
        super().kill()

    def reload(self) -> None:
        """Reads postgresql.auto.conf, millrace.conf and pg_hba.conf again."""
        self.admin("SELECT pg_reload_conf()")

    def admin(self, sql: str, *, database: str | None = None) -> str:
        """Runs SQL as the superuser over the Unix socket, whatever authentication TCP clients need.

        Several statements are one transaction; in another database than the superuser's own, each is by itself.
        """
        if database is None:
            return self._ask(sql)
        done = subprocess.run(
            [f"{POSTGRESQL_BIN}/psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", self.socket_folder,
             "-p", str(self.port), "-U", self.user, "-d", database],
            input=sql, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode != 0:
            raise ServerError(f"psql failed:\n{done.stdout}{done.stderr}")
        return done.stdout.strip("\n")

    def settle_statistics(self) -> None:
        """Says now what it would within ten seconds: that rows of roles were written, by which all that is kept is stale."""
        self.admin("SELECT pg_stat_force_next_flush()")

    def backends(self) -> int:
        """How many clients are connected, this question's own connection not counted."""
        return int(
            self.admin(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
        )

    def runs(self, part: str) -> bool:
        """Whether a statement whose text holds `part` is under way."""
        quoted = part.replace("'", "''")
        return self.admin(
            f"SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND strpos(query, '{quoted}') > 0"
        ).startswith("1")

    def _ask(self, sql: str) -> str:
        with self._asking:
            try:
                if self._session is None:
                    self._session = Session(self.socket_folder / f".s.PGSQL.{self.port}", self.user, self.database)
                return self._session.ask(sql)
            except OSError as error:
                self._forget_session()
                raise ServerError(f"{self.name} did not answer: {error}") from error

    def _forget_session(self) -> None:
        if self._session:
            self._session.close()
            self._session = None

    def _write_settings(self) -> None:
        settings: dict[str, str | int] = {
            "listen_addresses": self.host,
            "port": self.port,
            "unix_socket_directories": str(self.socket_folder),
            "unix_socket_permissions": "0700",
            "max_connections": 200,
            "shared_buffers": "128MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "password_encryption": "md5" if self.auth == "md5" else "scram-sha-256",
        }
        if self._tls:
            settings |= {"ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key"}
            self._install(self._tls.certificate, self.data / "server.crt")
            self._install(self._tls.key, self.data / "server.key")
        settings |= self._config
        lines = [f"{name} = '{str(value).replace(chr(39), chr(39) * 2)}'" for name, value in settings.items()]
        self._write(self.data / "millrace.conf", lines)
        main = self.data / "postgresql.conf"
        include = "include 'millrace.conf'"
        if include not in main.read_text():
            with main.open("a") as file:
                file.write(f"\n{include}\n")
        methods = ["local all all trust", "local replication all trust"]
        for address in ("127.0.0.1/32", "::1/128"):
            methods += [f"host all all {address} {self.auth}", f"host replication all {address} {self.auth}"]
        self._write(self.data / "pg_hba.conf", [*self._hba, *methods])

    def _write(self, path: Path, lines: Sequence[str]) -> None:
        path.write_text("\n".join(lines) + "\n")
        self.give(path)

    def _install(self, source: Path, target: Path) -> None:
        shutil.copyfile(source, target)
        target.chmod(0o600)
        self.give(target)

    def _make_socket_folder(self) -> Path:
        folder = self.folder
        if len(str(folder / f".s.PGSQL.{self.port}.lock")) > _SOCKET_PATH_LIMIT:
            folder = temporary_folder("socket")
            self.give(folder)
        return folder
