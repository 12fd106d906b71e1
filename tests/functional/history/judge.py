"""Which reads break the promise of their session's level, by what was acknowledged before they were sent.

What isn't certain is never held against a read: a write counts as seen by others from the moment at which its writer heard
of the commit, and as visible from the moment at which its commit was sent.
"""

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass

from .record import NO_ROW, NOT_READ, History, Outcome, Read, Session, Write

KEEPS_ORDER = ("session", "read_after_write", "strong")


@dataclass(frozen=True)
class Violation:
    level: str
    rule: str
    text: str
    late_ns: int  # for how long it should have been seen; 0: that isn't the question
    at: int


class Acknowledged:
    """The versions of a register that were acknowledged, by when."""

    def __init__(self, writes: list[Write], *, through_millrace: bool = False) -> None:
        self._moments: list[int] = []
        self._versions: list[int] = []
        for version, write in enumerate(writes):
            if write.outcome == Outcome.committed and (not through_millrace or write.session or version == 0):
                self._moments.append(write.acknowledged)
                self._versions.append(version)

    def before(self, moment: int) -> int:
        """The last one; 0, with which a register begins, if there is none."""
        at = bisect_left(self._moments, moment)
        return self._versions[at - 1] if at else 0


class Seen:
    """What a session was shown."""

    def __init__(self) -> None:
        self.versions: dict[int, int] = defaultdict(int)  # of each register
        self.moment = 0  # whatever it was shown last was committed after this one


class Judge:
    def __init__(self, history: History) -> None:
        self.history = history
        self.violations: list[Violation] = []
        self.reads: dict[str, int] = defaultdict(int)
        self._acknowledged = {register: Acknowledged(writes) for register, writes in history.writes.items()}
        self._through = {register: Acknowledged(writes, through_millrace=True) for register, writes in history.writes.items()}
        self._own: dict[tuple[int, int], Acknowledged] = {}
        self._seen: dict[int, Seen] = defaultdict(Seen)
        # Of each writer: when its transactions began and ended in which it reads, and their versions.
        self._inside: dict[tuple[int, int], list[tuple[int, int, int]]] = defaultdict(list)
        for register, writes in history.writes.items():
            for version, write in enumerate(writes):
                if write.ended:
                    self._inside[write.session, register].append((write.began, write.ended, version))
            for session in {write.session for write in writes} - {0}:
                own = [write if write.session == session else write._replace(outcome=Outcome.unknown) for write in writes]
                self._own[session, register] = Acknowledged(own)

    def all(self) -> "Judge":
        for reads in self.history.reads:
            for read in reads:
                self.one(read)
        return self

    def one(self, read: Read) -> None:
        """In the order of their session."""
        session = self.history.sessions[read.session]
        self.reads[session.level] += 1
        versions = [version for version in (read.first, read.second) if version != NOT_READ]
        if (own := self._in_own_transaction(read)) is not None:
            if any(version != own for version in versions):
                self._add(read, session, "own_writes", f"saw {versions} in the transaction that had written {own}", own)
            return
        if not all(self._existed(read, session, version) for version in versions):
            return
        if len(versions) == 2 and versions[0] != versions[1]:
            self._add(read, session, "one_snapshot", f"one statement saw {versions[0]} in one table and {versions[1]} in the other")
        writes, seen = self.history.writes[read.register], self._seen[read.session]
        version = min(versions)
        for rule, needed, why in self._needs(read, session, seen):
            if version < needed:
                late = read.sent - writes[needed].acknowledged if writes[needed].acknowledged else 0
                self._add(read, session, rule, f"saw {version}, but {needed} {why}", needed, late)
                break
        newest = max(versions)
        seen.versions[read.register] = max(seen.versions[read.register], newest)
        seen.moment = max(seen.moment, writes[newest].sent)

    def _needs(self, read: Read, session: Session, seen: Seen) -> list[tuple[str, int, str]]:
        """By rule: what must have been seen, and why."""
        register, level = read.register, session.level
        acknowledged = self._acknowledged[register]
        needs = []
        if own := self._own.get((read.session, register)):
            needs.append(("own_writes", own.before(read.sent), "had been written by the session itself"))
        if level in KEEPS_ORDER:
            needs.append(("monotonic", seen.versions[register], "had been seen by the session before"))
            needs.append(("causal", acknowledged.before(seen.moment), "was acknowledged before something that the session had seen was committed"))
        if level == "read_after_write":
            needs.append(("user_writes", self._through[register].before(read.sent), "had been acknowledged to the user, through Millrace"))
        if level == "strong":
            needs.append(("committed", acknowledged.before(read.sent), "had been acknowledged"))
        if level == "bounded":
            needs.append(("bound", acknowledged.before(read.sent - session.bound_ms * 1_000_000), f"had been acknowledged {session.bound_ms} ms before"))
        return needs

    def _in_own_transaction(self, read: Read) -> int | None:
        """The version that the session itself has written and not committed yet."""
        all_of_it = self._inside.get((read.session, read.register), [])
        at = bisect_left(all_of_it, (read.sent,)) - 1
        return all_of_it[at][2] if at >= 0 and read.received <= all_of_it[at][1] else None

    def _existed(self, read: Read, session: Session, version: int) -> bool:
        writes = self.history.writes[read.register]
        if version == NO_ROW:
            self._add(read, session, "existed", "saw no row, and there always is one")
        elif version >= len(writes):
            self._add(read, session, "existed", f"saw {version}, which nobody has written")
        elif writes[version].outcome == Outcome.aborted:
            self._add(read, session, "existed", f"saw {version}, which was rolled back")
        elif writes[version].sent > read.received:
            self._add(read, session, "existed", f"saw {version} before its commit was asked for")
        else:
            return True
        return False

    def _add(self, read: Read, session: Session, rule: str, what: str, needed: int | None = None, late_ns: int = 0) -> None:
        lines = [f"{session.level}, {rule}: session {session.number} ({session.how}) {what} (register {read.register})"]
        lines.append(f"  read sent at {self._at(read.sent)}, answered at {self._at(read.received)}")
        writes = self.history.writes[read.register]
        for version in sorted({read.first, read.second, needed if needed is not None else NOT_READ} & set(range(len(writes)))):
            write = writes[version]
            where = "through Millrace" if write.session else "at PostgreSQL"
            heard = f"acknowledged at {self._at(write.acknowledged)}" if write.acknowledged else "never acknowledged"
            lines.append(f"  {version}: {write.outcome.name}, {write.how} {where}, commit sent at {self._at(write.sent)}, {heard}")
        for event in [event for event in self.history.events if event.began < read.received][-2:]:
            lines.append(f"  before: {event.what} from {self._at(event.began)} to {self._at(event.ended)}")
        self.violations.append(Violation(session.level, rule, "\n".join(lines), late_ns, read.received))

    def _at(self, moment: int) -> str:
        return f"{moment / 1e9:.6f} s" if moment else "the beginning"


def shortest(violations: list[Violation], most: int = 3) -> list[str]:
    """Of each level and rule the first ones, the shortest first."""
    groups: dict[tuple[str, str], list[Violation]] = defaultdict(list)
    for violation in violations:
        groups[violation.level, violation.rule].append(violation)
    texts = []
    for (level, rule), group in sorted(groups.items()):
        texts.append(f"{level}, {rule}: {len(group)} reads; the first, and those that were told the latest news too late")
        chosen = [group[0], *sorted(group[1:], key=lambda violation: violation.late_ns, reverse=True)[: most - 1]]
        texts += [violation.text for violation in chosen]
    return texts
