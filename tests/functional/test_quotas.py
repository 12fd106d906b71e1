"""Quotas of users and projects that clients name: set over REST, used up, waited for."""

from collections.abc import Iterator
from typing import Any

import pytest
from turns import Gate, error_of
from wire import SYNC, bind, connect, eventually, execute, gives_all_turns_back, parse, query

from harness import Millrace, PostgreSQL

QUOTA = "execution/resource-quota"
SCHEMA = "CREATE TABLE gates (id int PRIMARY KEY)"


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL, pool_mode: str) -> Iterator[Millrace]:
    with Millrace(postgres, {"POOL_MODE": pool_mode}) as server:
        yield server
        gives_all_turns_back(server)


def test_a_quota_is_used_up(millrace: Millrace) -> None:
    quota = millrace.api("PUT", f"{QUOTA}/users/limited", {"hourly_query_limit": 3})
    assert quota["hour"] == {"used": 0, "left": 3, "resets_in_seconds": None}
    with connect(millrace, options="-c millrace.user_id=limited") as client:
        for _ in range(3):
            assert client.one("SELECT 1") == "1"
        for refused in ([query("SELECT 2")], [parse("SELECT 2"), bind(), execute(), SYNC]):
            answer = client.ask(*refused)
            assert error_of(answer)["C"] == "53400"
            assert "3 queries an hour" in error_of(answer)["M"]
            assert "resets in" in error_of(answer)["H"]
            assert str(answer[-1]) == "ReadyForQuery I"
        begun = str(client.ask(query("BEGIN"))[-1])  # held back in transaction mode, or else refused itself
        client.ask(query("SELECT 1"))
        answer = client.ask(query("SELECT 1"))
        assert str(answer[-1]) == ("ReadyForQuery E" if begun == "ReadyForQuery T" else "ReadyForQuery I")
        client.ask(query("ROLLBACK"))
        quota = millrace.api("GET", f"{QUOTA}/users/limited")
        assert (quota["hour"]["used"], quota["hour"]["left"]) == (3, 0)
        assert 0 < quota["hour"]["resets_in_seconds"] <= 3600
        assert client.one("/* millrace: user_id=other */ SELECT 1") == "1"
        millrace.api("PUT", f"{QUOTA}/users/limited", {"hourly_query_limit": 100})
        assert client.one("SELECT 1") == "1"


def test_who_names_nobody_has_no_quota(postgres: PostgreSQL, pool_mode: str) -> None:
    with Millrace(postgres, {"POOL_MODE": pool_mode, "DEFAULT_USER_QUERY_LIMIT_PER_HOUR": 2}) as server:
        with connect(server) as client:
            assert [client.one("SELECT 1") for _ in range(5)] == ["1"] * 5
            client.ask(query("SET millrace.user_id = 'ada'"))
            answers = [client.ask_or_error("SELECT 1").kind for _ in range(2)]
            assert answers == ["Z", "Z"]
            assert error_of(client.ask(query("SELECT 1")))["C"] == "53400"


def test_queries_over_a_quota_wait(postgres: PostgreSQL, pool_mode: str) -> None:
    with Millrace(postgres, {"POOL_MODE": pool_mode, "POOL_SIZE": 5}) as server:
        server.api("PUT", f"{QUOTA}/projects/p", {"max_concurrent_queries": 1})
        gate = Gate(postgres, server)
        limited = [connect(server, options="-c millrace.project_id=p") for _ in range(2)]
        limited[0].send(query("SELECT 1 FROM gates"))
        eventually(lambda: server.metric("queries_running") == 2)
        limited[1].send(query("SELECT 1"))
        gate.waiting(1)
        with connect(server) as other:
            assert other.one("SELECT 1") == "1"
        assert server.api("GET", f"{QUOTA}/projects/p")["running_queries"] == 1
        gate.open()
        for client in limited:
            assert client.until("Z")[0].kind == "T"
            client.close()
        gate.close()


def test_a_quota_of_time_is_a_time_limit(millrace: Millrace) -> None:
    millrace.api("PUT", f"{QUOTA}/users/quick", {"max_execution_time_seconds": 1})
    with connect(millrace, options="-c millrace.user_id=quick") as client:
        late = error_of(client.ask(query("SELECT pg_sleep(600)")))
        assert late["C"] == "57014"
        assert "max_execution_time_seconds" in late["M"]


