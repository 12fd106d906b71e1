"""The demo runs to its end with a small database, and what it says is right."""

import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import millrace_binary
from harness.ports import is_free
from harness.temporary import temporary_folder
from harness.wire import POSTGRESQL_BIN

DEMO = Path(__file__).resolve().parents[2] / "tools/demo.py"


# It takes them seconds after they were found free, so they are of those that no other test takes.
PORTS = range(32_000, 32_700)


def free_port() -> int:
    return next(port for port in random.sample(PORTS, len(PORTS)) if is_free(port))


@contextmanager
def demo(*options: str) -> Iterator[subprocess.Popen[str]]:
    folder = temporary_folder("demo")
    folder.chmod(0o755)  # PostgreSQL's user works in it
    ports = ["--port", str(free_port()), "--http-port", str(free_port())]
    command = [sys.executable, str(DEMO), "--data-dir", str(folder), *ports, *options]
    environment = {**os.environ, "MILLRACE_BIN": str(millrace_binary())}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def said_until(process: subprocess.Popen[str], last: str) -> str:
    assert process.stdout
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith(last):
            return said
    raise AssertionError(f"the demo ended with {process.wait()} before it said '{last}':\n{said}")


def test_shows_what_it_promises_and_ends_by_ctrl_c() -> None:
    with demo("--size", "0.05", "--seconds", "3") as process:
        said = said_until(process, "Stop with Ctrl-C")
        ratios = dict(re.findall(r"^(.+), reads only +([\d.]+) %", said, re.M))
        assert set(ratios) == {"asyncpg's pool", "SQLAlchemy on asyncpg"}, said
        # 100 in the end; how soon is for the machine to say, and where a hit doesn't pay on a busy one there are none.
        assert any(float(ratio) > 0 for ratio in ratios.values()), said
        compared = re.search(r"^Of (\d+) pages (\d+) are the same", said, re.M)
        assert compared and compared[1] == compared[2] != "0", said
        assert "changed 20 times directly at PostgreSQL" in said
        levels = re.findall(r"^ +(\w+) +(\d+) of 20 +[\d.]+ +[\d.]+ +(\d+) %$", said, re.M)
        assert [level for level, _, _ in levels] == ["eventual", "session", "strong"], said
        assert int(levels[0][2]) > 0 and levels[2][1] == "20", said
        assert re.findall(r"^  decision +(\w+)$", said, re.M) == ["hit", "bypass"], said
        rewritten = re.findall(r"^ {4}(\w[\w ]+?) +\d+ +[\d.]+ +[\d.]+$", said, re.M)
        assert len(rewritten) == 4 and re.search(r"^  becomes, by \w+", said, re.M), said

        address = re.search(r"psql (postgresql://\S+)", said)
        assert address
        command = [f"{POSTGRESQL_BIN}/psql", "-XqAt", "-d", address[1], "-c", "SELECT count(*) FROM users"]
        assert subprocess.run(command, capture_output=True, text=True).stdout == "25\n"

        process.send_signal(signal.SIGINT)
        assert "Stopped. The data stays in" in said_until(process, "Stopped")
        assert process.wait(30) == 0
