"""SHOW millrace.token and millrace.after: what one session knows, carried to another by the application."""

from collections.abc import Iterator

import pytest
import test_consistency
from test_change_stream import LOGICAL, hits
from test_consistency import SETTINGS, at, begin, facts, is_kept, value
from wire import FLUSH, SYNC, Client, Message, bind, close, connect, describe, execute, parse, query

from harness import Millrace, PostgreSQL

POSTGRESQL, SCHEMA = LOGICAL, test_consistency.SCHEMA


@pytest.fixture(scope="module", params=["transaction", "session"])
def millrace(postgres: PostgreSQL, request: pytest.FixtureRequest) -> Iterator[Millrace]:
    with Millrace(postgres, {**SETTINGS, "POOL_MODE": request.param}) as server:
        begin(server)
        yield server


def token(client: Client) -> str:
    return str(client.one("SHOW millrace.token"))


@pytest.mark.parametrize("level", ["eventual", "session"])
def test_what_was_committed_when_it_was_made_is_seen(millrace: Millrace, postgres: PostgreSQL, level: str) -> None:
    with connect(postgres) as direct, at(millrace, level) as asks, at(millrace, level) as client:

        def by_option(made: str) -> str | None:
            with connect(millrace, options=f"-c millrace.consistency={level} -c millrace.after={made}") as other:
                return other.one(value(7))

        def by_comment(made: str) -> str | None:
            return client.one(f"/* millrace: after={made} */ {value(7)}")

        def by_setting(made: str) -> str | None:
            client.ask(query(f"SET millrace.after = '{made}'"))
            return client.one(value(7))

        ways = [by_option, by_comment, by_setting]
        is_kept(millrace, client, value(7))
        for step in range(1, 91):
            client.one(value(7))
            direct.ask(query(f"UPDATE t SET v = {step} WHERE id = 7"))  # the change stream may not have told it yet
            assert ways[step % len(ways)](token(asks)) == str(step)
        old = token(asks)
        before = hits(millrace)
        for _ in range(50):
            by_comment(old)
        assert hits(millrace) >= before + 25, "an old moment is proved for ever"


@pytest.mark.parametrize("foreign", ["0123456789abcdef-7", "0/16B3748", "now", "", "f" * 10_000])
def test_what_is_no_token_of_this_millrace_means_now(millrace: Millrace, postgres: PostgreSQL, foreign: str) -> None:
    with connect(postgres) as direct, at(millrace, "eventual") as client:
        is_kept(millrace, client, value(8))
        for step in range(1, 21):
            direct.ask(query(f"UPDATE t SET v = {step} WHERE id = 8"))
            if foreign:
                assert client.one(f"/* millrace: after='{foreign}' */ {value(8)}") == str(step)
            else:
                with connect(millrace, options="-c millrace.consistency=eventual -c millrace.after=") as other:
                    assert other.one(value(8)) == str(step)


def test_it_is_answered_as_postgresql_answers_show(millrace: Millrace, postgres: PostgreSQL) -> None:
    with at(millrace) as client, connect(postgres) as direct:
        assert "-" in token(client)
        said = [client.ask(query(text)) for text in ("SHOW millrace.token", "show Millrace.Token", "/* a */ SHOW millrace.token;")]
        direct.ask(query("SET millrace.token = 'x'"))
        model = direct.ask(query("SHOW millrace.token"))
        for messages in said:
            assert [m.kind for m in messages] == [m.kind for m in model]
            assert messages[-2].body == model[-2].body
        batch = parse("SHOW millrace.token") + describe("S") + bind() + execute() + SYNC
        ours, theirs = client.ask(batch), direct.ask(batch)
        assert [m.kind for m in ours] == [m.kind for m in theirs]
        assert token(client) != token(client), "each is of its moment"
        # In a transaction that has failed, and with others in one text, it is for PostgreSQL, which doesn't know it.
        assert "42704" in str(client.ask(query("SHOW millrace.token; SELECT 1")))
        client.ask(query("BEGIN"))
        assert "-" in token(client)
        client.ask(query("SELECT 1/0"))
        assert "25P02" in str(client.ask(query("SHOW millrace.token")))
        client.ask(query("ROLLBACK"))
        assert "-" in token(client)


SHOW = "SHOW millrace.token"
BEGIN = parse("BEGIN") + bind() + execute()
ALONE = parse(SHOW) + bind() + describe("P") + execute()

