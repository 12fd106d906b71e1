import asyncio
import io

import asyncpg
from script import VALUES, run, section, show


def fields(error: asyncpg.PostgresError) -> dict[str, object]:
    names = ("sqlstate", "severity", "message", "detail", "hint", "position", "schema_name", "table_name",
             "column_name", "data_type_name", "constraint_name")  # fmt: skip
    return {name: getattr(error, name, None) for name in names if getattr(error, name, None) is not None}


async def attempt(awaitable) -> None:
    try:
        show(await awaitable)
    except asyncpg.PostgresError as error:
        show(type(error).__name__, fields(error))
    except (asyncpg.InterfaceError, asyncio.TimeoutError) as error:
        show(type(error).__name__, str(error))


@section
async def types(connection):
    for name, literals in VALUES.items():
        for literal in literals:
            statement = await connection.prepare(f"SELECT $1::text::{name}, $1::text::{name}::text")
            value, text = await statement.fetchrow(literal)
            again = await connection.fetchval(f"SELECT $1::{name}::text", value)
            show(name, value, text, again == text)


@section
async def nulls_and_empty_sets(connection):
    show(await connection.fetchrow("SELECT NULL::int, NULL::text, $1::int", None))
    show(await connection.fetch("SELECT 1 WHERE false"))
    show(await connection.fetch("SELECT"))
    show(await connection.execute("SELECT 1"), await connection.execute("UPDATE item SET name = name"))


@section
async def records_arrays_and_codecs(connection):
    show(await connection.fetchval("SELECT ROW(1, 'x', NULL, 2.5)"))
    show(await connection.fetchval("SELECT $1::int[]", [[1, None], [3, 4]]))
    show(await connection.fetchval("SELECT $1::pair[]", [(1, "a"), (2, None)]))
    show(await connection.fetch("SELECT item FROM item ORDER BY id"))
    await connection.set_type_codec("numeric", encoder=str, decoder=str, schema="pg_catalog", format="text")
    show(await connection.fetchval("SELECT 1.50::numeric"))
    await connection.reset_type_codec("numeric", schema="pg_catalog")


@section
async def prepared(connection):
    statement = await connection.prepare("SELECT $1::int + $2::int AS sum")
    show(statement.get_parameters(), statement.get_attributes())
    show([await statement.fetchval(n, 1) for n in range(50)])
    for n in range(250):  # more than the driver's cache holds
        assert await connection.fetchval(f"SELECT {n} + $1::int", 1) == n + 1
    show([await connection.fetchval(f"SELECT {n} + $1::int", 1) for n in (0, 100, 249)])
    await attempt(connection.fetchval("SELECT $1::int", "not a number"))
    await attempt(connection.prepare("SELECT * FROM missing"))


@section
async def changed_tables(connection):
    await connection.execute("CREATE TABLE changing (a int); INSERT INTO changing VALUES (1)")
    show(await connection.fetch("SELECT * FROM changing"))
    statement = await connection.prepare("SELECT * FROM changing")
    show(await statement.fetch())
    await connection.execute("ALTER TABLE changing ADD b text DEFAULT 'new'")
    await attempt(statement.fetch())
    show(await connection.fetch("SELECT * FROM changing"))
    async with connection.transaction():
        show(await connection.fetchval("SELECT count(*) FROM changing"))
    await connection.execute("ALTER TABLE changing ALTER a TYPE text")
    await attempt(connection.fetch("SELECT * FROM changing"))
    await attempt(connection.fetch("SELECT * FROM changing"))
    await connection.execute("DROP TABLE changing")


@section
async def errors(connection):
    for sql in ["SELECT 1/0", "SELEC", "SELECT * FROM missing", "INSERT INTO item (name) VALUES ('one')",
                "INSERT INTO part VALUES (99)", "INSERT INTO item (name, price) VALUES ('n', -1)", "SELECT 3::even",
                "SELECT 'x'::int", "SELECT 99999::int2", "INSERT INTO item (price) VALUES (1)"]:  # fmt: skip
        await attempt(connection.execute(sql))
        await attempt(connection.fetch(sql))
    for state in ["22012", "40001", "40P01", "23505", "42501", "57014", "XX000", "P0001", "ZZ999", "53300"]:
        await attempt(connection.execute(f"SELECT fail_with('{state}')"))
    show(await connection.fetchval("SELECT 'alive'"))


@section
async def transactions(connection):
    try:
        async with connection.transaction():
            await connection.execute("INSERT INTO item (name) VALUES ('rolled back')")
            raise KeyError
    except KeyError:
        show(await connection.fetchval("SELECT count(*) FROM item"))
    async with connection.transaction(isolation="serializable", readonly=True, deferrable=True):
        show(await connection.fetchval("SHOW transaction_isolation"), await connection.fetchval("SHOW transaction_read_only"))
    async with connection.transaction():
        try:
            async with connection.transaction():
                await connection.execute("SELECT 1/0")
        except asyncpg.DivisionByZeroError:
            show("inner rolled back", await connection.fetchval("SELECT 1"))
    show(connection.is_in_transaction())


@section
async def cursors(connection):
    async with connection.transaction():
        seen = [row["n"] async for row in connection.cursor("SELECT n FROM generate_series(1, 120) n", prefetch=7)]
        show(sum(seen), len(seen))
        cursor = await connection.cursor("SELECT n FROM generate_series(1, 10) n")
        show(await cursor.fetch(3), await cursor.forward(2), await cursor.fetchrow())
    await attempt(cursor_outside(connection))


async def cursor_outside(connection):
    return [row async for row in connection.cursor("SELECT 1")]