def test_a_quota_of_memory_is_a_memory_limit(millrace: Millrace) -> None:
    assert millrace.api("PUT", f"{QUOTA}/users/small", {"max_memory_mb": 60})["max_memory_mb"] == 60
    with connect(millrace, options="-c millrace.user_id=small") as client:
        # An array of 100 MB, while the last of its elements sleeps.
        large = "SELECT array_length(array_agg(repeat('x', 1000) || CASE WHEN i = 100000 THEN pg_sleep(600)::text ELSE '' END), 1) FROM generate_series(1, 100000) i"
        late = error_of(client.ask(query(large)))
        assert late["C"] == "53200"
        assert "the quota's max_memory_mb" in late["M"]
    with connect(millrace) as client:
        client.ask(query("BEGIN"))
        client.ask(query("/* millrace: user_id=small */ SELECT 1"))
        assert client.one(large.replace("600", "0.9")) == "100000", "nobody is named"
        assert error_of(client.ask(query("/* millrace: user_id=small */ " + large)))["C"] == "53200"
        client.ask(query("ROLLBACK"))


def test_what_was_answered_can_be_sent_back(millrace: Millrace) -> None:
    for whose in ("users/back", "projects/back"):
        limits = {"hourly_query_limit": 7, "max_memory_mb": 5000, "priority_boost": -1}
        quota = millrace.api("PUT", f"{QUOTA}/{whose}", limits)
        assert millrace.api("PUT", f"{QUOTA}/{whose}", quota) == quota
        assert limits.items() <= quota.items()
        # Of which this means nothing.
        other = quota | {"user_id": "else", "project_id": "else", "running_queries": 9, "hour": None, "day": {"used": 9}}
        assert millrace.api("PUT", f"{QUOTA}/{whose}", other | {"enforced": False}) == quota
    assert millrace.api("GET", f"{QUOTA}/users/else")["hourly_query_limit"] is None


def test_a_quota_is_taken_away(millrace: Millrace) -> None:
    before = millrace.api("GET", f"{QUOTA}/users/free")
    millrace.api("PUT", f"{QUOTA}/users/free", {"hourly_query_limit": 1})
    with connect(millrace, options="-c millrace.user_id=free") as client:
        assert client.one("SELECT 1") == "1"
        assert error_of(client.ask(query("SELECT 1")))["C"] == "53400"
        after = millrace.api("DELETE", f"{QUOTA}/users/free")
        assert after == millrace.api("DELETE", f"{QUOTA}/users/free") | {key: after[key] for key in ("hour", "day")}
        assert client.one("SELECT 1") == "1"
    assert before["max_concurrent_queries"] == 10, "the default"
    assert after["hour"]["used"] == 1, "what was used stays so"
    assert after | {"hour": 0, "day": 0} == before | {"hour": 0, "day": 0}
    assert millrace.api("DELETE", f"{QUOTA}/projects/none")["max_concurrent_queries"] is None
    assert "user_id" in millrace.api("DELETE", f"{QUOTA}/users/a%00", None, 422)["detail"][0]["loc"]


@pytest.mark.parametrize(
    ("user", "body", "field"),
    [
        ("x" * 129, {}, "user_id"),
        ("a%00", {}, "user_id"),
        ("a", {"max_concurrent_queries": 0}, "max_concurrent_queries"),
        ("a", {"hourly_query_limit": -1}, "hourly_query_limit"),
        ("a", {"max_execution_time_seconds": 10**9}, "max_execution_time_seconds"),
        ("a", {"max_memory_mb": 0}, "max_memory_mb"),
        ("a", {"priority_boost": 9}, "priority_boost"),
        ("a", {"max_cpu_percent": 50}, "max_cpu_percent"),
        ("a", {"hours": {}}, "hours"),
    ],
)
def test_a_quota_that_makes_no_sense_is_refused(
    millrace: Millrace, user: str, body: dict[str, Any], field: str
) -> None:
    answer = millrace.api("PUT", f"{QUOTA}/users/{user}", body, 422)
    assert field in answer["detail"][0]["loc"]
