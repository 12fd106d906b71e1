"""The log-in machines against libpq, asyncpg and a real PostgreSQL: see login_probe.cpp."""

import asyncio
import os
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import psycopg
import pytest
from harness.certificate import Certificate
from harness.postgresql import PostgreSQL

PROBE = os.environ["LOGIN_PROBE"]
PASSWORDS = {
    "alice": "secret",
    "quotes": 'a"b\\c',
    "long": "x" * 300,
    "umlaut": "p\u00e4ssw\u00f6rd",
    "prepared": "\u2168 I\u00adX \u00aa",  # SASLprep changes it
    "prohibited": "bell\a\u00e9",  # SASLprep refuses it: taken as it is
    "unassigned": "\u0221x",
}


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return Certificate.make()


@pytest.fixture(scope="module")
def scram_server(certificate: Certificate) -> Iterator[PostgreSQL]:
    with PostgreSQL(auth="scram-sha-256", tls=certificate) as server:
        create_users(server)
        yield server


@pytest.fixture(scope="module")
def md5_server(certificate: Certificate) -> Iterator[PostgreSQL]:
    with PostgreSQL(auth="md5", tls=certificate) as server:
        create_users(server)
        yield server


def create_users(server: PostgreSQL) -> None:
    for user, password in PASSWORDS.items():
        server.admin(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'")


def user_list(users: dict[str, str], folder: Path) -> Path:
    path = folder / "users.txt"
    quoted = [[text.replace('"', '""') for text in pair] for pair in users.items()]
    path.write_text("".join(f'"{user}" "{secret}"\n' for user, secret in quoted))
    return path


def verifiers(server: PostgreSQL) -> dict[str, str]:
    rows = server.admin("SELECT rolname || ' ' || rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL")
    return dict(row.split(" ", 1) for row in rows.splitlines())


@contextmanager
def probe(method: str, users: dict[str, str], server: PostgreSQL, folder: Path, tls: Certificate | None = None):
    command = [PROBE, method, user_list(users, folder), str(server.port)]
    if tls:
        command += [tls.certificate, tls.key]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield int(process.stdout.readline())
    finally:
        alive = process.poll() is None
        process.kill()
        process.wait()
    assert alive, "the probe has died"


def ask(port: int, user: str, password: str, **options: str) -> tuple[str, str]:
    with psycopg.connect(
        host="127.0.0.1", port=port, user=user, password=password, dbname="postgres", autocommit=True, **options
    ) as connection:
        row = connection.execute("SELECT").fetchone()
    assert row
    return row


def test_scram_keys_open_the_server(scram_server: PostgreSQL, tmp_path: Path) -> None:
    with probe("scram-sha-256", verifiers(scram_server), scram_server, tmp_path) as port:
        for user, password in PASSWORDS.items():
            credential, version = ask(port, user, password)
            assert (credential, version[:3]) == ("keys", "15."), user


def test_plain_secrets_open_the_server(scram_server: PostgreSQL, tmp_path: Path) -> None:
    with probe("scram-sha-256", PASSWORDS, scram_server, tmp_path) as port:
        for user, password in PASSWORDS.items():
            credential, version = ask(port, user, password)
            assert (credential, version[:3]) == ("password", "15."), user


@pytest.mark.parametrize("binding", ["disable", "prefer", "require"])
def test_channel_binding_on_both_sides(
    binding: str, scram_server: PostgreSQL, certificate: Certificate, tmp_path: Path
) -> None:
    with probe("scram-sha-256", verifiers(scram_server), scram_server, tmp_path, certificate) as port:
        credential, version = ask(port, "alice", "secret", sslmode="require", channel_binding=binding)
        assert (credential, version[:3]) == ("keys", "15.")


@pytest.mark.parametrize("tls", [False, True])
def test_md5(tls: bool, md5_server: PostgreSQL, certificate: Certificate, tmp_path: Path) -> None:
    for users, kind in ((PASSWORDS, "password"), (verifiers(md5_server), "md5")):
        with probe("md5", users, md5_server, tmp_path, certificate if tls else None) as port:
            for user, password in PASSWORDS.items():
                credential, version = ask(port, user, password)
                assert (credential, version[:3]) == (kind, "15."), user


def test_the_method_md5_takes_scram_secrets(scram_server: PostgreSQL, tmp_path: Path) -> None:
    with probe("md5", verifiers(scram_server), scram_server, tmp_path) as port:
        assert ask(port, "alice", "secret")[0] == "keys"


def test_trust_shows_the_servers_refusal(scram_server: PostgreSQL, tmp_path: Path) -> None:
    with probe("trust", {"alice": "wrong"}, scram_server, tmp_path) as port:
        assert ask(port, "alice", "") == ("password", '28P01 password authentication failed for user "alice"')
        assert ask(port, "nobody", "")[1].startswith("28000 the server asks for SCRAM-SHA-256")


def test_asyncpg_logs_in(scram_server: PostgreSQL, tmp_path: Path) -> None:
    async def log_in(port: int, password: str) -> None:
        await asyncpg.connect(host="127.0.0.1", port=port, user="alice", password=password, database="postgres")

    with probe("scram-sha-256", verifiers(scram_server), scram_server, tmp_path) as port:
        asyncio.run(log_in(port, "secret"))
        with pytest.raises(asyncpg.InvalidPasswordError):
            asyncio.run(log_in(port, "wrong"))


@pytest.mark.parametrize("method", ["md5", "scram-sha-256"])
def test_refusals_are_worded_as_postgresqls(
    method: str, md5_server: PostgreSQL, scram_server: PostgreSQL, tmp_path: Path
) -> None:
    server = md5_server if method == "md5" else scram_server

    def refusal(port: int, user: str) -> str:
        with pytest.raises(psycopg.OperationalError) as raised:
            ask(port, user, "wrong", sslmode="disable")
        return str(raised.value).replace(str(port), "PORT")

    with probe(method, verifiers(server), server, tmp_path) as port:
        for user in ("alice", "nobody"):
            assert refusal(port, user) == refusal(server.port, user)


def startup(parameters: bytes, version: int = 196608) -> bytes:
    return struct.pack("!II", len(parameters) + 8, version) + parameters


def message(body: bytes, kind: bytes = b"p") -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def initial(mechanism: bytes, data: bytes | None) -> bytes:
    length = -1 if data is None else len(data)
    return message(mechanism + b"\0" + struct.pack("!i", length) + (data or b""))


ALICE = startup(b"user\0alice\0database\0postgres\0\0")
PROOF = b"p=" + b"A" * 43 + b"="
# What both are sent: bytes, or a function of the server's last SCRAM nonce.
CONVERSATIONS = {
    "no user": [startup(b"\0")],
    "an empty user": [startup(b"user\0\0\0")],
    "no terminator": [startup(b"user\0alice\0")],
    "bytes after the terminator": [startup(b"user\0alice\0\0\0")],
    "half a pair": [startup(b"user\0alice\0database")],
    "empty": [startup(b"")],
    "version 2": [startup(b"user\0alice\0\0", 2 << 16)],
    "version 4": [startup(b"user\0alice\0\0", 4 << 16)],
    "replication": [startup(b"user\0alice\0replication\0perhaps\0\0")],
    "too short": [struct.pack("!I", 7) + b"abc"],
    "too long": [struct.pack("!I", 10005)],
    "a query before its time": [ALICE, message(b"SELECT 1\0", b"Q")],
    "a type that is none": [ALICE, message(b"", b"\xff")],
    "another mechanism": [ALICE, initial(b"PLAIN", b"x")],
    "binding without TLS": [ALICE, initial(b"SCRAM-SHA-256-PLUS", b"x")],
    "a mechanism without its end": [ALICE, message(b"SCRAM-SHA-256")],
    "a response that is cut": [ALICE, message(b"SCRAM-SHA-256\0\0\0\0\x09n,,")],
    "bytes after the response": [ALICE, message(b"SCRAM-SHA-256\0\0\0\0\x03n,,xx")],
    "an empty first message": [ALICE, initial(b"SCRAM-SHA-256", b"")],
    "a late first message": [ALICE, initial(b"SCRAM-SHA-256", None), message(b"x,,")],
    "a NUL": [ALICE, initial(b"SCRAM-SHA-256", b"n,,n=,r=a\0b")],
    "an unknown flag": [ALICE, initial(b"SCRAM-SHA-256", b"x,,n=,r=a")],
    "no comma": [ALICE, initial(b"SCRAM-SHA-256", b"nx,n=,r=a")],
    "a flag alone": [ALICE, initial(b"SCRAM-SHA-256", b"n")],
    "an odd attribute": [ALICE, initial(b"SCRAM-SHA-256", b"n,x,n=,r=a")],
    "another identity": [ALICE, initial(b"SCRAM-SHA-256", b"n,a=bob,n=,r=a")],
    "an extension": [ALICE, initial(b"SCRAM-SHA-256", b"n,,m=x,n=,r=a")],
    "no name": [ALICE, initial(b"SCRAM-SHA-256", b"n,,r=a")],
    "no equals sign": [ALICE, initial(b"SCRAM-SHA-256", b"n,,n=,r")],
    "a nonce not printable": [ALICE, initial(b"SCRAM-SHA-256", b"n,,n=,r=\x7f")],
    "an attribute that is none": [ALICE, initial(b"SCRAM-SHA-256", b"n,,n=,r=a,1")],
    "binding data unasked": [ALICE, initial(b"SCRAM-SHA-256", b"p=tls-server-end-point,,n=,r=a")],
    "another binding": [ALICE, initial(b"SCRAM-SHA-256", b"n,,n=,r=a"), lambda n: message(b"c=eSws,r=" + n + b"," + PROOF)],
    "another nonce": [ALICE, initial(b"SCRAM-SHA-256", b"n,,n=,r=a"), lambda n: message(b"c=biws,r=x" + n + b"," + PROOF)],
    "no proof": [ALICE, initial(b"SCRAM-SHA-256", b"n,,n=,r=a"), lambda n: message(b"c=biws,r=" + n)],
    "half a proof": [ALICE, initial(b"SCRAM-SHA-256", b"n,,n=,r=a"), lambda n: message(b"c=biws,r=" + n + b",p=AAAA")],
    "more after the proof": [ALICE, initial(b"SCRAM-SHA-256", b"n,,n=,r=a"), lambda n: message(b"c=biws,r=" + n + b"," + PROOF + b",x=1")],
    "a wrong proof": [ALICE, initial(b"SCRAM-SHA-256", b"n,,n=,r=a"), lambda n: message(b"c=biws,r=" + n + b"," + PROOF)],
    "an empty final message": [ALICE, initial(b"SCRAM-SHA-256", b"n,,n=,r=a"), message(b"")],
    "a final message too long": [ALICE, initial(b"SCRAM-SHA-256", b"n,,n=,r=a"), message(b"x" * 2000)],
}  # fmt: skip
PLUS = b"SCRAM-SHA-256-PLUS"
BOUND = initial(PLUS, b"p=tls-server-end-point,,n=,r=a")
CONVERSATIONS_OVER_TLS = {
    "a downgrade": [ALICE, initial(b"SCRAM-SHA-256", b"y,,n=,r=a")],
    "no binding data": [ALICE, initial(PLUS, b"n,,n=,r=a")],
    "another type": [ALICE, initial(PLUS, b"p=tls-unique,,n=,r=a")],
    "a type without its end": [ALICE, initial(PLUS, b"p=tls-server-end-point")],
    "a type without its value": [ALICE, initial(PLUS, b"p,")],
    "another channel": [ALICE, BOUND, lambda n: message(b"c=biws,r=" + n + b"," + PROOF)],
    "TLS again": [struct.pack("!II", 8, 80877103)],
    "GSSAPI over TLS": [struct.pack("!II", 8, 80877104)],
}


def error_fields(port: int, steps: list, tls: bool = False) -> dict[str, str] | str | None:
    """What the last answer says, without where in the source; None where the connection ends without a word."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        connection = encrypted(plain) if tls else plain
        nonce = b""
        for step in steps:
            connection.sendall(step(nonce) if callable(step) else step)
            if step == CONVERSATIONS["version 2"][0]:
                return connection.recv(1000).decode()
            try:
                kind, body = read_message(connection)
            except ConnectionError:
                return None
            if b"r=" in body:
                nonce = body.split(b"r=")[1].split(b",")[0]
            if kind == b"E":
                fields = [field.decode() for field in body.split(b"\0") if field]
                return {field[0]: field[1:] for field in fields if field[0] not in "FLR"}
    raise AssertionError("neither an error nor an end")


def encrypted(plain: socket.socket) -> ssl.SSLSocket:
    plain.sendall(struct.pack("!II", 8, 80877103))
    assert plain.recv(1) == b"S"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(plain)


def read_message(connection: socket.socket) -> tuple[bytes, bytes]:
    head = receive(connection, 5)
    return head[:1], receive(connection, struct.unpack("!I", head[1:])[0] - 4)


def receive(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        part = connection.recv(count - len(received))
        if not part:
            raise ConnectionError
        received += part
    return received


@pytest.mark.parametrize("tls", [False, True])
def test_malformed_conversations_end_as_with_postgresql(
    tls: bool, scram_server: PostgreSQL, certificate: Certificate, tmp_path: Path
) -> None:
    conversations = CONVERSATIONS_OVER_TLS if tls else CONVERSATIONS
    with probe("scram-sha-256", verifiers(scram_server), scram_server, tmp_path, certificate if tls else None) as port:
        for name, steps in conversations.items():
            ours = error_fields(port, steps, tls)
            assert (name, ours) == (name, error_fields(scram_server.port, steps, tls))


PARSE = message(b"\0SELECT $1::text\0\0\0", b"P")
# Malformed messages of a session, in place of the one after log-in.
MESSAGES = {
    "a query without its end": message(b"SELECT 1", b"Q"),
    "an empty query body": message(b"", b"Q"),
    "bytes after a query": message(b"SELECT 1\0x", b"Q"),
    "half an Execute": message(b"\0\0\0\0", b"E"),
    "bytes after an Execute": message(b"\0\0\0\0\0x", b"E"),
    "a Sync with a body": message(b"x", b"S"),
    "a Flush with a body": message(b"x", b"H"),
    "a Describe of nothing": message(b"X\0", b"D"),
    "a Describe without its name": message(b"S", b"D"),
    "an empty Describe": message(b"", b"D"),
    "a Close of nothing": message(b"\xff\0", b"C"),
    "bytes after a Close": message(b"Sx\0y", b"C"),
    "a Parse without its types": message(b"\0\0\xff\xff", b"P"),
    "a Parse without a count": message(b"\0SELECT 1\0", b"P"),
    "bytes after a Parse": message(b"\0SELECT 1\0\0\0x", b"P"),
    "a Bind of other formats": PARSE + message(b"\0\0\0\2\0\1\0\1\0\1", b"B"),
    "half a Bind": PARSE + message(b"\0\0\0", b"B"),
    "a Bind of a negative length": PARSE + message(b"\0\0\0\0\0\1\xff\xff\xff\xfe\0\0", b"B"),
    "a Bind of a huge length": PARSE + message(b"\0\0\0\0\0\1\x7f\xff\xff\xff\0\0", b"B"),
    "bytes after a Bind": PARSE + message(b"\0\0\0\0\0\1\xff\xff\xff\xff\0\0x", b"B"),
    "half a function call": message(b"\0\0", b"F"),
    "a function call of a negative length": message(struct.pack("!I", 1397) + b"\0\0\0\1\xff\xff\xff\xfe\0\0", b"F"),
}  # fmt: skip


def negotiation(port: int, first_packet: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(first_packet)
        kind, body = read_message(connection)
        assert kind == b"v"
        return body


def test_newer_clients_are_told_the_same_as_by_postgresql(scram_server: PostgreSQL, tmp_path: Path) -> None:
    with probe("trust", {}, scram_server, tmp_path) as port:
        for packet in (
            startup(b"user\0alice\0\0", 196608 + 2),
            startup(b"_pq_.x\0001\0user\0alice\0_pq_.y\0\0\0"),
            startup(b"_pq_.x\0001\0user\0alice\0\0", 196608 + 9999),
        ):
            assert negotiation(port, packet) == negotiation(scram_server.port, packet)


def first_error(port: int, sent: bytes) -> dict[str, str]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(startup(b"user\0postgres\0\0"))
        while read_message(connection)[0] != b"Z":
            pass
        connection.sendall(sent + message(b"", b"H"))
        while True:
            kind, body = read_message(connection)
            if kind == b"E":
                fields = [field.decode() for field in body.split(b"\0") if field]
                return {field[0]: field[1:] for field in fields if field[0] in "SVCM"}


def test_malformed_messages_are_refused_in_postgresqls_words(tmp_path: Path) -> None:
    with PostgreSQL() as server, probe("trust", {}, server, tmp_path) as port:
        for name, sent in MESSAGES.items():
            assert (name, first_error(port, sent)) == (name, first_error(server.port, sent))
