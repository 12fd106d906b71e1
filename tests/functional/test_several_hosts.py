"""DATABASE_URL names several hosts: the one that is wanted is found, and a change of primary is followed."""

import signal
from collections.abc import Iterator

import pytest
from test_change_stream import LOGICAL
from test_circuit_breaker import UNCACHED, failure, is_kept, level, opens
from wire import Client, connect, eventually, query

from harness import Millrace, PostgreSQL, free_port

READ = "SELECT v FROM t WHERE id = 1"


@pytest.fixture
def primary() -> Iterator[PostgreSQL]:
    with PostgreSQL(config=LOGICAL) as server:
        server.admin("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 10); CREATE TABLE ledger (who text)")
        yield server


@pytest.fixture
def standby(primary: PostgreSQL) -> Iterator[PostgreSQL]:
    with primary.standby() as server:
        eventually(lambda: is_followed(primary))
        yield server


def is_followed(primary: PostgreSQL) -> bool:
    return primary.admin("SELECT 1 FROM pg_stat_replication WHERE application_name = 'walreceiver'").startswith("1")


def at(*places: int | str, target: str = "primary", **settings: str | int) -> Millrace:
    """By their ports, on this machine, or with their names."""
    hosts = ",".join(place if isinstance(place, str) else f"127.0.0.1:{place}" for place in places)
    url = f"postgresql://postgres:millrace@{hosts}/postgres?target_session_attrs={target}"
    usual = {
        "DATABASE_URL": url, "AUTH_TYPE": "trust", "POOL_MODE": "transaction", "SERVER_TLS_MODE": "disable",
        "SERVER_CONNECT_TIMEOUT_SECONDS": 1, "CACHE_DEFAULT_TTL_SECONDS": 3600,
    }  # fmt: skip
    return Millrace(None, {**usual, **settings})


def succeeds(client: Client, sql: str) -> bool:
    return all(one.kind != "E" for one in client.ask(query(sql)))


@pytest.mark.parametrize("target", ["primary", "read-write"])
def test_the_primary_is_found_wherever_it_stands(primary: PostgreSQL, standby: PostgreSQL, target: str) -> None:
    with at(standby.port, free_port(), primary.port, target=target) as millrace, connect(millrace) as client:
        eventually(lambda: succeeds(client, "INSERT INTO ledger VALUES ('a')"))
        assert client.one("SELECT pg_is_in_recovery()") == "f"
        assert millrace.metric("circuit_breaker_opened_total") == 0
    assert primary.admin("SELECT who FROM ledger") == "a"


def test_whatever_is_there_does_where_nothing_is_asked_for(primary: PostgreSQL, standby: PostgreSQL) -> None:
    with at(free_port(), standby.port, primary.port, target="any") as millrace, connect(millrace) as client:
        eventually(lambda: succeeds(client, UNCACHED.replace("txid_current()", "1")))
        assert client.one("SELECT pg_is_in_recovery()") == "t"
        assert failure(client, "INSERT INTO ledger VALUES ('a')").sqlstate == "25006"


def test_a_change_of_primary_is_followed_and_nothing_is_stale(primary: PostgreSQL, standby: PostgreSQL) -> None:
    """It lacks the last transaction: what was kept of that is no more, at any level."""
    with at(primary.port, standby.port) as millrace, level(millrace, "eventual") as eventual, level(millrace, "session") as session:
        clients = (eventual, session)
        for client in clients:
            is_kept(millrace, client, READ)
        standby.admin("ALTER SYSTEM SET primary_conninfo = ''")
        standby.reload()
        eventually(lambda: not is_followed(primary))
        assert succeeds(eventual, "UPDATE t SET v = 11 WHERE id = 1")
        for client in clients:
            eventually(lambda: client.one(READ) == "11")  # noqa: B023
            is_kept(millrace, client, READ)
        primary.kill()
        opens(millrace, eventual)
        assert eventual.one(READ) == session.one(READ) == "11"
        error = failure(session, UNCACHED)
        assert f"127.0.0.1:{primary.port}, 127.0.0.1:{standby.port}" in error.fields["M"]
        standby.admin("SELECT pg_promote()")
        eventually(lambda: succeeds(eventual, "INSERT INTO ledger VALUES ('a')"))
        assert eventual.one(READ) == session.one(READ) == "10"
        for client in clients:
            is_kept(millrace, client, READ)
        standby.admin("UPDATE t SET v = 12 WHERE id = 1")
        eventually(lambda: eventual.one(READ) == session.one(READ) == "12")
        assert millrace.change_stream("postgres")["state"] == "live"
    assert standby.admin("SELECT who FROM ledger") == "a"


def test_a_reload_keeps_to_the_host_that_was_found(primary: PostgreSQL, standby: PostgreSQL) -> None:
    with at(standby.port, primary.port) as millrace, connect(millrace) as client:
        eventually(lambda: succeeds(client, "INSERT INTO ledger VALUES ('a')"))
        failed = millrace.metric("circuit_breaker_attempts_failed_total")
        millrace.process.send_signal(signal.SIGHUP)
        eventually(lambda: "settings were reloaded" in millrace.log)
        assert succeeds(client, "INSERT INTO ledger VALUES ('b')")
        with connect(millrace, database="template1") as another:  # whose connections are to where the settings say
            assert another.one("SELECT pg_is_in_recovery()") == "f"
        assert millrace.metric("circuit_breaker_attempts_failed_total") == failed


def test_a_host_without_an_address_is_none(primary: PostgreSQL) -> None:
    with at("nowhere.invalid:5432", primary.port) as millrace, connect(millrace) as client:
        assert succeeds(client, "INSERT INTO ledger VALUES ('a')")


def test_who_refuses_the_log_in_is_left_for_another(primary: PostgreSQL, standby: PostgreSQL) -> None:
    """A standby that refuses it may be what the primary has become; refusals are no proof that it is still there."""
    with at(primary.port, standby.port) as millrace, connect(millrace) as client:
        assert succeeds(client, "INSERT INTO ledger VALUES ('a')")
        eventually(lambda: standby.admin("SELECT 1 FROM ledger").startswith("1"))
        primary.stop()
        (primary.data / "standby.signal").touch()
        primary.give(primary.data / "standby.signal")
        primary.start()
        standby.admin("SELECT pg_promote()")

        def is_there() -> bool:
            with Client(millrace.host, millrace.port) as other:
                other.log_in(database="nowhere")
            return succeeds(client, "INSERT INTO ledger VALUES ('b')")

        eventually(is_there)
    assert standby.admin("SELECT string_agg(who, '' ORDER BY who) FROM ledger") == "ab"


def test_it_needs_the_breaker() -> None:
    with pytest.raises(Exception, match="DATABASE_URL names several hosts"):
        at(free_port(), free_port(), ENABLE_EMERGENCY_CIRCUIT_BREAKER="false").start()
