"""What tests of turns in front of PostgreSQL share."""

import wire
from wire import connect, eventually, query

from harness import Millrace, PostgreSQL


class Gate:
    """A query that holds the only slot until it is opened; the module's SCHEMA has a table `gates`."""

    def __init__(self, postgres: PostgreSQL, millrace: Millrace) -> None:
        self.millrace = millrace
        self.keeper = connect(postgres)
        self.keeper.ask(query("BEGIN"))
        self.keeper.ask(query("LOCK TABLE gates IN ACCESS EXCLUSIVE MODE"))
        self.holder = connect(millrace)
        self.holder.send(query("SELECT 'gate' FROM gates"))
        eventually(lambda: millrace.metric("queries_running") == 1, what="the gate to be shut")

    def waiting(self, count: int) -> None:
        eventually(lambda: self.millrace.metric("queries_waiting") == count, what=f"{count} to wait")

    def open(self) -> None:
        self.keeper.close()

    def close(self) -> None:
        self.open()
        self.holder.close()


def error_of(answer: list[wire.Message]) -> dict[str, str]:
    (error,) = (one for one in answer if one.kind == "E")
    return error.fields
