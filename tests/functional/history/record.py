"""What is written down of a run. All moments are of CLOCK_MONOTONIC, in ns: the same for all processes of a machine."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

LEVELS = ("eventual", "bounded", "session", "read_after_write", "strong")
NOT_READ = -1  # no version: the statement didn't ask for this row
NO_ROW = -2  # it did, and there was none


class Outcome(IntEnum):
    committed = 0
    aborted = 1
    unknown = 2  # nobody has heard of its end


class Write(NamedTuple):
    """A version that somebody tried to write. The first, 0, is there from the beginning."""

    how: str
    session: int  # through Millrace; 0: past it
    sent: int  # when what commits it was sent: nobody else sees it before
    acknowledged: int  # 0: it wasn't
    outcome: Outcome
    began: int = 0  # when its transaction began, of one in which the writer reads
    ended: int = 0


@dataclass(frozen=True)
class Session:
    """One connection: if it is lost, so is what it was promised."""

    number: int
    level: str
    bound_ms: int = 0  # of `bounded`
    how: str = ""  # what it says and where, for people


class Read(NamedTuple):
    session: int
    register: int
    question: int
    first: int  # the version in one table; NOT_READ, NO_ROW
    second: int  # and in the other
    sent: int
    received: int


class Reads:
    """A million of them take 56 MB."""

    def __init__(self) -> None:
        self._numbers = array("q")

    def add(self, read: Read) -> None:
        self._numbers.extend(read)

    def __len__(self) -> int:
        return len(self._numbers) // len(Read._fields)

    def __iter__(self) -> Iterator[Read]:
        """In the order in which they were added, which is that of each session."""
        width = len(Read._fields)
        for at in range(0, len(self._numbers), width):
            yield Read._make(self._numbers[at : at + width])


class Event(NamedTuple):
    """A fault, from its beginning to its end."""

    what: str
    began: int
    ended: int


@dataclass
class History:
    """Of a process, or of all of them."""

    sessions: dict[int, Session] = field(default_factory=dict)
    reads: list[Reads] = field(default_factory=list)  # one a process
    writes: dict[int, list[Write]] = field(default_factory=dict)  # of each register, by version
    events: list[Event] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # of the run itself

    def add(self, other: "History") -> None:
        self.sessions |= other.sessions
        self.reads += other.reads
        self.writes |= other.writes
        self.events += other.events
        self.problems += other.problems
