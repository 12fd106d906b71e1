"""Queries wait for their turns: by priority, with fair shares, and within limits; and no slot is ever lost."""

import os
import signal
from collections.abc import Iterator

import pytest
import wire
from turns import Gate, error_of
from wire import (
    COPY_DONE,
    Client,
    SYNC,
    TERMINATE,
    bind,
    cancel_request,
    connect,
    copy_data,
    describe,
    eventually,
    execute,
    gives_all_turns_back,
    parse,
    query,
)

from harness import Millrace, PostgreSQL

SCHEMA = "CREATE TABLE gates (id int PRIMARY KEY); INSERT INTO gates VALUES (1); CREATE TABLE ran (number serial, who text)"


@pytest.fixture(scope="module")
def one_at_a_time(postgres: PostgreSQL, pool_mode: str) -> Iterator[Millrace]:
    settings = {"POOL_MODE": pool_mode, "MAX_CONCURRENT_QUERIES": 1, "MAX_QUEUED_QUERIES": 10}
    with Millrace(postgres, settings) as server:
        yield server


@pytest.fixture
def millrace(one_at_a_time: Millrace) -> Iterator[Millrace]:
    yield one_at_a_time
    gives_all_turns_back(one_at_a_time)


@pytest.fixture
def client(millrace: Millrace) -> Iterator[Client]:
    with connect(millrace) as one:
        yield one


@pytest.fixture
def clients(millrace: Millrace) -> Iterator[list[Client]]:
    several = [connect(millrace) for _ in range(8)]
    yield several
    for one in several:
        one.close()


@pytest.fixture
def gate(postgres: PostgreSQL, millrace: Millrace) -> Iterator[Gate]:
    shut = Gate(postgres, millrace)
    yield shut
    shut.close()


@pytest.fixture
def order(postgres: PostgreSQL) -> Iterator[Client]:
    """Tells in which order queries have run."""
    with connect(postgres) as one:
        one.ask(query("TRUNCATE ran RESTART IDENTITY"))
        yield one


def ran(order: Client) -> list[str | None]:
    return [who for (who,) in order.rows("SELECT who FROM ran ORDER BY number")]


def runs(who: str, *, seconds: float = 0, **wishes: str | int) -> str:
    insert = f"INSERT INTO ran (who) SELECT '{who}' FROM pg_sleep({seconds})"
    hint = ", ".join(f"{name}={value}" for name, value in wishes.items())
    return f"/* millrace: {hint} */ {insert}" if hint else insert


def test_a_higher_priority_goes_first(gate: Gate, clients: list[Client], order: Client) -> None:
    for number, (client, priority) in enumerate(zip(clients, ["low", "low", "normal", "high", "emergency"])):
        client.send(query(runs(priority, priority=priority)))
        gate.waiting(number + 1)
    gate.open()
    for client in clients[:5]:
        client.until("Z")
    assert ran(order) == ["emergency", "high", "normal", "low", "low"]


def test_a_higher_priority_goes_first_where_all_connections_are_held(postgres: PostgreSQL, order: Client) -> None:
    """By transactions in which nothing happens, so that turns are free."""
    settings = {"POOL_MODE": "transaction", "POOL_SIZE": 2}
    with Millrace(postgres, settings) as server:
        holders, clients = [[connect(server) for _ in range(count)] for count in (2, 8)]
        for holder in holders:
            holder.ask(query("BEGIN"))
            holder.ask(query("SELECT 1"))
        eventually(lambda: server.metric("queries_running") == 0, what="the turns to be lent")
        for number, client in enumerate(clients):
            client.send(query(runs("low", priority="low") if number < 7 else runs("emergency", priority="emergency")))
            eventually(lambda: server.metric("queries_waiting") == number + 1)
        assert server.metric("clients_waiting") == 8
        holders[0].ask(query("COMMIT"))
        for client in clients:
            client.until("Z")
        assert ran(order) == ["emergency"] + ["low"] * 7
        holders[1].ask(query("COMMIT"))
        for client in holders + clients:
            client.close()


