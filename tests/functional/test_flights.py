"""Several clients that ask the same at once: one asks the server, and the others wait for its answer."""

import socket
import time
from collections.abc import Iterator

import pytest
import wire
from wire import SYNC, Client, bind, connect, describe, eventually, execute, parse, query

from harness import Millrace, PostgreSQL

SETTINGS = {"POOL_SIZE": 12, "IO_THREADS": 3}
TABLES = (
    "CREATE TABLE people (id int PRIMARY KEY, name text); INSERT INTO people SELECT i, 'n' || i FROM generate_series(1, 500) i;"
    "CREATE TABLE wide AS SELECT i, repeat('x', 1000) v FROM generate_series(1, 9000) i"
)
SOON = 2.5  # and a bucket of /metrics has this edge


@pytest.fixture
def clients(millrace: Millrace) -> Iterator[list[Client]]:
    several = [connect(millrace, database="cached") for _ in range(8)]
    yield several
    for client in several:
        client.close()


class Gate:
    """While it is shut, nobody reads the table."""

    def __init__(self, postgres: PostgreSQL) -> None:
        self.holder, self.watcher = (connect(postgres, database="cached") for _ in range(2))
        self.holder.ask(query("BEGIN"))
        self.holder.ask(query("LOCK TABLE people IN ACCESS EXCLUSIVE MODE"))

    def waiting(self, text: str) -> int:
        """How many are at the gate with this in their text."""
        found = self.watcher.one(f"SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%{text}%'")
        return int(found or 0)

    def open(self) -> None:
        self.holder.close()


@pytest.fixture
def gate(postgres: PostgreSQL, tables: None) -> Iterator[Gate]:
    shut = Gate(postgres)
    yield shut
    shut.open()
    shut.watcher.close()


def batches(text: str) -> dict[str, list[bytes]]:
    return {
        "simple": [query(text)],
        "extended": [parse(text), bind(), describe("P"), execute(), SYNC],
        "first rows": [parse(text), bind(), describe("P"), execute(rows=1), SYNC],
    }


def counts(millrace: Millrace) -> tuple[float, float]:
    return (
        millrace.metric("statements_answered_from_memory_total"),
        millrace.metric("statements_missed_in_memory_total"),
    )


def waited_long(millrace: Millrace) -> float:
    """How many statements were kept waiting until they asked by themselves. Not what the clock says here: on a busy machine
    all takes long."""
    within = millrace.metric("query_queue_seconds_bucket", le=f"{SOON:g}")
    return millrace.metric("query_queue_seconds_count") - within


@pytest.mark.parametrize("way", batches(""))
def test_one_asks_for_all(millrace: Millrace, clients: list[Client], gate: Gate, way: str) -> None:
    messages = batches(f"SELECT 'one for all {way}', count(*) FROM people")[way]
    hits, misses = counts(millrace)
    clients[0].send(*messages)
    eventually(lambda: gate.waiting(f"one for all {way}") == 1)  # two that come at the very same time may both ask
    for client in clients[1:]:
        client.send(*messages)
    time.sleep(0.3)
    assert gate.waiting(f"one for all {way}") == 1
    gate.open()
    answers = [[str(one) for one in client.until()] for client in clients]
    assert all(answer == answers[0] for answer in answers)
    assert any("500" in one for one in answers[0]) and answers[0][-1] == "ReadyForQuery I"
    assert counts(millrace) == (hits + len(clients) - 1, misses + 1)


def test_who_leads_may_go(clients: list[Client], gate: Gate) -> None:
    leader, *others = clients
    leader.send(query("SELECT 'leader', count(*) FROM people"))
    eventually(lambda: gate.waiting("leader") == 1)
    for client in others:
        client.send(query("SELECT 'leader', count(*) FROM people"))
    time.sleep(0.2)
    assert gate.waiting("leader") == 1
    leader.reset()
    eventually(lambda: gate.waiting("leader") == len(others))
    gate.open()
    for client in others:
        assert client.until()[-1].kind == "Z"