CONVERSATIONS = {
    "behind BEGIN": [BEGIN + ALONE + SYNC, query("COMMIT")],
    "around COMMIT": [query("BEGIN"), ALONE + parse("COMMIT") + bind() + execute() + ALONE + SYNC],
    "among others": [parse("SELECT 1") + bind() + execute() + ALONE + parse("SELECT 2") + bind() + execute() + SYNC],
    "before an error": [ALONE + parse("SELECT 1/0") + bind() + execute() + ALONE + SYNC],
    "in a transaction that fails": [BEGIN + parse("SELECT 1/0") + bind() + execute() + SYNC, ALONE + SYNC, query(SHOW), query("ROLLBACK")],
    "before SET TRANSACTION": [BEGIN + ALONE + SYNC, query("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"), query("ROLLBACK")],
    "Flush": [ALONE + FLUSH + SYNC],
    "Flush, then a Query": [parse("SELECT 1") + bind() + execute() + FLUSH + query(SHOW)],
    "a portal with a name": [parse(SHOW) + bind(portal="p") + describe("P", "p") + execute("p", rows=1) + execute("p") + SYNC],
    "a name": [parse(SHOW, "a") + SYNC, describe("S", "a") + SYNC, BEGIN + describe("S", "a") + bind(statement="a") + execute() + SYNC, query("COMMIT")],
    "a name that is taken": [BEGIN + parse(SHOW, "a") + parse(SHOW, "a") + SYNC, query("ROLLBACK")],
    "without a name, later": [parse(SHOW) + SYNC, BEGIN + bind() + describe("P") + execute() + SYNC, query("COMMIT")],
    "closed": [parse(SHOW, "a") + close("S", "a") + bind(statement="a") + execute() + SYNC],
    "binary": [BEGIN + parse(SHOW) + bind(results=[1]) + describe("P") + execute() + SYNC, query("COMMIT")],
    "too many formats": [parse(SHOW) + bind(results=[1, 0]) + SYNC],
    "values": [parse(SHOW) + bind(["5"]) + execute() + SYNC, parse(SHOW, types=[23]) + describe("S") + bind(["5"]) + execute() + SYNC],
    "many times": [parse(SHOW) + (bind() + execute()) * 20 + SYNC],
}


@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("level", ["session", "none"])
def test_among_other_messages_it_is_answered_as_postgresql_answers_show(millrace: Millrace, postgres: PostgreSQL, name: str, level: str) -> None:
    def said(messages: list[Message]) -> list[tuple[str, bytes | str]]:
        return [(m.kind, m.sqlstate if m.kind == "E" else "" if m.kind == "D" else m.body) for m in messages]

    with at(millrace, level) as client, connect(postgres) as direct:
        direct.ask(query("SET millrace.token = 'x'"))  # so that PostgreSQL itself has one to show
        for messages in CONVERSATIONS[name]:
            ours, theirs = client.ask(messages), direct.ask(messages)
            assert said(ours) == said(theirs)


def test_among_other_messages_it_covers_what_is_committed_when_it_is_executed(millrace: Millrace, postgres: PostgreSQL) -> None:
    """Of a statement that is prepared once, too; by SQL as well, whose answer is PostgreSQL's own."""
    again = BEGIN + bind(statement="again") + execute() + SYNC
    with connect(postgres) as direct, at(millrace, "eventual") as asks, at(millrace, "eventual") as client:
        asks.ask(parse(SHOW, "again") + SYNC)
        is_kept(millrace, client, value(11))
        for step, batch in enumerate([BEGIN + ALONE + SYNC, again] * 20, 1):
            client.one(value(11))
            direct.ask(query(f"UPDATE t SET v = {step} WHERE id = 11"))
            [shown] = [m for m in asks.ask(batch) if m.kind == "D"]
            made = (shown.row[0] or b"").decode()
            assert made.split("-")[0] == token(asks).split("-")[0], "it is one of this Millrace, and will be old"
            assert client.one(f"/* millrace: after={made} */ {value(11)}") == str(step)
            asks.ask(query("COMMIT"))
            direct.ask(query(f"UPDATE t SET v = {-step} WHERE id = 11"))
            by_sql = asks.one("EXECUTE again") if step > 20 else asks.one(SHOW)
            assert client.one(f"/* millrace: after={by_sql} */ {value(11)}") == str(-step)


def test_reads_behind_it_in_a_transaction_are_answered_from_memory(millrace: Millrace) -> None:
    with at(millrace) as client:
        is_kept(millrace, client, value(12))
        client.ask(BEGIN + ALONE + SYNC)
        before = hits(millrace)
        for _ in range(20):
            assert client.one(value(12)) == "0"
        assert hits(millrace) > before


def test_without_the_stream_the_server_is_asked(postgres: PostgreSQL) -> None:
    settings = {**SETTINGS, "ENABLE_CHANGE_STREAM": "false", "CACHE_CONSISTENCY_LEVEL": "eventual"}
    with Millrace(postgres, settings) as millrace, at(millrace) as client, connect(postgres) as direct:
        is_kept(millrace, client, value(9))
        direct.ask(query("UPDATE t SET v = 5 WHERE id = 9"))
        made = token(client)
        assert client.one(value(9)) == "0"
        assert client.one(f"/* millrace: after={made} */ {value(9)}") == "5"
        assert facts(client, f"/* millrace: after={made} */ {value(9)}")["reason"] == "no_stream"


def test_with_caching_off_there_is_one_too(postgres: PostgreSQL) -> None:
    with Millrace(postgres, {**SETTINGS, "ENABLE_MULTI_LEVEL_CACHING": "false"}) as millrace, at(millrace) as client:
        assert "-" in token(client)
        assert client.one(f"/* millrace: after={token(client)} */ {value(10)}") == "0"
