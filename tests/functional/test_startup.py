"""The first packets of a connection: what a client may send before it is logged in, and who may log in."""

import contextlib
import socket
import ssl
import struct
from collections.abc import Iterator

import psycopg
import pytest
import wire
from wire import Client, Gone, connect, lines, message, packet, query, startup

from harness import Certificate, Millrace, PostgreSQL
from harness.temporary import temporary_folder

PROTOCOL_3_2 = (3 << 16) | 2


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return Certificate.make()


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL) -> Iterator[Millrace]:
    with Millrace(postgres) as server:
        yield server


@pytest.fixture(scope="module")
def with_tls(postgres: PostgreSQL, certificate: Certificate) -> Iterator[Millrace]:
    settings = {"TLS_CERT_FILE": str(certificate.certificate), "TLS_KEY_FILE": str(certificate.key)}
    with Millrace(postgres, settings) as server:
        yield server


def opened(server: object) -> Client:
    return Client(server.host, server.port)  # type: ignore[attr-defined]


# --- before log-in ---


def test_ssl_request_without_tls(millrace: Millrace) -> None:
    with opened(millrace) as client:
        client.send(packet(wire.SSL))
        assert client.receive_exactly(1) == b"N"
        assert client.log_in()[-1].kind == "Z"


def test_gssenc_request_is_declined(millrace: Millrace) -> None:
    with opened(millrace) as client:
        client.send(packet(wire.GSSENC))
        assert client.receive_exactly(1) == b"N"
        client.send(packet(wire.SSL))
        assert client.receive_exactly(1) == b"N"
        assert client.log_in()[-1].kind == "Z"


def test_tls(with_tls: Millrace, certificate: Certificate) -> None:
    for mode in ("require", "verify-ca", "verify-full"):
        with psycopg.connect(with_tls.dsn(sslmode=mode, sslrootcert=str(certificate.certificate))) as connection:
            assert connection.pgconn.ssl_in_use
            assert connection.execute("SELECT repeat('x', 1000000)").fetchone() == ("x" * 1_000_000,)


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def test_what_comes_in_one_tls_record_with_the_log_in(postgres: PostgreSQL, certificate: Certificate) -> None:
    settings = {"TLS_CERT_FILE": str(certificate.certificate), "TLS_KEY_FILE": str(certificate.key), "AUTH_TYPE": "trust"}
    with Millrace(postgres, settings) as server, opened(server) as client:
        client.send(packet(wire.SSL))
        assert client.receive_exactly(1) == b"S"
        client.socket = trusting().wrap_socket(client.socket)
        long = " " * 3000
        client.send(startup() + query(f"SELECT 'x'{long}") + query("SELECT 'y'"))
        answer = client.until("Z", 3)
        assert [one.row for one in answer if one.kind == "D"] == [[b"x"], [b"y"]]


def test_bytes_after_an_ssl_request_are_not_taken_for_encrypted(with_tls: Millrace) -> None:
    """CVE-2021-23214: what came in plain text must not be read after the handshake."""
    with opened(with_tls) as client:
        client.send(packet(wire.SSL) + startup() + query("SELECT 'smuggled'"))
        try:
            answer = client.receive_exactly(1)
            rest = client.until_closed() if answer in (b"E", b"N") else []
            assert all(one.kind in "EN" for one in rest)
            if answer == b"S":
                with pytest.raises((ssl.SSLError, ConnectionError, OSError)):
                    trusting().wrap_socket(client.socket).recv(1)
        except (Gone, ConnectionResetError):
            pass
    with connect(with_tls) as client:
        assert client.one("SELECT 1") == "1"


def test_client_tls_required(postgres: PostgreSQL, certificate: Certificate) -> None:
    settings = {"TLS_CERT_FILE": str(certificate.certificate), "TLS_KEY_FILE": str(certificate.key),
                "CLIENT_TLS_MODE": "require"}  # fmt: skip
    with Millrace(postgres, settings) as millrace:
        with opened(millrace) as client:
            answer = client.log_in()[-1]
            assert (answer.kind, answer.fields["S"]) == ("E", "FATAL")
            assert answer.sqlstate.startswith("28")
        with psycopg.connect(millrace.dsn(sslmode="require")) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("options", [{"_pq_.new": "1"}, {"_pq_.one": "a", "_pq_.two": "b"}])
