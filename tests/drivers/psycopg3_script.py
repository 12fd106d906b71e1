import select
import threading
import time

import psycopg
from psycopg import ClientCursor, sql
from psycopg.pq import ExecStatus
from psycopg.rows import dict_row
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo, register_enum
from script import VALUES, run, section, show

ERROR_FIELDS = ("severity_nonlocalized", "sqlstate", "message_primary", "message_detail", "message_hint",
                "statement_position", "internal_position", "internal_query", "context", "schema_name", "table_name",
                "column_name", "datatype_name", "constraint_name")  # fmt: skip


def attempt(function, *arguments, **named):
    try:
        outcome = function(*arguments, **named)
        show(outcome.statusmessage if isinstance(outcome, psycopg.Cursor) else outcome)
    except psycopg.Error as error:
        diag = {name: getattr(error.diag, name) for name in ERROR_FIELDS if getattr(error.diag, name) is not None}
        show(type(error).__name__, diag or str(error))


def fetch(connection, query, *arguments, **named):
    return connection.execute(query, *arguments, **named).fetchall()


@section
def types(connection):
    for name, literals in VALUES.items():
        for literal in literals:
            for binary in (False, True):
                query = f"SELECT %s::text::{name}, %s::text::{name}::text"
                attempt(fetch, connection, query, (literal, literal), binary=binary)


@section
def registered_types(connection):
    register_enum(EnumInfo.fetch(connection, "mood"), connection)
    register_composite(CompositeInfo.fetch(connection, "pair"), connection)
    for binary in (False, True):
        show(fetch(connection, "SELECT 'sad'::mood::text, ROW(1, 'x')::pair, ARRAY[ROW(2, NULL)::pair]", binary=binary))
    show(fetch(connection, "SELECT %b::int4[], %b::float8, %b::bytea", ([1, None], 1.5, b"\0\1")))


@section
def descriptions(connection):
    cursor = connection.execute("SELECT id, name AS n, price FROM item")
    show([(column.name, column.type_code, column.precision, column.scale) for column in cursor.description])
    show(cursor.rowcount, cursor.statusmessage)
    show(connection.execute("SELECT").fetchall(), connection.execute("SELECT 1 WHERE false").fetchall())
    cursor = connection.cursor(row_factory=dict_row)
    show(cursor.execute("SELECT * FROM item ORDER BY id").fetchall())
    cursor.execute("SELECT 1; SELECT 2; SELECT 3")
    show(cursor.fetchall(), cursor.nextset(), cursor.fetchall(), cursor.nextset(), cursor.fetchall(), cursor.nextset())


@section
def prepared(connection):
    connection.prepare_threshold = 2
    show([fetch(connection, "SELECT %s::int + 1", (n,))[0][0] for n in range(30)])
    for n in range(150):  # more than the driver keeps
        for _ in range(4):
            assert fetch(connection, sql.SQL("SELECT {} + %s::int").format(n), (1,))[0][0] == n + 1
    show(fetch(connection, "SELECT count(*) > 0 FROM pg_prepared_statements"))
    show(fetch(connection, "SELECT %s::int", (5,), prepare=True), fetch(connection, "SELECT %s::int", (6,), prepare=True))
    connection.prepare_threshold = None
    show([fetch(connection, "SELECT %s::int", (n,))[0][0] for n in range(10)])
    connection.prepare_threshold = 5


@section
def changed_tables(connection):
    connection.execute("CREATE TABLE changing (a int)")
    connection.execute("INSERT INTO changing VALUES (1)")
    for _ in range(3):
        show(fetch(connection, "SELECT * FROM changing", prepare=True))
    connection.execute("ALTER TABLE changing ADD b int DEFAULT 2")
    attempt(fetch, connection, "SELECT * FROM changing", prepare=True)
    attempt(fetch, connection, "SELECT * FROM changing", prepare=False)
    connection.execute("DROP TABLE changing")


