"""Quotas that several nodes count together, in Redis."""

import json
import os
import re
import signal
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from turns import error_of
from wire import connect, eventually, query

from harness import Millrace, PostgreSQL, Redis, Way, millrace_binary

QUOTA = "execution/resource-quota"


@pytest.fixture
def redis() -> Iterator[Redis]:
    with Redis() as server:
        yield server


@contextmanager
def nodes(postgres: PostgreSQL, url: str, count: int = 2) -> Iterator[list[Millrace]]:
    """They have spoken to Redis."""
    with ExitStack() as stack:
        started = [stack.enter_context(Millrace(postgres, {"REDIS_URL": url})) for _ in range(count)]
        for node in started:
            eventually(lambda node=node: redis_of(node)["available"], what="Redis to be there")
        yield started


def redis_of(node: Millrace) -> dict[str, Any]:
    return node.api("GET", "optimization/health")["services"]["redis"]


def quota_of(node: Millrace, user: str) -> dict[str, Any]:
    return node.api("GET", f"{QUOTA}/users/{user}")


def used(node: Millrace, user: str) -> int:
    return quota_of(node, user)["hour"]["used"]


def run(node: Millrace, user: str, count: int) -> int:
    """How many of so many queries were let in; the others were refused for the quota."""
    with connect(node, options=f"-c millrace.user_id={user}") as client:
        let_in = 0
        for _ in range(count):
            answer = client.ask(query("SELECT 1"))
            if any(message.kind == "E" for message in answer):
                assert error_of(answer)["C"] == "53400"
            else:
                let_in += 1
        return let_in


def has_limit(node: Millrace, user: str, limit: int) -> bool:
    return quota_of(node, user)["hourly_query_limit"] == limit


def test_a_limit_holds_over_all_nodes(postgres: PostgreSQL, redis: Redis) -> None:
    with nodes(postgres, redis.url) as (one, other):
        one.api("PUT", f"{QUOTA}/users/ada", {"hourly_query_limit": 10})
        eventually(lambda: has_limit(other, "ada", 10))
        assert run(one, "ada", 4) == 4
        eventually(lambda: used(other, "ada") == 4)
        assert run(other, "ada", 5) == 5
        eventually(lambda: used(one, "ada") == 9)
        assert run(one, "ada", 3) == 1
        eventually(lambda: used(other, "ada") == 10)
        assert run(other, "ada", 3) == 0
        assert quota_of(other, "ada")["hour"]["left"] == 0
        assert quota_of(other, "ada")["counted_across_nodes"]
        ends = [quota_of(node, "ada")["hour"]["resets_in_seconds"] for node in (one, other)]
        assert 0 < ends[1] <= 3600 and abs(ends[0] - ends[1]) < 60, "one window"
        keys = redis.cli("KEYS", "*").split()
        assert sorted(keys) == [f"millrace:quota:{rest}" for rest in ("day:uada", "hour:uada", "set", "version")]


def test_a_project_is_counted_apart_from_a_user_of_its_name(postgres: PostgreSQL, redis: Redis) -> None:
    with nodes(postgres, redis.url) as (one, other):
        name = "a%20b:c%C3%A9*"
        one.api("PUT", f"{QUOTA}/projects/{name}", {"daily_query_limit": 2})
        with connect(one) as client:
            client.ask(query("SET millrace.project_id = 'a b:cé*'"))
            assert [client.one("SELECT 1") for _ in range(2)] == ["1", "1"]
        eventually(lambda: other.api("GET", f"{QUOTA}/projects/{name}")["day"] | {"resets_in_seconds": 0}
                   == {"used": 2, "left": 0, "resets_in_seconds": 0})  # fmt: skip
        assert other.api("GET", f"{QUOTA}/users/{name}")["day"]["used"] == 0


def test_more_users_than_are_told_of_in_a_call(postgres: PostgreSQL, redis: Redis) -> None:
    with nodes(postgres, redis.url) as (one, other):
        with connect(one) as client:
            for _ in range(2):
                for user in range(600):
                    assert client.one(f"/* millrace: user_id=u{user} */ SELECT 1") == "1"
        for user in (0, 299, 599):
            eventually(lambda user=user: used(other, f"u{user}") == 2)
        assert len(redis.cli("KEYS", "millrace:quota:hour:*").split()) == 600


