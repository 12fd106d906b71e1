"""No answer ever reaches another client, and whoever vanishes leaves nothing behind. Never skipped.

With one I/O thread, and with several between which server connections move. MILLRACE_CANARY_SECONDS makes it longer.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator

import pytest
from canary import ACTS, flock
from wire import SYNC, bind, connect, eventually, execute, parse

from harness import Millrace, PostgreSQL
from harness.wire import Wire

SECONDS = float(os.environ.get("MILLRACE_CANARY_SECONDS", "8"))
POOL_SIZE = 6
# More than the pool; fewer where a session keeps its connection, so that each has its turn.
FLOCK = {"session": 16, "transaction": 40}
IO_THREADS = (1, 4)
# One of so many answers at least must come from a connection that another client had before, or nothing that is found
# here says anything about sharing.
ANSWERS_FOR_A_HANDOVER = {"session": 60, "transaction": 30}

# Millrace's own are beside the pool.
CLIENT_BACKENDS = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name <> 'millrace'"


@pytest.fixture(scope="module", params=IO_THREADS, ids=[f"{threads} threads" for threads in IO_THREADS])
def io_threads(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture(scope="module")
def proxy(postgres: PostgreSQL, pool_mode: str, io_threads: int, through) -> Iterator[Wire]:
    postgres.admin("CREATE TABLE IF NOT EXISTS nest (mark text)")
    with through(postgres, POOL_MODE=pool_mode, POOL_SIZE=POOL_SIZE, IO_THREADS=io_threads, LOG_CONNECTIONS="false") as server:
        yield server


def test_no_answer_reaches_another_client(postgres: PostgreSQL, proxy: Wire, pool_mode: str, io_threads: int) -> None:
    with connect(proxy) as warm:
        warm.rows("SELECT 1")
    is_millrace = isinstance(proxy, Millrace)
    if is_millrace:
        files_before, rss_before = proxy.open_files(), proxy.rss_bytes()

    tally = asyncio.run(flock(proxy.host, proxy.port, size=FLOCK[pool_mode], seconds=SECONDS))

    assert not tally.failures, "\n".join(tally.failures)
    assert set(tally.acts) == {act.__name__ for act in ACTS}, "an act was never finished"
    assert sum(tally.vanished.values()) > 20, tally.vanished
    print(f"{tally.queries} answers, {sum(tally.vanished.values())} vanished: {dict(tally.vanished)}")
    print(f"{tally.connections} server connections seen, handed over {tally.handed_over} times")
    assert tally.handed_over > tally.queries / ANSWERS_FOR_A_HANDOVER[pool_mode]
    if is_millrace:
        moved = proxy.metric("server_connections_moved_total")
        print(f"moved between threads {moved} times")
        assert (moved > SECONDS) if io_threads > 1 else (moved == 0)

    def backends() -> list[str]:
        return postgres.admin(f"SELECT state {CLIENT_BACKENDS}").splitlines()

    eventually(lambda: len(backends()) <= POOL_SIZE and set(backends()) <= {"idle"}, 15,
               "the server connections to be idle and no more than the pool")  # fmt: skip
    left = {
        "advisory locks": "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
        "temporary tables": "SELECT count(*) FROM pg_class WHERE relpersistence = 't'",
        "rows of vanished transactions": "SELECT count(*) FROM nest",
        "open transactions": f"SELECT count(*) {CLIENT_BACKENDS} AND xact_start IS NOT NULL",
    }
    for what, sql in left.items():
        assert postgres.admin(sql) == "0", what
    check_new_clients_find_nothing(proxy)

    if is_millrace:
        # The pool's own connections come and go; and a thread's poller opens its epoll with the thread's first client.
        more = Counter(socket=POOL_SIZE) + Counter({"anon_inode:[eventpoll]": io_threads - 1})
        eventually(lambda: proxy.open_files() <= files_before + more, what="the sockets to be closed")
        assert proxy.rss_bytes() < rss_before + (128 << 20)


def check_new_clients_find_nothing(proxy: Wire) -> None:
    clients = [connect(proxy, application_name=f"new {number}") for number in range(POOL_SIZE - 1)]
    try:
        for number, client in enumerate(clients):
            assert client.one("SHOW application_name") == f"new {number}"
            assert client.rows("SELECT pg_listening_channels()") == []
            for name in "abc":
                answer = client.ask(parse(f"SELECT 'new {number}'", name), bind(statement=name), execute(), SYNC)
                assert [one.row for one in answer if one.kind == "D"] == [[f"new {number}".encode()]]
    finally:
        for client in clients:
            client.close()
