"""What the benches of reads among writes share: pgbench with several scripts, each with a weight, and what each transaction took."""

import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import support  # noqa: F401  the way to the harness

from harness import Millrace
from harness.temporary import temporary_folder
from harness.wire import POSTGRESQL_BIN, Wire

CLIENTS, THREADS = 8, 2


@dataclass
class Run:
    seconds: float
    latencies: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))  # by script, in us

    def per_second(self) -> float:
        return sum(len(of_one) for of_one in self.latencies.values()) / self.seconds


def percentile(values: list[int], percent: float) -> float:
    ordered = sorted(values)
    return float(ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]) if ordered else 0.0


def run_mix(server: Wire, scripts: Mapping[str, tuple[str, int]], seconds: int) -> Run:
    """`scripts`: by name, the text and its weight; what has none isn't run."""
    folder = temporary_folder("mix")
    names = [name for name, (_, weight) in scripts.items() if weight > 0]
    arguments: list[str] = []
    for name in names:
        text, weight = scripts[name]
        (folder / f"{name}.sql").write_text(text)
        arguments += ["-f", f"{folder / name}.sql@{weight}"]
    done = subprocess.run(
        [f"{POSTGRESQL_BIN}/pgbench", "-n", "-c", str(CLIENTS), "-j", str(THREADS), "-M", "prepared", "-T", str(seconds),
         "--log", f"--log-prefix={folder / 'log'}", *arguments],
        env={**os.environ, **server.environment_for_clients(), "PGSSLMODE": "disable"}, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode != 0:
        sys.exit(f"pgbench failed:\n{done.stdout}{done.stderr}")
    run = Run(seconds)
    for log in Path(folder).glob("log.*"):
        for line in log.read_text().splitlines():
            took, script = line.split()[2:4]
            run.latencies[names[int(script)]].append(int(took))
        log.unlink()
    return run


def wait_until_answered(millrace: Millrace, sql: str) -> None:
    """Until the stream is live and has settled, nothing is kept for a session."""

    def answers() -> bool:
        before = millrace.metric("statements_answered_from_memory_total")
        with psycopg.connect(millrace.dsn(), autocommit=True, prepare_threshold=None) as client:
            for _ in range(5):
                client.execute(sql)
                time.sleep(0.2)  # the counts are published twice a second
        return millrace.metric("statements_answered_from_memory_total") > before

    millrace.wait_for(answers, 60, "answer from memory")
