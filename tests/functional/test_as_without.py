"""What clients do to each other, and at their end, is as without Millrace: each scenario runs at the server itself and
through Millrace, with one server connection for all clients of a scenario where they can share."""

import time
from collections.abc import Callable, Iterator

import pytest
from wire import FLUSH, SYNC, TERMINATE, Client, Message, bind, close, connect, copy_data, describe, execute, message, parse, query

from harness import PostgreSQL
from harness.wire import Wire


def told(messages: list[Message]) -> list[object]:
    """The rows, and what was refused."""
    return [list(one.row) if one.kind == "D" else one.sqlstate for one in messages if one.kind in "DE"]


def seen(client: Client, *messages: bytes) -> list[object]:
    return told(client.ask(*messages))


def after_its_end(server: Wire, client: Client, sql: str) -> list[object]:
    """What another client sees once the server has noticed this one's end."""
    client.close()
    time.sleep(0.3)
    with connect(server) as other:
        return seen(other, query(sql))


SCENARIOS: dict[str, Callable[[Wire], object]] = {}


def scenario(run: Callable[[Wire], object]) -> Callable[[Wire], object]:
    SCENARIOS[run.__name__] = run
    return run


COUNT = "SELECT count(*) FROM half"
HALF = [parse("INSERT INTO half VALUES (1)"), bind(), execute()]


@scenario
def a_batch_without_sync_then_goodbye(server: Wire) -> object:
    client = connect(server)
    client.send(*HALF, TERMINATE)
    return [one.kind for one in client.until_closed()], after_its_end(server, client, COUNT)


@scenario
def a_batch_without_sync_then_gone(server: Wire) -> object:
    client = connect(server)
    client.send(*HALF, FLUSH)
    answer = told(client.until("C"))
    client.reset()
    return answer, after_its_end(server, client, COUNT)


@scenario
def a_batch_without_sync_in_a_transaction(server: Wire) -> object:
    client = connect(server)
    client.ask(query("BEGIN"))
    client.send(*HALF, FLUSH)
    client.until("C")
    return after_its_end(server, client, COUNT)


@scenario
def a_whole_batch_and_half_of_the_next(server: Wire) -> object:
    client = connect(server)
    client.send(*HALF, SYNC, query("SELECT 2"), *HALF, TERMINATE)
    return told(client.until_closed()), after_its_end(server, client, COUNT)


@scenario
def answers_that_were_flushed_before_goodbye(server: Wire) -> object:
    with connect(server) as client:
        client.send(parse("SELECT 5"), bind(), execute(), FLUSH, *HALF, TERMINATE)
        return [one.kind for one in client.until_closed()]


@scenario
def half_of_a_copy_then_gone(server: Wire) -> object:
    client = connect(server)
    client.send(query("COPY half FROM STDIN"), copy_data("1\n"))
    client.until("G")
    return after_its_end(server, client, COUNT)


@scenario
def a_settings_text_is_read_as_its_client_wrote_it(server: Wire) -> object:
    with connect(server) as one, connect(server) as other:
        one.ask(query(r"SET app.name = '\''; CREATE TABLE injected(); --'"))
        other.ask(query("SET standard_conforming_strings = off"))
        return seen(one, query("SHOW app.name")), seen(one, query("SELECT to_regclass('injected')"))


@scenario
def a_settings_text_is_read_in_its_clients_encoding(server: Wire) -> object:
    with connect(server) as one, connect(server) as other:
        one.ask(query("SET app.name = 'é'"))
        other.ask(query("SET client_encoding = 'LATIN1'"))
        return seen(one, query("SHOW app.name"))


@scenario
def a_settings_text_from_before_the_encoding_changed(server: Wire) -> object:
    with connect(server) as one, connect(server) as other:
        one.ask(query("SET app.name = 'é'"))
        one.ask(query("SET client_encoding = 'LATIN1'"))
        one.ask(query(b"SET app.other = '\xe9'"))
        other.ask(query("SELECT 1"))
        name = "SELECT encode(convert_to(current_setting('{}'), 'UTF8'), 'hex')"
        return seen(one, query(name.format("app.name"))), seen(one, query(name.format("app.other")))


