"""Has a conversation directly and through Millrace, and compares what is heard."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from conversation_text import Conversation, Said, Step
from wire import SYNC, TERMINATE, Client, Gone, bind, close, connect, execute, parse, query

from harness.wire import Wire

# What a conversation finds.
CREATE = """
DROP SCHEMA IF EXISTS other CASCADE; CREATE SCHEMA other;
DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE other.t (id int PRIMARY KEY, v text);
DROP SEQUENCE IF EXISTS q; CREATE SEQUENCE q;
"""
_RESET = """
DELETE FROM t; INSERT INTO t SELECT n, 'row ' || n FROM generate_series(1, 5) n;
DELETE FROM other.t; INSERT INTO other.t VALUES (1, 'of another schema');
DROP TABLE IF EXISTS public.made, other.made; SELECT setval('q', 1, false)
"""
# What it leaves; not the sequence, whose values come and go without a transaction.
_LEFT = "SELECT id, v FROM t ORDER BY id; SELECT id, v FROM other.t ORDER BY id; SELECT to_regclass('public.made'), to_regclass('other.made')"
_BUSY = (
    "SELECT state, query FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    " AND state <> 'idle' AND application_name NOT IN ('rival', 'millrace')"
)
_RIVAL_SETTINGS = "SET application_name = 'rival'; SET datestyle = 'SQL, DMY'; SET timezone = 'America/New_York'; SET search_path = pg_catalog"

LOST, CLOSED, STRAY = "(no answer)", "(closed)", "(not what is owed)"


class Owed:
    """What the server owes, message by message; it also learns what the server skips after an error."""

    def __init__(self) -> None:
        self.skipped: list[Said] = []
        self._owed: deque[Said] = deque()
        self._skipping = False

    def send(self, step: Step) -> None:
        for one in (part for said in step.said for part in said.parts()):
            if self._skipping and one.verb != "S":
                self.skipped.append(one)
            else:
                self._skipping = False
                self._owed.append(one)
        self._pass_silent()

    @property
    def anything(self) -> bool:
        return bool(self._owed)

    def receive(self, kind: str) -> bool:
        """False if it isn't what is owed."""
        if kind in "NSA":
            return True
        if not self._owed:
            return False
        verb = self._owed[0].verb
        if kind == "E":
            if verb not in ("Query", "CopyIn", "S"):
                self._skip()
            return True
        last, before = {
            "Query": ("Z", "TDCIHdcG"), "CopyIn": ("Z", "TDCIHdcG"), "Parse": ("1", ""), "Bind": ("2", ""),
            "BindBinary": ("2", ""), "DescribeStatement": ("Tn", "t"), "DescribePortal": ("Tn", ""),
            "Execute": ("CIs", "DHdcG"), "CloseStatement": ("3", ""), "ClosePortal": ("3", ""), "S": ("Z", ""),
        }[verb]  # fmt: skip
        if kind in last:
            self._owed.popleft()
            self._pass_silent()
        return kind in last + before

    def _skip(self) -> None:
        self._owed.popleft()
        while self._owed and self._owed[0].verb != "S":
            self.skipped.append(self._owed.popleft())
        self._skipping = not self._owed

    def _pass_silent(self) -> None:
        while self._owed and self._owed[0].verb in ("Flush", "X", "Leave"):
            self._owed.popleft()


@dataclass
class Heard:
    steps: list[list[str]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)
    skipped: list[Said] = field(default_factory=list)

    def same_as(self, other: "Heard") -> bool:
        return (self.steps, self.left, self.unasked) == (other.steps, other.left, other.unasked)

    def says(self, part: str) -> bool:
        return any(part in line for step in self.steps for line in step)


