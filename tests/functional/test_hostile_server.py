"""A server that is broken, mad or gone: the client gets an error with an SQLSTATE, and Millrace lives on."""

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from wire import (
    CANCEL, SYNC, Client, Message, bind, cancel, copy_data, eventually, execute, lines, message, parse, query, text,
)  # fmt: skip

from harness import Millrace, free_port

Serve = Callable[[socket.socket], None]


def exactly(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        more = connection.recv(count - len(received))
        if not more:
            raise ConnectionError
        received += more
    return received


def read_startup(connection: socket.socket) -> None:
    """Declines TLS, and reads the start-up packet."""
    while True:
        (length,) = struct.unpack("!i", exactly(connection, 4))
        body = exactly(connection, length - 4)
        if struct.unpack_from("!i", body)[0] == 196608:
            return
        connection.sendall(b"N")


def read_message(connection: socket.socket) -> Message:
    kind, length = struct.unpack("!ci", exactly(connection, 5))
    return Message(kind.decode("latin1"), exactly(connection, length - 4))


READY = message("Z", b"I")
PARAMETERS = b"".join(
    message("S", text(name) + text(value))
    for name, value in (("server_version", "15.0"), ("client_encoding", "UTF8"), ("server_encoding", "UTF8"),
                        ("standard_conforming_strings", "on"), ("integer_datetimes", "on"), ("TimeZone", "UTC"))
)  # fmt: skip
WELCOME = message("R", struct.pack("!i", 0)) + PARAMETERS + message("K", struct.pack("!II", 4711, 815)) + READY
ROW = message("T", struct.pack("!h", 1) + text("a") + struct.pack("!IhIhih", 0, 0, 25, -1, -1, 0)) + message("D", struct.pack("!hi", 1, 1) + b"x")
ANSWER = ROW + message("C", text("SELECT 1")) + READY
EXTENDED_ANSWER = message("1") + message("2") + ROW + message("C", text("SELECT 1")) + READY


class FakeServer:
    """Each connection is served by `serve`, and then closed."""

    def __init__(self, serve: Serve) -> None:
        self.serve = serve
        self.host, self.port = "127.0.0.1", free_port()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server((self.host, self.port), backlog=50)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        self._open.append(connection)
        with connection, contextlib.suppress(OSError, struct.error):
            self.serve(connection)

    def hang_up(self) -> None:
        """Ends all connections, so that the next question needs a new one."""
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._open.clear()
        time.sleep(0.1)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeServer]:
    server = FakeServer(lambda connection: None)
    yield server
    server.close()


@pytest.fixture(scope="module")
def millrace(fake: FakeServer, pool_mode: str) -> Iterator[Millrace]:
    settings = {"DATABASE_URL": f"postgresql://postgres@{fake.host}:{fake.port}/postgres", "AUTH_TYPE": "trust", "POOL_MODE": pool_mode,
                "SERVER_CONNECT_TIMEOUT_SECONDS": 2, "POOL_WAIT_TIMEOUT_SECONDS": 4, "LOG_CONNECTIONS": "false"}  # fmt: skip
    with Millrace(None, settings) as server:
        yield server


def heard(millrace: Millrace, *messages: bytes) -> list[Message]:
    """What a client hears until it is closed or served; it never waits for ever."""
    with Client(millrace.host, millrace.port, seconds=12) as client:
        answer = client.log_in()
        if answer[-1].kind == "E":
            return answer[-1:]
        got: list[Message] = []
        client.send(*messages)
        try:
            while not got or got[-1].kind != "Z":
                got.append(client.receive())
        except ConnectionError:
            pass
        return got


def must_be_an_error(got: list[Message], *classes: str) -> None:
    errors = [one for one in got if one.kind == "E"]
    assert errors, lines(got)
    assert errors[-1].sqlstate[:2] in (classes or ("08", "57")), lines(got)


def must_serve_again(fake: FakeServer, millrace: Millrace) -> None:
    def good(connection: socket.socket) -> None:
        read_startup(connection)
        connection.sendall(WELCOME)
        while (got := read_message(connection)).kind != "X":
            if got.kind == "Q":
                connection.sendall(ANSWER)
            elif got.kind == "S":
                connection.sendall(READY)

    fake.serve = good
    # Connections that broke while idle are found out here; and where the circuit breaker has opened, it closes.
    eventually(lambda: [one.kind for one in heard(millrace, query("SELECT 'x'"))] == ["T", "D", "C", "Z"], what="being served again")
    fake.hang_up()


def garbage(seed: int) -> bytes:
    chance = random.Random(seed)
    return chance.randbytes(chance.randrange(1, 2000))