@pytest.mark.parametrize("version", [wire.PROTOCOL_3_0, PROTOCOL_3_2])
def test_what_is_unknown_is_negotiated(postgres: PostgreSQL, millrace: Millrace, version: int, options: dict[str, str]) -> None:
    negotiations = []
    for server in (postgres, millrace):
        with opened(server) as client:
            client.send(startup(version=version, **options))
            got = client.until("Z")
            negotiations.append([one for one in got if one.kind == "v"])
            assert client.one("SELECT 1") == "1"
    assert lines(negotiations[0]) == lines(negotiations[1])
    assert len(negotiations[1]) == 1


@pytest.mark.parametrize("version", [4 << 16, 0x7FFFFFFF])
def test_newer_protocols_are_refused(postgres: PostgreSQL, millrace: Millrace, version: int) -> None:
    answers = []
    for server in (postgres, millrace):
        with opened(server) as client:
            client.send(startup(version=version))
            (error,) = client.until_closed()
            answers.append((error.fields["S"], error.sqlstate))
    assert answers[1] == answers[0] == ("FATAL", "0A000")


@pytest.mark.parametrize("version", [1 << 16, 2 << 16])
def test_older_protocols_are_refused(millrace: Millrace, version: int) -> None:
    with opened(millrace) as client:
        client.send(startup(version=version))
        assert client.receive_exactly(1) == b"E"
        client.until_closed()


@pytest.mark.parametrize(
    "bytes_sent",
    [b"\0\0\0\0", b"\0\0\0\x04", b"\0\0\0\x07abc", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\x4e\x20" + b"x" * 20000, b"GET / HTTP/1.1\r\n\r\n",
     struct.pack("!ii", 8, wire.PROTOCOL_3_0), packet(wire.PROTOCOL_3_0, b"user"), packet(wire.PROTOCOL_3_0, b"user\0"),
     packet(wire.PROTOCOL_3_0, b"user\0postgres\0"), packet(wire.PROTOCOL_3_0, b"\0"), packet(wire.CANCEL, b""), packet(wire.CANCEL, b"x" * 7),
     packet(wire.CANCEL, b"x" * 100)],
)  # fmt: skip
def test_malformed_beginnings(millrace: Millrace, bytes_sent: bytes) -> None:
    with opened(millrace) as client:
        client.send(bytes_sent)
        with contextlib.suppress(OSError):
            client.socket.shutdown(socket.SHUT_WR)
        assert all(one.kind == "E" and one.fields["S"] == "FATAL" for one in client.until_closed())
    with connect(millrace) as client:
        assert client.one("SELECT 1") == "1"


def test_the_same_parameters_are_reported(postgres: PostgreSQL, millrace: Millrace) -> None:
    reported = []
    for server in (postgres, millrace):
        with connect(server, application_name="x", client_encoding="LATIN1", DateStyle="German", TimeZone="Asia/Tokyo") as client:
            reported.append(client.parameters)
    assert reported[0] == reported[1]
    assert reported[0]["TimeZone"] == "Asia/Tokyo"


@pytest.mark.parametrize("options", [{"options": "-c work_mem=3MB"}, {"options": "-cwork_mem=3MB --search_path=pg_catalog"}, {"work_mem": "3MB"}])
def test_options_of_the_start(proxy: object, options: dict[str, str]) -> None:
    with connect(proxy, **options) as client, connect(proxy) as other:
        for _ in range(3):
            assert client.one("SHOW work_mem") == "3MB"
            assert other.one("SHOW work_mem") == "4MB"


@pytest.mark.parametrize("options", [{"options": "-c no_such=1"}, {"no_such": "1"}, {"work_mem": "much"}, {"database": "nowhere"}, {"user": "nobody_at_all"}])
def test_what_the_server_refuses_is_refused(postgres: PostgreSQL, millrace: Millrace, options: dict[str, str]) -> None:
    answers = []
    for server in (postgres, millrace):
        with opened(server) as client:
            answer = client.log_in(**options)[-1]
            if answer.kind == "Z":  # told at the first query, then
                answer = next(one for one in client.ask(query("SELECT 1")) if one.kind == "E")
            answers.append((answer.sqlstate, answer.fields["M"], answer.fields["S"]))
    assert answers[0] == answers[1]


def test_cancel_of_an_unknown_key(millrace: Millrace) -> None:
    with connect(millrace) as client:
        wire.cancel_request(millrace.host, millrace.port, (client.key[0], client.key[1] ^ 1))
        wire.cancel_request(millrace.host, millrace.port, (0, 0))
        assert client.one("SELECT pg_sleep(0.1)::text || 'not cancelled'") == "not cancelled"


def test_a_password_message_out_of_turn(millrace: Millrace) -> None:
    with connect(millrace) as client:
        client.send(message("p", b"secret\0"))
        assert [one.sqlstate for one in client.until_closed() if one.kind == "E"][:1] == ["08P01"]


# --- who may log in ---