def test_a_connection_that_is_made_ready_is_one_connection(postgres: PostgreSQL) -> None:
    """There is another for who asks meanwhile."""
    with Millrace(postgres, {"POOL_MODE": "transaction", "POOL_SIZE": 2}) as server:
        first, second, third = (connect(server) for _ in range(3))
        pid = int(first.one("SELECT pg_backend_pid()"))
        first.ask(query("SET search_path = pg_catalog"))
        os.kill(pid, signal.SIGSTOP)
        try:
            second.send(query("SELECT 2"))  # for this the setting is undone
            eventually(lambda: server.metric("queries_running") == 1 and server.metric("server_connections_active") == 1)
            assert third.one("SELECT 3") == "3"
        finally:
            os.kill(pid, signal.SIGCONT)
        assert second.until("Z")[-1].kind == "Z"
        for client in (first, second, third):
            client.close()


def test_a_higher_priority_goes_first_where_many_ask(postgres: PostgreSQL, order: Client) -> None:
    settings = {"POOL_MODE": "transaction"}
    with Millrace(postgres, settings) as server, connect(server, database="template1"):
        keeper = connect(postgres)
        keeper.ask(query("BEGIN"))
        keeper.ask(query("LOCK TABLE gates IN ACCESS EXCLUSIVE MODE"))
        low, urgent = [connect(server) for _ in range(70)], connect(server)
        eventually(lambda: server.metric("queries_limit_most") == 40, what="more to be let in than its pool can run")
        for client in low:
            client.send(query("/* millrace: priority=low */ INSERT INTO ran (who) SELECT 'low' FROM gates"))
        eventually(lambda: server.metric("queries_waiting") == 60, what="all others to wait")
        urgent.send(query(runs("emergency", priority="emergency")))
        eventually(lambda: server.metric("queries_waiting") == 61)
        keeper.close()
        for client in [*low, urgent]:
            client.until("Z")
            client.close()
        assert ran(order).index("emergency") < 35, "those that ran, and a few that came behind it and were quicker"


def test_a_priority_is_said_as_a_setting_at_the_start_or_in_a_comment(
    millrace: Millrace, postgres: PostgreSQL, order: Client
) -> None:
    first, by_set, by_start, by_comment, by_parse = (connect(millrace) for _ in range(5))
    by_start.close()
    by_start = connect(millrace, options="-c millrace.priority=critical")
    by_set.ask(query("SET millrace.priority = 'high'"))
    gate = Gate(postgres, millrace)
    first.send(query(runs("normal")))
    gate.waiting(1)
    by_set.send(query(runs("set")))
    by_start.send(query(runs("start")))
    by_comment.send(query(runs("comment") + " /*route='%2F',millrace_priority='emergency'*/"))
    by_parse.send(parse(runs("parse", priority="low")), bind(), describe("P"), execute(), SYNC)
    gate.waiting(5)
    gate.open()
    for client in (first, by_set, by_start, by_comment, by_parse):
        client.until("Z")
    assert ran(order) == ["comment", "start", "set", "normal", "parse"]
    for client in (gate.holder, first, by_set, by_start, by_comment, by_parse):
        client.close()


def test_who_asks_for_much_gets_no_more_than_a_share(gate: Gate, millrace: Millrace, order: Client) -> None:
    greedy = [connect(millrace, options="-c millrace.user_id=greedy") for _ in range(6)]
    modest = [connect(millrace, options=f"-c millrace.user_id={who}") for who in ("ada", "ada", "bob", "bob")]
    for number, client in enumerate(greedy + modest):
        client.send(query(runs("greedy" if client in greedy else "modest", seconds=0.1)))
        gate.waiting(number + 1)
    gate.open()
    for client in greedy + modest:
        client.until("Z")
        client.close()
    assert ran(order)[:6].count("modest") == 4
    assert ran(order)[6:] == ["greedy"] * 4


def test_a_full_queue_refuses_and_the_session_goes_on(gate: Gate, millrace: Millrace, client: Client) -> None:
    waiting = [connect(millrace) for _ in range(10)]
    for one in waiting:
        one.send(query("SELECT 1"))
    gate.waiting(10)
    refused = client.ask(query("SELECT 2"))
    assert [one.kind for one in refused] == ["E", "Z"]
    assert error_of(refused)["C"] == "53400"
    assert "MAX_QUEUED_QUERIES" in error_of(refused)["H"]
    in_batch = client.ask(parse("SELECT 3", "named"), bind(statement="named"), describe("P"), execute(), SYNC)
    assert [one.kind for one in in_batch] == ["E", "Z"]
    client.send(query("/* millrace: priority=high */ SELECT 4"))
    eventually(lambda: millrace.metric("queries_refused_total", reason="queue_full") == 3)
    gate.open()
    assert client.until("Z")[-2].kind == "C"
    assert sorted(one.until("Z")[0].kind for one in waiting) == ["E"] + ["T"] * 9
    answer = client.ask(parse("SELECT 3", "named"), bind(statement="named"), describe("P"), execute(), SYNC)
    assert [one.kind for one in answer] == ["1", "2", "T", "D", "C", "Z"]
    for one in waiting:
        one.close()


