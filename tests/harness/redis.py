"""Redis 7 in a folder of its own; it keeps nothing on disk."""

import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .ports import free_port
from .server import Server, unprivileged_user


class Redis(Server):
    name = "redis"
    host = "127.0.0.1"

    def __init__(
        self,
        *,
        config: Mapping[str, str | int] | None = None,
        folder: Path | None = None,
        port: int | None = None,
    ) -> None:
        super().__init__(folder, run_as=unprivileged_user())
        self.port = port or free_port()
        self._config = config or {}

    def command(self) -> Sequence[str | Path]:
        settings: dict[str, str | int] = {
            "bind": self.host, "port": self.port, "dir": str(self.folder), "save": "", "appendonly": "no",
        }  # fmt: skip
        settings |= self._config
        return ["redis-server", *(word for name, value in settings.items() for word in (f"--{name}", str(value)))]

    def is_ready(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), timeout=2) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(7) == b"+PONG\r\n"
        except OSError:
            return False

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    def cli(self, *words: str) -> str:
        command = ["redis-cli", "-h", self.host, "-p", str(self.port), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip("\n")
