"""A superuser's session over PostgreSQL's Unix socket: simple queries, answered as psql prints them."""

import socket
import struct
from pathlib import Path

from .server import ServerError

_PROTOCOL_3_0 = 196608


class Session:
    """Keeps its connection: psql is a process and a log-in for each question. The server must ask for no password."""

    def __init__(self, socket_path: Path, user: str, database: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(str(socket_path))
            self._incoming = self._socket.makefile("rb")
            pairs = {"user": user, "database": database, "client_encoding": "UTF8", "application_name": "harness"}
            body = struct.pack("!i", _PROTOCOL_3_0)
            body += b"".join(f"{name}\0{value}\0".encode() for name, value in pairs.items()) + b"\0"
            self._socket.sendall(struct.pack("!i", len(body) + 4) + body)
            self._answer()
        except BaseException:
            self.close()
            raise

    def ask(self, sql: str) -> str:
        """The rows of all statements, unaligned. Several statements are one transaction."""
        body = sql.encode() + b"\0"
        self._socket.sendall(b"Q" + struct.pack("!i", len(body) + 4) + body)
        return "\n".join(self._answer())

    def close(self) -> None:
        self._socket.close()

    def _answer(self) -> list[str]:
        """Up to ReadyForQuery; raises what the server had against it."""
        rows: list[str] = []
        error: str | None = None
        while True:
            kind, length = struct.unpack("!ci", self._exactly(5))
            body = self._exactly(length - 4)
            if kind == b"D":
                rows.append(_row(body))
            elif kind == b"E":
                fields = {part[:1]: part[1:].decode() for part in body.rstrip(b"\0").split(b"\0")}
                error = f"{fields[b'S']}: {fields[b'C']}: {fields[b'M']}"
                if fields[b"V"] in ("FATAL", "PANIC"):
                    raise ConnectionError(error)
            elif kind == b"Z":
                if error:
                    raise ServerError(error)
                return rows

    def _exactly(self, count: int) -> bytes:
        received = self._incoming.read(count)
        if len(received) < count:
            raise ConnectionError("the server closed the connection")
        return received


def _row(body: bytes) -> str:
    (count,) = struct.unpack_from("!h", body)
    values: list[str] = []
    at = 2
    for _ in range(count):
        (length,) = struct.unpack_from("!i", body, at)
        at += 4
        values.append(body[at : at + max(length, 0)].decode())
        at += max(length, 0)
    return "|".join(values)