def test_who_goes_while_he_waits_leaves_nothing(gate: Gate, millrace: Millrace, order: Client) -> None:
    leaving = [connect(millrace) for _ in range(6)]
    for one in leaving:
        one.send(query(runs("gone")))
    gate.waiting(6)
    for one in leaving[:3]:
        one.reset()
    for one in leaving[3:]:
        one.close()
    gate.waiting(0)
    gate.open()
    eventually(lambda: millrace.metric("queries_running") == 0)
    assert ran(order) == []


def test_who_goes_while_it_runs_leaves_nothing(gate: Gate, millrace: Millrace, client: Client) -> None:
    gate.holder.reset()
    eventually(lambda: millrace.metric("queries_running") == 0)
    assert client.one("SELECT 1") == "1"


@pytest.mark.parametrize("batch", [False, True])
def test_a_query_that_waits_is_cancelled(gate: Gate, millrace: Millrace, client: Client, order: Client, batch: bool) -> None:
    client.send(*([parse(runs("x")), bind(), execute(), SYNC] if batch else [query(runs("x"))]))
    gate.waiting(1)
    cancel_request(millrace.host, millrace.port, client.key)
    answer = client.until("Z")
    assert error_of(answer)["C"] == "57014"
    assert str(answer[-1]) == "ReadyForQuery I"
    gate.waiting(0)
    gate.open()
    assert client.one("SELECT 1") == "1"
    assert ran(order) == []


def test_what_waits_in_a_transaction_is_cancelled(gate: Gate, millrace: Millrace, client: Client) -> None:
    """Whether the server knows of the transaction yet or not."""
    client.send(query("BEGIN"), query("SELECT pg_sleep(600)"))
    gate.waiting(1)
    answers: list[wire.Message] = []

    def is_answered() -> bool:
        cancel_request(millrace.host, millrace.port, client.key)
        while not client.quiet(0.05):
            answers.append(client.receive())
        return [one.kind for one in answers].count("Z") == 2

    eventually(is_answered, what="both to be answered")
    assert {one.sqlstate for one in answers if one.kind == "E"} == {"57014"}
    gate.open()
    assert str(client.ask(query("ROLLBACK"))[-1]) == "ReadyForQuery I"


def test_a_transaction_is_not_queued_in_its_middle(
    millrace: Millrace, postgres: PostgreSQL, clients: list[Client], order: Client
) -> None:
    inside, other, *_ = clients
    inside.ask(query("BEGIN"))
    inside.ask(query(runs("first")))
    other.send(query(runs("other")))
    eventually(lambda: millrace.metric("queries_waiting") == 1)
    inside.ask(query(runs("second")))
    inside.ask(parse(runs("third")), bind(), execute(), SYNC)
    inside.ask(query("COMMIT"))
    other.until("Z")
    assert ran(order) == ["first", "second", "third", "other"]


def test_a_transaction_in_which_nothing_happens_is_in_nobodys_way(millrace: Millrace, clients: list[Client]) -> None:
    idle, other, *_ = clients
    idle.ask(query("BEGIN"))
    assert idle.one("SELECT 1") == "1"
    assert other.one("SELECT 2") == "2"
    assert idle.one("SELECT 3") == "3"
    idle.ask(query("ROLLBACK"))


def test_who_can_end_a_wait_for_a_lock_waits_for_nobody(millrace: Millrace, clients: list[Client]) -> None:
    holder, waiter, other, *_ = clients
    holder.ask(query("SELECT pg_advisory_lock(7)"))
    waiter.send(query("SELECT pg_advisory_lock(7)"))
    eventually(lambda: millrace.metric("queries_running") == 1)
    other.send(query("SELECT 1"))
    eventually(lambda: millrace.metric("queries_waiting") == 1)
    assert holder.one("SELECT pg_advisory_unlock(7)") == "t"
    for client in (waiter, other):
        assert client.until("Z")[-2].kind == "C"
    assert waiter.one("SELECT pg_advisory_unlock(7)") == "t"


