"""What one client leaves half done neither reaches the next holder of its server connection nor keeps it from others."""

import socket
import struct
import threading
import time
import urllib.request
from collections.abc import Iterator

import pytest
from wire import SYNC, Client, Gone, bind, cancel_request, close, connect, copy_data, describe, eventually, execute, message, parse, query

from harness import PostgreSQL
from harness.wire import Wire

FLUSH, COPY_DONE, TERMINATE = message("H"), message("c"), message("X")


@pytest.fixture(scope="module")
def proxy(postgres: PostgreSQL, through) -> Iterator[Wire]:
    """One server connection for all."""
    postgres.admin("DROP TABLE IF EXISTS left_behind; CREATE TABLE left_behind (i int)")
    with through(postgres, POOL_MODE="transaction", POOL_SIZE=1, POOL_WAIT_TIMEOUT_SECONDS=8) as server:
        yield server


def assert_others_are_served(proxy: Wire) -> None:
    with connect(proxy) as other:
        assert other.one("SELECT 'mine'") == "mine"


def test_a_client_that_begins_a_message_and_falls_silent(proxy: Wire) -> None:
    with connect(proxy) as client:
        client.send(b"Q" + struct.pack("!i", 100) + b"SELECT")
        assert_others_are_served(proxy)


def test_a_message_that_is_not_answered(proxy: Wire) -> None:
    with connect(proxy) as client:
        client.send(FLUSH)
        assert_others_are_served(proxy)


def test_copy_data_behind_a_copy_that_failed(proxy: Wire) -> None:
    with connect(proxy) as client:
        client.send(query("COPY nosuch FROM STDIN"), copy_data("1\n"), COPY_DONE)
        assert client.until()[0].sqlstate == "42P01"
        assert_others_are_served(proxy)


def test_goodbye_during_copy_in(proxy: Wire) -> None:
    with connect(proxy) as client:
        client.send(query("COPY left_behind FROM STDIN"), TERMINATE)
    assert_others_are_served(proxy)


def test_data_still_being_sent_when_its_statement_has_ended(proxy: Wire) -> None:
    with connect(proxy) as client:
        client.send(query("SELECT pg_sleep(1)"))

        def feed() -> None:
            try:
                for _ in range(1000):
                    client.send(copy_data(b"z" * 65531))
            except (OSError, Gone):
                pass

        feeding = threading.Thread(target=feed, daemon=True)
        feeding.start()
        time.sleep(0.3)
        for _ in range(3):
            assert_others_are_served(proxy)
        client.close()
        feeding.join(10)


def test_answers_to_a_sync_that_copy_did_not_swallow(proxy: Wire) -> None:
    attack = [parse("COPY left_behind FROM STDIN"), bind(), execute(), copy_data("bad\n"), SYNC, COPY_DONE, SYNC, TERMINATE]
    with connect(proxy) as victim:
        for attempt in range(100):
            with connect(proxy) as attacker:
                attacker.send(*attack)
            assert victim.one(f"SELECT 'attempt {attempt}'") == f"attempt {attempt}"


def test_a_query_in_a_batch_that_fails(proxy: Wire) -> None:
    """The server ignores it, and whatever comes behind, up to a Sync that never comes."""
    with connect(proxy) as victim:
        for attempt in range(30):
            with connect(proxy) as attacker:
                attacker.send(parse("SELEC"), query("SELECT 1"))
                if attempt % 2:
                    attacker.until("E")
            assert victim.one(f"SELECT 'attempt {attempt}'") == f"attempt {attempt}"


def test_what_a_portal_of_an_earlier_batch_sets(proxy: Wire) -> None:
    with connect(proxy) as client:
        client.send(query("SELECT pg_sleep(0.2)"), parse("SET work_mem = '7MB'"), bind())
        client.until("Z")
        client.ask(execute(), SYNC)
        with connect(proxy) as other:
            assert other.one("SHOW work_mem") != "7MB"
        assert client.one("SHOW work_mem") == "7MB"


