"""What a client needed once is given back when it rests."""

import pytest
from wire import SYNC, Client, bind, close, connect, eventually, execute, parse, query

from harness import Millrace, PostgreSQL

CLIENTS = 20


def many_syncs(client: Client) -> None:
    client.ask(SYNC * 12_000, times=12_000)


def a_long_text(client: Client) -> None:
    assert client.ask(query(f"SELECT length('{'x' * 700_000}')"))[1].row == [b"700000"]


def a_large_parameter(client: Client) -> None:
    client.ask(parse("SELECT length($1)"), bind(["x" * 700_000]), execute(), SYNC)


def many_statements(client: Client) -> None:
    names = [f"statement {number}" for number in range(2000)]
    client.ask(*(parse("SELECT 1", name) for name in names), SYNC)
    client.ask(*(close("S", name) for name in names), SYNC)


@pytest.mark.parametrize("work", [many_syncs, a_long_text, a_large_parameter, many_statements])
def test_large_work_is_forgotten(postgres: PostgreSQL, pool_mode: str, work) -> None:
    # What a thread keeps, it keeps from the first such work on: one client does it beforehand, on the only thread.
    settings = {"POOL_MODE": pool_mode, "POOL_SIZE": CLIENTS + 5 if pool_mode == "session" else 4, "LOG_CONNECTIONS": "false", "IO_THREADS": 1}
    with Millrace(postgres, settings, frees_at_once=True) as millrace:
        clients = [connect(millrace) for _ in range(CLIENTS)]
        work(clients[0])  # what the process itself keeps, such as a memo of texts
        for client in clients:
            client.one("SELECT 1")
        before = millrace.rss_bytes()
        for client in clients:
            work(client)
        eventually(lambda: millrace.rss_bytes() < before + (10 << 20), 15,
                   f"memory to be given back: {before >> 20} MiB before")  # fmt: skip
        for client in clients:
            assert client.one("SELECT 1") == "1"
            client.close()