@scenario
def a_role_set_again(server: Wire) -> object:
    with connect(server) as one, connect(server) as other:
        for sql in ("SET ROLE limited", "SET ROLE NONE", "SET log_min_messages TO error", "SET ROLE limited"):
            one.ask(query(sql))
        other.ask(query("SELECT 1"))
        return seen(one, query("SHOW role")), seen(one, query("SHOW log_min_messages"))


@scenario
def date_style_set_step_by_step(server: Wire) -> object:
    with connect(server) as one, connect(server) as other:
        shown = []
        for style in ("ISO", "DMY", "SQL", "MDY", "ISO", "DMY", "German", "YMD"):
            one.ask(query(f"SET datestyle TO {style}"))
            other.ask(query("SELECT 1"))
            shown.append(seen(one, query("SHOW datestyle")))
        return shown


@scenario
def a_custom_setting_that_is_known_stays_known(server: Wire) -> object:
    with connect(server) as one, connect(server) as other:
        one.ask(query("BEGIN"), query("SET LOCAL app.known = 'a'"), query("COMMIT"), times=3)
        other.ask(query("SELECT 1"))
        return seen(one, query("SELECT current_setting('app.known')"))


@scenario
def a_custom_setting_of_a_do_block(server: Wire) -> object:
    client = connect(server)
    client.ask(query("DO $$BEGIN PERFORM set_config('app.done', '1', true); END$$"))
    return after_its_end(server, client, "SELECT current_setting('app.done', true)")


@scenario
def a_custom_setting_in_a_text_that_is_not_understood(server: Wire) -> object:
    client = connect(server)
    client.ask(query("SET standard_conforming_strings = off"))
    client.ask(query(r"SET app.dark = 'a\\b'"))
    return after_its_end(server, client, "SELECT current_setting('app.dark', true)")


@scenario
def an_unnamed_statement_keeps_its_meaning(server: Wire) -> object:
    with connect(server) as one, connect(server) as other:
        one.ask(parse("SET datestyle TO ISO, DMY", "style"), SYNC)
        one.ask(parse("SELECT '01/02/2024'::date::text"), SYNC)
        one.ask(bind(statement="style"), execute(), SYNC)
        other.send(query("SELECT 1"))  # it may have to wait
        time.sleep(0.1)
        return seen(one, bind(), execute(), SYNC)


@scenario
def fetch_prepared_on_another_cursor(server: Wire) -> object:
    with connect(server) as one, connect(server) as other:
        one.ask(query("BEGIN"), query("DECLARE c CURSOR FOR SELECT 1 AS a"), times=2)
        one.ask(parse("FETCH 1 FROM c", "f"), describe("S", "f"), SYNC)
        one.ask(query("COMMIT"))
        other.ask(parse("SELECT 1", "s"), SYNC)
        one.ask(query("BEGIN"), query("DECLARE c CURSOR FOR SELECT 'z'::text AS b"), times=2)
        return seen(one, bind(statement="f"), execute(), SYNC)


@scenario
def currval_behind_another_query(server: Wire) -> object:
    with connect(server) as one, connect(server) as other:
        one.ask(query("SELECT nextval('counted')"))
        return told(other.ask(query("SELECT 1"), query("SELECT currval('counted')"), times=2))


@scenario
def lastval_second_in_a_batch(server: Wire) -> object:
    with connect(server) as one, connect(server) as other:
        one.ask(query("SELECT nextval('counted')"))
        return seen(other, parse("SELECT 1"), bind(), execute(), parse("SELECT lastval()"), bind(), execute(), SYNC)


@scenario
def lastval_prepared_before(server: Wire) -> object:
    with connect(server) as one, connect(server) as other:
        other.ask(parse("SELECT lastval()", "last"), SYNC)
        one.ask(query("SELECT nextval('counted')"))
        return seen(other, bind(statement="last"), execute(), SYNC)


@scenario
def lastval_in_a_transaction_that_wrote(server: Wire) -> object:
    with connect(server) as one, connect(server) as other:
        one.ask(query("SELECT nextval('counted')"))
        other.ask(query("BEGIN"), query("INSERT INTO half VALUES (1)"), times=2)
        return seen(other, query("SELECT lastval()")), seen(other, query("ROLLBACK"))


@scenario
def currval_of_its_own(server: Wire) -> object:
    with connect(server) as one, connect(server) as other:
        one.ask(query("SELECT nextval('counted')"))
        other.ask(query("BEGIN"), query("SELECT nextval('counted')"), times=2)
        return seen(other, query("SELECT currval('counted') = (SELECT last_value FROM counted)"), query("COMMIT"))