def test_listen_pipelined_behind_discard_all(proxy: Wire) -> None:
    with connect(proxy) as client:
        client.ask(query("DISCARD ALL"), query("LISTEN left_behind"), times=2)
        assert client.one("SELECT pg_listening_channels()") == "left_behind"
        with connect(proxy) as other:  # the client keeps the connection: the other waits
            other.send(query("SELECT pg_listening_channels()"))
            assert other.quiet()
            client.ask(query("DISCARD ALL"))
            assert not [one for one in other.until() if one.kind == "D"]


def test_executing_a_statement_of_the_protocol_in_a_failed_transaction(proxy: Wire) -> None:
    with connect(proxy) as client:
        client.ask(parse("SELECT 1", "s"), SYNC)
        client.ask(query("BEGIN"))
        client.ask(query("SELECT 1/0"))
        assert client.ask(query("EXECUTE s"))[0].sqlstate == "25P02"
        client.ask(query("ROLLBACK"))
        assert client.one("EXECUTE s") == "1"


def test_a_long_setting_that_is_not_first_in_the_buffer(proxy: Wire) -> None:
    """It is judged by its own text, wherever the bytes before it have gone meanwhile."""
    before = [query("SELECT 1" + " " * 1000)] * 30
    setting = query("SET work_mem = '9MB'" + " " * 10000)
    with connect(proxy) as client, connect(proxy) as other:
        client.ask(*before, setting, times=len(before) + 1)
        assert other.one("SHOW work_mem") == "4MB"
        assert client.one("SHOW work_mem") == "9MB"


def test_a_setting_that_changes_how_the_next_text_of_the_pipeline_is_read(proxy: Wire) -> None:
    hidden = query(r"SELECT '\''; SET work_mem = 9216; --'")  # a string, unless backslashes escape quotes
    with connect(proxy) as client:
        client.ask(query("SET standard_conforming_strings = off"), hidden, times=2)
        assert client.one("SHOW work_mem") == "9MB"
    with connect(proxy) as other:
        assert other.one("SHOW work_mem") == "4MB"


def test_tenants_share_a_server_connection(proxy: Wire) -> None:
    tenant = "SELECT current_setting('app.user') || ' ' || pg_backend_pid()"
    with connect(proxy) as one, connect(proxy) as two:
        seen = set()
        for number in range(5):
            one.ask(query(f"SET app.\"user\" = 'one-{number}'"))
            two.ask(query(f"SET app.\"user\" = 'two-{number}'"))
            for client, name in ((one, f"one-{number}"), (two, f"two-{number}")):
                said, pid = (client.one(tenant) or "").split()
                assert said == name
                seen.add(pid)
        assert len(seen) == 1


SETTING_FOR_A_WHILE = {
    "SET LOCAL": ["BEGIN", "SET LOCAL my.v = '1'", "COMMIT"],
    "SET and RESET": ["SET my.v = '1'", "RESET my.v"],
    "SET in a transaction that fails": ["BEGIN", "SET my.v = '1'", "ROLLBACK"],
    "set_config": ["SELECT set_config('my.v', '1', true)"],
    "set_config for the session": ["SELECT set_config('my.v', '1', false)"],
    "set_config of a name that the text doesn't show": ["SELECT set_config('my.' || 'v', '1', true)"],
}


@pytest.mark.parametrize("statements", SETTING_FOR_A_WHILE.values(), ids=SETTING_FOR_A_WHILE)
def test_a_setting_that_was_never_made_is_null(proxy: Wire, statements: list[str]) -> None:
    with connect(proxy) as client:
        for statement in statements:
            client.ask(query(statement))
    with connect(proxy) as other:
        assert other.one("SELECT current_setting('my.v', true)") is None


def test_a_text_of_a_megabyte_of_settings(proxy: Wire) -> None:
    with connect(proxy) as client:
        answer = client.ask(query("SET work_mem = '4MB';" * 40000))
        assert answer[-1].kind == "Z"


