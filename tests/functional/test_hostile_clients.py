"""Clients that mean harm or know no better: each gets an error where one can be sent, and disturbs nobody."""

import contextlib
import random
import select
import socket
import struct
import time
from collections.abc import Iterator

import pytest
import wire
from wire import (
    SYNC, Client, bind, connect, copy_data, describe, eventually, execute, function_call, message, parse, query, startup,
)  # fmt: skip

from harness import Millrace, PostgreSQL

POOL_SIZE = 4
LOGIN_TIMEOUT = 2
CLIENTS = 30


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL, pool_mode: str) -> Iterator[Millrace]:
    settings = {"POOL_MODE": pool_mode, "POOL_SIZE": POOL_SIZE, "LOGIN_TIMEOUT_SECONDS": LOGIN_TIMEOUT,
                "POOL_WAIT_TIMEOUT_SECONDS": 2, "MAX_CLIENT_CONNECTIONS": CLIENTS, "LOG_CONNECTIONS": "false"}  # fmt: skip
    with Millrace(postgres, settings) as server:
        yield server


@pytest.fixture(autouse=True)
def nobody_else_is_disturbed(postgres: PostgreSQL, millrace: Millrace) -> Iterator[None]:
    """A well-behaved client lives through each test; in the end all is given back."""
    with connect(millrace) as bystander:
        assert bystander.one("SELECT 'before'") == "before"
        pid = millrace.pid
        yield
        assert bystander.one("SELECT 'after'") == "after"
        assert millrace.pid == pid
    eventually(lambda: busy(postgres) == 0, what="the server connections to be idle")


def busy(postgres: PostgreSQL) -> int:
    return int(postgres.admin(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND state <> 'idle' AND pid <> pg_backend_pid()"
    ))  # fmt: skip


def opened(millrace: Millrace) -> Client:
    return Client(millrace.host, millrace.port)


def gone_with(client: Client) -> str:
    """The SQLSTATE of the last error before the connection was closed."""
    errors = [one for one in client.until_closed() if one.kind == "E"]
    return errors[-1].sqlstate if errors else "closed"


# --- bytes that are no protocol ---


@pytest.mark.parametrize("seed", range(12))
def test_random_bytes_instead_of_a_start(millrace: Millrace, seed: int) -> None:
    chance = random.Random(seed)
    with opened(millrace) as client:
        with contextlib.suppress(OSError):
            client.send(chance.randbytes(chance.randrange(1, 30000)))
            client.socket.shutdown(socket.SHUT_WR)
        client.until_closed()


@pytest.mark.parametrize("seed", range(25))
def test_random_bytes_in_a_session(millrace: Millrace, seed: int) -> None:
    chance = random.Random(seed)
    with connect(millrace) as client:
        client.socket.settimeout(5)
        with contextlib.suppress(OSError):
            client.send(chance.randbytes(chance.randrange(1, 3000)))
            client.socket.shutdown(socket.SHUT_WR)
        client.until_closed()


@pytest.mark.parametrize("seed", range(25))
def test_mutilated_messages(millrace: Millrace, seed: int) -> None:
    """Good messages with bytes changed, cut out and repeated."""
    chance = random.Random(seed)
    good = bytearray(b"".join([
        query("SELECT 1"), parse("SELECT $1::int", "s", [23]), describe("S", "s"), bind(["1"], statement="s"), execute(), SYNC,
        function_call(177, [b"\0\0\0\1", b"\0\0\0\2"]), query("COPY (SELECT 1) TO STDOUT"), copy_data("x"), SYNC,
    ]))  # fmt: skip
    for _ in range(chance.randrange(1, 8)):
        at = chance.randrange(len(good))
        match chance.randrange(3):
            case 0:
                good[at] = chance.randrange(256)
            case 1:
                del good[at : at + chance.randrange(1, 9)]
            case 2:
                good[at:at] = good[at : at + chance.randrange(1, 30)]
    with connect(millrace) as client:
        client.socket.settimeout(5)
        with contextlib.suppress(OSError):
            client.send(bytes(good))
            client.socket.shutdown(socket.SHUT_WR)
        client.until_closed()


