import io
import select
import threading

import psycopg2
import psycopg2.extensions
import psycopg2.extras
from script import VALUES, run, section, show

ERROR_FIELDS = ("severity_nonlocalized", "sqlstate", "message_primary", "message_detail", "message_hint",
                "statement_position", "internal_query", "context", "schema_name", "table_name", "column_name",
                "datatype_name", "constraint_name")  # fmt: skip


def readable(value):
    if isinstance(value, (list, tuple)):
        return [readable(one) for one in value]
    return bytes(value) if isinstance(value, memoryview) else value


def attempt(connection, query, arguments=None):
    with connection.cursor() as cursor:
        try:
            cursor.execute(query, arguments)
            show(cursor.statusmessage, cursor.rowcount, readable(cursor.fetchall()) if cursor.description else None)
        except psycopg2.Error as error:
            diag = {name: getattr(error.diag, name) for name in ERROR_FIELDS if getattr(error.diag, name) is not None}
            show(type(error).__name__, diag or str(error))


@section
def types(connection):
    psycopg2.extras.register_uuid(conn_or_curs=connection)
    for name, literals in VALUES.items():
        for literal in literals:
            if name == "date" and literal.startswith("0001"):
                continue
            attempt(connection, f"SELECT %s::{name}", (literal,))
    psycopg2.extras.register_composite("pair", connection)
    attempt(connection, "SELECT ROW(1, 'x')::pair, ARRAY[ROW(2, NULL)::pair]")
    attempt(connection, "SELECT %s, %s, %s", ([1, None], "x", psycopg2.Binary(b"\0\xff")))


