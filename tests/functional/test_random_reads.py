"""Reads and writes at random: what is answered from memory is what PostgreSQL answers.

Seeded and bounded; random_reads.py by hand has more. MILLRACE_READS makes it longer.
"""

import os

import pytest
from random_reads import prepare, walk

from harness import Millrace, PostgreSQL

STEPS = 500
# Of walks that meet what transaction mode answers otherwise with or without the cache, see docs/pooling.md: the error of
# a statement whose tables the role may not read, and of one whose columns have changed.
SEEDS = [3, 5, 6, 10, 8, 9, 1, 4]
COUNT = int(os.environ.get("MILLRACE_READS", "3"))


@pytest.mark.parametrize("seed", SEEDS[:COUNT])
def test_answers_from_memory_are_those_of_the_server(postgres: PostgreSQL, pool_mode: str, seed: int) -> None:
    prepare(postgres)
    settings = {"POOL_MODE": pool_mode, "POOL_SIZE": 6, "CACHE_CONSISTENCY_LEVEL": "eventual"}
    with Millrace(postgres, settings) as millrace:
        had, differ, said = walk(postgres, millrace, seed, STEPS)
        hits = millrace.metric("statements_answered_from_memory_total")
    assert not differ, "\n".join([*said[-30:], *map(str, differ)])
    assert had == STEPS
    # In session mode a client that has called what may do anything isn't answered until it connects anew.
    assert hits > (STEPS / 50 if pool_mode == "transaction" else 3), "next to nothing was answered from memory, so the test would show nothing"
