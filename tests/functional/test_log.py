"""The log: nobody waits for whoever reads it."""

import contextlib
import fcntl
import os
import re
import select
import signal
import time
from collections.abc import Iterator

import pytest
from wire import connect, eventually

from harness import Millrace, PostgreSQL

PAGE = 4096
# What may wait to be written, and how much of it a log-in makes: the application's name is logged.
MOST_WAITING = 1 << 20
NAME = "n" * 8000
LOG_INS = MOST_WAITING // len(NAME) + 50


class Unread:
    """A Millrace whose standard error is a pipe that nobody reads for now."""

    def __init__(self, postgres: PostgreSQL) -> None:
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, PAGE)
        self.millrace = Millrace(postgres, {"LOG_LEVEL": "debug", "LOG_CONNECTIONS": "true"}, frees_at_once=True)
        self.millrace.output = self.writer

    def log_in(self) -> None:
        with connect(self.millrace, application_name=NAME) as client:
            assert client.one("SELECT 'served'") == "served"

    def lost(self) -> int:
        connection = self.millrace.http_connection()
        try:
            connection.request("GET", "/metrics")
            found = re.search(r"^millrace_log_lines_lost_total (\d+)$", connection.getresponse().read().decode(), re.MULTILINE)
            return int(found[1]) if found else 0
        finally:
            connection.close()

    def read_until(self, what: bytes, seconds: float = 20) -> bytes:
        got = b""
        deadline = time.monotonic() + seconds
        while not re.search(what, got):
            assert select.select([self.reader], [], [], max(0, deadline - time.monotonic()))[0], got[-500:]
            more = os.read(self.reader, 1 << 16)
            assert more, got[-500:]
            got += more
        return got


@pytest.fixture
def unread(postgres: PostgreSQL) -> Iterator[Unread]:
    made = Unread(postgres)
    try:
        with made.millrace:
            os.close(made.writer)
            yield made
    finally:
        with contextlib.suppress(OSError):
            os.close(made.reader)


def test_clients_are_served_though_nobody_reads_the_log(unread: Unread) -> None:
    unread.log_in()
    before = unread.millrace.rss_bytes()
    for _ in range(LOG_INS):
        unread.log_in()
    assert unread.millrace.rss_bytes() < before + MOST_WAITING + (40 << 20)
    eventually(lambda: unread.lost() > 0, what="lines to be lost")

    # Now it is read: what was kept, and then how much wasn't.
    got = unread.read_until(rb"log lines were lost[^\n]*count=\d+\n")
    assert b" ready " in got
    assert len(got) < MOST_WAITING + (64 << 10)
    told = int(re.findall(rb"count=(\d+)\n", got)[-1])
    assert 0 < told <= unread.lost()
    with connect(unread.millrace, application_name="told") as client:
        assert client.one("SELECT 1") == "1"
    unread.read_until(rb"client connected[^\n]*application=told[^\n]*\n")


def test_it_ends_though_nobody_reads_the_log(unread: Unread) -> None:
    for _ in range(5):
        unread.log_in()
    unread.millrace.process.send_signal(signal.SIGTERM)
    assert unread.millrace.process.wait(30) == 0


def test_all_is_written_at_the_end(unread: Unread) -> None:
    for _ in range(5):
        unread.log_in()
    unread.millrace.process.send_signal(signal.SIGTERM)
    got = unread.read_until(rb"stopped\n")
    assert got.count(b"client connected") == 5
    assert unread.millrace.process.wait(30) == 0
    assert os.read(unread.reader, 1) == b""