@section
def descriptions(connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, name AS n, price FROM item")
        show([(column.name, column.type_code, column.precision, column.scale) for column in cursor.description])
    attempt(connection, "SELECT")
    attempt(connection, "SELECT 1; SELECT 2; SELECT 3")
    attempt(connection, ";")


@section
def errors(connection):
    for query in ["SELECT 1/0", "SELEC", "SELECT * FROM missing", "INSERT INTO item (name) VALUES ('one')",
                  "INSERT INTO part VALUES (99)", "INSERT INTO item (name, price) VALUES ('n', -1)", "SELECT 3::even",
                  "DO $$BEGIN EXECUTE 'SELEC'; END$$", "SELECT 1; SELECT 1/0; SELECT 2"]:  # fmt: skip
        attempt(connection, query)
    for state in ["22012", "40001", "40P01", "23505", "42501", "57014", "XX000", "P0001", "ZZ999"]:
        attempt(connection, "SELECT fail_with(%s)", (state,))


@section
def transactions(connection):
    connection.autocommit = False
    attempt(connection, "INSERT INTO item (name) VALUES ('gone')")
    show(connection.get_transaction_status())
    connection.rollback()
    attempt(connection, "SELECT count(*) FROM item")
    attempt(connection, "SELECT 1/0")
    attempt(connection, "SELECT 1")
    show(connection.get_transaction_status())
    connection.rollback()
    connection.set_session(isolation_level="SERIALIZABLE", readonly=True)
    attempt(connection, "SHOW transaction_isolation")
    attempt(connection, "INSERT INTO item (name) VALUES ('x')")
    connection.rollback()
    connection.set_session(isolation_level="DEFAULT", readonly=False)
    with connection:
        attempt(connection, "SAVEPOINT a")
        attempt(connection, "SELECT 1/0")
        attempt(connection, "ROLLBACK TO a")
        attempt(connection, "SELECT 'alive'")
    xid = connection.xid(1, "global", "branch")
    connection.tpc_begin(xid)
    attempt(connection, "INSERT INTO item (name) VALUES ('in two phases')")
    connection.tpc_prepare()
    connection.tpc_rollback()
    connection.reset()
    connection.autocommit = True


@section
def server_cursors(connection):
    connection.autocommit = False
    with connection.cursor("named") as cursor:
        cursor.itersize = 7
        cursor.execute("SELECT n FROM generate_series(1, 100) n")
        show(cursor.fetchone(), cursor.fetchmany(3), sum(row[0] for row in cursor))
    connection.commit()
    with connection.cursor("held", withhold=True, scrollable=True) as cursor:
        cursor.execute("SELECT n FROM generate_series(1, 10) n")
        connection.commit()
        cursor.scroll(4)
        show(cursor.fetchone(), cursor.fetchall())
    connection.rollback()
    connection.autocommit = True


@section
def copy(connection):
    attempt(connection, "CREATE TABLE bulk (a int, b text)")
    with connection.cursor() as cursor:
        cursor.copy_from(io.StringIO("".join(f"{n}\trow {n}\n" for n in range(5000))), "bulk")
        show(cursor.rowcount)
        out = io.StringIO()
        cursor.copy_expert("COPY (SELECT * FROM bulk ORDER BY a LIMIT 3) TO STDOUT CSV HEADER", out)
        show(out.getvalue())
        for broken in ("COPY bulk FROM STDIN", "COPY (SELECT 1 / (n - 3) FROM generate_series(1, 5) n) TO STDOUT"):
            try:
                cursor.copy_expert(broken, io.StringIO("bad\n"))
            except psycopg2.Error as error:
                show(type(error).__name__, error.diag.message_primary, error.diag.context)

        class Unreadable:
            def read(self, size):
                raise KeyError("cannot read")

        try:
            cursor.copy_expert("COPY bulk FROM STDIN", Unreadable())
        except psycopg2.Error as error:
            show(type(error).__name__, error.diag.sqlstate)
    attempt(connection, "SELECT count(*) FROM bulk")


@section
def bulk(connection):
    with connection.cursor() as cursor:
        psycopg2.extras.execute_values(cursor, "INSERT INTO bulk VALUES %s", [(n, "v") for n in range(1000)], page_size=100)
        psycopg2.extras.execute_batch(cursor, "UPDATE bulk SET b = %s WHERE a = %s", [("w", n) for n in range(200)])
    attempt(connection, "SELECT count(*), count(*) FILTER (WHERE b = 'w') FROM bulk")


@section
def large_objects(connection):
    connection.autocommit = False
    large = connection.lobject(0, "wb", 54321)
    large.write(b"0123456789" * 100_000)
    large.close()
    large = connection.lobject(54321, "rb")
    large.seek(999_990)
    show(large.read(5), large.tell())
    large.seek(0)
    show(len(large.read()))
    large.close()
    connection.lobject(54321).unlink()
    connection.commit()
    connection.autocommit = True


@section
def notifications(connection):
    attempt(connection, "LISTEN news")
    other = psycopg2.connect("")
    other.autocommit = True
    attempt(other, "NOTIFY news, 'hello'")
    other.close()
    while not connection.notifies:
        select.select([connection], [], [], 5)
        connection.poll()
    show([(notification.channel, notification.payload) for notification in connection.notifies])
    attempt(connection, "UNLISTEN *")


@section
def notices(connection):
    del connection.notices[:]
    attempt(connection, "SELECT shout('hey')")
    attempt(connection, "DROP TABLE IF EXISTS missing")
    show(connection.notices)


@section
def settings(connection):
    attempt(connection, "SET TIME ZONE 'Asia/Tokyo'")
    show(connection.get_parameter_status("TimeZone"))
    connection.set_client_encoding("LATIN1")
    attempt(connection, "SELECT 'ü'")
    show(connection.encoding)
    connection.set_client_encoding("UTF8")
    attempt(connection, "RESET ALL")
    show(connection.get_parameter_status("TimeZone"), connection.server_version)


@section
def cancellation(connection):
    timer = threading.Timer(0.3, connection.cancel)
    timer.start()
    attempt(connection, "SELECT pg_sleep(20)")
    timer.join()
    attempt(connection, "SELECT 'after'")
    attempt(connection, "SET statement_timeout = 50")
    attempt(connection, "SELECT pg_sleep(20)")
    attempt(connection, "RESET statement_timeout")


@section
def asynchronous(connection):
    other = psycopg2.connect("", async_=True)

    def wait():
        while (state := other.poll()) != psycopg2.extensions.POLL_OK:
            read = [other] if state == psycopg2.extensions.POLL_READ else []
            select.select(read, [] if read else [other], [], 5)

    wait()
    cursor = other.cursor()
    for query in ("SELECT 1", "SELECT 1/0", "SELECT 2"):
        cursor.execute(query)
        try:
            wait()
            show(cursor.fetchall())
        except psycopg2.Error as error:
            show(type(error).__name__)
    other.close()


@section
def session_state(connection):
    attempt(connection, "CREATE TEMP TABLE own AS SELECT 1 AS a")
    attempt(connection, "SELECT * FROM own")
    attempt(connection, "PREPARE p AS SELECT 5")
    attempt(connection, "EXECUTE p")
    attempt(connection, "DISCARD ALL")
    attempt(connection, "EXECUTE p")
    attempt(connection, "SELECT * FROM own")


@section
def large_values(connection):
    attempt(connection, "SELECT length(%s)", ("x" * 10_000_000,))
    attempt(connection, "SELECT length(repeat('y', 10000000))")
    with connection.cursor() as cursor:
        cursor.execute("SELECT repeat('y', 10000000)")
        show(len(cursor.fetchone()[0]))


connection = psycopg2.connect("")
connection.autocommit = True
run(connection)
connection.close()