def test_a_cancel_request_of_a_query_that_waits_for_a_server_connection(proxy: Wire) -> None:
    with connect(proxy) as holder, connect(proxy) as waiting:
        holder.ask(query("BEGIN; SELECT 1"))
        waiting.send(query("SELECT pg_sleep(30)"))
        time.sleep(0.3)
        cancel_request(proxy.host, proxy.port, waiting.key)
        time.sleep(0.3)
        holder.ask(query("COMMIT"))
        assert [one.sqlstate for one in waiting.until() if one.kind == "E"] == ["57014"]


def test_a_query_and_goodbye_in_one_segment(proxy: Wire) -> None:
    for messages in ([query("SELECT 'last'")], [parse("SELECT 'last'"), bind(), execute(), SYNC]):
        with connect(proxy) as client:
            client.send(*messages, TERMINATE)
            assert [one.row for one in client.until_closed() if one.kind == "D"] == [[b"last"]]


@pytest.mark.parametrize("vanish", ["close", "reset"])
def test_a_client_that_vanishes_while_it_waits_for_a_server_connection(postgres: PostgreSQL, proxy: Wire, vanish: str) -> None:
    postgres.admin("TRUNCATE left_behind")

    def waiting_clients() -> int:
        with urllib.request.urlopen(f"{proxy.http_url}/metrics", timeout=5) as answer:  # type: ignore[attr-defined]
            (value,) = [line.split()[-1] for line in answer.read().decode().splitlines() if line.startswith("millrace_clients_waiting ")]
            return int(value)

    with connect(proxy) as holder:
        holder.ask(query("BEGIN; SELECT 1"))
        waiting = connect(proxy)
        waiting.send(query("INSERT INTO left_behind VALUES (1)"))
        eventually(lambda: waiting_clients() == 1)
        getattr(waiting, vanish)()
        eventually(lambda: waiting_clients() == 0)
        holder.ask(query("COMMIT"))
    with connect(proxy) as other:
        assert other.one("SELECT count(*) FROM left_behind") == "0"


def test_columns_that_changed_since_the_client_was_told(proxy: Wire, postgres: PostgreSQL, through) -> None:
    """As on a connection of its own: never rows in columns that the client doesn't know."""
    postgres.admin("DROP TABLE IF EXISTS reshaped; CREATE TABLE reshaped AS SELECT 1 AS a")
    with through(postgres, POOL_MODE="transaction", POOL_SIZE=2, IO_THREADS=1) as two, connect(two) as client, connect(two) as rival:
        client.ask(parse("SELECT * FROM reshaped", "s"), describe("S", "s"), SYNC)
        before = client.one("SELECT pg_backend_pid()")
        postgres.admin("ALTER TABLE reshaped ADD b int")
        rival.ask(query("BEGIN; SELECT 1"))
        assert rival.one("SELECT pg_backend_pid()") == before, "the client is to get the other connection"
        for _ in range(2):
            answer = client.ask(bind(statement="s"), execute(), SYNC)
            assert [one.kind for one in answer] == ["E", "Z"]
            assert (answer[0].fields["S"], answer[0].sqlstate, answer[0].fields["M"]) == ("ERROR", "0A000", "cached plan must not change result type")
        client.ask(query("BEGIN"))
        client.ask(bind(statement="s"), execute(), SYNC)
        assert client.ask(query("SELECT 1"))[0].sqlstate == "25P02"
        client.ask(query("ROLLBACK"))
        client.ask(close("S", "s"), SYNC)
        answer = client.ask(parse("SELECT * FROM reshaped", "s"), bind(statement="s"), execute(), SYNC)
        assert [len(one.row) for one in answer if one.kind == "D"] == [2]


