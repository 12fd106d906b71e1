"""Servers that the tests share: a PostgreSQL a test file, and what stands before it, in both pooling modes."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import Millrace, PgBouncer, PostgreSQL  # noqa: E402
from harness.wire import Wire  # noqa: E402

Through = Callable[..., Iterator[Wire]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--through", choices=("millrace", "pgbouncer", "direct"), default="millrace",
                     help="what the tests go through: PgBouncer shows what they can find, direct that they can pass")  # fmt: skip
    parser.addoption("--pool-mode", choices=("session", "transaction"), help="only the tests of that mode")


@pytest.fixture(scope="module")
def postgres(request: pytest.FixtureRequest) -> Iterator[PostgreSQL]:
    """Configured as the file says in `POSTGRESQL`; with what is in its `SCHEMA`, as SQL."""
    with PostgreSQL(config=getattr(request.module, "POSTGRESQL", {"max_prepared_transactions": 5})) as server:
        if schema := getattr(request.module, "SCHEMA", ""):
            server.admin(schema)
        yield server


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "pool_mode" in metafunc.fixturenames:
        only = metafunc.config.getoption("--pool-mode")
        metafunc.parametrize("pool_mode", [only] if only else ["session", "transaction"], indirect=True, scope="session")


@pytest.fixture(scope="session")
def pool_mode(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def through(request: pytest.FixtureRequest) -> Through:
    """through(postgres, POOL_MODE="transaction", POOL_SIZE=2): a context that gives the server to connect to."""
    kind = request.config.getoption("--through")

    @contextmanager
    def start(upstream: PostgreSQL, **settings: str | int) -> Iterator[Wire]:
        if kind == "direct":
            yield upstream
        elif kind == "pgbouncer":
            mode, size = str(settings.get("POOL_MODE", "session")), int(settings.get("POOL_SIZE", 20))
            with PgBouncer(upstream, pool_mode=mode, pool_size=size) as bouncer:
                yield bouncer
        else:
            with Millrace(upstream, settings) as millrace:
                yield millrace

    return start


@pytest.fixture(scope="module")
def proxy(postgres: PostgreSQL, pool_mode: str, through: Through) -> Iterator[Wire]:
    """One for the whole file and mode, with a pool that is small enough for connections to change hands."""
    with through(postgres, POOL_MODE=pool_mode, POOL_SIZE=8) as server:
        yield server
