"""Reduces a conversation that differs to its shortest form that still does."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from compare_conversations import LOST, Comparison, Outcome
from conversation_text import Conversation, Said, Step


def reduce(talk: Conversation, differs: Callable[[Conversation], bool], *, tries: int = 400, until: float = math.inf) -> Conversation:
    """The shortest form found that still differs: fewer steps, fewer messages, simpler messages."""
    left = tries
    again = True
    while again:
        again = False
        for shorter in _shorter(talk):
            if left == 0 or time.monotonic() > until:
                return talk
            if not shorter.steps or not shorter.is_sound:
                continue
            left -= 1
            if differs(shorter):
                talk, again = shorter, True
                break
    return talk


def _shorter(talk: Conversation) -> Iterator[Conversation]:
    """Candidates, those that leave out most first."""
    steps = talk.steps
    size = len(steps) // 2
    while size:
        for at in range(0, len(steps), size):
            yield Conversation(steps[:at] + steps[at + size :])
        size //= 2
    for at, step in enumerate(steps):
        for simpler in _simpler_steps(step):
            yield Conversation((*steps[:at], simpler, *steps[at + 1 :]))
    for at in range(len(steps) - 1):  # one Sync and one write less
        if steps[at].said[-1].verb == "S":
            joined = Step(steps[at].said[:-1] + steps[at + 1].said, steps[at].rival)
            yield Conversation((*steps[:at], joined, *steps[at + 2 :]))


def _simpler_steps(step: Step) -> Iterator[Step]:
    size = len(step.said) // 2
    while size:
        for at in range(0, len(step.said), size):
            yield replace(step, said=step.said[:at] + step.said[at + size :])
        size //= 2
    if step.rival:
        yield replace(step, rival="")
    if len(step.said) > 2 and step.said[0].verb == "Parse" and {"Parse", "S"}.isdisjoint(one.verb for one in step.said[1:-1]):
        yield replace(step, said=(Said("Query", (step.said[0].sql,)),))
    for at, said in enumerate(step.said):
        for simpler in _simpler_messages(said):
            yield replace(step, said=(*step.said[:at], simpler, *step.said[at + 1 :]))


def _simpler_messages(said: Said) -> Iterator[Said]:
    if said.sql is not None and said.verb == "Query":
        statements = said.sql.split("; ")
        if len(statements) > 1:
            for at in range(len(statements)):
                yield said.with_sql("; ".join(statements[:at] + statements[at + 1 :]))
    if said.sql is not None and said.verb in ("Query", "Parse") and said.sql != "select 7" and "select 7" not in said.sql:
        yield said.with_sql("select 7")
    if said.verb == "BindBinary":
        yield Said("Bind", said.arguments)
    if said.verb == "Execute" and said.full()[1]:
        yield Said("Execute", said.full()[:1])
    if said.verb in ("CopyIn", "CopyBatch") and said.full()[2] != "done":
        yield Said(said.verb, said.full()[:2])


def reduced(comparison: Comparison, outcome: Outcome, *, seconds: float = 3.0, tries: int = 300, until: float = math.inf) -> Outcome:
    """The outcome's conversation at its shortest, had once more."""
    for fresh in (False, True):  # what one try leaves may make the next one differ; fresh connections cost time
        last = _reduced(comparison, outcome, fresh=fresh, seconds=seconds, tries=tries // 5 if fresh else tries, until=until)
        if last and _differs(comparison, [last.conversation], seconds):
            return last
    return _with_what_came_before(comparison, outcome, seconds, until) or outcome


def _reduced(comparison: Comparison, outcome: Outcome, *, fresh: bool, seconds: float, tries: int, until: float) -> Outcome | None:
    last = _differs(comparison, [outcome.conversation], seconds)
    if not last:
        return None

    def differs(talk: Conversation) -> bool:
        nonlocal last
        tried = _differs(comparison, [talk], seconds, fresh=fresh)
        last = tried or last
        return tried is not None

    reduce(outcome.conversation, differs, tries=tries, until=until)
    return last


def _with_what_came_before(comparison: Comparison, outcome: Outcome, seconds: float, until: float) -> Outcome | None:
    """Who left what made it differ."""
    for earlier in reversed(outcome.before):
        if time.monotonic() < until and _differs(comparison, [earlier, outcome.conversation], seconds):
            last = outcome.conversation
            earlier = reduce(earlier, lambda talk: _differs(comparison, [talk, last], seconds) is not None, tries=40, until=until)
            last = reduce(last, lambda talk: _differs(comparison, [earlier, talk], seconds) is not None, tries=40, until=until)
            if found := _differs(comparison, [earlier, last], seconds):
                return replace(found, after=earlier)
    return None


def _differs(comparison: Comparison, talks: list[Conversation], seconds: float, *, fresh: bool = True) -> Outcome | None:
    """The last one's outcome, if it differs."""
    if fresh:
        comparison.start_over()
    for talk in talks:
        outcome = comparison.compare(talk, seconds=seconds)
    return None if outcome.equal or outcome.direct.says(LOST) else outcome