def test_who_sends_ahead_has_one_turn_at_a_time(gate: Gate, clients: list[Client], order: Client) -> None:
    ahead, other, batches, *_ = clients
    insert = "INSERT INTO ran (who) VALUES ('{}')"
    ahead.send(*[query(insert.format("ahead"))] * 20)
    gate.waiting(1)
    other.send(query(insert.format("other")))
    gate.waiting(2)
    batches.send(*[parse(insert.format("batches")), bind(), execute(), SYNC] * 20)
    gate.waiting(3)
    gate.open()
    for client, times in ((ahead, 20), (other, 1), (batches, 20)):
        assert [one.kind for one in client.until("Z", times)].count("C") == times
    assert ran(order)[:3] == ["ahead", "other", "batches"]
    assert ran(order)[3:23] != ["ahead"] * 19 + ["batches"]


def test_what_takes_no_time_lets_nothing_else_in(gate: Gate, clients: list[Client]) -> None:
    for number, (client, free) in enumerate(zip(clients, ["SET work_mem = 1000", "DISCARD ALL", "ROLLBACK", ""])):
        client.send(query(free), query("SELECT 1"))
        assert client.until("Z")[-1].kind == "Z"
        gate.waiting(number + 1)
    gate.open()
    for client in clients[:4]:
        assert client.until("Z")[-2].kind == "C"


def test_a_copy_whose_data_does_not_come_is_in_nobodys_way(clients: list[Client]) -> None:
    copier, other, *_ = clients
    copier.ask(query("CREATE TEMP TABLE copied (id int)"))
    copier.send(query("COPY copied FROM STDIN"))
    copier.until("G")
    assert other.one("SELECT 1") == "1"
    copier.send(copy_data("1\n2\n"), COPY_DONE)
    assert str(copier.until("Z")[-2]) == "CommandComplete COPY 2"


def test_a_message_whose_rest_comes_slowly_is_in_nobodys_way(millrace: Millrace, clients: list[Client]) -> None:
    sender, other, *_ = clients
    message = query(f"SELECT length('{'x' * 3_000_000}')")
    sender.send(message[:2_000_000])
    eventually(lambda: millrace.metric("queries_running") == 1)
    other.send(query("SELECT 1"))
    for at in range(2_000_000, len(message)):
        sender.send(message[at : at + 1])
        if not other.quiet(0.1):
            break
    assert other.until("Z")[-2].kind == "C"
    sender.send(message[at + 1 :])
    assert sender.until("Z")[1].row == [b"3000000"]


def test_a_batch_that_is_not_ended_is_in_nobodys_way(clients: list[Client]) -> None:
    idle, other, *_ = clients
    idle.send(parse("SELECT 1"), bind(), execute())
    assert other.one("SELECT 2") == "2"
    assert [one.kind for one in idle.ask(SYNC)] == ["1", "2", "D", "C", "Z"]


def test_a_result_that_is_not_read_is_in_nobodys_way(millrace: Millrace, clients: list[Client]) -> None:
    reader, other, *_ = clients
    reader.send(query("SELECT repeat('x', 100000) FROM generate_series(1, 500)"))
    eventually(lambda: millrace.metric("queries_running") == 1)
    assert other.one("SELECT 1") == "1"
    assert str(reader.until("Z")[-2]) == "CommandComplete SELECT 500"


def test_a_query_takes_no_longer_than_its_client_wants(millrace: Millrace, client: Client) -> None:
    late = client.ask(query("/* millrace: timeout=50ms */ SELECT pg_sleep(600)"))
    assert error_of(late)["C"] == "57014"
    assert "millrace.timeout" in error_of(late)["M"]
    client.ask(query("SET millrace.timeout = '60ms'"))
    for _ in range(3):
        late = client.ask(parse("SELECT pg_sleep(600)"), bind(), describe("P"), execute(), SYNC)
        assert error_of(late)["C"] == "57014"
        assert client.one("SELECT 1") == "1"
    client.ask(query("RESET millrace.timeout"))
    assert client.one("SELECT 'x' FROM pg_sleep(0.2)") == "x"


def test_waiting_counts_as_time(gate: Gate, client: Client) -> None:
    late = client.ask(query("/* millrace: timeout=50ms */ SELECT 1"))
    assert error_of(late)["C"] == "57014"
    assert "waited" in error_of(late)["H"]


def test_what_follows_a_query_that_took_too_long_is_not_cancelled(client: Client) -> None:
    for _ in range(20):
        client.send(query("/* millrace: timeout=5ms */ SELECT pg_sleep(0.006)"), *[query("SELECT 1")] * 5)
        answers = client.until("Z", 6)
        codes = [one.sqlstate for one in answers if one.kind == "E"]
        assert codes in ([], ["57014"])


