"""The application's name follows the client, whichever server connection it has."""

import pytest
from wire import connect, query

from harness import Millrace, PostgreSQL

PID = "SELECT pg_backend_pid()"
SEEN = "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"


def test_clients_with_other_names_share_a_server_connection(postgres: PostgreSQL) -> None:
    with Millrace(postgres, {"POOL_MODE": "transaction", "POOL_SIZE": 1}) as millrace:
        with connect(millrace, application_name="one") as one, connect(millrace, application_name="two") as two, connect(millrace) as none:
            pids = {client.one(PID) for _ in range(3) for client in (one, two, none)}
            assert len(pids) == 1
            for _ in range(2):
                for client, name in ((one, "one"), (two, "two"), (none, "")):
                    assert client.one(SEEN) == name
                    assert client.parameters["application_name"] == name


def test_sessions_with_other_names_share_a_server_connection(postgres: PostgreSQL) -> None:
    with Millrace(postgres, {"POOL_MODE": "session", "POOL_SIZE": 1}) as millrace:
        pids = set()
        for name in ("one", "two", "one"):
            with connect(millrace, application_name=name) as client:
                assert client.one(SEEN) == name
                pids.add(client.one(PID))
        assert len(pids) == 1


@pytest.mark.parametrize("name", ["", "it's", "back\\slash", "it's a \\'", "x" * 63, "x" * 70, "päckchen", "tab\there", "a; DROP TABLE b --"])
@pytest.mark.parametrize("options", [{}, {"options": "-c standard_conforming_strings=off"}])
def test_any_name(postgres: PostgreSQL, proxy: object, name: str, options: dict[str, str]) -> None:
    seen = []
    for server in (postgres, proxy):
        with connect(server, application_name=name, **options) as client:
            seen.append((client.parameters["application_name"], client.one("SHOW application_name"), client.one(SEEN)))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("reset", ["RESET application_name", "RESET ALL", "DISCARD ALL", "SET application_name TO DEFAULT",
                                   "SET application_name = 'other'", "BEGIN; RESET ALL; COMMIT", "RESET ALL; SET application_name = 'last'"])  # fmt: skip
def test_a_reset_goes_back_to_the_clients_own(postgres: PostgreSQL, proxy: object, reset: str) -> None:
    seen = []
    for server in (postgres, proxy):
        with connect(server, application_name="mine") as client, connect(server, application_name="another's") as other:
            if "; RESET" in reset:
                for part in reset.split("; "):
                    client.ask(query(part))
            else:
                client.ask(query(reset))
            assert other.one("SHOW application_name") == "another's"
            seen.append((client.one("SHOW application_name"), client.parameters["application_name"]))
    assert seen[0] == seen[1]