@section
async def many(connection):
    await connection.execute("CREATE TABLE bulk (a int, b text)")
    await connection.executemany("INSERT INTO bulk VALUES ($1, $2)", [(n, f"row {n}") for n in range(500)])
    show(await connection.fetchrow("SELECT count(*), sum(a), min(b) FROM bulk"))
    await attempt(connection.executemany("INSERT INTO bulk VALUES ($1::int / ($1 - 3), 'x')", [(n,) for n in range(1000, 1005)] + [(3,)]))
    show(await connection.fetchval("SELECT count(*) FROM bulk"))


@section
async def copy(connection):
    out = io.BytesIO()
    show(await connection.copy_from_query("SELECT n, 'v' || n FROM generate_series(1, $1::int) n", 4, output=out))
    show(out.getvalue())
    out = io.BytesIO()
    show(await connection.copy_from_table("item", output=out, format="csv", header=True, columns=["id", "name"]))
    show(out.getvalue())
    show(await connection.copy_records_to_table("bulk", records=[(n, None) for n in range(10_000, 12_000)]))
    show(await connection.copy_to_table("bulk", source=io.BytesIO(b"1,a\n2,b\n"), format="csv"))
    await attempt(connection.copy_to_table("bulk", source=io.BytesIO(b"bad,a\n"), format="csv"))
    await attempt(connection.copy_from_query("SELECT 1 / (n - 3) FROM generate_series(1, 5) n", output=io.BytesIO()))

    def source():
        yield b"1,a\n"
        raise RuntimeError("the source broke")

    class Broken:
        def __aiter__(self):
            self.lines = source()
            return self

        async def __anext__(self):
            return next(self.lines)

    try:
        await connection.copy_to_table("bulk", source=Broken(), format="csv")
    except RuntimeError as error:
        show(str(error))
    show(await connection.fetchval("SELECT count(*) FROM bulk"))


@section
async def notifications(connection):
    heard = asyncio.Queue()
    listener = lambda connection, pid, channel, payload: heard.put_nowait((channel, payload))  # noqa: E731
    await connection.add_listener("news", listener)
    await connection.execute("SELECT pg_notify('news', 'from here')")
    show(await asyncio.wait_for(heard.get(), 10))
    other = await asyncpg.connect()
    await other.execute("NOTIFY news, 'from elsewhere'")
    show(await asyncio.wait_for(heard.get(), 10))
    await other.close()
    await connection.remove_listener("news", listener)


@section
async def notices(connection):
    heard = []
    listener = lambda connection, message: heard.append((message.sqlstate, message.message, message.hint))  # noqa: E731
    connection.add_log_listener(listener)
    show(await connection.fetchval("SELECT shout('hey')"))
    await connection.execute("DO $$BEGIN RAISE WARNING 'w' USING HINT = 'h'; END$$")
    await asyncio.sleep(0.05)
    connection.remove_log_listener(listener)
    show(heard)


@section
async def settings(connection):
    await connection.execute("SET TIME ZONE 'Asia/Tokyo'")
    show(connection.get_settings().TimeZone, await connection.fetchval("SELECT timestamptz '2000-01-01 00:00Z'::text"))
    async with connection.transaction():
        await connection.execute("SET LOCAL work_mem = '2MB'")
        show(await connection.fetchval("SHOW work_mem"))
    show(await connection.fetchval("SHOW work_mem"))
    await connection.execute("SET search_path = pg_catalog")
    await attempt(connection.fetchval("SELECT count(*) FROM item"))
    await connection.reset()
    show(connection.get_settings().TimeZone, await connection.fetchval("SELECT count(*) FROM item"))


@section
async def cancellation(connection):
    await attempt(connection.fetch("SELECT pg_sleep(10)", timeout=0.2))
    show(await connection.fetchval("SELECT 'after'"))
    task = asyncio.ensure_future(connection.fetch("SELECT pg_sleep(10)"))
    await asyncio.sleep(0.2)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        show("cancelled")
    show(await connection.fetchval("SELECT 'after'"))
    await connection.execute("SET statement_timeout = 50")
    await attempt(connection.fetch("SELECT pg_sleep(10)"))
    await connection.execute("RESET statement_timeout")


@section
async def session_state(connection):
    await connection.execute("CREATE TEMP TABLE own (a int)")
    await connection.copy_records_to_table("own", records=[(1,), (2,)])
    show(await connection.fetch("SELECT * FROM own"))
    await connection.execute("DROP TABLE own")
    show(await connection.fetchval("SELECT pg_try_advisory_lock(5)"), await connection.fetchval("SELECT pg_advisory_unlock(5)"))
    await connection.execute("CREATE SEQUENCE seq")
    show(await connection.fetchval("SELECT nextval('seq')"), await connection.fetchval("SELECT currval('seq')"))
    show(await connection.fetchval("CALL twice(4)"))


@section
async def large_values(connection):
    big = "x" * 10_000_000
    show(await connection.fetchval("SELECT length($1::text)", big), len(await connection.fetchval("SELECT repeat('y', 10000000)")))
    rows = await connection.fetch("SELECT n, repeat('z', 100) FROM generate_series(1, 100000) n")
    show(len(rows), rows[-1][0])


@section
async def pool(connection):
    async with asyncpg.create_pool(min_size=2, max_size=5) as connections:

        async def ask(n):
            async with connections.acquire() as one:
                async with one.transaction():
                    await one.execute("SELECT set_config('my.own', $1, true)", str(n))
                    return await one.fetchval("SELECT current_setting('my.own')")

        show(await asyncio.gather(*(ask(n) for n in range(40))))




loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
connection = loop.run_until_complete(asyncpg.connect())
run(connection)
loop.run_until_complete(connection.close())