def test_a_quota_that_was_set_survives_all_nodes(postgres: PostgreSQL, redis: Redis) -> None:
    with nodes(postgres, redis.url) as (one, other):
        one.api("PUT", f"{QUOTA}/users/ada", {"hourly_query_limit": 0, "priority_boost": 2})
        eventually(lambda: has_limit(other, "ada", 0))
        assert run(other, "ada", 1) == 0
        other.api("PUT", f"{QUOTA}/users/ada", {"hourly_query_limit": 1})
        eventually(lambda: has_limit(one, "ada", 1))
        assert quota_of(one, "ada")["priority_boost"] == 0
    redis.cli("HSET", "millrace:quota:set", "ubob", "hourly_query_limit=lots")
    with nodes(postgres, redis.url, 1) as (one,):
        eventually(lambda: has_limit(one, "ada", 1))
        eventually(lambda: "make no sense" in one.log)
        assert run(one, "ada", 2) == 1


@contextmanager
def held(node: Millrace) -> Iterator[None]:
    """Meanwhile it does nothing, and hears nothing."""
    os.kill(node.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(node.pid, signal.SIGCONT)


def set_in(redis: Redis, key: str) -> str:
    """What is set for it, without when."""
    changed, _, what = redis.cli("HGET", "millrace:quota:set", key).partition(" ")
    assert not what or changed.removeprefix("changed=").isdigit()
    return what.strip()


def put_in(redis: Redis, key: str, what: str, version: str = "") -> None:
    """As a node does, or whoever brings back a copy."""
    script = "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) redis.call('SET', KEYS[2], ARGV[3])"
    names = "millrace:quota:set", "millrace:quota:version"
    redis.cli("EVAL", script, "2", *names, key, what, version or f"version {time.time_ns()}")


def changed_in(redis: Redis, key: str) -> int:
    """When, in ms of UNIX time."""
    return int(redis.cli("HGET", "millrace:quota:set", key).split()[0].removeprefix("changed="))


def calls(redis: Redis, command: str) -> int:
    """How often it was asked for so far."""
    found = re.search(rf"cmdstat_{command}:calls=(\d+)", redis.cli("INFO", "commandstats"))
    return int(found[1]) if found else 0


def goes_on(redis: Redis) -> None:
    """The only node there has looked a few times whether anything is another, as it does each second."""
    looked = calls(redis, "get")
    eventually(lambda: calls(redis, "get") >= looked + 5, what="the node to look at Redis")


def test_a_quota_is_taken_away_on_all_nodes(postgres: PostgreSQL, redis: Redis) -> None:
    with nodes(postgres, redis.url) as (one, other):
        for user in ("ada", "bob"):
            one.api("PUT", f"{QUOTA}/users/{user}", {"hourly_query_limit": 0})
            eventually(lambda user=user: has_limit(other, user, 0))
        other.api("DELETE", f"{QUOTA}/users/ada")
        assert run(other, "ada", 1) == 1, "at once"
        eventually(lambda: quota_of(one, "ada")["hourly_query_limit"] is None)
        assert quota_of(one, "ada")["max_concurrent_queries"] == 10, "the default"
        assert has_limit(one, "bob", 0) and has_limit(other, "bob", 0)
        assert set_in(redis, "uada") == "removed"
        one.api("PUT", f"{QUOTA}/users/ada", {"hourly_query_limit": 3})
        eventually(lambda: has_limit(other, "ada", 3))
        one.api("DELETE", f"{QUOTA}/users/ada")
        eventually(lambda: set_in(redis, "uada") == "removed")
    with nodes(postgres, redis.url, 1) as (one,):
        eventually(lambda: has_limit(one, "bob", 0))
        assert quota_of(one, "ada")["max_concurrent_queries"] == 10


def test_a_node_that_was_away_does_not_bring_a_quota_back(postgres: PostgreSQL, redis: Redis) -> None:
    with nodes(postgres, redis.url) as (one, other):
        one.api("PUT", f"{QUOTA}/users/ada", {"hourly_query_limit": 0})
        eventually(lambda: has_limit(other, "ada", 0))
        with held(other):
            one.api("DELETE", f"{QUOTA}/users/ada")
            eventually(lambda: set_in(redis, "uada") == "removed")
        eventually(lambda: quota_of(other, "ada")["hourly_query_limit"] is None)


@pytest.mark.parametrize("set_at", ["", "changed=1764538000123 "])
def test_a_node_that_fills_a_redis_does_not_bring_a_quota_back(postgres: PostgreSQL, redis: Redis, set_at: str) -> None:
    """Redis has lost everything, and who knows better comes later; also where nobody knows when the quota was set."""
    with nodes(postgres, redis.url) as (one, other):
        put_in(redis, "uada", f"{set_at}hourly_query_limit=0")
        eventually(lambda: has_limit(one, "ada", 0) and has_limit(other, "ada", 0))
        with held(other):
            one.api("DELETE", f"{QUOTA}/users/ada")
            eventually(lambda: set_in(redis, "uada") == "removed")
            with held(one):
                redis.cli("FLUSHALL")
                os.kill(other.pid, signal.SIGCONT)
                eventually(lambda: set_in(redis, "uada").startswith("hourly_query_limit=0"))
            eventually(lambda: set_in(redis, "uada") == "removed")
        eventually(lambda: quota_of(other, "ada")["hourly_query_limit"] is None)
        assert quota_of(one, "ada")["hourly_query_limit"] is None


def test_what_was_set_later_holds_where_redis_has_lost_it(postgres: PostgreSQL, redis: Redis) -> None:
    with nodes(postgres, redis.url) as (one, other):
        one.api("PUT", f"{QUOTA}/users/ada", {"hourly_query_limit": 1})
        eventually(lambda: has_limit(other, "ada", 1))
        copy = redis.cli("HGET", "millrace:quota:set", "uada"), redis.cli("GET", "millrace:quota:version")
        other.api("PUT", f"{QUOTA}/users/ada", {"hourly_query_limit": 2})
        eventually(lambda: has_limit(one, "ada", 2))
        # Again as soon as they have mended it, too.
        for lose in 3 * [lambda: put_in(redis, "uada", *copy)] + 3 * [lambda: redis.cli("FLUSHALL")]:
            lose()
            eventually(lambda: set_in(redis, "uada").startswith("hourly_query_limit=2"))
            assert has_limit(one, "ada", 2) and has_limit(other, "ada", 2)


def test_what_is_set_is_later_than_what_its_node_knows(postgres: PostgreSQL, redis: Redis) -> None:
    """Also where that has a later time than its clock, and Redis has lost it."""
    with nodes(postgres, redis.url) as (one, other):
        ahead = int(time.time() * 1000) + 300_000
        for user in ("ada", "bob"):
            put_in(redis, f"u{user}", f"changed={ahead} hourly_query_limit=0")
            eventually(lambda user=user: all(has_limit(node, user, 0) for node in (one, other)))
        with held(one):
            redis.stop()
            other.api("PUT", f"{QUOTA}/users/ada", {"hourly_query_limit": 1})
            other.api("DELETE", f"{QUOTA}/users/bob")
            redis.start()  # it has forgotten everything
            eventually(lambda: set_in(redis, "ubob") == "removed")
            assert changed_in(redis, "uada") > ahead and changed_in(redis, "ubob") > ahead
        eventually(lambda: has_limit(one, "ada", 1) and quota_of(one, "bob")["hourly_query_limit"] is None)
        assert has_limit(other, "ada", 1) and set_in(redis, "ubob") == "removed"


def test_what_makes_no_sense_is_read_once(postgres: PostgreSQL, redis: Redis) -> None:
    with nodes(postgres, redis.url, 1) as (one,):
        one.api("PUT", f"{QUOTA}/users/ada", {"hourly_query_limit": 3})
        eventually(lambda: set_in(redis, "uada").startswith("hourly_query_limit=3"))
        goes_on(redis)
        read = calls(redis, "hscan")
        put_in(redis, "uada", f"changed={changed_in(redis, 'uada')} hourly_query_limit=lots")
        eventually(lambda: "make no sense" in one.log)
        goes_on(redis)
        assert (calls(redis, "hscan"), one.log.count("make no sense")) == (read + 1, 1)
        assert has_limit(one, "ada", 3)
        redis.cli("FLUSHALL")
        eventually(lambda: set_in(redis, "uada").startswith("hourly_query_limit=3"))


def test_what_is_set_again_while_it_is_told_is_later(postgres: PostgreSQL, redis: Redis) -> None:
    with Way(postgres) as way:
        way.leads_to(redis)
        with nodes(postgres, f"redis://{way.host}:{way.port}/0", 1) as (one,):
            way.takes = 0.45  # in each direction, which is hardly less than a node waits for
            one.api("PUT", f"{QUOTA}/users/ada", {"hourly_query_limit": 3})
            eventually(lambda: redis.cli("HEXISTS", "millrace:quota:set", "uada") == "1")
            # Another node takes it away, before this one has its answer.
            put_in(redis, "uada", f"changed={changed_in(redis, 'uada') + 1} removed")
            one.api("PUT", f"{QUOTA}/users/ada", {"hourly_query_limit": 3})
            way.takes = 0
            eventually(lambda: set_in(redis, "uada").startswith("hourly_query_limit=3"))
            assert has_limit(one, "ada", 3)


def test_what_is_told_again_is_no_later_for_that(postgres: PostgreSQL, redis: Redis) -> None:
    """Redis has heard it, and its answer was lost."""
    with Way(postgres) as way, nodes(postgres, redis.url, 1) as (other,):
        way.leads_to(redis)
        with nodes(postgres, f"redis://{way.host}:{way.port}/0", 1) as (one,):
            way.takes = 1.5  # in each direction, which is longer than a node waits for
            one.api("PUT", f"{QUOTA}/users/ada", {"hourly_query_limit": 1})
            eventually(lambda: has_limit(other, "ada", 1))
            other.api("DELETE", f"{QUOTA}/users/ada")
            eventually(lambda: set_in(redis, "uada") == "removed")
            way.takes = 0
            eventually(lambda: redis_of(one)["available"])
            eventually(lambda: quota_of(one, "ada")["hourly_query_limit"] is None)
            assert set_in(redis, "uada") == "removed"
            assert quota_of(other, "ada")["hourly_query_limit"] is None


def test_what_nobody_has_is_not_taken_away(postgres: PostgreSQL, redis: Redis) -> None:
    with nodes(postgres, redis.url, 1) as (one,):
        one.api("DELETE", f"{QUOTA}/users/ada")
        one.api("PUT", f"{QUOTA}/users/bob", {"hourly_query_limit": 1})
        eventually(lambda: redis.cli("HKEYS", "millrace:quota:set").split() == ["ubob"])


def test_that_a_quota_was_taken_away_is_forgotten_at_last(postgres: PostgreSQL, redis: Redis) -> None:
    with nodes(postgres, redis.url, 1) as (one,):
        for user in ("ada", "bob"):
            one.api("PUT", f"{QUOTA}/users/{user}", {"hourly_query_limit": 1})
            eventually(lambda user=user: set_in(redis, f"u{user}").startswith("hourly_query_limit=1"))
            one.api("DELETE", f"{QUOTA}/users/{user}")
            eventually(lambda user=user: set_in(redis, f"u{user}") == "removed")
        eight_days_ago = int((time.time() - 8 * 24 * 3600) * 1000)
        redis.cli("DEL", "millrace:quota:set")
        redis.cli("HSET", "millrace:quota:set", "ueve", f"changed={eight_days_ago} removed")
        redis.cli("SET", "millrace:quota:version", "another one")
        eventually(lambda: redis.cli("HKEYS", "millrace:quota:set").split() in (["uada", "ubob"], ["ubob", "uada"]))


def test_what_was_counted_last_is_told_at_the_end(postgres: PostgreSQL, redis: Redis) -> None:
    with nodes(postgres, redis.url, 1) as (one,):
        run(one, "ada", 3)
    assert redis.cli("GET", "millrace:quota:hour:uada") == "3"


def test_without_redis_each_counts_on_its_own_and_tells_it_later(postgres: PostgreSQL, redis: Redis) -> None:
    with nodes(postgres, redis.url) as (one, other):
        one.api("PUT", f"{QUOTA}/users/ada", {"hourly_query_limit": 10})
        run(one, "ada", 2)
        eventually(lambda: has_limit(other, "ada", 10) and used(other, "ada") == 2)
        redis.stop()
        for node in (one, other):
            eventually(lambda node=node: not redis_of(node)["available"])
        health = one.api("GET", "optimization/health")
        assert health["overall_status"] == "degraded"
        assert any(warning.startswith("redis: ") for warning in health["warnings"])
        assert not quota_of(one, "ada")["counted_across_nodes"]
        assert run(one, "ada", 3) == 3
        assert run(other, "ada", 1) == 1
        assert (used(one, "ada"), used(other, "ada")) == (5, 3)
        other.api("PUT", f"{QUOTA}/users/bob", {"hourly_query_limit": 1})
        redis.start()  # it has forgotten everything
        for node in (one, other):
            eventually(lambda node=node: used(node, "ada") == 6)
        assert has_limit(one, "ada", 10) and has_limit(other, "ada", 10)
        eventually(lambda: has_limit(one, "bob", 1))
        eventually(lambda: redis.cli("HLEN", "millrace:quota:set") == "2")
        assert run(one, "ada", 9) == 4
        for node in (one, other):
            assert node.log.count("quotas are counted on this node only") == 1
            assert node.log.count("quotas are counted together with other nodes") == 2


def test_a_redis_that_takes_no_writes(postgres: PostgreSQL, redis: Redis) -> None:
    with Redis(config={"replicaof": f"{redis.host} {redis.port}"}) as replica:
        with Millrace(postgres, {"REDIS_URL": replica.url}) as node:
            run(node, "ada", 2)
            eventually(lambda: "READONLY" in (redis_of(node)["reason"] or ""))
            assert used(node, "ada") == 2
            replica.cli("REPLICAOF", "NO", "ONE")
            eventually(lambda: redis_of(node)["available"])
            eventually(lambda: replica.cli("GET", "millrace:quota:hour:uada") == "2")


def test_a_redis_that_does_not_answer_holds_nobody_up(postgres: PostgreSQL, redis: Redis) -> None:
    with nodes(postgres, redis.url, 1) as (node,):
        os.kill(redis.pid, signal.SIGSTOP)
        try:
            eventually(lambda: "in time" in (redis_of(node)["reason"] or ""))
            assert run(node, "ada", 3) == 3
            assert node.stop() == 0
        finally:
            os.kill(redis.pid, signal.SIGCONT)


class Nonsense(socketserver.BaseRequestHandler):
    answers: bytes

    def handle(self) -> None:
        while self.request.recv(65536):
            self.request.sendall(self.answers)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"*2000000000\r\n",
        b"$-7\r\n",
        b"+OK\r\n",
        b":7\r\n",
        b"*1\r\n" * 20,
        b"*2\r\n$1\r\n0\r\n*1\r\n$1\r\nx\r\n",
    ],
)
def test_a_redis_that_answers_nonsense(postgres: PostgreSQL, answer: bytes) -> None:
    handler = type("Answers", (Nonsense,), {"answers": answer})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with Millrace(postgres, {"REDIS_URL": f"redis://127.0.0.1:{server.server_address[1]}"}) as node:
                eventually(lambda: "yet" not in (redis_of(node)["reason"] or ""))
                assert not redis_of(node)["available"]
                assert run(node, "ada", 2) == 2
                assert used(node, "ada") == 2
        finally:
            server.shutdown()


