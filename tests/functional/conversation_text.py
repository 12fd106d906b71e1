"""Conversations as values with a text form: `Parse s1 "select 7"; Bind "" s1; Execute; S | Query "select 1"`.

`;` stands between messages, `|` between steps; a step is what one write holds. A step may begin with what another client
does: `~use` (it uses a server connection before the step, and leaves what it can there), `~hold` (it keeps one during the
step). A message is a verb and arguments; those at the end that are as usual are left out.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import wire

Argument = str | int | None

# Each verb's arguments as usual. More may follow where a message takes any number.
VERBS: dict[str, tuple[Argument, ...]] = {
    "Query": ("",),
    "CopyIn": ("", "", "done"),  # a simple query's COPY FROM STDIN with its data: text, data, how it ends
    "CopyBatch": ("", "", "done"),  # the same by extended messages, under a name that nothing else uses
    "Parse": ("", ""),  # name, text
    "Bind": ("", ""),  # portal, statement; then values
    "BindBinary": ("", ""),  # the same, for results in binary form
    "DescribeStatement": ("",),
    "DescribePortal": ("",),
    "Execute": ("", 0),  # portal, row limit
    "CloseStatement": ("",),
    "ClosePortal": ("",),
    "Flush": (),
    "S": (),
    "X": (),  # Terminate
    "Leave": (),  # the end of the stream without a farewell
}
RIVALS = ("~use", "~hold")
ENDINGS = ("X", "Leave")
# A write ends with one of these, or its answers might not come.
LAST = ("Query", "CopyIn", "Flush", "S", *ENDINGS)
_COPY_NAME = "copying"


@dataclass(frozen=True)
class Said:
    """A message, or a few that only make sense together."""

    verb: str
    arguments: tuple[Argument, ...] = ()

    def full(self) -> tuple[Argument, ...]:
        return self.arguments + VERBS[self.verb][len(self.arguments) :]

    def parts(self) -> list["Said"]:
        """The single messages that a server answers."""
        if self.verb != "CopyBatch":
            return [self]
        sql = self.full()[0]
        return [
            Said("CloseStatement", (_COPY_NAME,)),
            Said("Parse", (_COPY_NAME, sql)),
            Said("Bind", (_COPY_NAME, _COPY_NAME)),
            Said("Execute", (_COPY_NAME,)),
        ]

    def raw(self) -> bytes:
        arguments = self.full()
        if self.verb == "CopyBatch":
            return b"".join(part.raw() for part in self.parts()) + _copied(arguments[1], arguments[2])
        match self.verb, *arguments:
            case "Query", str(sql):
                return wire.query(sql)
            case "CopyIn", str(sql), data, end:
                return wire.query(sql) + _copied(data, end)
            case "Parse", str(name), str(sql):
                return wire.parse(sql, name)
            case "Bind" | "BindBinary", str(portal), str(statement), *values:
                results = [1] if self.verb == "BindBinary" else []
                texts = [None if value is None else str(value) for value in values]
                return wire.bind(texts, portal=portal, statement=statement, results=results)
            case "DescribeStatement" | "DescribePortal", str(name):
                return wire.describe(self.verb[8], name)
            case "CloseStatement" | "ClosePortal", str(name):
                return wire.close(self.verb[5], name)
            case "Execute", str(portal), int(rows):
                return wire.execute(portal, rows)
            case ("Flush",):
                return wire.FLUSH
            case ("S",):
                return wire.SYNC
            case ("X",):
                return wire.TERMINATE
            case ("Leave",):
                return b""
        raise ValueError(f"not a message: {self}")

    @property
    def sql(self) -> str | None:
        at = {"Query": 0, "CopyIn": 0, "CopyBatch": 0, "Parse": 1}.get(self.verb)
        return None if at is None else str(self.full()[at])

    def with_sql(self, sql: str) -> "Said":
        at = 1 if self.verb == "Parse" else 0
        return Said(self.verb, (*self.full()[:at], sql, *self.full()[at + 1 :]))

    def __str__(self) -> str:
        arguments = list(self.arguments)
        usual = VERBS[self.verb]
        while arguments and len(arguments) <= len(usual) and arguments[-1] == usual[len(arguments) - 1]:
            arguments.pop()
        return " ".join([self.verb, *map(_word, arguments)])


@dataclass(frozen=True)
class Step:
    said: tuple[Said, ...]
    rival: str = ""

    def raw(self) -> bytes:
        return b"".join(one.raw() for one in self.said)

    @property
    def ends(self) -> bool:
        """Whether the client leaves with it."""
        return self.said[-1].verb in ENDINGS

    @property
    def is_sound(self) -> bool:
        return bool(self.said) and self.said[-1].verb in LAST and not any(one.verb in ENDINGS for one in self.said[:-1])

    def __str__(self) -> str:
        return (self.rival + " " if self.rival else "") + "; ".join(map(str, self.said))


@dataclass(frozen=True)
class Conversation:
    steps: tuple[Step, ...]

    @property
    def is_sound(self) -> bool:
        return all(step.is_sound for step in self.steps) and not any(step.ends for step in self.steps[:-1])

    @property
    def said(self) -> Iterator[Said]:
        return (one for step in self.steps for one in step.said)

    def __str__(self) -> str:
        return " | ".join(map(str, self.steps))


def conversation(text: str) -> Conversation:
    """Of its text form."""
    steps: list[Step] = []
    said: list[Said] = []
    words: list[Argument] = []
    rival = ""

    def end_message() -> None:
        if words:
            verb = str(words[0])
            if verb not in VERBS:
                raise ValueError(f"not a verb: {verb}")
            said.append(Said(verb, tuple(words[1:])))
            words.clear()

    for token in [*_tokens(text), "|"]:
        if token == ";":
            end_message()
        elif token == "|":
            end_message()
            steps.append(Step(tuple(said), rival))
            said, rival = [], ""
        elif token in RIVALS:
            rival = token
        else:
            words.append(_argument(token))
    read = Conversation(tuple(steps))
    if not read.is_sound:
        raise ValueError(f"a step must end with one of {', '.join(LAST)}, and only the last with an ending: {text}")
    return read


_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|~?\w+|[;|])')
_BARE = re.compile(r"[A-Za-z_]\w*")


def _tokens(text: str) -> Iterator[str]:
    at, text = 0, text.strip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found:
            raise ValueError(f"not understood: {text[at:]}")
        yield found[1]
        at = found.end()


def _argument(token: str) -> Argument:
    if token.startswith('"'):
        return str(json.loads(token))
    return None if token == "null" else int(token) if token.isdigit() else token


def _word(argument: Argument) -> str:
    if argument is None:
        return "null"
    if isinstance(argument, int) or (_BARE.fullmatch(argument) and argument != "null"):
        return str(argument)
    return json.dumps(argument, ensure_ascii=False)


def _copied(data: Argument, end: Argument) -> bytes:
    return wire.copy_data(str(data)) + (wire.COPY_DONE if end == "done" else wire.copy_fail("no more"))
