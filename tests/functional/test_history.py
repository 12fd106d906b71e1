"""Readers are told what their level of consistency promises while servers break; and who judges that can tell."""

import sys
from pathlib import Path

import pytest
from history.judge import Judge, shortest
from history.record import LEVELS, NO_ROW, NOT_READ, History, Outcome, Read, Reads, Session, Write
from history.run import Plan, run

from harness import millrace_binary

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "bench"))
from without import OMISSIONS, leave_out  # noqa: E402

MS = 1_000_000
WRITER = 9


def judged(level: str, *reads: tuple[int, int, int], session: int = 1) -> list[str]:
    """The rules that reads break: (version in one table, in the other, when), of a register with known writes.

    Version n is committed between n and n + 0.5 seconds, 1 and 3 through Millrace; 2 is rolled back, the end of 4 isn't
    known, and 3 is the session WRITER's.
    """
    second = 1000 * MS
    done = Outcome.committed
    history = History(sessions={1: Session(1, level, 100), WRITER: Session(WRITER, level, 100)})
    history.writes[0] = [
        Write("", 0, 0, 0, done),
        Write("", 8, 1 * second, 1 * second + 500 * MS, done),
        Write("", 0, 2 * second, 0, Outcome.aborted),
        Write("", WRITER, 3 * second, 3 * second + 500 * MS, done, 2 * second + 700 * MS, 3 * second + 500 * MS),
        Write("", 0, 4 * second, 0, Outcome.unknown),
        Write("", 0, 5 * second, 5 * second + 500 * MS, done),
    ]
    history.writes[1] = [Write("", 0, 0, 0, done), Write("", 0, 1 * second, 1 * second + 100 * MS, done)]
    history.reads.append(Reads())
    for first, other, at in reads:
        # Below zero: a read of the other register, which is 1 from 1.1 s on.
        register = 1 if at < 0 else 0
        history.reads[0].add(Read(session, register, 0, first, other, abs(at) * MS, abs(at) * MS + MS))
    return [violation.rule for violation in Judge(history).all().violations]


@pytest.mark.parametrize("level", LEVELS)
def test_what_never_was_is_found_at_every_level(level: str) -> None:
    assert judged(level, (6, NOT_READ, 6000)) == ["existed"]
    assert judged(level, (NO_ROW, NOT_READ, 100)) == ["existed"]
    assert judged(level, (NOT_READ, 2, 2100)) == ["existed"]
    assert judged(level, (1, NOT_READ, 900)) == ["existed"]
    assert "one_snapshot" in judged(level, (0, 1, 1200))
    assert judged(level, (0, NOT_READ, 1100), (1, 1, 1200), (1, 1, 2100), (5, 5, 6000)) == []
    assert judged(level, (4, NOT_READ, 4100)) == [], "nobody knows"


@pytest.mark.parametrize("level", LEVELS)
def test_own_writes_are_found_to_be_missing_at_every_level(level: str) -> None:
    assert "own_writes" in judged(level, (1, NOT_READ, 3600), session=WRITER)
    assert "own_writes" in judged(level, (1, NOT_READ, 2800), session=WRITER)
    assert judged(level, (3, NOT_READ, 2800), (3, 3, 3600), session=WRITER) == []


def test_the_age_of_what_is_seen_is_found() -> None:
    late = (0, NOT_READ, 1501)
    assert judged("strong", late) == ["committed"]
    assert judged("read_after_write", late) == ["user_writes"]
    assert judged("read_after_write", (3, NOT_READ, 5600)) == [], "5 was written past Millrace"
    assert judged("bounded", late) == []
    assert judged("bounded", (0, NOT_READ, 1601)) == ["bound"]
    for level in ("eventual", "session"):
        assert judged(level, (0, NOT_READ, 6000)) == []


def test_time_that_runs_backwards_is_found() -> None:
    for level in ("session", "read_after_write", "strong"):
        assert "monotonic" in judged(level, (1, NOT_READ, 1200), (NOT_READ, 0, 1300))
    for level in ("session", "read_after_write"):
        assert "causal" in judged(level, (3, 3, 3600), (0, NOT_READ, -3700)), "the other register was 1 long before that"
    assert judged("eventual", (1, NOT_READ, 1200), (NOT_READ, 0, 1300)) == []


@pytest.mark.parametrize("name", OMISSIONS)
def test_what_the_bench_leaves_out_is_still_there(name: str, tmp_path: Path) -> None:
    file = tmp_path / OMISSIONS[name].file
    file.parent.mkdir(parents=True)
    before = (ROOT / "src" / OMISSIONS[name].file).read_text()
    file.write_text(before)
    leave_out(name, tmp_path)
    assert file.read_text() != before


def test_every_level_keeps_its_promise() -> None:
    faults = ("commits_are_hidden", "stream_is_delayed", "millrace_pauses", "stream_is_cut", "network_is_cut", "millrace_is_killed")
    plan = Plan(reads=0, least_seconds=8, most_seconds=20, calm_seconds=1, between=0.3, recovery=2, faults=faults, seed=7)
    verdict = run(plan, millrace_binary())
    assert not verdict.judge.violations, "\n".join(shortest(verdict.judge.violations))
    assert not verdict.history.problems, verdict.history.problems[:5]
    # That each level has some is shown by the bench, and by the tests of consistency: where a machine is slow, what takes a proof is
    # asked of the server.
    assert verdict.hits > 10, f"hardly any hits: {verdict.hits}, {verdict.calm_hits}"
    assert {event.what.replace(" ", "_") for event in verdict.history.events} == set(faults)
