"""What a client hears through the proxy is what it hears directly, message by message, however its bytes are cut."""

import contextlib
import random
from collections.abc import Callable, Iterator

import pytest
from conversations import CONVERSATIONS, SETUP, Step
from wire import SYNC, Client, Gone, bind, connect, execute, lines, parse, query

from harness import PostgreSQL
from harness.wire import Wire

# A sliced conversation costs a packet a byte: those that are long are about something else.
_SLICED_LIMIT = 5000

# On a server connection that has not seen the statement yet, there is no old plan that could have changed.
_OF_ONE_CONNECTION = {"plan must not change result type"}

BeforeStep = Callable[[], contextlib.AbstractContextManager[None]]


def hear(client: Client, steps: list[Step], before_step: BeforeStep = contextlib.nullcontext) -> list[str]:
    heard: list[str] = []
    for step in steps:
        with before_step():
            client.send(step.messages)
            try:
                heard += lines(client.until(step.until, step.times))
            except Gone:
                return [*heard, "(closed)"]
        heard.append("---")
    return heard


@pytest.fixture(scope="module")
def heard_directly() -> dict[str, list[str]]:
    """What PostgreSQL itself says, by the steps; filled as it is needed."""
    return {}


@pytest.fixture
def expected(postgres: PostgreSQL, heard_directly: dict[str, list[str]], steps: list[Step]) -> list[str]:
    key = repr(steps)
    if key not in heard_directly:
        postgres.admin(SETUP)
        with connect(postgres) as client:
            heard_directly[key] = hear(client, steps)
    postgres.admin(SETUP)
    return heard_directly[key]


every_conversation = pytest.mark.parametrize("steps", CONVERSATIONS.values(), ids=CONVERSATIONS)
short_conversations = pytest.mark.parametrize(
    "steps",
    [
        pytest.param(steps, id=name)
        for name, steps in CONVERSATIONS.items()
        if sum(len(step.messages) for step in steps) <= _SLICED_LIMIT
    ],
)


@every_conversation
def test_whole(proxy: Wire, expected: list[str], steps: list[Step]) -> None:
    with connect(proxy) as client:
        assert hear(client, steps) == expected


@short_conversations
def test_a_packet_a_byte(proxy: Wire, expected: list[str], steps: list[Step]) -> None:
    with connect(proxy) as client:
        client.one_byte_at_a_time = True
        assert hear(client, steps) == expected


@pytest.mark.parametrize(
    "steps", [pytest.param(steps, id=name) for name, steps in CONVERSATIONS.items() if name not in _OF_ONE_CONNECTION]
)
def test_on_changing_server_connections(proxy: Wire, pool_mode: str, expected: list[str], steps: list[Step]) -> None:
    """Another client takes a server connection before every other step, by chance, so that the next one differs."""
    if pool_mode == "session":
        pytest.skip("a session keeps its connection")
    chance = random.Random(repr(steps))

    with connect(proxy) as rival, connect(proxy) as client:

        @contextlib.contextmanager
        def maybe_busy_elsewhere() -> Iterator[None]:
            busy = chance.random() < 0.5
            if busy:
                rival.ask(query("BEGIN; SELECT 1"))
            yield
            if busy:
                rival.ask(query("COMMIT"))

        heard = hear(client, steps, maybe_busy_elsewhere)
        if "currval" in repr(steps):
            # What nextval() left on another connection isn't there: PostgreSQL says so, never another client's value.
            assert heard == expected or any("is not yet defined in this session" in line for line in heard)
        else:
            assert heard == expected


def test_names_are_a_clients_own(proxy: Wire) -> None:
    with connect(proxy) as one, connect(proxy) as two:
        one.ask(parse("SELECT 'one'", "s"), SYNC)
        two.ask(parse("SELECT 'two'", "s"), SYNC)
        for client, own in [(one, b"one"), (two, b"two")] * 3:
            answer = client.ask(bind(statement="s"), execute(), SYNC)
            assert [message.row for message in answer if message.kind == "D"] == [[own]]
