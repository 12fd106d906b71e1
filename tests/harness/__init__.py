"""Real servers for tests, benches and the demo: started on loopback, on free ports, each in a folder of its own.

    from harness import Millrace, PostgreSQL

    with PostgreSQL(auth="scram-sha-256") as postgres:
        with Millrace(postgres, {"POOL_MODE": "transaction"}) as millrace:
            print(millrace.psql("SELECT 1"))

Needs nothing but Debian's /usr/bin/python3. A server stops when its `with` block ends, or when the thread that
started it dies: start them from a thread that lives as long as they are needed.
"""

from .certificate import Certificate
from .millrace import Millrace, millrace_binary
from .pgbouncer import PgBouncer
from .postgresql import PostgreSQL
from .ports import free_port
from .redis import Redis
from .server import Server, ServerError
from .way import Way
from .wire import Wire

__all__ = [
    "Certificate",
    "Millrace",
    "PgBouncer",
    "PostgreSQL",
    "Redis",
    "Server",
    "ServerError",
    "Way",
    "Wire",
    "free_port",
    "millrace_binary",
]