def test_what_writes_is_not_executed_when_its_columns_have_changed(postgres: PostgreSQL, through) -> None:
    postgres.admin("DROP TABLE IF EXISTS written; CREATE TABLE written (a int)")
    with through(postgres, POOL_MODE="transaction", POOL_SIZE=2, IO_THREADS=1) as two, connect(two) as client, connect(two) as rival:
        client.ask(parse("INSERT INTO written (a) VALUES (1) RETURNING *", "s"), describe("S", "s"), SYNC)
        before = client.one("SELECT pg_backend_pid()")
        postgres.admin("ALTER TABLE written ADD b int")
        rival.ask(query("BEGIN; SELECT 1"))
        assert rival.one("SELECT pg_backend_pid()") == before, "the client is to get the other connection"
        answer = client.ask(bind(statement="s"), execute(), SYNC)
        assert [one.sqlstate for one in answer if one.kind == "E"] == ["0A000"]
        assert postgres.admin("SELECT count(*) FROM written") == "0"


def test_a_slow_reader_does_not_stall_the_next_client(postgres: PostgreSQL, through) -> None:
    """However much of an answer is unread, the next client is served or told that the pool is full: never silence.

    The sizes close in on where the connection is no longer handed on: there, most is still to be written.
    """
    settings = {"POOL_MODE": "transaction", "POOL_SIZE": 1, "IO_THREADS": 1, "POOL_WAIT_TIMEOUT_SECONDS": 1}
    with through(postgres, **settings) as server:

        def next_is_served(kilobytes: int) -> bool:
            with connect(server) as slow, connect(server) as other:
                slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                slow.send(query(f"SELECT repeat('x', 1000) FROM generate_series(1, {kilobytes})"))
                time.sleep(0.15)
                other.socket.settimeout(5)
                answer = other.ask_or_error("SELECT 1")
                assert answer.kind == "Z" or answer.sqlstate == "53300", str(answer)
                return answer.kind == "Z"

        served, refused = 100, 20000
        assert next_is_served(served)
        while refused - served > 20:
            middle = (served + refused) // 2
            if next_is_served(middle):
                served = middle
            else:
                refused = middle


def test_a_replication_connection_outlives_the_log_in_limit(postgres: PostgreSQL, through) -> None:
    settings = {"POOL_MODE": "transaction", "POOL_SIZE": 1, "IO_THREADS": 1, "LOGIN_TIMEOUT_SECONDS": 1}
    with through(postgres, **settings) as server, connect(server, replication="true") as standby:
        (position,) = [one.row[2].decode() for one in standby.ask(query("IDENTIFY_SYSTEM")) if one.kind == "D"]
        standby.send(query(f"START_REPLICATION PHYSICAL {position}"))
        standby.until("W")
        with Client(server.host, server.port) as silent:  # the limit has passed when it has for one that came later
            silent.until_closed()
        reply_at_once = b"r" + struct.pack("!qqqqb", 0, 0, 0, 0, 1)
        standby.send(copy_data(reply_at_once))
        standby.socket.settimeout(5)
        while standby.until("d")[-1].body[:1] != b"k":
            pass


def test_a_transaction_in_which_nothing_ran_holds_no_server_connection(proxy: Wire) -> None:
    with connect(proxy) as one, connect(proxy) as two:
        for client in (one, two):
            assert client.ask(query("BEGIN"))[-1].body == b"T"
        assert_others_are_served(proxy)
        assert two.one("SELECT 'in it'") == "in it"
        assert two.ask(query("SAVEPOINT a"))[0].body == b"SAVEPOINT\0"
        two.ask(query("ROLLBACK"))
        assert one.ask(query("COMMIT"))[-1].body == b"I"


def test_a_batch_that_is_not_to_be_answered_yet(proxy: Wire) -> None:
    with connect(proxy) as client:
        client.send(parse("SELECT 'later'"), bind())
        assert_others_are_served(proxy)
        client.send(execute(), SYNC)
        assert [row.body for row in client.until() if row.kind == "D"] == [b"\0\1\0\0\0\5later"]


def test_answers_of_transactions_in_which_nothing_ran_that_nobody_takes(proxy: Wire) -> None:
    """They need no server, so only what is read of the client bounds them."""
    flood = (query("BEGIN") + query("COMMIT")) * 20_000
    with connect(proxy) as client:
        client.socket.settimeout(1)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 400_000_000:
                sent += client.socket.send(flood)
        assert_others_are_served(proxy)