@section
def errors(connection):
    for query in ["SELECT 1/0", "SELEC", "SELECT * FROM missing", "INSERT INTO item (name) VALUES ('one')",
                  "INSERT INTO part VALUES (99)", "INSERT INTO item (name, price) VALUES ('n', -1)", "SELECT 3::even",
                  "SELECT 'x'::int", "DO $$BEGIN EXECUTE 'SELEC'; END$$", "", "BEGIN; SELECT 1/0; COMMIT", "ROLLBACK"]:  # fmt: skip
        attempt(connection.execute, query)
        show(connection.info.transaction_status)
    for state in ["22012", "40001", "40P01", "23505", "42501", "57014", "XX000", "P0001", "ZZ999", "0A000"]:
        attempt(connection.execute, "SELECT fail_with(%s)", (state,))


@section
def transactions(connection):
    with connection.transaction(force_rollback=True):
        connection.execute("INSERT INTO item (name) VALUES ('gone')")
        show(fetch(connection, "SELECT count(*) FROM item"))
    show(fetch(connection, "SELECT count(*) FROM item"))
    with connection.transaction():
        try:
            with connection.transaction("inner"):
                connection.execute("SELECT 1/0")
        except psycopg.errors.DivisionByZero:
            show("inner rolled back", fetch(connection, "SELECT 1"))
    with psycopg.connect() as other:
        other.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        other.read_only = True
        show(other.execute("SHOW transaction_isolation").fetchone(), other.info.transaction_status)
        attempt(other.execute, "INSERT INTO item (name) VALUES ('x')")
        other.rollback()
        other.read_only = False
    with psycopg.connect(autocommit=True) as other:
        xid = other.xid(1, "global", "branch")
        attempt(other.tpc_begin, xid)


def raw_pipeline(pgconn, queries):
    """Sent at once, with a Sync for each None; the driver's own interface may notice an error earlier or later."""
    pgconn.enter_pipeline_mode()
    for query in queries:
        if query is None:
            pgconn.pipeline_sync()
        else:
            pgconn.send_query_params(query, [])
    while pgconn.flush():
        pass
    outcomes = []
    while outcomes.count("PIPELINE_SYNC") < queries.count(None):
        while pgconn.is_busy():
            select.select([pgconn.socket], [], [])
            pgconn.consume_input()
        if (result := pgconn.get_result()) is not None:
            status = ExecStatus(result.status).name
            outcomes.append(result.get_value(0, 0) if status == "TUPLES_OK" else status)
    pgconn.exit_pipeline_mode()
    return outcomes


@section
def pipelines(connection):
    with connection.pipeline():
        cursors = [connection.execute("SELECT %s::int", (n,)) for n in range(20)]
        show([cursor.fetchone() for cursor in cursors])
    show(raw_pipeline(connection.pgconn, [b"SELECT 'good'", b"SELECT 1/0", b"SELECT 'skipped'", None,
                                          b"SELECT 'after'", None, b"SELECT 'more'", None]))  # fmt: skip
    connection.execute("CREATE TABLE piped (a int)")
    cursor = connection.cursor()
    cursor.executemany("INSERT INTO piped VALUES (%s) RETURNING a", [(n,) for n in range(5)], returning=True)
    rows = [cursor.fetchone()]
    while cursor.nextset():
        rows.append(cursor.fetchone())
    show(rows)
    with connection.transaction(), connection.pipeline():
        for _ in range(8):
            connection.execute("INSERT INTO piped VALUES (%s)", (7,))
    show(fetch(connection, "SELECT count(*) FROM piped"))
    connection.execute("DROP TABLE piped")


