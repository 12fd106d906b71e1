"""The Python package in programs that fork, and that have many event loops, against a real Millrace."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import Millrace, PostgreSQL

# Of each program: the sockets that it has, and work for forked children.
COMMON = '''
import asyncio, gc, os, traceback
from millrace import get_query_optimization_engine, get_sync_query_optimization_engine

def sockets():
    found = set()
    for one in os.listdir("/proc/self/fd"):
        try:
            name = os.readlink(f"/proc/self/fd/{one}")
        except FileNotFoundError:  # the list's own
            continue
        if name.startswith("socket:"):
            found.add(name)
    return found

def text(who, number):  # long, so that the answer takes a while
    return f"SELECT {who}, {number}" + f" UNION SELECT {number}, x{who}" * 200

def in_children(*works):
    children = []
    for work in works:
        child = os.fork()
        if child == 0:
            try:
                work()
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * len(works)
'''

SYNCHRONOUS = '''
def ask(who, number=0):
    answer = get_sync_query_optimization_engine().analyze_query(text(who, number))
    assert answer.cache.key_fields["text"] == text(who, number), "another's answer"

def child(who):
    for number in range(25):
        ask(who, number)
    assert sockets() and not sockets() & own, "the parent's are closed here"

ask(0)
own = sockets()
assert len(own) == 1
in_children(*(lambda who=who: child(who) for who in (1, 2, 3, 4)))
ask(0)
assert sockets() == own, "the parent still has its connection"
'''

ASYNCHRONOUS = '''
async def ask(who, number=0):
    answer = await get_query_optimization_engine().analyze_query(text(who, number))
    assert answer.cache.key_fields["text"] == text(who, number), "another's answer"

async def ask_often(who):
    for number in range(25):
        await ask(who, number)

def child_with_the_parents_loop(who):
    before = sockets()
    for number in range(5):
        loop.run_until_complete(ask(who, number))
    assert len(sockets() - before) == 1, "a connection of its own"

loop = asyncio.new_event_loop()
loop.run_until_complete(ask(0))
own = sockets()
in_children(*(lambda who=who: asyncio.run(ask_often(who)) for who in (1, 2, 3, 4)))
in_children(lambda: child_with_the_parents_loop(5))
loop.run_until_complete(ask(0))
assert sockets() == own, "the parent still has its connection"
'''

EVENT_LOOPS = '''
async def ask():
    await asyncio.gather(*(get_query_optimization_engine().analyze_query(f"SELECT {number}") for number in range(3)))

def descriptors():
    return len(os.listdir("/proc/self/fd"))

asyncio.run(ask())
before = descriptors()
gc.disable()  # nothing is left to it
for _ in range(30):
    asyncio.run(ask())
    assert descriptors() == before
gc.enable()

def closed_rudely():
    loop = asyncio.new_event_loop()
    loop.run_until_complete(ask())
    loop.close()

for _ in range(30):
    closed_rudely()
asyncio.run(ask())
gc.collect()
assert descriptors() == before

async def ended_meanwhile():
    await ask()
    await get_query_optimization_engine().aclose()
    assert descriptors() == before + 3, "the loop's own"
    await ask()

asyncio.run(ended_meanwhile())
assert descriptors() == before
'''


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL) -> Iterator[Millrace]:
    with Millrace(postgres) as server:
        yield server


@pytest.mark.parametrize("program", [SYNCHRONOUS, ASYNCHRONOUS, EVENT_LOOPS], ids=["synchronous", "asynchronous", "event_loops"])
def test_a_program(program: str, url: str, python_package: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(python_package)}
    ran = subprocess.run(
        ["/usr/bin/python3", "-c", COMMON + program], env=environment, capture_output=True, text=True, timeout=150
    )
    assert (ran.returncode, ran.stderr) == (0, "")