@pytest.mark.parametrize("length", [-1, -2147483648, 0, 3, 2147483647])
@pytest.mark.parametrize("kind", list("QPBDECSHFdcfXp?") + ["\0", "\xff"])
def test_impossible_lengths(millrace: Millrace, kind: str, length: int) -> None:
    with connect(millrace) as client:
        client.send(kind.encode("latin1") + struct.pack("!i", length))
        if length == 2147483647:  # PostgreSQL takes up to 1 GB; a claim alone must cost nothing
            rss = millrace.rss_bytes()
            client.send(b"x" * 1000)
            assert millrace.rss_bytes() < rss + (64 << 20)
        else:
            assert gone_with(client) in ("08P01", "closed")


def test_claims_of_a_gigabyte(millrace: Millrace) -> None:
    """Many clients claim much and send little."""
    before = millrace.rss_bytes()
    clients = [connect(millrace) for _ in range(POOL_SIZE - 1)]
    for client in clients:
        client.send(b"Q" + struct.pack("!i", (1 << 30) - 1) + b"SELECT 1")
    time.sleep(0.3)
    assert millrace.rss_bytes() < before + (64 << 20)
    for client in clients:
        client.reset()


def test_unknown_message_types(millrace: Millrace) -> None:
    for kind in "?ZTK1r":
        with connect(millrace) as client:
            client.send(message(kind, b"what"))
            assert gone_with(client) == "08P01"


def test_messages_out_of_order(millrace: Millrace) -> None:
    with connect(millrace) as client:
        client.send(startup())  # again
        assert gone_with(client) in ("08P01", "closed")
    with opened(millrace) as client:
        client.send(query("SELECT 1"))
        assert gone_with(client) in ("08P01", "0A000", "closed")
    with connect(millrace) as client:  # a query in the middle of a COPY
        client.ask(query("CREATE TABLE IF NOT EXISTS copied (a int)"))
        client.send(query("COPY copied FROM STDIN"))
        client.until("G")
        client.send(query("SELECT 1"))
        assert any(one.kind == "E" and one.sqlstate == "08P01" for one in client.until("EZ"))
    with connect(millrace) as client:
        client.ask(query("DROP TABLE IF EXISTS copied"))


def test_strings_without_an_end(millrace: Millrace) -> None:
    for broken in (message("Q", b"SELECT 1"), message("P", b"name"), message("P", b"name\0SELECT 1"), message("D", b"S"), message("B", b"\0\0\0\1"),
                   message("E", b"\0"), message("C", b""), message("F", b"\0"), message("f", b"no end")):  # fmt: skip
        with connect(millrace) as client:
            client.send(broken, SYNC)
            client.socket.shutdown(socket.SHUT_WR)
            got = client.until_closed()
            assert all(one.kind in "EZSN" for one in got), wire.lines(got)
            assert [one.sqlstate for one in got if one.kind == "E"][:1] in (["08P01"], ["22021"], ["26000"], []), wire.lines(got)


# --- text that breaks parsers ---