@dataclass
class Outcome:
    conversation: Conversation
    direct: Heard
    through: Heard
    before: list[Conversation] = field(default_factory=list)  # what was had on the same server connections
    after: Conversation | None = None  # of these, the one that left what makes this one differ

    @property
    def equal(self) -> bool:
        return self.direct.same_as(self.through)

    @property
    def first_difference(self) -> tuple[str, str]:
        """What was heard where the two part, directly and through Millrace."""
        flat = [[line for step in heard.steps for line in [*step, "---"]] + heard.left + heard.unasked for heard in (self.direct, self.through)]
        for one, two in zip(*flat):
            if one != two:
                return one, two
        shorter = min(map(len, flat))
        return tuple((lines[shorter:] + ["(nothing)"])[0] for lines in flat)  # type: ignore[return-value]

    def __str__(self) -> str:
        if self.equal:
            return f"{self.conversation}\n    equal"
        shown = [f"{self.conversation}" + (f"\n    after another client's {self.after}" if self.after else "")]
        for name, heard in (("directly", self.direct), ("through", self.through)):
            told = " | ".join("; ".join(step) for step in heard.steps)
            shown.append(f"    {name + ':':<10}{told}")
        if self.direct.left != self.through.left:
            shown += [f"    left directly: {self.direct.left}", f"    left through:  {self.through.left}"]
        if self.through.unasked:
            shown.append(f"    unasked:  {self.through.unasked}")
        return "\n".join(shown)


def converse(client: Client, talk: Conversation, before: Callable[[Step], None], after: Callable[[Step], None]) -> Heard:
    """All steps."""
    heard, owed = Heard(), Owed()
    heard.skipped = owed.skipped
    for step in talk.steps:
        before(step)
        lines: list[str] = []
        heard.steps.append(lines)
        try:
            client.send(step.raw())
            if step.ends:
                lines += _ended(client, farewell=step.said[-1].verb == "X")
                return heard
            owed.send(step)
            while owed.anything:
                message = client.receive()
                lines.append(str(message))
                if not owed.receive(message.kind):
                    lines.append(STRAY)
                    return heard
        except TimeoutError:
            lines.append(LOST)
            return heard
        except (Gone, ConnectionError):
            lines.append(CLOSED)
            return heard
        finally:
            after(step)
    return heard


def _farewell(client: Client) -> list[str]:
    """What comes that nobody asked for."""
    try:
        client.send(TERMINATE)
        return [str(message) for message in client.until_closed()]
    except (TimeoutError, ConnectionError):
        return ["(not closed)"]


def _ended(client: Client, *, farewell: bool) -> list[str]:
    """Who leaves doesn't listen: only that the end is noticed."""
    if not farewell:
        client.socket.shutdown(1)
    try:
        client.until_closed()
        return ["(ended)"]
    except TimeoutError:
        return ["(not closed)"]


class ServerCrashed(Exception):
    """PostgreSQL itself crashes of this conversation, also directly: there is nothing to compare.

    PostgreSQL 15 uses freed memory in some of them, with portals that outlive their plans; whether it crashes is chance.
    """


