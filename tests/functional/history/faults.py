"""What breaks while readers read. Each fault ends with all as it was, but for what was lost on the way."""

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from wire import eventually

from harness import Millrace, PostgreSQL, ServerError, Way


@dataclass
class Scene:
    postgres: PostgreSQL
    millrace: Millrace
    chance: random.Random
    way: Way  # of Millrace to PostgreSQL; who writes directly has another
    hits_before: int = 0  # answered from memory by those that were killed

    def hits(self) -> int:
        return self.hits_before + int(self.millrace.metric("statements_answered_from_memory_total"))

    def sender(self) -> int | None:
        """PostgreSQL's process that tells the changes."""
        found = self.postgres.admin("SELECT active_pid FROM pg_replication_slots WHERE active").strip()
        return int(found.split()[0]) if found else None

    def stopped(self, pid: int, longest: float) -> None:
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(longest * (0.3 + 0.7 * self.chance.random()))
        finally:
            os.kill(pid, signal.SIGCONT)


def millrace_is_killed(scene: Scene) -> None:
    scene.hits_before = scene.hits()
    scene.millrace.kill()
    time.sleep(0.2 * scene.chance.random())
    scene.millrace.start()


def millrace_pauses(scene: Scene) -> None:
    scene.stopped(scene.millrace.pid, 0.5)


def stream_is_delayed(scene: Scene) -> None:
    if pid := scene.sender():
        scene.stopped(pid, 0.6)


def stream_is_cut(scene: Scene) -> None:
    scene.postgres.admin("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active")


def postgres_restarts(scene: Scene) -> None:
    scene.postgres.restart()


def postgres_is_killed(scene: Scene) -> None:
    """And isn't there for long enough to be given up."""
    scene.postgres.kill()
    time.sleep(1 + 3 * scene.chance.random())
    scene.postgres.start()


def network_is_cut(scene: Scene) -> None:
    """Between Millrace and PostgreSQL, which others still write to."""
    scene.way.cut()
    time.sleep(0.2 + 4 * scene.chance.random())
    scene.way.let_through()


def network_is_cut_for_a_moment(scene: Scene) -> None:
    scene.way.cut()
    time.sleep(0.3 * scene.chance.random())
    scene.way.let_through()


def commits_are_hidden(scene: Scene) -> None:
    """They are in the log, and nobody sees them yet: they wait for a standby that isn't there."""
    set_standbys(scene.postgres, "nobody")
    try:
        time.sleep(0.2 + 0.4 * scene.chance.random())
    finally:
        set_standbys(scene.postgres, "")


def set_standbys(postgres: PostgreSQL, names: str) -> None:
    postgres.admin(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
    postgres.admin("SELECT pg_reload_conf()")
    eventually(lambda: postgres.admin("SHOW synchronous_standby_names").strip() == names)


def cache_is_emptied(scene: Scene) -> None:
    connection = scene.millrace.http_connection()
    try:
        connection.request(
            "POST", "/api/v1/cache/invalidate", body='{"patterns": [], "scope": "global"}', headers={"Content-Type": "application/json"}
        )
        status = connection.getresponse().status
    finally:
        connection.close()
    if status >= 300:
        raise ServerError(f"invalidating everything is answered with {status}")


FAULTS: dict[str, Callable[[Scene], None]] = {
    fault.__name__: fault
    for fault in (
        commits_are_hidden, stream_is_delayed, stream_is_cut, millrace_pauses, millrace_is_killed, cache_is_emptied,
        postgres_restarts, postgres_is_killed, network_is_cut, network_is_cut_for_a_moment,
    )
}  # fmt: skip
