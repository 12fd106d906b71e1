#!/usr/bin/python3
"""Conversations at random, from a seed: had directly and through Millrace, what is heard must be the same.

    tests/functional/random_conversations.py --mode transaction --seed 7 --count 500 --pipelined
    tests/functional/random_conversations.py --mode transaction --replay 'Parse s1 "select 7"; S | Query "execute s1"'

A conversation that differs is reduced to its shortest form and printed with what was heard both ways; `--seed N --count 1`
has it again. `--direct` goes to PostgreSQL twice, which shows what the comparison itself gets wrong.
"""

import argparse
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from compare_conversations import Comparison, Heard  # noqa: E402
from conversation_text import Conversation, Said, Step, conversation  # noqa: E402
from reduce_conversations import reduced  # noqa: E402

from harness import Millrace, PostgreSQL  # noqa: E402

# Statements by what they are about, each about one kind of thing. Any of them may be sent as a simple query, as a part
# of one, or by extended messages.
TEXTS: dict[str, tuple[str, ...]] = {
    "reads": ("select 7", "select 8", "select id from t order by id", "select v from t where id = 2", "", "select"),
    "parameters": ("select $1::int", "select v from t where id = $1", "update t set v = $1 where id = 1 returning id, v"),
    "writes": (
        "insert into t values (6, 'six')", "insert into t values (7, 'seven') returning id", "delete from t where id = 6",
        "update t set v = v || '+' where id < 3", "delete from t where id = 7 returning id",
    ),
    "errors": ("select 1/0", "selec", "select * from missing", "insert into t values (1, 'again')", "select 'x'::int"),
    "transactions": ("begin", "commit", "rollback", "begin isolation level serializable", "commit and chain", "start transaction read only"),
    "savepoints": ("begin", "commit", "savepoint a", "rollback to a", "release a", "savepoint b", "rollback to b"),
    "settings": (
        "set work_mem = '2MB'", "set local work_mem = '3MB'", "show work_mem", "reset work_mem", "reset all",
        "set application_name = 'mine'", "show application_name", "reset application_name", "set work_mem = 'much'", "set no_such = 1",
        "select set_config('work_mem', '6MB', true)",
    ),
    "dates": (
        "set datestyle = 'German'", "set local datestyle = 'SQL, DMY'", "show datestyle", "select date '2001-02-03'",
        "select '01/02/2024'::date + 1", "reset datestyle", "set timezone = 'Asia/Tokyo'", "show timezone", "reset timezone",
        "select timestamptz '2001-02-03 00:00:00Z'", "set time zone local",
    ),
    "custom settings": ("set app.x = 'a'", "set local app.x = 'b'", "select current_setting('app.x', true)", "reset app.x", "show app.x"),
    "search path": ("set search_path = other, public", "set local search_path = other", "reset search_path", "show search_path", "select v from t where id = 1"),
    "PREPARE": ("prepare s1 as select 5", "prepare s2 as select 6", "prepare s1 as select missing"),
    "EXECUTE": ("execute s1", "execute s2", "execute s2(1)", "execute nobody"),
    "DEALLOCATE": ("deallocate s1", "deallocate s2", "deallocate all", "deallocate nobody"),
    "DISCARD": ("discard all", "discard plans", "discard sequences"),
    "DDL": ("create table made (a int)", "insert into made values (1)", "select * from made", "alter table made add b int default 2", "drop table made"),
    "sequences": ("select nextval('q'), currval('q')", "select nextval('q'), lastval()"),
    "currval later": ("select nextval('q') > 0", "select currval('q') > 0", "select lastval() > 0"),
    "cursors": ("begin", "commit", "declare c cursor for select id from t order by id", "fetch 2 from c", "move 1 in c", "close c"),
    "holdable cursors": ("declare h cursor with hold for select id from t order by id", "fetch 2 from h", "close h"),
    "temporary tables": ("create temp table own (a int)", "insert into own values (1)", "select * from own", "drop table own"),
    "COPY": ("copy (select id, v from t order by id) to stdout", "copy (select 10 / (3 - id) from t order by id) to stdout"),
}  # fmt: skip
_DATA = ("6\tsix\n", "8\teight\n9\tnine\n", "six\tsix\n", "1\tagain\n", "")
_VALUES = ("1", "2", "6", "x", None)
NAMES = ("s1", "s2", "")
PORTALS = ("", "", "p1", "p2")

# What a conversation is about is also seen from how its messages are put together, and from what becomes of them.
SHAPES = ("named", "portals", "several statements", "several Syncs", "skipped", "an error", "a taken name", "a failed transaction", "Flush", "an early end", "other client")