class Comparison:
    """Both ways to one PostgreSQL; one conversation at a time."""

    def __init__(self, postgres: Wire, proxy: Wire, *, mode: str, seconds: float = 20.0) -> None:
        self.mode = mode
        self._postgres, self._proxy = postgres, proxy
        self._seconds = seconds
        self._admin = self._open_admin()
        self._recent: deque[Conversation] = deque(maxlen=12)  # had on these server connections, the newest last
        self._direct: Client | None = None
        self._rival: Client | None = None
        self._open_rival()

    def __enter__(self) -> "Comparison":
        return self

    def __exit__(self, *_: object) -> None:
        for client in (self._admin, self._rival, self._direct):
            if client:
                client.close()

    def hear_directly(self, talk: Conversation) -> Heard:
        """What PostgreSQL says, which tells what kind of conversation it is."""
        try:
            self._reset()
            return self._hear_directly(talk, self._seconds)
        except (Gone, OSError) as gone:
            self._recover()
            raise ServerCrashed(str(talk)) from gone

    def compare(self, talk: Conversation, *, seconds: float | None = None, direct: Heard | None = None) -> Outcome:
        """`direct` if it is known already."""
        try:
            return self._compare(talk, seconds, direct)
        except (Gone, OSError):
            self._recover()
            for _ in range(30):  # raises, if it is PostgreSQL's doing
                self.hear_directly(talk)
            raise

    def _compare(self, talk: Conversation, seconds: float | None, direct: Heard | None) -> Outcome:
        self._reset()
        patience = seconds or self._seconds
        if not direct:
            direct = self._hear_directly(talk, patience)
            self._reset()
        if self.mode == "session" and talk.steps[0].rival:
            self._use_a_session()
        through = self._hear_through(talk, patience)
        outcome = Outcome(talk, direct, through, list(self._recent))
        self._recent.append(talk)
        if through.says(LOST) or through.says(CLOSED):
            self.start_over()
        return outcome

    def _hear_directly(self, talk: Conversation, seconds: float) -> Heard:
        """In a session that is as new: that costs less than a new one, where DISCARD ALL makes one so."""
        client = self._direct or connect(self._postgres)
        self._direct = None
        client.socket.settimeout(seconds)
        heard = converse(client, talk, lambda step: None, lambda step: None)
        heard.left = self._left_by(talk)
        if talk.steps[-1].ends or heard.says(LOST) or heard.says(CLOSED) or "app." in str(talk):
            client.close()
            return heard
        client.ask(SYNC, query("ROLLBACK"), query("DISCARD ALL"), times=3)
        self._direct = client
        return heard

    def _hear_through(self, talk: Conversation, seconds: float) -> Heard:
        with connect(self._proxy) as client:
            client.socket.settimeout(seconds)
            heard = converse(client, talk, self._before, self._after)
            if not talk.steps[-1].ends and not heard.says(LOST) and not heard.says(CLOSED):
                heard.unasked = _farewell(client)
        heard.left = self._left_by(talk)
        return heard

    def _left_by(self, talk: Conversation) -> list[str]:
        settled = self._settled() if talk.steps[-1].ends else []
        return settled + [str(message) for message in self._admin.ask(query(_LEFT)) if message.kind == "D"]

    def _open_admin(self) -> Client:
        admin = connect(self._postgres, application_name="rival")
        admin.rows(f"SET client_min_messages = error; SET lock_timeout = 5000; {CREATE}")
        return admin

    # --- the other client ---

    def _open_rival(self) -> None:
        if self.mode == "transaction":
            self._rival = connect(self._proxy)
            self._rival.ask(query(_RIVAL_SETTINGS))

    def _before(self, step: Step) -> None:
        if self._rival and step.rival == "~hold":
            self._rival.ask(query("BEGIN; SELECT 'held'"))
        elif self._rival and step.rival == "~use":
            _use(self._rival)

    def _after(self, step: Step) -> None:
        if self._rival and step.rival == "~hold":
            self._rival.ask(query("COMMIT"))

    def _use_a_session(self) -> None:
        with connect(self._proxy) as other:
            other.ask(query(_RIVAL_SETTINGS))
            _use(other)
            other.send(TERMINATE)
            other.until_closed()

    # --- the server's state ---

    def _recover(self) -> None:
        """After the server has ended all its sessions."""
        for client in (self._admin, self._rival, self._direct):
            if client:
                client.close()
        self._rival = self._direct = None
        self._recent.clear()
        deadline = time.monotonic() + 30
        while True:
            try:
                self._admin = self._open_admin()
                self._open_rival()
                return
            except (Gone, OSError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def _reset(self) -> None:
        try:
            self._admin.rows(_RESET)
        except RuntimeError:  # a lock: something was left open
            self.start_over()
            self._admin.rows(_RESET)

    def _settled(self, seconds: float = 5.0) -> list[str]:
        """Waits for what those who left still have under way."""
        deadline = time.monotonic() + seconds
        while busy := self._admin.rows(_BUSY):
            if time.monotonic() > deadline:
                return [f"(left open: {busy})"]
            time.sleep(0.002)
        return []

    def start_over(self) -> None:
        """With new server connections."""
        for client in (self._rival, self._direct):
            if client:
                client.close()
        self._direct = None
        self._recent.clear()
        ended = "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        self._admin.rows(ended + " AND application_name <> 'millrace'")
        time.sleep(0.1)
        self._open_rival()


def _use(client: Client) -> None:
    """The names that conversations use, with other texts, and an error."""
    one = (close("S", "s1"), parse("select 'of the rival'", "s1"), bind(statement="s1"), execute(), parse("select 'too'"), SYNC)
    two = (close("S", "s2"), parse("select $1::text", "s2"), bind(["2"], portal="p1", statement="s2"), execute("p1"), SYNC)
    client.ask(*one)
    client.ask(*two)
    client.ask(query("select 1/0"))