USERS = """
CREATE ROLE ann LOGIN PASSWORD 'ann''s secret';
CREATE ROLE "Bob ☃" LOGIN PASSWORD 'pässwörd';
CREATE ROLE locked NOLOGIN PASSWORD 'secret';
CREATE ROLE expired LOGIN PASSWORD 'secret' VALID UNTIL '2000-01-01';
CREATE ROLE without LOGIN;
"""


@pytest.fixture(scope="module", params=["scram-sha-256", "md5"])
def guarded(request: pytest.FixtureRequest) -> Iterator[PostgreSQL]:
    with PostgreSQL(auth=request.param) as server:
        server.admin(USERS)
        yield server


@pytest.fixture(scope="module")
def with_tls_itself(certificate: Certificate) -> Iterator[PostgreSQL]:
    with PostgreSQL(tls=certificate) as server:
        yield server


@pytest.fixture(scope="module")
def stranger() -> Certificate:
    return Certificate.make(temporary_folder("stranger"))


def settings_of(guarded: PostgreSQL, **more: str) -> dict[str, str]:
    return {"AUTH_TYPE": guarded.auth, **more}


def refused(server: Millrace, **arguments: str) -> psycopg.OperationalError:
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(server.dsn(**arguments))
    return caught.value


def test_auth_query(guarded: PostgreSQL) -> None:
    with Millrace(guarded, settings_of(guarded)) as millrace:
        for user, password in (("ann", "ann's secret"), ("Bob ☃", "pässwörd"), ("postgres", "millrace")):
            with psycopg.connect(millrace.dsn(user=user, password=password)) as connection:
                assert connection.execute("SELECT session_user::text").fetchone() == (user,)
        for user, password in (("ann", "wrong"), ("ann", ""), ("nobody", "secret"), ("without", "secret"), ("without", "")):
            error = refused(millrace, user=user, password=password)
            directly = refused_directly(guarded, user, password)
            assert str(error).rpartition(": ")[2] == directly, user
        assert "locked" in str(refused(millrace, user="locked", password="secret"))


def refused_directly(guarded: PostgreSQL, user: str, password: str) -> str:
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(guarded.dsn(user=user, password=password))
    return str(caught.value).rpartition(": ")[2]


def test_a_changed_password(guarded: PostgreSQL) -> None:
    """Holds from the first log-in on, whether or not a server connection is open."""
    guarded.admin("CREATE ROLE changing LOGIN PASSWORD 'before'")
    with Millrace(guarded, settings_of(guarded, POOL_MODE="transaction", POOL_SIZE="1")) as millrace:
        with psycopg.connect(millrace.dsn(user="changing", password="before")) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        guarded.admin("ALTER ROLE changing PASSWORD 'after'")
        refused(millrace, user="changing", password="before")
        with psycopg.connect(millrace.dsn(user="changing", password="after")) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        refused(millrace, user="changing", password="before")
        # A new server connection is opened with the password that is right now.
        with psycopg.connect(millrace.dsn(user="changing", password="after", options="-cwork_mem=3MB")) as connection:
            assert connection.execute("SHOW work_mem").fetchone() == ("3MB",)
    guarded.admin("DROP ROLE changing")


@pytest.mark.parametrize("change", ["VALID UNTIL '2000-01-01'", "NOLOGIN", "PASSWORD NULL"])
def test_who_may_no_longer_log_in(guarded: PostgreSQL, change: str) -> None:
    """Refused from then on, though a server connection is open."""
    guarded.admin("CREATE ROLE leaving LOGIN PASSWORD 'secret' VALID UNTIL '2999-01-01'")
    with Millrace(guarded, settings_of(guarded, POOL_MODE="transaction")) as millrace:
        arguments = {"user": "leaving", "password": "secret"}
        with psycopg.connect(millrace.dsn(**arguments)) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
            guarded.admin(f"ALTER ROLE leaving {change}")
            assert "leaving" in str(refused(millrace, **arguments))
            guarded.admin("ALTER ROLE leaving LOGIN PASSWORD 'secret' VALID UNTIL 'infinity'")
            psycopg.connect(millrace.dsn(**arguments)).close()
    guarded.admin("DROP ROLE leaving")


def test_user_file(guarded: PostgreSQL) -> None:
    verifier = guarded.admin("SELECT rolpassword FROM pg_authid WHERE rolname = 'ann'")
    users = temporary_folder("users") / "users.txt"
    users.write_text(f'"ann" "{verifier}"\n"postgres" "millrace"\n')
    with Millrace(guarded, settings_of(guarded, AUTH_FILE=str(users), AUTH_QUERY="")) as millrace:
        for user, password in (("ann", "ann's secret"), ("postgres", "millrace")):
            with psycopg.connect(millrace.dsn(user=user, password=password)) as connection:
                assert connection.execute("SELECT session_user::text").fetchone() == (user,)
        refused(millrace, user="ann", password="wrong")
        refused(millrace, user="Bob ☃", password="pässwörd")