LOGINS: dict[str, bytes] = {
    "nothing": b"",
    "garbage": garbage(1),
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a negative length": b"R" + struct.pack("!i", -1),
    "a length of 3": b"R\0\0\0\3",
    "a gigantic length": b"R" + struct.pack("!i", 0x7FFFFFFF) + b"x" * 1000,
    "an unknown authentication": message("R", struct.pack("!i", 99)),
    "no authentication at all": READY,
    "an endless parameter": message("S", b"x" * 100000),
    "parameters without end": message("R", struct.pack("!i", 0)) + PARAMETERS * 2000,
    "a row": message("R", struct.pack("!i", 0)) + ANSWER,
    "a broken key": message("R", struct.pack("!i", 0)) + message("K", b"x") + READY,
    "an error without an end": b"E\0\0\0\x20SFATAL",
    "an error without fields": message("E", b""),
    "sasl without mechanisms": message("R", struct.pack("!i", 10)),
    "sasl with an unknown mechanism": message("R", struct.pack("!i", 10) + text("NOBODY-KNOWS") + b"\0"),
    "sasl out of turn": message("R", struct.pack("!i", 11) + b"r=x"),
    "a transaction at once": message("R", struct.pack("!i", 0)) + message("Z", b"E"),
    "a status that is none": message("R", struct.pack("!i", 0)) + message("Z", b"?"),
}  # fmt: skip


