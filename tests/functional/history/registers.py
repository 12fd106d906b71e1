"""The tables, and what is asked of them."""

from wire import SYNC, bind, execute, parse, query

from .record import NO_ROW, NOT_READ

ALONE = 12  # registers that are the only row of their tables
SHARED, ROWS = 2, 3  # pairs of tables, with rows of several registers: what is written to one leaves the others' answers fresh
REGISTERS = ALONE + SHARED * ROWS
FILLER = 400  # rows that a large transaction changes besides


def is_alone(register: int) -> bool:
    return register < ALONE


def table(register: int) -> int:
    """Both of its tables have the number in their names."""
    return register if is_alone(register) else ALONE + (register - ALONE) // ROWS


def row(register: int) -> int:
    return 1 if is_alone(register) else 1 + (register - ALONE) % ROWS


SCHEMA = "".join(
    f"CREATE TABLE a{number} (id int PRIMARY KEY, v bigint); CREATE TABLE b{number} (id int PRIMARY KEY, v bigint);"
    for number in range(ALONE + SHARED)
) + "".join(
    f"CREATE TABLE filler{register} (id int PRIMARY KEY, v bigint, t text);"
    f"INSERT INTO a{table(register)} VALUES ({row(register)}, 0); INSERT INTO b{table(register)} VALUES ({row(register)}, 0);"
    f"INSERT INTO filler{register} SELECT i, 0, repeat('x', 200) FROM generate_series(1, {FILLER}) i;"
    for register in range(REGISTERS)
)

# One statement each, by which both tables are read at once, or one of them; `where`: of whoever isn't alone.
QUESTIONS = (
    "SELECT v FROM a{table} WHERE id = {row}",
    "SELECT v FROM b{table} WHERE id = {row}",
    "SELECT a.v, b.v FROM a{table} a FULL JOIN b{table} b USING (id){where}",
    "SELECT v FROM a{table}{where} UNION ALL SELECT v FROM b{table}{where}",
    "SELECT sum(v), (SELECT max(v) FROM b{table}{where}) FROM a{table}{where}",
)
FIRST, SECOND = 0, 1
STYLES = ("simple", "extended", "prepared")


def statement(register: int, question: int) -> str:
    where = "" if is_alone(register) else f" WHERE id = {row(register)}"
    # Also where the writers make that not pay: what isn't answered from memory can't be wrong.
    return "/* millrace: cache=on */ " + QUESTIONS[question].format(table=table(register), row=row(register), where=where)


def ask(style: str, register: int, question: int) -> bytes:
    """Ends with one ReadyForQuery. `prepared`: by `prepare` before."""
    sql = statement(register, question)
    if style == "simple":
        return query(sql)
    if style == "prepared":
        return bind(statement=f"q{register}_{question}") + execute() + SYNC
    if question in (FIRST, SECOND):
        of_any = sql.replace(f"= {row(register)}", "= $1")
        return parse(of_any, types=[23]) + bind([str(row(register))]) + execute() + SYNC
    return parse(sql) + bind() + execute() + SYNC


def prepare() -> bytes:
    """All, for a session of that style; ends with one ReadyForQuery."""
    return b"".join(
        parse(statement(register, question), f"q{register}_{question}")
        for register in range(REGISTERS)
        for question in range(len(QUESTIONS))
    ) + SYNC


def read(question: int, values: list[int | None]) -> tuple[int, int]:
    """What it was answered, all rows one after the other, as versions in both tables."""
    found = [NO_ROW if value is None else value for value in values]
    if question == FIRST:
        return (found or [NO_ROW])[0], NOT_READ
    if question == SECOND:
        return NOT_READ, (found or [NO_ROW])[0]
    found += [NO_ROW] * (2 - len(found))
    return found[0], found[1]
