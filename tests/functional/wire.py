"""A PostgreSQL client that does exactly what it is told: messages as bytes, one socket, no cleverness."""

import hashlib
import socket
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from harness import Millrace

PROTOCOL_3_0 = 196608
CANCEL, SSL, GSSENC = 80877102, 80877103, 80877104


# --- messages to a server ---


def packet(code: int, body: bytes = b"") -> bytes:
    """What comes before a session: no type byte."""
    return struct.pack("!ii", len(body) + 8, code) + body


def message(kind: str, body: bytes = b"") -> bytes:
    return kind.encode() + struct.pack("!i", len(body) + 4) + body


def text(value: str | bytes) -> bytes:
    return (value.encode() if isinstance(value, str) else value) + b"\0"


def startup(user: str = "postgres", database: str = "postgres", *, version: int = PROTOCOL_3_0, **options: str) -> bytes:
    pairs = {"user": user, "database": database, **options}
    return packet(version, b"".join(text(name) + text(value) for name, value in pairs.items()) + b"\0")


def cancel(pid: int, secret: int) -> bytes:
    return packet(CANCEL, struct.pack("!II", pid, secret))


def query(sql: str | bytes) -> bytes:
    return message("Q", text(sql))


def parse(sql: str | bytes, name: str = "", types: Sequence[int] = ()) -> bytes:
    return message("P", text(name) + text(sql) + struct.pack(f"!h{len(types)}I", len(types), *types))


def bind(
    values: Sequence[bytes | str | None] = (),
    *,
    portal: str = "",
    statement: str = "",
    formats: Sequence[int] = (),
    results: Sequence[int] = (),
) -> bytes:
    body = text(portal) + text(statement) + struct.pack(f"!h{len(formats)}h", len(formats), *formats)
    body += struct.pack("!h", len(values))
    for value in values:
        raw = value.encode() if isinstance(value, str) else value
        body += struct.pack("!i", -1) if raw is None else struct.pack("!i", len(raw)) + raw
    return message("B", body + struct.pack(f"!h{len(results)}h", len(results), *results))


def describe(kind: str, name: str = "") -> bytes:
    return message("D", kind.encode() + text(name))


def execute(portal: str = "", rows: int = 0) -> bytes:
    return message("E", text(portal) + struct.pack("!i", rows))


def close(kind: str, name: str = "") -> bytes:
    return message("C", kind.encode() + text(name))


def function_call(oid: int, arguments: Sequence[bytes | None], *, formats: Sequence[int] = (1,), result: int = 1) -> bytes:
    body = struct.pack(f"!Ih{len(formats)}hh", oid, len(formats), *formats, len(arguments))
    for argument in arguments:
        body += struct.pack("!i", -1) if argument is None else struct.pack("!i", len(argument)) + argument
    return message("F", body + struct.pack("!h", result))


def copy_data(data: bytes | str) -> bytes:
    return message("d", data.encode() if isinstance(data, str) else data)


def copy_fail(reason: str) -> bytes:
    return message("f", text(reason))


SYNC, FLUSH, COPY_DONE, TERMINATE = message("S"), message("H"), message("c"), message("X")


# --- messages from a server ---

NAMES = {
    "1": "ParseComplete", "2": "BindComplete", "3": "CloseComplete", "A": "NotificationResponse",
    "C": "CommandComplete", "D": "DataRow", "E": "ErrorResponse", "G": "CopyInResponse", "H": "CopyOutResponse",
    "I": "EmptyQueryResponse", "K": "BackendKeyData", "N": "NoticeResponse", "R": "Authentication",
    "S": "ParameterStatus", "T": "RowDescription", "V": "FunctionCallResponse", "W": "CopyBothResponse",
    "Z": "ReadyForQuery", "c": "CopyDone", "d": "CopyData", "n": "NoData", "s": "PortalSuspended",
    "t": "ParameterDescription", "v": "NegotiateProtocolVersion",
}  # fmt: skip

# Where in PostgreSQL's source an error was raised; of no interest, and lines move between minor versions.
_SOURCE_FIELDS = "FLR"


@dataclass(frozen=True)
class Message:
    kind: str
    body: bytes

    @property
    def fields(self) -> dict[str, str]:
        """Of an ErrorResponse or NoticeResponse."""
        return {part[:1].decode(): part[1:].decode() for part in self.body.rstrip(b"\0").split(b"\0")}

    @property
    def sqlstate(self) -> str:
        return self.fields["C"]

    @property
    def row(self) -> list[bytes | None]:
        """Of a DataRow."""
        (count,) = struct.unpack_from("!h", self.body)
        values: list[bytes | None] = []
        at = 2
        for _ in range(count):
            (length,) = struct.unpack_from("!i", self.body, at)
            at += 4
            values.append(None if length < 0 else self.body[at : at + length])
            at += max(length, 0)
        return values

    @property
    def parameter(self) -> tuple[str, str]:
        """Of a ParameterStatus."""
        name, value = self.body.decode().split("\0")[:2]
        return name, value

    def __str__(self) -> str:
        """All that must not differ between two servers, on one line."""
        name = NAMES.get(self.kind, self.kind)
        match self.kind:
            case "E" | "N":
                shown = {code: value for code, value in self.fields.items() if code not in _SOURCE_FIELDS}
                return f"{name} {shown}"
            case "D":
                return f"{name} {self.row}"
            case "C" | "Z":
                return f"{name} {self.body.rstrip(bytes(1)).decode()}"
            case "S":
                return f"{name} {'='.join(self.parameter)}"
            case "K":
                return name
            case "A":
                return f"{name} {self.body[4:]!r}"
            case "T":
                return f"{name} {columns(self.body)}"
            case _:
                return f"{name} {self.body!r}" if self.body else name