DEEP = {
    "terms": "SELECT " + "+".join(["1"] * 5000),
    "many terms": "SELECT " + "+".join(["1"] * 60000),
    "parentheses": "SELECT " + "(" * 100000 + "1" + ")" * 100000,
    "subqueries": "SELECT " + "(SELECT " * 20000 + "1" + ")" * 20000,
    "cases": "SELECT " + "CASE WHEN true THEN " * 20000 + "1" + " END" * 20000,
    "nots": "SELECT " + "NOT " * 100000 + "true",
    "casts": "SELECT 1" + "::int" * 50000,
    "arrays": "SELECT " + "ARRAY[" * 50000 + "1" + "]" * 50000,
    "joins": "SELECT 1 FROM t " + "JOIN t USING (a) " * 20000,
    "unions": " UNION ".join(["SELECT 1"] * 20000),
    "a long list": "SELECT 1 WHERE 1 IN (" + ",".join(map(str, range(100000))) + ")",
    "statements": "SELECT 1;" * 3000,
    "comments": "SELECT 1 " + "/*" * 2000 + "*/" * 2000,  # PostgreSQL's own scanner is quadratic in these
    "a dollar quote": "SELECT $tag$" + "$" * 100000,
    "zero bytes inside": "SELECT '" + "\u0001" * 1000 + "'",
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
@pytest.mark.parametrize("by", ["query", "parse"])
def test_deep_text_never_ends_the_process(millrace: Millrace, text: str, by: str) -> None:
    with connect(millrace) as client:
        client.socket.settimeout(60)
        answer = client.ask(query(text)) if by == "query" else client.ask(parse(text), bind(), execute(), SYNC)
        for one in answer:
            if one.kind == "E":
                # Out of stack or memory, too complex, or a mistake: the server's own words, and it has not crashed.
                assert one.sqlstate[:2] in ("54", "42", "53", "21", "57", "08"), str(one)
                assert one.sqlstate not in ("57P02", "57P03"), str(one)
        assert client.one("SELECT 1") == "1"


# --- clients that take their time ---


def test_slow_log_in(millrace: Millrace) -> None:
    """A byte now and then does not keep a client that has not logged in."""
    sent = 0
    slowly = startup() * 10
    with opened(millrace) as client:
        client.socket.settimeout(0.3)
        try:
            for byte in slowly:
                client.send(bytes([byte]))
                sent += 1
                time.sleep(0.1)
                with contextlib.suppress(TimeoutError):
                    client.receive()
                    break
        except OSError:
            pass
    assert sent < len(slowly)


def test_silence_instead_of_a_log_in(millrace: Millrace) -> None:
    start = time.monotonic()
    silent = [opened(millrace) for _ in range(5)]
    for client in silent:
        with client:
            client.until_closed()
    assert time.monotonic() - start > LOGIN_TIMEOUT - 1


def test_a_half_sent_message_holds_nothing(millrace: Millrace) -> None:
    """Clients in the middle of a message must not use up the pool in transaction mode."""
    if millrace.settings["POOL_MODE"] == "session":
        pytest.skip("a session keeps its connection")
    waiting = [connect(millrace) for _ in range(POOL_SIZE * 2)]
    try:
        for client in waiting:
            client.send(query("SELECT 1")[:-3])
        with connect(millrace) as client:
            assert client.one("SELECT 'served'") == "served"
    finally:
        for client in waiting:
            client.reset()


def test_half_a_message_has_its_time(postgres: PostgreSQL, pool_mode: str) -> None:
    """Whether it is short, long enough to be held, or passed on in parts; who waits for an answer may be silent longer."""
    with Millrace(postgres, {"POOL_MODE": pool_mode, "CLIENT_MESSAGE_TIMEOUT_SECONDS": 1}) as millrace:
        with connect(millrace) as waiting, connect(millrace) as short, connect(millrace) as held, connect(millrace) as passed_on:
            waiting.send(query("SELECT pg_sleep(3)::text || 'its answer'"))
            short.send(query("SELECT 1")[:-3])
            held.send(query("SELECT '" + "x" * 500_000)[:-3])
            passed_on.send(query("SELECT '" + "x" * 3_000_000)[:-3])
            assert {client: gone_with(client) for client in (short, held, passed_on)} == dict.fromkeys((short, held, passed_on), "08P01")
            assert [one.row for one in waiting.until("Z") if one.kind == "D"] == [[b"its answer"]]


def test_half_sent_messages_are_bounded_in_total(postgres: PostgreSQL, pool_mode: str) -> None:
    """Those within the limit are waited for; the rest are told at once, and their memory is free again."""
    limit, count = 8, 80
    settings = {"POOL_MODE": pool_mode, "POOL_SIZE": 90, "MAX_HELD_MESSAGES_MB": limit}
    with Millrace(postgres, settings, frees_at_once=True) as millrace:
        clients = [connect(millrace) for _ in range(count)]
        before = millrace.rss_bytes()
        for client in clients:
            with contextlib.suppress(OSError):
                client.send(query("SELECT '" + "x" * 1_000_000)[:-3])
        eventually(lambda: len(with_an_answer(clients)) >= count - limit, what="those beyond the limit to hear of it")
        refused = with_an_answer(clients)
        assert len(refused) < count
        assert {gone_with(client) for client in refused} == {"53200"}
        assert millrace.rss_bytes() < before + (60 << 20)  # of the 80 MB that were sent; ThreadSanitizer keeps account of it
        with connect(millrace) as client:
            assert client.one("SELECT 'served'") == "served"
        for client in clients:
            client.close()

        def large() -> bool:
            with connect(millrace) as client:
                return client.ask_or_error("SELECT length('" + "x" * 900_000 + "')").kind == "Z"

        eventually(large, what="the memory to be free again")


def with_an_answer(clients: list[Client]) -> list[Client]:
    readable, _, _ = select.select([client.socket for client in clients], [], [], 0)
    return [client for client in clients if client.socket in readable]


def test_a_reader_that_does_not_read(postgres: PostgreSQL, millrace: Millrace) -> None:
    """What is not read waits in the server, not in Millrace's memory."""
    before = millrace.rss_bytes()
    with connect(millrace) as client:
        client.send(query("SELECT repeat('x', 10000) FROM generate_series(1, 20000)"))
        full = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite'"
        eventually(lambda: postgres.admin(full) == "1", what="the server to wait")
        assert millrace.rss_bytes() < before + (32 << 20)
        client.reset()


def test_idle_timeout(postgres: PostgreSQL, pool_mode: str) -> None:
    with Millrace(postgres, {"POOL_MODE": pool_mode, "CLIENT_IDLE_TIMEOUT_SECONDS": 1}) as millrace:
        with connect(millrace) as client:
            assert client.one("SELECT pg_sleep(1.5)::text || 'not idle'") == "not idle"
            assert gone_with(client) in ("57P05", "08006", "57P01")


# --- too many ---


def test_too_many_clients(millrace: Millrace) -> None:
    clients: list[Client] = []
    refusals: list[str] = []
    try:
        for _ in range(CLIENTS + 5):
            client = opened(millrace)
            clients.append(client)
            answer = client.log_in()[-1]
            if answer.kind == "E":
                refusals.append(answer.sqlstate)
        assert len(refusals) >= 5
        assert set(refusals) == {"53300"}
    finally:
        for client in clients:
            client.close()

    def welcome() -> bool:
        with opened(millrace) as client:
            return client.log_in()[-1].kind == "Z"

    eventually(welcome, what="clients to be welcome again")


def test_too_many_that_say_nothing(millrace: Millrace) -> None:
    """Connections count before they have said who they are; a cancel request has room."""
    with connect(millrace) as asking, contextlib.ExitStack() as silent:
        asking.send(query("SELECT pg_sleep(30)"))
        for attempt in range(5):
            start = time.monotonic()
            last = [silent.enter_context(opened(millrace)) for _ in range(CLIENTS * 2 + 30)][-1]
            end = gone_with(last)
            if time.monotonic() - start < LOGIN_TIMEOUT - 0.5:  # else the first may have been given up meanwhile
                break
        assert end == "53300", f"after {attempt + 1} attempts"
        silent.close()
        eventually(lambda: cancelled(millrace, asking), what="the query to be cancelled")


def cancelled(millrace: Millrace, asking: Client) -> bool:
    wire.cancel_request(millrace.host, millrace.port, asking.key)
    return not asking.quiet(0.5) and [one.sqlstate for one in asking.until("Z") if one.kind == "E"] == ["57014"]


def test_a_full_pool(millrace: Millrace) -> None:
    """Who waits too long is told so, and may try again."""
    holders = [connect(millrace) for _ in range(POOL_SIZE)]
    served: list[Client] = []
    try:
        waiting = []
        for client in holders:
            client.socket.settimeout(15)
            client.send(query("BEGIN; SELECT 1"))
        # In session mode the bystander may hold a connection, too.
        for client in holders:
            answer = client.until("ZE")[-1]
            (served if answer.kind == "Z" else waiting).append(client)
        with connect(millrace) as late:
            start = time.monotonic()
            answer = late.ask_or_error("SELECT 1")
            assert answer.sqlstate == "53300", str(answer)
            assert time.monotonic() - start > 1
            for client in served:
                client.ask(query("ROLLBACK"))
    finally:
        for client in holders:
            client.close()
    eventually(lambda: can_ask(millrace), what="the pool to be free again")


def can_ask(millrace: Millrace) -> bool:
    with connect(millrace) as client:
        return client.one("SELECT 1") == "1"


# --- clients that are gone ---


@pytest.mark.parametrize("how", ["end of stream", "reset"])
@pytest.mark.parametrize("what", ["query", "extended", "in a transaction", "in a result", "in a copy out"])
def test_a_client_that_is_gone_stops_its_query(postgres: PostgreSQL, millrace: Millrace, what: str, how: str) -> None:
    client = connect(millrace)
    marker = f"{what} {how}"
    match what:
        case "query":
            client.send(query(f"SELECT pg_sleep(60) /* {marker} */"))
        case "extended":
            client.send(parse(f"SELECT pg_sleep(60) /* {marker} */"), bind(), execute(), SYNC)
        case "in a transaction":
            client.ask(query("BEGIN"))
            client.send(query(f"SELECT pg_sleep(60) /* {marker} */"))
        case "in a result":
            client.send(query(f"SELECT repeat('x', 10000) FROM generate_series(1, 10000000) /* {marker} */"))
        case "in a copy out":
            client.send(query(f"COPY (SELECT repeat('x', 10000) FROM generate_series(1, 10000000) /* {marker} */) TO STDOUT"))

    def running() -> int:
        return int(postgres.admin(
            f"SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%{marker} */%' AND pid <> pg_backend_pid()"
        ))  # fmt: skip

    eventually(lambda: running() == 1, what="the query to run")
    if how == "reset":
        client.reset()
    else:
        client.close()
    eventually(lambda: running() == 0, what="the query to be stopped")


def test_gone_in_a_transaction(postgres: PostgreSQL, millrace: Millrace) -> None:
    postgres.admin("DROP TABLE IF EXISTS kept; CREATE TABLE kept (a int)")
    for number in range(10):
        client = connect(millrace)
        client.ask(query(f"BEGIN; LOCK TABLE kept IN EXCLUSIVE MODE; INSERT INTO kept VALUES ({number})"))
        client.reset() if number % 2 else client.close()
    eventually(lambda: busy(postgres) == 0, what="the transactions to be rolled back")
    with connect(millrace) as client:
        assert client.one("SELECT count(*) FROM kept") == "0"


def test_gone_in_a_copy_in(postgres: PostgreSQL, millrace: Millrace) -> None:
    postgres.admin("DROP TABLE IF EXISTS kept; CREATE TABLE kept (a int)")
    for cut in range(0, 40, 3):
        client = connect(millrace)
        client.send(query("COPY kept FROM STDIN"))
        client.until("G")
        client.send((copy_data("1\n") * 5)[:cut])
        client.close()
    eventually(lambda: busy(postgres) == 0, what="the copies to end")
    with connect(millrace) as client:
        assert client.one("SELECT count(*) FROM kept") == "0"


# --- cancelling ---


def test_a_cancel_hits_its_own_client_only(postgres: PostgreSQL, millrace: Millrace) -> None:
    with connect(millrace) as one, connect(millrace) as two:
        one.send(query("SELECT pg_sleep(30)"))
        two.send(query("SELECT pg_sleep(1)::text || 'undisturbed'"))
        eventually(lambda: postgres.runs("pg_sleep(30)") and postgres.runs("undisturbed"), what="both to run")
        wire.cancel_request(millrace.host, millrace.port, one.key)
        assert [answer.sqlstate for answer in one.until("Z") if answer.kind == "E"] == ["57014"]
        assert [answer.row for answer in two.until("Z") if answer.kind == "D"] == [[b"undisturbed"]]


def test_a_cancel_without_a_query_hits_nobody(millrace: Millrace) -> None:
    with connect(millrace) as idle, connect(millrace) as working:
        idle.ask(query("SELECT 1"))
        for _ in range(30):
            working.send(query("SELECT pg_sleep(0.01)::text || 'x'"))
            wire.cancel_request(millrace.host, millrace.port, idle.key)
            assert [answer.kind for answer in working.until("Z") if answer.kind == "E"] == []
        assert idle.one("SELECT 'still well'") == "still well"


def test_cancel_keys_are_not_the_servers(postgres: PostgreSQL, millrace: Millrace) -> None:
    with connect(millrace) as one, connect(millrace) as two:
        assert one.key != two.key
        assert one.key[1] != 0