def test_no_password_is_logged(guarded: PostgreSQL) -> None:
    with Millrace(guarded, settings_of(guarded, LOG_LEVEL="debug")) as millrace:
        psycopg.connect(millrace.dsn(user="ann", password="ann's secret")).close()
        refused(millrace, user="ann", password="a wrong guess")
        millrace.stop()  # all that is to be logged has been
        for secret in ("ann's secret", "a wrong guess", "SCRAM-SHA-256$", "millrace@"):
            assert secret not in millrace.log, secret


def test_channel_binding(certificate: Certificate) -> None:
    """SCRAM-SHA-256-PLUS on both sides."""
    with PostgreSQL(auth="scram-sha-256", tls=certificate) as postgres:
        settings = {"AUTH_TYPE": "scram-sha-256", "TLS_CERT_FILE": str(certificate.certificate), "TLS_KEY_FILE": str(certificate.key),
                    "SERVER_TLS_MODE": "verify-full", "SERVER_TLS_CA_FILE": str(certificate.certificate)}  # fmt: skip
        with Millrace(postgres, settings) as millrace:
            dsn = millrace.dsn(sslmode="require", channel_binding="require")
            with psycopg.connect(dsn) as connection:
                assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (True,)
            assert "password authentication failed" in str(refused(millrace, password="wrong", sslmode="require", channel_binding="require"))


@pytest.mark.parametrize(
    ("mode", "server_has_tls", "trusted", "works"),
    [("disable", True, False, True), ("prefer", True, False, True), ("prefer", False, False, True), ("require", True, False, True),
     ("require", False, False, False), ("verify-ca", True, True, True), ("verify-ca", True, False, False), ("verify-full", True, True, True)],
)  # fmt: skip
def test_tls_towards_the_server(
    postgres: PostgreSQL, with_tls_itself: PostgreSQL, certificate: Certificate, stranger: Certificate, mode: str,
    server_has_tls: bool, trusted: bool, works: bool,
) -> None:  # fmt: skip
    settings = {"SERVER_TLS_MODE": mode}
    if mode.startswith("verify"):  # as in libpq, "require" verifies too where it is given an authority
        settings["SERVER_TLS_CA_FILE"] = str((certificate if trusted else stranger).certificate)
    with Millrace(with_tls_itself if server_has_tls else postgres, settings) as millrace:
        try:
            with connect(millrace) as client:
                encrypted = client.one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
                assert works
                assert encrypted == ("t" if server_has_tls and mode != "disable" else "f")
        except (ConnectionError, RuntimeError) as error:
            assert not works, error
            assert "08" in str(error)


def test_trust_needs_no_password(millrace: Millrace) -> None:
    with psycopg.connect(millrace.dsn(password="")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_trust_asks_nobody_for_a_secret(postgres: PostgreSQL) -> None:
    postgres.admin("""
        CREATE ROLE trusted LOGIN;
        CREATE TABLE asked (name text);
        CREATE FUNCTION asked_for(text) RETURNS TABLE (name text, secret text) LANGUAGE sql
            AS $$INSERT INTO asked VALUES ($1) RETURNING name, NULL$$;
    """)
    with Millrace(postgres, {"AUTH_TYPE": "trust", "AUTH_QUERY": "SELECT * FROM asked_for($1)"}) as millrace:
        with connect(millrace, user="trusted") as client:
            assert client.one("SELECT session_user") == "trusted"
    assert postgres.admin("SELECT * FROM asked") == ""


def salt_of(server: Millrace, user: str) -> bytes:
    with opened(server) as client:
        client.send(startup(user))
        client.receive()
        first = b"n,,n=,r=nonce"
        client.send(message("p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first))
        (salt,) = (part for part in client.receive().body.split(b",") if part.startswith(b"s="))
        return salt


def test_a_restart_does_not_tell_who_exists(postgres: PostgreSQL) -> None:
    """The salt of a user that doesn't exist stays, as does that of one that does."""
    with Millrace(postgres, {"AUTH_TYPE": "scram-sha-256"}) as millrace:
        users = ("nobody", "nobody else", "postgres")
        before = [salt_of(millrace, user) for user in users]
        assert len(set(before)) == len(users)
        millrace.restart()
        assert [salt_of(millrace, user) for user in users] == before