def test_a_user_a_socket_and_a_database_of_its_own(postgres: PostgreSQL, tmp_path: Path) -> None:
    with Redis(config={"unixsocket": "redis.sock", "unixsocketperm": "777"}) as redis:
        redis.folder.chmod(0o755)
        redis.cli("CONFIG", "SET", "requirepass", "hidden")
        redis.cli("-a", "hidden", "ACL", "SETUSER", "quotas", "on", ">s3cr@t", "~millrace:quota:*", "+@all")
        socket = redis.folder / "redis.sock"
        with nodes(postgres, f"unix://quotas:s3cr%40t@{socket}?db=3", 1) as (node,):
            run(node, "ada", 2)
            eventually(lambda: redis.cli("-a", "hidden", "-n", "3", "GET", "millrace:quota:hour:uada") == "2")
        for url, reason in (
            (redis.url, "NOAUTH"),
            (redis.url.replace("//", "//quotas:s3cret-but-wr0ng@"), "WRONGPASS"),
            (redis.url.replace("//", "//:hidden@").replace("/0", "/99"), "SELECT"),
        ):
            with Millrace(postgres, {"REDIS_URL": url}) as node:
                eventually(lambda reason=reason: reason in (redis_of(node)["reason"] or ""))
                health = json.dumps(node.api("GET", "optimization/health"))
                for secret in ("s3cret-but-wr0ng", "hidden"):
                    assert secret not in node.log and secret not in health


def test_check_says_whether_redis_can_be_used(postgres: PostgreSQL, redis: Redis) -> None:
    def found() -> dict[str, str]:
        done = subprocess.run(
            [millrace_binary(), "check", "--json", postgres.dsn()], capture_output=True, text=True, timeout=60,
            cwd=postgres.folder, env={"MILLRACE_CONFIG": "/dev/null", "MILLRACE_REDIS_URL": redis.url},
        )  # fmt: skip
        return next(check for check in json.loads(done.stdout)["checks"] if check["name"] == "redis")

    assert found()["status"] == "ok"
    redis.stop()
    assert found()["status"] == "warning"
    assert "refused" in found()["meaning"]


def test_without_a_url_nothing_is_shared(postgres: PostgreSQL) -> None:
    with Millrace(postgres) as node:
        assert redis_of(node) is None
        assert not quota_of(node, "ada")["counted_across_nodes"]
