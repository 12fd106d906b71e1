"""For the files that test answers from memory: a database with their tables, and a Millrace that answers from it. For those
that test the Python package: it, installed, and where their Millrace is.

Of the former each says which tables in `TABLES`, as SQL, and in `SETTINGS` what its Millrace is told besides.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

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


@pytest.fixture(scope="session")
def python_package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The Python package, installed as people install it. Without the network, into a folder of its own, from a copy:
    building leaves files in the source."""
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(Path(__file__).resolve().parents[2] / "python", folder / "source")
    subprocess.run(
        ["/usr/bin/python3", "-m", "pip", "install", "--quiet", "--no-index", "--no-build-isolation", "--no-deps",
         "--root-user-action=ignore", "--target", folder / "installed", folder / "source"],
        check=True, timeout=90,
    )  # fmt: skip
    sys.path.insert(0, str(folder / "installed"))
    yield folder / "installed"
    sys.path.remove(str(folder / "installed"))


@pytest.fixture
def url(millrace: Millrace, python_package: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The file's Millrace, which is what the Python package asks unless it is told otherwise."""
    monkeypatch.setenv("MILLRACE_URL", millrace.http_url)
    monkeypatch.delenv("MILLRACE_API_KEY", raising=False)
    return millrace.http_url
