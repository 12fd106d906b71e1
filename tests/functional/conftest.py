"""For the files that test answers from memory: a database with their tables, and a Millrace that answers from it.

Such a file says which tables in `TABLES`, as SQL, and in `SETTINGS` what its Millrace is told besides.
"""

from collections.abc import Iterator

import pytest
from random_reads import warm
from wire import Client, connect

from harness import Millrace, PostgreSQL


@pytest.fixture(scope="module")
def tables(postgres: PostgreSQL, request: pytest.FixtureRequest) -> None:
    """The file's, in the database `cached`."""
    postgres.admin("CREATE DATABASE cached")
    postgres.admin(request.module.TABLES, database="cached")


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL, tables: None, pool_mode: str, request: pytest.FixtureRequest) -> Iterator[Millrace]:
    settings = {"POOL_MODE": pool_mode, "CACHE_CONSISTENCY_LEVEL": "eventual", **request.module.SETTINGS}
    with Millrace(postgres, settings) as server:
        warm(server)
        yield server


@pytest.fixture
def client(millrace: Millrace) -> Iterator[Client]:
    with connect(millrace, database="cached") as one:
        yield one