def kinds_of(talk: Conversation, direct: Heard) -> set[str]:
    """All kinds that a conversation is of, once it is known what the server said and what it skipped."""
    kinds = {_KIND_OF[part] for said in talk.said if said.sql is not None for part in said.sql.split("; ") if part in _KIND_OF}
    said = list(talk.said)
    if any(one.verb in ("Parse", "CloseStatement") and one.full()[0] for one in said):
        kinds.add("named")
    if any(one.verb in ("Bind", "BindBinary", "DescribePortal") and one.full()[0] or one.verb == "Execute" and any(one.full()) for one in said):
        kinds.add("portals")
    if any(one.verb == "Query" and ";" in str(one.sql) for one in said):
        kinds.add("several statements")
    if any(_ready(step) > 1 for step in talk.steps):
        kinds.add("several Syncs")
    if direct.skipped:
        kinds.add("skipped")
    if direct.says("ErrorResponse"):
        kinds.add("an error")
    if direct.says("'C': '42P05'"):
        kinds.add("a taken name")
    if direct.says("ReadyForQuery E"):
        kinds.add("a failed transaction")
    if any(one.verb == "Flush" for one in said):
        kinds.add("Flush")
    if any(one.verb in ("CopyIn", "CopyBatch") for one in said):
        kinds.add("COPY")
    if talk.steps[-1].ends:
        kinds.add("an early end")
    if any(step.rival for step in talk.steps):
        kinds.add("other client")
    return kinds


def _ready(step: Step) -> int:
    return sum(one.verb in ("Query", "CopyIn", "S") for one in step.said)


_KIND_OF = {text: kind for kind, texts in reversed(TEXTS.items()) for text in texts}


class Speaker:
    """Makes up one conversation. It is about a few kinds only, so that what belongs together meets.

    `without` names kinds that it isn't of. Without "skipped" it says little that fails, and only what is known to be
    prepared is used.
    """

    def __init__(self, seed: int, *, pipelined: bool = False, without: frozenset[str] = frozenset()) -> None:
        self.chance = random.Random(f"{seed} {pipelined}")
        self.pipelined = pipelined
        self.careful = "skipped" in without
        kinds = [kind for kind in TEXTS if kind not in without and not (self.careful and kind == "errors")]
        self.kinds = self.chance.sample(kinds, min(len(kinds), self.chance.randint(1, 4)))
        self.texts = sorted({text for kind in ["reads", *self.kinds] for text in TEXTS[kind]})
        if self.chance.random() < 0.5 and not self.careful and "errors" not in without:
            self.texts += ["select 1/0", "selec"]
        self.texts_of: dict[str, str] = {}  # as if no Parse failed; so some values are wrong

    def conversation(self) -> Conversation:
        steps = [self._step() for _ in range(self.chance.randint(2, 8))]
        if self.chance.random() < 0.06 and not self.careful:
            steps.append(self._ending())
        return Conversation(tuple(steps))

    def _step(self) -> Step:
        exchanges = self.chance.randint(2, 5) if self.pipelined else 1
        said = [one for _ in range(exchanges) for one in self._exchange()]
        return Step(tuple(said), self.chance.choices(("", "~use", "~hold"), (60, 20, 20))[0])

    def _ending(self) -> Step:
        said = [one for _ in range(self.chance.randint(0, 2)) for one in self._exchange()]
        if said and said[-1].verb == "S" and self.chance.random() < 0.5:
            said.pop()
        end = "X"
        if self.chance.random() < 0.3:  # what still runs is cancelled then: nothing is under way
            end, said = "Leave", [one for one in said if one.verb not in ("S", "Query", "CopyIn", "CopyBatch")]
        return Step((*said, Said(end)))

    def _exchange(self) -> list[Said]:
        ways: list[tuple[int, Callable[[], list[Said]]]] = [(30, self._query), (25, self._whole), (40, self._batch)]
        if "COPY" in self.kinds:
            ways.append((20, self._copy_in))
        ((_, way),) = self.chance.choices(ways, [weight for weight, _ in ways])
        return way()

    def _text(self) -> str:
        return self.chance.choice(self.texts)

    def _query(self) -> list[Said]:
        count = 1 if self.chance.random() < 0.75 else self.chance.randint(2, 4)
        return [Said("Query", ("; ".join(self._text() for _ in range(count)),))]

    def _whole(self) -> list[Said]:
        name = self.chance.choice(("", "", *NAMES))
        said = [*self._parsed(name), self._bind("", name)]
        if self.chance.random() < 0.5:
            said.append(Said("DescribePortal", ("",)))
        return [*said, Said("Execute"), Said("S")]

    def _batch(self) -> list[Said]:
        said = [one for _ in range(self.chance.randint(1, 4)) for one in self._some_messages()]
        end = "Flush" if not self.pipelined and self.chance.random() < 0.1 else "S"
        return [*said, Said(end)]

    def _some_messages(self) -> list[Said]:
        name, portal, dice = self.chance.choice(NAMES), self.chance.choice(PORTALS), self.chance.random()
        if self.careful:
            known = self.chance.choice(sorted(self.texts_of) or [name])
            if dice < 0.4 or known not in self.texts_of:
                return [*self._parsed(name), self._bind("", name), self._execute("")]
            if dice < 0.8:
                return [self._bind("", known), self._execute("")]
            return [Said("DescribeStatement", (known,))]
        if dice < 0.25:
            return [self._parse(name)]
        if dice < 0.40:
            return [self._bind(portal, name), self._execute(portal)]
        if dice < 0.60:
            return [self._parse(name), self._bind(portal, name), self._execute(portal)]
        if dice < 0.70:
            return [Said("CloseStatement", (name,))]
        if dice < 0.78:
            return [Said("DescribeStatement", (name,))]
        if dice < 0.84:
            return [self._execute(portal)]
        if dice < 0.88:
            return [Said("DescribePortal", (portal,))]
        if dice < 0.92:
            return [Said("ClosePortal", (portal,))]
        if dice < 0.96:
            return [self._parse("", "selec" if self.chance.random() < 0.5 else "select 1/0")]
        return [self._bind(portal, "nobody")]

    def _parsed(self, name: str) -> list[Said]:
        """Where nothing should fail, a name is free before it is taken."""
        free = [Said("CloseStatement", (name,))] if self.careful and name else []
        return [*free, self._parse(name)]

    def _parse(self, name: str, text: str | None = None) -> Said:
        text = self._text() if text is None else text
        # Executed by SQL, EXECUTE of itself ends when the stack is full, and what drops itself crashes PostgreSQL 15.
        # So does now and then a portal that is executed again when its plan is gone with a holdable cursor's.
        if (name and text.startswith(("execute", "deallocate", "discard"))) or text.startswith("declare h"):
            text = "select 7"
        self.texts_of[name] = text
        return Said("Parse", (name, text))

    def _bind(self, portal: str, statement: str) -> Said:
        count = self.texts_of.get(statement, "").count("$")
        if self.chance.random() < 0.03 and not self.careful:
            count += 1
        values = [self.chance.choice(_VALUES[:3] if self.careful else _VALUES) for _ in range(count)]
        return Said("BindBinary" if self.chance.random() < 0.1 else "Bind", (portal, statement, *values))

    def _execute(self, portal: str) -> Said:
        return Said("Execute", (portal, self.chance.choice((0, 0, 0, 1, 2))))

    def _copy_in(self) -> list[Said]:
        end = "done" if self.chance.random() < 0.8 else "fail"
        arguments = ("copy t from stdin", self.chance.choice(_DATA), end)
        return [Said("CopyIn", arguments)] if self.chance.random() < 0.6 else [Said("CopyBatch", arguments), Said("S")]


