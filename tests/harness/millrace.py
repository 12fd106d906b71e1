"""Millrace itself, configured by environment variables."""

import http.client
import json
import os
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .ports import free_port
from .postgresql import PostgreSQL
from .server import Server, ServerError
from .wire import Wire, answers_ssl_request

_ROOT = Path(__file__).resolve().parents[2]

_NO_QUARANTINE = "quarantine_size_mb=0:thread_local_quarantine_size_kb=0:allocator_release_to_os_interval_ms=100"


def millrace_binary() -> Path:
    """MILLRACE_BIN, or the newest build in build/."""
    if given := os.environ.get("MILLRACE_BIN"):
        return Path(given).resolve()
    built = [_ROOT / "build" / preset / "src/cli/millrace" for preset in ("dev", "release")]
    present = [path for path in built if path.exists()]
    if not present:
        raise ServerError("millrace is not built: run 'cmake --preset dev && cmake --build --preset dev'")
    return max(present, key=lambda path: path.stat().st_mtime)


class Millrace(Wire, Server):
    """`settings` are the settings' own names (POOL_MODE, AUTH_TYPE, ...); ports are chosen unless given.

    `upstream` sets DATABASE_URL to that server's superuser and AUTH_TYPE to trust, unless `settings` say otherwise.
    `frees_at_once`: AddressSanitizer, where the program was built with it, keeps nothing of what is freed, so that
    resident memory is what the program needs; it then finds fewer uses of what was freed.
    """

    name = "millrace"
    user, password, database = PostgreSQL.user, PostgreSQL.password, PostgreSQL.database

    def __init__(
        self,
        upstream: PostgreSQL | None = None,
        settings: Mapping[str, str | int] | None = None,
        *,
        binary: Path | None = None,
        arguments: Sequence[str] = (),
        folder: Path | None = None,
        frees_at_once: bool = False,
    ) -> None:
        super().__init__(folder)
        self._frees_at_once = frees_at_once
        self._binary = binary or millrace_binary()
        self._arguments = arguments
        self.settings: dict[str, str | int] = {
            "LISTEN_HOST": self.host,
            "LISTEN_PORT": free_port(),
            "HTTP_HOST": self.host,
            "HTTP_PORT": free_port(),
        }
        if upstream:
            self.settings |= {"DATABASE_URL": upstream.dsn(), "AUTH_TYPE": "trust"}
        self.settings |= settings or {}
        self.port = int(self.settings["LISTEN_PORT"])
        self.http_port = int(self.settings["HTTP_PORT"])

    def command(self) -> Sequence[str | Path]:
        return [self._binary, "serve", *self._arguments]

    def environment(self) -> Mapping[str, str]:
        variables = {f"MILLRACE_{name}": str(value) for name, value in self.settings.items()}
        variables["no_proxy"] = "*"  # what it calls is on this machine, whatever proxy this environment has
        if self._frees_at_once:
            variables["ASAN_OPTIONS"] = f"{os.environ.get('ASAN_OPTIONS', '')}:{_NO_QUARANTINE}"
        return variables

    def is_ready(self) -> bool:
        return answers_ssl_request(self.host, self.port) and self._http_answers()

    @property
    def http_url(self) -> str:
        return f"{'https' if self._has_tls else 'http'}://{self.host}:{self.http_port}"

    @property
    def _has_tls(self) -> bool:
        return "TLS_CERT_FILE" in self.settings

    def http_connection(self, seconds: float = 60) -> http.client.HTTPConnection:
        """Trusts whatever certificate is shown."""
        if not self._has_tls:
            return http.client.HTTPConnection(self.host, self.http_port, timeout=seconds)
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(self.host, self.http_port, timeout=seconds, context=trusting)

    def run_command(self, *arguments: str, code: int = 0) -> str:
        """What `millrace ARGUMENTS` prints that is about this one; where it ends with another code than 0, its errors."""
        done = subprocess.run(
            [self._binary, *arguments, "--http-host", self.host, "--http-port", str(self.http_port)],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        if done.returncode != code:
            raise AssertionError(f"it ended with {done.returncode}: {done}")
        return done.stderr if code else done.stdout

    def api(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """What the API under /api/v1/ answers, which has this status."""
        connection = self.http_connection()
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, f"/api/v1/{path}", text, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != status:
            raise AssertionError(f"{method} {path} has status {answer.status}: {content}")
        return content

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the series of /metrics by this name (without its prefix) with these labels; 0 if there is none."""
        connection = self.http_connection()
        try:
            connection.request("GET", "/metrics")
            lines = connection.getresponse().read().decode().splitlines()
        finally:
            connection.close()
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        total = 0.0
        for line in lines:
            series, _, value = line.rpartition(" ")
            family, _, labelled = series.partition("{")
            if family == f"millrace_{name}" and wanted <= set(labelled.rstrip("}").split(",")):
                total += float(value)
        return total

    def change_streams(self) -> list[dict[str, Any]]:
        """What the status says of each database's change stream."""
        return self.api("GET", "optimization/status")["change_streams"]

    def change_stream(self, database: str) -> dict[str, Any]:
        """Empty: there is none."""
        return next((one for one in self.change_streams() if one["database"] == database), {})

    def _http_answers(self) -> bool:
        connection = self.http_connection(seconds=2)
        try:
            connection.request("GET", "/api/v1/optimization/health")
            connection.getresponse().read()
            return True
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