def test_a_goodbye_behind_a_query_does_not_lift_its_limit(millrace: Millrace, postgres: PostgreSQL) -> None:
    with connect(millrace) as client, connect(postgres) as watcher:
        client.send(query("/* millrace: timeout=200ms */ SELECT pg_sleep(600)"), TERMINATE)
        eventually(lambda: millrace.metric("queries_running") == 0)
        runs_on = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)' AND state = 'active'"
        eventually(lambda: watcher.one(runs_on) == "0")


def test_a_goodbye_behind_several_queries_does_not_lift_their_limit(postgres: PostgreSQL, pool_mode: str) -> None:
    settings = {"POOL_MODE": pool_mode, "QUERY_TIMEOUT_SECONDS": 1}
    with Millrace(postgres, settings) as server, connect(server) as client, connect(postgres) as watcher:
        client.send(query("SELECT pg_sleep(601)"), query("SELECT 1"), TERMINATE)
        runs_on = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(601)' AND state = 'active' "
        eventually(lambda: watcher.one(runs_on) == "1")
        eventually(lambda: server.metric("queries_running") == 0)
        eventually(lambda: watcher.one(runs_on) == "0")


def test_waiting_for_a_server_connection_counts_as_time(postgres: PostgreSQL) -> None:
    settings = {"POOL_MODE": "transaction", "POOL_SIZE": 1}
    with Millrace(postgres, settings) as server, connect(server) as holder, connect(server) as client:
        holder.ask(query("BEGIN"))
        holder.ask(query("SELECT 1"))
        eventually(lambda: server.metric("queries_running") == 0, what="the turn to be lent")
        late = "/* millrace: timeout=200ms */ SELECT 1"
        for messages in ([query(late)], [parse(late), bind(), execute(), SYNC]):
            answer = client.ask(*messages)
            assert error_of(answer)["C"] == "57014"
            assert "server connection" in error_of(answer)["H"]
            assert str(answer[-1]) == "ReadyForQuery I"
        assert holder.one("SELECT 2") == "2"
        holder.ask(query("COMMIT"))
        assert client.one("/* millrace: timeout=60s */ SELECT 1") == "1"


def test_a_query_timeout_holds_for_who_says_nothing(postgres: PostgreSQL, pool_mode: str) -> None:
    with Millrace(postgres, {"POOL_MODE": pool_mode, "QUERY_TIMEOUT_SECONDS": 1}) as server, connect(server) as client:
        late = client.ask(query("SELECT pg_sleep(600)"))
        assert error_of(late)["C"] == "57014"
        assert "QUERY_TIMEOUT_SECONDS" in error_of(late)["M"]
        assert client.ask(query("DO $$ BEGIN PERFORM pg_sleep(2.5); END $$"))[0].kind == "C"
        assert client.one("/* millrace: timeout=60 */ SELECT 'x' FROM pg_sleep(1.7)") == "x"
        client.send(query("SELECT pg_sleep(600)"), query("SELECT 'which a cancel might hit'"))
        (end,) = (one for one in client.until_closed() if one.kind == "E")
        assert (end.fields["S"], end.sqlstate) == ("FATAL", "57014")
        eventually(lambda: server.metric("queries_running") == 0)


def test_without_a_queue_more_are_refused(postgres: PostgreSQL, pool_mode: str) -> None:
    settings = {"POOL_MODE": pool_mode, "MAX_CONCURRENT_QUERIES": 1, "ENABLE_QUERY_QUEUEING": "false"}
    with Millrace(postgres, settings) as server, connect(server) as client:
        gate = Gate(postgres, server)
        refused = error_of(client.ask(query("SELECT 1")))
        assert refused["C"] == "53400"
        assert "MAX_CONCURRENT_QUERIES" in refused["H"]
        gate.open()
        gate.holder.until("Z")
        assert client.one("SELECT 1") == "1"
        gate.close()


def test_a_query_waits_no_longer_than_it_may(postgres: PostgreSQL, pool_mode: str) -> None:
    settings = {"POOL_MODE": pool_mode, "MAX_CONCURRENT_QUERIES": 1, "POOL_WAIT_TIMEOUT_SECONDS": 1}
    with Millrace(postgres, settings) as server, connect(server) as client:
        gate = Gate(postgres, server)
        late = error_of(client.ask(query("SELECT 1")))
        assert late["C"] == "53300"
        assert "waited" in late["M"]
        gate.close()