@section
def copy(connection):
    connection.execute("CREATE TABLE bulk (a int, b text)")
    with connection.cursor().copy("COPY bulk FROM STDIN") as copy:
        for n in range(3000):
            copy.write_row((n, f"row {n}" if n % 2 else None))
    with connection.cursor().copy("COPY bulk FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["int4", "text"])
        for n in range(1000):
            copy.write_row((n, "ü☃"))
    show(fetch(connection, "SELECT count(*), sum(a), count(b) FROM bulk"))
    with connection.cursor().copy("COPY (SELECT * FROM bulk ORDER BY a, b LIMIT 3) TO STDOUT") as copy:
        show(list(copy.rows()))
    with connection.cursor().copy("COPY (SELECT * FROM bulk ORDER BY a, b) TO STDOUT (FORMAT binary)") as copy:
        show(sum(len(block) for block in copy))
    with connection.cursor().copy("COPY (SELECT n FROM generate_series(1, %s) n) TO STDOUT", (3,)) as copy:
        show([bytes(block) for block in copy])

    def bad():
        with connection.cursor().copy("COPY bulk FROM STDIN") as copy:
            copy.write("not a number\n")

    attempt(bad)

    def broken():
        with connection.cursor().copy("COPY bulk FROM STDIN") as copy:
            copy.write("1\tx\n")
            raise KeyError("the client's own")

    try:
        broken()
    except psycopg.errors.QueryCanceled as error:
        show(error.diag.message_primary)

    def failing():
        with connection.cursor().copy("COPY (SELECT 1 / (n - 2000) FROM generate_series(1, 3000) n) TO STDOUT") as copy:
            show(sum(len(block) for block in copy))

    attempt(failing)
    show(fetch(connection, "SELECT count(*) FROM bulk"))


@section
def server_cursors(connection):
    with connection.transaction(), connection.cursor("named") as cursor:
        cursor.execute("SELECT n FROM generate_series(1, 1000) n")
        cursor.itersize = 13
        show(cursor.fetchone(), cursor.fetchmany(3), sum(row[0] for row in cursor))
    with connection.transaction(), connection.cursor("scroll", scrollable=True, binary=True) as cursor:
        cursor.execute("SELECT n FROM generate_series(1, 10) n")
        cursor.scroll(5)
        show(cursor.fetchone())
        cursor.scroll(-3)
        show(cursor.fetchone())
    with connection.cursor("held", withhold=True) as cursor:
        cursor.execute("SELECT n FROM generate_series(1, 10) n")
        connection.execute("SELECT 1")
        show(cursor.fetchall())
    cursor = connection.cursor()
    show([row[0] for row in cursor.stream("SELECT n FROM generate_series(1, 6) n")])


@section
def client_cursors(connection):
    cursor = ClientCursor(connection)
    show(cursor.execute("SELECT %s, %s", ("it's", [1, 2])).fetchall())


@section
def notifications(connection):
    connection.execute("LISTEN news")
    with psycopg.connect(autocommit=True) as other:
        other.execute("NOTIFY news, 'hello'")
        other.execute("SELECT pg_notify('news', 'again')")
    for notification, _ in zip(connection.notifies(), range(2)):
        show(notification.channel, notification.payload)
        if notification.payload == "again":
            break
    connection.execute("UNLISTEN *")


@section
def notices(connection):
    heard = []
    handler = lambda diag: heard.append((diag.severity, diag.sqlstate, diag.message_primary, diag.message_hint))  # noqa: E731
    connection.add_notice_handler(handler)
    connection.execute("SELECT shout('hey')")
    connection.execute("DO $$BEGIN RAISE WARNING 'w' USING HINT = 'h'; END$$")
    connection.remove_notice_handler(handler)
    show(heard)


@section
def settings(connection):
    connection.execute("SET TIME ZONE 'Asia/Tokyo'")
    show(connection.info.parameter_status("TimeZone"), fetch(connection, "SELECT timestamptz '2000-01-01 00:00Z'"))
    connection.execute("SET application_name = 'psycopg'")
    show(connection.info.parameter_status("application_name"))
    try:
        with connection.transaction():
            connection.execute("SET TIME ZONE 'UTC'")
            show(connection.info.parameter_status("TimeZone"))
            raise KeyError
    except KeyError:
        show(connection.info.parameter_status("TimeZone"))
    connection.execute("SET my.own = 'kept'")
    show(fetch(connection, "SELECT current_setting('my.own')"))
    connection.execute("SET client_encoding = 'LATIN1'")
    show(fetch(connection, "SELECT 'ü'"), connection.info.encoding)
    connection.execute("RESET ALL")
    show(connection.info.parameter_status("TimeZone"), connection.info.encoding)
    for name in ("server_version", "server_encoding", "integer_datetimes", "standard_conforming_strings", "is_superuser",
                 "session_authorization", "DateStyle", "IntervalStyle", "in_hot_standby"):  # fmt: skip
        show(name, connection.info.parameter_status(name))
    with psycopg.connect(options="-c work_mem=3MB -c search_path=pg_catalog") as other:
        show(other.execute("SHOW work_mem").fetchone(), other.execute("SHOW search_path").fetchone())


@section
def cancellation(connection):
    timer = threading.Timer(0.3, connection.cancel)
    timer.start()
    attempt(connection.execute, "SELECT pg_sleep(20)")
    timer.join()
    show(fetch(connection, "SELECT 'after'"))
    connection.cancel()  # nothing runs
    time.sleep(0.1)
    attempt(connection.execute, "SET statement_timeout = 60")
    attempt(connection.execute, "SELECT pg_sleep(20)")
    connection.execute("RESET statement_timeout")
    connection.execute("SET lock_timeout = 60")
    with psycopg.connect() as other:
        other.execute("LOCK TABLE item")
        attempt(connection.execute, "SELECT * FROM item")
        other.rollback()
    connection.execute("RESET lock_timeout")


@section
def session_state(connection):
    connection.execute("CREATE TEMP TABLE own AS SELECT 1 AS a")
    show(fetch(connection, "SELECT * FROM own"))
    connection.execute("DROP TABLE own")
    show(fetch(connection, "SELECT pg_advisory_lock(5)"), fetch(connection, "SELECT pg_advisory_unlock(5)"))
    connection.execute("CREATE SEQUENCE seq")
    show(fetch(connection, "SELECT nextval('seq')"), fetch(connection, "SELECT currval('seq'), lastval()"))
    show(fetch(connection, "CALL twice(%s)", (4,)))
    connection.execute("PREPARE in_sql (int) AS SELECT $1 * 2")
    show(fetch(connection, "EXECUTE in_sql(4)"))
    connection.execute("DEALLOCATE in_sql")
    connection.execute("DISCARD ALL")
    show(fetch(connection, "SELECT 'after'"))


@section
def large_values(connection):
    show(fetch(connection, "SELECT length(%s::text)", ("x" * 10_000_000,)))
    show(len(fetch(connection, "SELECT repeat('y', 10000000)::bytea", binary=True)[0][0]))
    show(len(fetch(connection, "SELECT n, repeat('z', 100) FROM generate_series(1, 20000) n")))


@section
def two_sessions(connection):
    with psycopg.connect() as one, psycopg.connect() as two:
        one.execute("INSERT INTO item (name) VALUES ('unseen')")
        show(two.execute("SELECT count(*) FROM item WHERE name = 'unseen'").fetchone())
        one.commit()
        show(two.execute("SELECT count(*) FROM item WHERE name = 'unseen'").fetchone())
        two.rollback()
        one.execute("UPDATE item SET price = 1 WHERE name = 'one'")
        two.execute("UPDATE item SET price = 1 WHERE name = 'two'")
        outcomes = []

        def lock(session, name):
            try:
                session.execute("UPDATE item SET price = 2 WHERE name = %s", (name,))
                outcomes.append("updated")
            except psycopg.errors.DeadlockDetected:
                outcomes.append("deadlock")
            session.rollback()

        threads = [threading.Thread(target=lock, args=arguments) for arguments in ((one, "two"), (two, "one"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        show(sorted(outcomes))


connection = psycopg.connect(autocommit=True)
run(connection)
connection.close()