def test_who_waits_may_go_or_cancel(millrace: Millrace, clients: list[Client], gate: Gate) -> None:
    leader, gone, cancels, stays = clients[:4]
    leader.send(query("SELECT 'waits', count(*) FROM people"))
    eventually(lambda: gate.waiting("waits") == 1)
    before = millrace.metric("client_received_bytes_total")
    asks = query("SELECT 'waits', count(*) FROM people")
    for client in (gone, cancels, stays):
        client.send(asks)
    eventually(lambda: millrace.metric("client_received_bytes_total") >= before + 3 * len(asks))  # else there is nothing to cancel
    gone.reset()
    wire.cancel_request(millrace.host, millrace.port, cancels.key)
    answer = cancels.until()
    gate.open()
    assert [one.sqlstate for one in answer if one.kind == "E"] == ["57014"]
    assert all(client.until()[-1].kind == "Z" for client in (leader, stays))


def test_a_leader_that_is_late_is_not_waited_for(millrace: Millrace, clients: list[Client], gate: Gate) -> None:
    before = waited_long(millrace)
    clients[0].send(query("SELECT 'late', count(*) FROM people"))
    eventually(lambda: gate.waiting("late") == 1)
    for client in clients[1:3]:
        client.send(query("SELECT 'late', count(*) FROM people"))
    eventually(lambda: gate.waiting("late") == 3)
    gate.open()
    for client in clients[:3]:
        assert client.until()[-1].kind == "Z"
    eventually(lambda: waited_long(millrace) == before + 2)


def test_nobody_waits_for_what_is_too_large_to_be_kept(millrace: Millrace, postgres: PostgreSQL, clients: list[Client]) -> None:
    """More than a client's socket takes: the leader comes to no end as long as it takes nothing."""
    others = clients[3:]

    def nobody_waits(leader: Client) -> bool:
        leader.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)  # else the kernel may take all of it
        sql = f"SELECT * FROM wide /* {id(leader)} */"
        before = waited_long(millrace)
        leader.send(query(sql))
        eventually(lambda: postgres.admin(f"SELECT count(*) FROM pg_stat_activity WHERE query = '{sql}'") == "1")
        for client in others:
            client.send(query(sql))
        for client in others:
            assert client.until()[-1].kind == "Z"
        leader.reset()
        return waited_long(millrace) == before

    assert any(nobody_waits(leader) for leader in clients[:3])  # the machine may have been away for a while


def test_who_only_binds_leads_nobody(millrace: Millrace, clients: list[Client]) -> None:
    rests, asks = clients[:2]
    before = waited_long(millrace)
    text = "SELECT 'bound', count(*) FROM people"
    rests.send(parse(text), bind(), wire.FLUSH)
    rests.until("2")
    asks.ask(parse(text), bind(), execute(), SYNC)
    assert waited_long(millrace) == before


def test_own_transaction_asks_itself(millrace: Millrace, clients: list[Client], postgres: PostgreSQL) -> None:
    """Whoever has a transaction open on the server may hold the lock that the leader is waiting for."""
    one, leader = clients[:2]
    before = waited_long(millrace)
    one.ask(query("BEGIN"))
    one.ask(query("SELECT now(), count(*) FROM people"))
    with connect(postgres, database="cached") as ddl:
        ddl.send(query("LOCK TABLE people IN ACCESS EXCLUSIVE MODE NOWAIT"))
        assert any(message.kind == "E" for message in ddl.until())
        ddl.send(query("BEGIN; LOCK TABLE people IN ACCESS EXCLUSIVE MODE"))
        eventually(lambda: one.one("SELECT count(*) FROM pg_locks WHERE NOT granted") == "1")
        leader.send(query("SELECT 'own', count(*) FROM people"))
        eventually(lambda: one.one("SELECT count(*) FROM pg_locks WHERE NOT granted") == "2")
        one.ask(query("SELECT 'own', count(*) FROM people"))
        assert waited_long(millrace) == before
        one.ask(query("COMMIT"))
        ddl.until()
    leader.until()