@pytest.mark.parametrize("sent", LOGINS.values(), ids=LOGINS)
def test_bad_log_ins(fake: FakeServer, millrace: Millrace, sent: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        read_startup(connection)
        connection.sendall(sent)

    fake.serve = serve
    got = heard(millrace, query("SELECT 'x'"))
    assert any(one.kind == "E" for one in got), lines(got)
    must_serve_again(fake, millrace)


def test_a_server_that_accepts_and_says_nothing(fake: FakeServer, millrace: Millrace) -> None:
    silence = threading.Event()
    fake.serve = lambda connection: (silence.wait(20), None)[1]
    must_be_an_error(heard(millrace, query("SELECT 'x'")), "08", "57", "53")
    silence.set()
    must_serve_again(fake, millrace)


def test_a_port_where_nobody_listens(pool_mode: str) -> None:
    settings = {"DATABASE_URL": f"postgresql://postgres@127.0.0.1:{free_port()}/postgres", "AUTH_TYPE": "trust", "POOL_MODE": pool_mode}
    with Millrace(None, settings) as millrace:
        must_be_an_error(heard(millrace, query("SELECT 'x'")), "08")


ANSWERS: dict[str, bytes] = {
    "nothing": b"",
    "garbage": garbage(2),
    "more garbage": garbage(3),
    "a negative length": b"D" + struct.pack("!i", -1),
    "a length of 0": b"D\0\0\0\0",
    "a gigantic length": b"D" + struct.pack("!i", 0x7FFFFFFF) + b"x" * 1000,
    "an unknown type": message("?", b"what"),
    "a row that is cut": ROW[:-1],
    "an error that is cut": b"E\0\0\0\x20SFATAL",
    "a log-in message": message("R", struct.pack("!i", 3)),
    "a status of three bytes": message("Z", b"III"),
    "a status that is none": message("Z", b"?"),
    "a copy that nobody asked for": message("G", b"\0\0\0"),
    "a farewell": message("E", text("SFATAL") + text("C57P01") + text("Mterminating connection") + b"\0"),
}


@pytest.mark.parametrize("sent", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("asked", [[query("SELECT 'x'")], [parse("SELECT 'x'"), bind(), execute(), SYNC]], ids=["query", "extended"])
def test_bad_answers(fake: FakeServer, millrace: Millrace, asked: list[bytes], sent: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        read_startup(connection)
        connection.sendall(WELCOME)
        while read_message(connection).kind not in "QS":
            pass
        connection.sendall(sent)

    fake.serve = serve
    got = heard(millrace, *asked)
    # Where the server stopped within a message that was being passed on, the end of the stream is all that can follow.
    if whole_messages(sent) == len(sent) and got[-1].kind != "Z":
        assert any(one.kind == "E" for one in got), lines(got)
    must_serve_again(fake, millrace)


@pytest.mark.parametrize("extended", [False, True])
def test_gone_at_any_byte_of_an_answer(fake: FakeServer, millrace: Millrace, extended: bool) -> None:
    answer = EXTENDED_ANSWER if extended else ANSWER
    asked = [parse("SELECT 'x'"), bind(), execute(), SYNC] if extended else [query("SELECT 'x'")]
    for cut in range(0, len(answer), 3):

        def serve(connection: socket.socket, cut: int = cut) -> None:
            read_startup(connection)
            connection.sendall(WELCOME)
            while read_message(connection).kind not in "QS":
                pass
            connection.sendall(answer[:cut])

        fake.serve = serve
        with Client(millrace.host, millrace.port, seconds=12) as client:
            assert client.log_in()[-1].kind in "ZE"
            client.send(*asked)
            received = b""
            with contextlib.suppress(ConnectionError):
                while more := client.socket.recv(65536):
                    received += more
            # Where the server stopped within a message, no error can follow: the end of the stream says it.
            boundary = whole_messages(answer[:cut]) == cut
            assert not boundary or b"C08" in received or b"C57" in received, (cut, received)
    must_serve_again(fake, millrace)


def whole_messages(data: bytes) -> int:
    """How many bytes of it are whole messages."""
    at = 0
    while at + 5 <= len(data):
        (length,) = struct.unpack_from("!i", data, at + 1)
        if length < 4 or at + 1 + length > len(data):
            break
        at += 1 + length
    return at


def test_gone_at_any_byte_of_the_log_in(fake: FakeServer, millrace: Millrace) -> None:
    for cut in range(0, len(WELCOME), 17):

        def serve(connection: socket.socket, cut: int = cut) -> None:
            read_startup(connection)
            connection.sendall(WELCOME[:cut])

        fake.serve = serve
        must_be_an_error(heard(millrace, query("SELECT 'x'")))
    must_serve_again(fake, millrace)


def test_gone_in_a_copy_in(fake: FakeServer, millrace: Millrace) -> None:
    def serve(connection: socket.socket) -> None:
        read_startup(connection)
        connection.sendall(WELCOME)
        read_message(connection)
        connection.sendall(message("G", struct.pack("!bhh", 0, 1, 0)))
        read_message(connection)

    fake.serve = serve
    must_be_an_error(heard(millrace, query("COPY t FROM STDIN"), *[copy_data("x" * 10000)] * 50))
    must_serve_again(fake, millrace)


def test_an_idle_connection_that_breaks(fake: FakeServer, millrace: Millrace) -> None:
    """Also one on which the server has sent what nobody asked for."""

    def serve(connection: socket.socket) -> None:
        read_startup(connection)
        connection.sendall(WELCOME)
        while read_message(connection).kind != "Q":
            pass
        connection.sendall(ANSWER + ROW)

    fake.serve = serve
    heard(millrace, query("SELECT 'x'"))
    must_serve_again(fake, millrace)


def test_half_a_message_is_not_completed_by_a_farewell(fake: FakeServer, millrace: Millrace) -> None:
    """What a client has begun and not ended, the server must never take for whole."""
    begun = copy_data("x" * 100_000)[:60_000]
    received: list[bytes] = []
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        read_startup(connection)
        connection.sendall(WELCOME)
        while read_message(connection).kind != "Q":
            pass
        connection.sendall(message("G", struct.pack("!bhh", 0, 1, 0)))
        with contextlib.suppress(ConnectionResetError):
            while more := connection.recv(65536):
                received.append(more)
        ended.set()

    fake.serve = serve
    with Client(millrace.host, millrace.port) as client:
        client.log_in()
        client.send(query("COPY t FROM STDIN"))
        client.until("G")
        client.send(begun)
        deadline = time.monotonic() + 10
        while sum(map(len, received)) < len(begun) and time.monotonic() < deadline:
            time.sleep(0.01)
        fake.serve = refuse_to_cancel
    assert ended.wait(15)
    assert b"".join(received) == begun
    must_serve_again(fake, millrace)


def refuse_to_cancel(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.recv(16)


def test_cancel_requests_are_carried_one_at_a_time(fake: FakeServer, millrace: Millrace) -> None:
    """A client's own, however many come while one is on its way; and none for a key that nobody has."""
    carried: list[bytes] = []
    heard_of_one, go_on, answer = threading.Event(), threading.Event(), threading.Event()

    def serve(connection: socket.socket) -> None:
        code = 0
        while code != 196608:
            (length,) = struct.unpack("!i", exactly(connection, 4))
            body = exactly(connection, length - 4)
            (code,) = struct.unpack_from("!i", body)
            if code == CANCEL:
                carried.append(body)
                heard_of_one.set()
                go_on.wait(20)
                return
            if code != 196608:
                connection.sendall(b"N")
        connection.sendall(WELCOME)
        while read_message(connection).kind != "Q":
            pass
        answer.wait(20)
        connection.sendall(ANSWER)

    fake.serve = serve
    asked = 20
    with Client(millrace.host, millrace.port) as client:
        client.log_in()
        client.send(query("SELECT 'x'"))
        requests: list[socket.socket] = []

        def ask(key: tuple[int, int]) -> None:
            requests.append(socket.create_connection((millrace.host, millrace.port), timeout=10))
            requests[-1].sendall(cancel(*key))

        before = millrace.metric("cancels_total")
        ask(client.key)
        assert heard_of_one.wait(10)
        for number in range(asked):
            ask(client.key)
            ask((client.key[0], client.key[1] ^ (number + 1)))
        eventually(lambda: millrace.metric("cancels_total") == before + 1 + asked, what="the requests to be read")
        assert len(carried) == 1
        go_on.set()
        for request in requests:  # each hears when the server has heard
            assert request.recv(1) == b""
            request.close()
        assert len(carried) == 2
        answer.set()
        client.until("Z")
    must_serve_again(fake, millrace)
