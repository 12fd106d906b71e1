"""What sessions begin with is changed past Millrace, and through it: a session from before goes on as it began, and neither gives its answers to
others nor takes theirs."""

from collections.abc import Iterator

import pytest
from test_change_stream import LOGICAL, is_live, stream
from wire import Client, connect, eventually, query

from harness import Millrace, PostgreSQL

POSTGRESQL = LOGICAL
SCHEMA = """
CREATE ROLE app LOGIN SUPERUSER;
CREATE ROLE ada LOGIN SUPERUSER;
CREATE SCHEMA one;
CREATE SCHEMA two;
CREATE TABLE one.t (id int PRIMARY KEY, v text);
CREATE TABLE two.t (id int PRIMARY KEY, v text);
CREATE TABLE events (id int PRIMARY KEY, at timestamptz);
"""
ROWS = """
TRUNCATE one.t, two.t, events;
INSERT INTO one.t VALUES (1, 'one');
INSERT INTO two.t VALUES (1, 'two');
INSERT INTO events VALUES (1, '2026-01-01 00:00+00');
ALTER ROLE app RESET ALL;
DROP ROLE IF EXISTS tenant;
"""
READ = "SELECT v FROM t WHERE id = 1"


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL) -> Iterator[Millrace]:
    with Millrace(postgres, {"AUTH_TYPE": "trust", "CACHE_DEFAULT_TTL_SECONDS": 3600, "POOL_MODE": "session"}) as server:
        with connect(server, user="app") as client:
            client.ask(query("SELECT 1 FROM events WHERE id = 1"))
        eventually(lambda: is_live(server) and stream(server)["settled"])
        with connect(server, user="app") as client:
            eventually(lambda: is_hit(client, "SELECT 1 FROM events WHERE id = 1"))
        yield server


@pytest.fixture(autouse=True)
def rows(postgres: PostgreSQL) -> None:
    postgres.admin(ROWS)


def said(client: Client, text: str) -> dict[str, str]:
    return dict(client.rows(f"EXPLAIN (MILLRACE) {text}"))


def is_hit(client: Client, text: str) -> bool:
    client.ask(query(text))
    return said(client, text)["decision"] == "hit"


def is_known_as_from_before(client: Client, text: str) -> bool:
    """Up to then, for a second or two, sessions share what they are answered."""
    return said(client, text).get("reason") == "server_state"


def begun(millrace: Millrace, setting: str, value: str, text: str = "", user: str = "app") -> Client:
    """A client whose session began with that value, and which is answered `text` from memory, once Millrace knows how sessions begin."""
    clients: list[Client] = []

    def is_there() -> bool:
        for one in clients:
            one.close()
        clients[:] = [connect(millrace, user=user)]
        return clients[0].one(f"SHOW {setting}") == value and (not text or is_hit(clients[0], text))

    eventually(is_there)
    return clients[0]


def new_ones_have(millrace: Millrace, setting: str, value: str, read: str, answer: str, user: str = "app") -> bool:
    """A new session begins with that value, and is answered this from memory."""
    with connect(millrace, user=user) as client:
        return client.one(f"SHOW {setting}") == value and is_hit(client, read) and client.one(read) == answer


def test_a_roles_search_path(millrace: Millrace, postgres: PostgreSQL) -> None:
    postgres.admin("ALTER ROLE app SET search_path = one")
    with begun(millrace, "search_path", "one", READ) as before:
        postgres.admin("ALTER ROLE app SET search_path = two")
        eventually(lambda: new_ones_have(millrace, "search_path", "two", READ, "two"))
        eventually(lambda: is_known_as_from_before(before, READ))
        assert before.one("SHOW search_path") == "one"
        assert [before.one(READ) for _ in range(3)] == ["one"] * 3
        postgres.admin("UPDATE one.t SET v = 'changed'")
        assert before.one(READ) == "changed"


def test_a_roles_time_zone(millrace: Millrace, postgres: PostgreSQL) -> None:
    read = "SELECT at FROM public.events WHERE id = 1"
    postgres.admin("ALTER ROLE app SET TimeZone = 'UTC'")
    with begun(millrace, "TimeZone", "UTC", read) as before:
        postgres.admin("ALTER ROLE app SET TimeZone = 'Asia/Tokyo'")
        eventually(lambda: new_ones_have(millrace, "TimeZone", "Asia/Tokyo", read, "2026-01-01 09:00:00+09"))
        eventually(lambda: is_known_as_from_before(before, read))
        assert [before.one(read) for _ in range(3)] == ["2026-01-01 00:00:00+00"] * 3


def test_a_roles_isolation(millrace: Millrace, postgres: PostgreSQL) -> None:
    read = "SELECT at FROM public.events WHERE id > 0"
    postgres.admin("ALTER ROLE app SET default_transaction_isolation = 'repeatable read'")

    with begun(millrace, "transaction_isolation", "repeatable read") as before:
        before.ask(query("BEGIN; SELECT 1 FROM public.events WHERE id > -5"))
        postgres.admin("ALTER ROLE app RESET default_transaction_isolation")

        def new_ones_differ() -> bool:
            with connect(millrace, user="app") as client:
                return client.one("SHOW transaction_isolation") == "read committed" and is_hit(client, read)

        eventually(new_ones_differ)
        postgres.admin("UPDATE events SET at = '2030-01-01 00:00+00'")
        with connect(millrace, user="app") as client:
            eventually(lambda: str(client.one(read)).startswith("2030"))
        old = before.one(f"{read} AND 1 = 1")
        assert str(old).startswith("2026"), "as its snapshot has it"
        before.ask(query("COMMIT"))
    with connect(millrace, user="app") as client:
        assert [str(client.one(f"{read} AND 1 = 1"))[:4] for _ in range(3)] == ["2030"] * 3


def test_a_change_that_isnt_committed_yet(millrace: Millrace, postgres: PostgreSQL) -> None:
    read = f"{READ} AND 2 = 2"
    postgres.admin("ALTER ROLE app SET search_path = one")
    with begun(millrace, "search_path", "one", READ), connect(millrace, user="app") as writer:
        writer.ask(query("BEGIN; ALTER ROLE app SET search_path = two"))
        with connect(millrace, user="app") as between:
            assert between.one("SHOW search_path") == "one"
            writer.ask(query("COMMIT"))
            assert between.one(read) == "one"
            eventually(lambda: new_ones_have(millrace, "search_path", "two", read, "two"))
            assert between.one(read) == "one"
            postgres.admin("UPDATE one.t SET v = 'changed'")
            assert between.one(read) == "changed"


def test_what_concerns_others_or_no_answer(millrace: Millrace, postgres: PostgreSQL) -> None:
    """A tenant is made, another role's path is changed, and this one's time-out: who is connected is answered from memory as before."""
    read = "SELECT at FROM events WHERE id = 1"
    with begun(millrace, "search_path", '"$user", public', read, user="ada") as before:
        postgres.admin("CREATE ROLE tenant LOGIN SUPERUSER; ALTER ROLE tenant SET search_path = one; ALTER ROLE ada SET statement_timeout = '50s'")
        eventually(lambda: new_ones_have(millrace, "search_path", "one", READ, "one", user="tenant"))
        eventually(lambda: new_ones_have(millrace, "statement_timeout", "50s", read, before.one(read), user="ada"))
        assert is_hit(before, read)
        postgres.admin("ALTER ROLE tenant SET search_path = two")
        eventually(lambda: new_ones_have(millrace, "search_path", "two", READ, "two", user="tenant"))
        eventually(lambda: is_hit(before, read))
    postgres.admin("DROP ROLE tenant")