def make(seed: int, *, pipelined: bool = False, without: frozenset[str] = frozenset()) -> Conversation:
    return Speaker(seed, pipelined=pipelined, without=without).conversation()


POOL_SIZE = {"session": 1, "transaction": 2}


@contextmanager
def comparison(mode: str, *, binary: Path | None = None, direct: bool = False) -> Iterator[Comparison]:
    """With servers of its own. A pool that one client can exhaust in session mode, and two in transaction mode."""
    settings = {"POOL_MODE": mode, "POOL_SIZE": POOL_SIZE[mode], "LOG_CONNECTIONS": "false"}
    with PostgreSQL() as postgres:
        if direct:
            with Comparison(postgres, postgres, mode=mode) as compared:
                yield compared
            return
        with Millrace(postgres, settings, binary=binary) as millrace, Comparison(postgres, millrace, mode=mode) as compared:
            yield compared


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=("session", "transaction"), default="transaction", help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the first conversation's; the next have the next (default: %(default)s)")
    parser.add_argument("--count", type=int, default=100, help="(default: %(default)s)")
    parser.add_argument("--pipelined", action="store_true", help="several Syncs in a write")
    parser.add_argument("--replay", metavar="TEXT", help="a conversation in its text form")
    parser.add_argument("--direct", action="store_true", help="PostgreSQL instead of Millrace")
    parser.add_argument("--no-reduce", action="store_true", help="print what differs as it was made")
    options = parser.parse_args()
    differ = 0
    with comparison(options.mode, direct=options.direct) as compared:
        if options.replay:
            outcome = compared.compare(conversation(options.replay))
            print(outcome)
            sys.exit(not outcome.equal)
        for seed in range(options.seed, options.seed + options.count):
            outcome = compared.compare(make(seed, pipelined=options.pipelined))
            if not outcome.equal:
                differ += 1
                print(f"seed {seed}: {outcome if options.no_reduce else reduced(compared, outcome)}", flush=True)
    print(f"{options.count - differ} of {options.count} equal")
    sys.exit(differ > 0)


if __name__ == "__main__":
    main()