@pytest.mark.parametrize("io_threads", [1, 3])
def test_no_slot_is_lost_whatever_clients_do(postgres: PostgreSQL, pool_mode: str, io_threads: int) -> None:
    """Errors, cancels, time-outs, clients that go, on several threads: at the end as many run as before, at once."""
    settings = {"POOL_MODE": pool_mode, "MAX_CONCURRENT_QUERIES": 2, "POOL_SIZE": 12, "IO_THREADS": io_threads}
    with Millrace(postgres, settings) as server:
        for _ in range(6):
            several = [connect(server) for _ in range(9)]
            for number, client in enumerate(several):
                sleep = query("SELECT pg_sleep(0.02)")
                client.send(
                    *(
                        [sleep, sleep],
                        [query("SELECT 1/0"), sleep],
                        [parse("SELECT 1/0"), bind(), execute(), SYNC],
                        [query("/* millrace: timeout=10ms */ SELECT pg_sleep(60)")],
                        [query("BEGIN"), sleep, query("SELECT nonsense"), query("ROLLBACK")],
                        [query("BEGIN"), sleep],
                        [query("SELECT pg_sleep(0.2)")],
                        [parse("SELECT pg_sleep(0.2)"), bind(), execute()],
                        [query("COPY gates TO STDOUT"), query("COPY gates FROM STDIN")],
                    )[number]
                )
            cancel_request(server.host, server.port, several[0].key)
            for number, client in enumerate(several):
                if number < 3:
                    client.until("Z")
                client.reset() if number % 2 else client.close()
        eventually(lambda: server.metric("clients_connected") == 0)
        eventually(lambda: server.metric("queries_running") == 0 and server.metric("queries_waiting") == 0)
        with connect(server) as client:
            assert client.one("SELECT 1") == "1"


def test_after_a_refusal_nothing_of_a_transaction_is_done(postgres: PostgreSQL, order: Client) -> None:
    """Even where the server hasn't been told of it yet: the client goes on as with PostgreSQL."""
    settings = {"POOL_MODE": "transaction", "MAX_CONCURRENT_QUERIES": 1, "ENABLE_QUERY_QUEUEING": "false"}
    with Millrace(postgres, settings) as server, connect(server) as client:
        for refused in ([query("SELECT 1")], [parse("SELECT 1"), bind(), execute(), SYNC]):
            for end, extended in (("ROLLBACK", False), ("COMMIT", False), ("ROLLBACK", True), ("COMMIT", True)):
                gate = Gate(postgres, server)
                client.ask(query("BEGIN"))
                answer = client.ask(*refused)
                assert error_of(answer)["C"] == "53400"
                assert str(answer[-1]) == "ReadyForQuery E"
                gate.open()
                gate.holder.until("Z")
                for later in ([query(runs("x"))], [parse(runs("x")), bind(), execute(), SYNC]):
                    answer = client.ask(*later)
                    assert error_of(answer)["C"] == "25P02"
                    assert str(answer[-1]) == "ReadyForQuery E"
                assert str(client.ask(SYNC)[-1]) == "ReadyForQuery E"
                batch = [parse(end), bind(), execute(), SYNC]
                answer = client.ask(*(batch if extended else [query(end)]))
                assert [str(one) for one in answer[-2:]] == ["CommandComplete ROLLBACK", "ReadyForQuery I"]
                assert client.one("SELECT 1") == "1"
                gate.close()
    assert ran(order) == []


def test_metrics_say_what_runs_and_waits(gate: Gate, millrace: Millrace, client: Client) -> None:
    client.send(query("/* millrace: priority=high */ SELECT 1"))
    gate.waiting(1)
    metrics = millrace.api("GET", "execution/metrics")
    assert (metrics["active_queries"], metrics["queued_queries"]) == (1, 1)
    assert metrics["queued_by_priority"]["high"] == 1
    assert (metrics["concurrency_limit"], metrics["max_concurrent_queries"]) == (1, 1)
    assert metrics["oldest_wait_ms"] > 0
    assert metrics["connection_pool_usage"] > 0
    assert metrics["resource_utilization"]["io"] is None
    gate.open()
    client.until("Z")

    def has_ended() -> bool:
        metrics = millrace.api("GET", "execution/metrics")
        return metrics["completed_queries_last_hour"] > 0 and metrics["queue_wait_time_ms"] > 0

    eventually(has_ended)