def columns(body: bytes) -> list[tuple[str, int, int, int, int]]:
    """Name, column number, type, type modifier and format of each column; a table's oid says nothing."""
    (count,) = struct.unpack_from("!h", body)
    found = []
    at = 2
    for _ in range(count):
        end = body.index(b"\0", at)
        name = body[at:end].decode()
        _table, number, type_oid, _size, modifier, fmt = struct.unpack_from("!IhIhih", body, end + 1)
        found.append((name, number, type_oid, modifier, fmt))
        at = end + 19
    return found


class Gone(ConnectionError):
    """The server closed the connection."""


class Client:
    """Bytes in, messages out. Every wait ends: after `seconds` it is a TimeoutError."""

    def __init__(self, host: str, port: int, *, seconds: float = 60.0) -> None:
        self.address = (host, port)
        self.socket = socket.create_connection(self.address, timeout=seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.parameters: dict[str, str] = {}
        self.key = (0, 0)
        self.one_byte_at_a_time = False
        self._received = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Vanishes with a TCP reset instead of a farewell."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, *messages: bytes) -> None:
        data = b"".join(messages)
        if not self.one_byte_at_a_time:
            self.socket.sendall(data)
            return
        for at in range(len(data)):
            self.socket.sendall(data[at : at + 1])

    def receive_exactly(self, count: int) -> bytes:
        while len(self._received) < count:
            chunk = self.socket.recv(1 << 16)
            if not chunk:
                raise Gone(f"the server closed; {bytes(self._received)!r} was left")
            self._received += chunk
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken

    def receive(self) -> Message:
        kind, length = struct.unpack("!ci", self.receive_exactly(5))
        received = Message(kind.decode("latin1"), self.receive_exactly(length - 4))
        if received.kind == "S":
            name, value = received.parameter
            self.parameters[name] = value
        return received

    def until(self, kinds: str = "Z", times: int = 1) -> list[Message]:
        """Messages up to the `times`-th of one of `kinds`."""
        got: list[Message] = []
        while times:
            got.append(self.receive())
            times -= got[-1].kind in kinds
        return got

    def until_closed(self) -> list[Message]:
        got: list[Message] = []
        try:
            while True:
                got.append(self.receive())
        except (Gone, ConnectionResetError):
            return got

    def quiet(self, seconds: float = 0.3) -> bool:
        """Whether nothing more comes for a while."""
        if self._received:
            return False
        before = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            chunk = self.socket.recv(1 << 16)
            self._received += chunk
            return False
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(before)

    # --- the usual ways ---

    def log_in(self, user: str = "postgres", database: str = "postgres", *, password: str = "", **options: str) -> list[Message]:
        self.send(startup(user, database, **options))
        got: list[Message] = []
        while True:
            got.append(self.receive())
            if got[-1].kind == "R":
                self._answer_authentication(got[-1].body, user, password)
            elif got[-1].kind == "K":
                self.key = struct.unpack("!II", got[-1].body)
            elif got[-1].kind in "ZE":
                return got

    def _answer_authentication(self, body: bytes, user: str, password: str) -> None:
        (code,) = struct.unpack_from("!i", body)
        if code == 5:
            inner = hashlib.md5((password + user).encode()).hexdigest()
            self.send(message("p", text("md5" + hashlib.md5(inner.encode() + body[4:8]).hexdigest())))

    def ask(self, *messages: bytes, times: int = 1) -> list[Message]:
        """Sends and answers all up to ReadyForQuery."""
        self.send(*messages)
        return self.until("Z", times)

    def ask_or_error(self, sql: str) -> Message:
        """The last message of a simple query, or its first error, whether or not the connection lives on."""
        self.send(query(sql))
        return self.until("ZE")[-1]

    def rows(self, sql: str) -> list[list[str | None]]:
        """The rows of a simple query; an error is an exception."""
        answer = self.ask(query(sql))
        for one in answer:
            if one.kind == "E":
                raise RuntimeError(f"{one.sqlstate}: {one.fields['M']}")
        return [[None if value is None else value.decode() for value in one.row] for one in answer if one.kind == "D"]

    def one(self, sql: str) -> str | None:
        ((value,),) = self.rows(sql)
        return value


def connect(server: object, **log_in: str) -> Client:
    """A session on a harness server."""
    client = Client(server.host, server.port)  # type: ignore[attr-defined]
    answer = client.log_in(**log_in)
    if answer[-1].kind == "E":
        client.close()
        raise ConnectionError(str(answer[-1]))
    return client


def cancel_request(host: str, port: int, key: tuple[int, int]) -> None:
    """As libpq does: returns when the server has closed the connection."""
    with socket.create_connection((host, port), timeout=60) as connection:
        connection.sendall(cancel(*key))
        connection.recv(1)


def eventually(condition, seconds: float = 60.0, what: str = "the condition to hold") -> None:
    """Polls until the condition holds: as long as a busy machine may take."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.02)


def lines(messages: Iterable[Message]) -> list[str]:
    return [str(one) for one in messages]


def gives_all_turns_back(server: Millrace) -> None:
    """Nothing is left of what was asked."""
    eventually(lambda: server.metric("queries_running") == 0, what="all turns to be given back")
    assert server.metric("queries_waiting") == 0