@scenario
def a_statement_closed_and_prepared_again(server: Wire) -> object:
    with connect(server) as one, connect(server) as other:
        for client in (one, other):
            client.ask(parse("SELECT 1 AS x", "q"), describe("S", "q"), SYNC)
        with connect(server) as third:
            again = [parse("SELECT 1 AS x", "v"), bind(statement="v"), execute(), close("S", "v")]
            return [told(third.ask(*again, *again, SYNC)) for _ in range(3)]


@scenario
def a_name_that_a_failed_deallocate_leaves(server: Wire) -> object:
    with connect(server) as one:
        one.ask(parse("SELECT 7", "kept"), SYNC)
        answer = seen(one, query("DEALLOCATE nosuch; DEALLOCATE kept"))
    with connect(server) as other:
        return answer, seen(other, bind(statement="kept"), execute(), SYNC)


@scenario
def a_name_that_a_skipped_deallocate_leaves(server: Wire) -> object:
    with connect(server) as one:
        one.ask(parse("SELECT 7", "kept"), parse("DEALLOCATE kept", "drop"), SYNC)
        answer = seen(one, bind(statement="nosuch"), bind(statement="drop"), execute(), SYNC)
    with connect(server) as other:
        return answer, seen(other, bind(statement="kept"), execute(), SYNC)


@pytest.fixture(scope="module", params=["session", "transaction"])
def proxy(request: pytest.FixtureRequest, postgres: PostgreSQL, through) -> Iterator[Wire]:
    size = 1 if request.param == "transaction" else 4
    with through(postgres, POOL_MODE=request.param, POOL_SIZE=size, POOL_WAIT_TIMEOUT_SECONDS=5) as server:
        yield server


def prepare(postgres: PostgreSQL) -> None:
    postgres.admin(
        "DROP TABLE IF EXISTS half, injected; CREATE TABLE half (i int); DROP SEQUENCE IF EXISTS counted;"
        "CREATE SEQUENCE counted START 4711; DROP ROLE IF EXISTS limited; CREATE ROLE limited"
    )


@pytest.mark.parametrize("run", SCENARIOS.values(), ids=SCENARIOS)
def test_as_without(postgres: PostgreSQL, proxy: Wire, run: Callable[[Wire], object]) -> None:
    prepare(postgres)
    expected = run(postgres)
    prepare(postgres)
    assert run(proxy) == expected


def test_notifications_that_come_while_millrace_asks_for_itself(postgres: PostgreSQL, through) -> None:
    """RESET makes it set the client's application name again."""
    with through(postgres, POOL_MODE="session", POOL_SIZE=4) as server, connect(server, application_name="me") as listener:
        listener.ask(query("LISTEN told"))
        with connect(postgres) as speaker:
            heard = 0
            for number in range(300):
                speaker.send(query(f"NOTIFY told, '{number}'"))
                heard += sum(one.kind == "A" for one in listener.ask(query("RESET application_name"), query("SELECT 1"), times=2))
                speaker.until("Z")
        time.sleep(0.3)
        heard += sum(one.kind == "A" for one in listener.ask(query("SELECT 1"), query("SELECT 1"), times=2))
        assert heard == 300


def test_a_server_that_is_slow_to_take_a_copy(postgres: PostgreSQL, through) -> None:
    """The client isn't the one who is silent in the middle of a message."""
    postgres.admin(
        "DROP TABLE IF EXISTS slow; CREATE TABLE slow (t text); CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN IF NEW.t = 'first' THEN PERFORM pg_sleep(4); END IF; RETURN NEW; END$$;"
        "CREATE TRIGGER slow BEFORE INSERT ON slow FOR EACH ROW EXECUTE FUNCTION slow()"
    )
    settings = {"POOL_MODE": "transaction", "POOL_SIZE": 1, "CLIENT_MESSAGE_TIMEOUT_SECONDS": 1}
    with through(postgres, **settings) as server, connect(server) as client:
        client.send(query("COPY slow FROM STDIN"))
        client.until("G")
        client.send(copy_data("first\n"), *[copy_data("z" * 999999 + "\n")] * 20, message("c"))
        assert [one.kind for one in client.until()] == ["C", "Z"]
