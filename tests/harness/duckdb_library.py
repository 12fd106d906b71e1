"""DuckDB as another program has it: its C library, as far as tests ask it something."""

import ctypes
from pathlib import Path

_FILE = Path(__file__).resolve().parents[2] / ".millrace/duckdb/lib/libduckdb.so"


class _Answer(ctypes.Structure):
    """duckdb_result, whose members nobody uses."""

    _fields_ = [("counts", ctypes.c_uint64 * 3), ("pointers", ctypes.c_void_p * 3)]


def duckdb_rows(sql: str) -> list[list[str | None]]:
    """What a statement answers in a database of its own, as text."""
    library = ctypes.CDLL(str(_FILE))
    library.duckdb_result_error.restype = ctypes.c_char_p
    library.duckdb_value_varchar.restype = ctypes.c_void_p
    library.duckdb_value_varchar.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64]
    for count in (library.duckdb_row_count, library.duckdb_column_count):
        count.restype = ctypes.c_uint64
    database, connection, answer = ctypes.c_void_p(), ctypes.c_void_p(), _Answer()
    assert library.duckdb_open(None, ctypes.byref(database)) == 0
    try:
        assert library.duckdb_connect(database, ctypes.byref(connection)) == 0
        failed = library.duckdb_query(connection, sql.encode(), ctypes.byref(answer))
        if failed:
            raise RuntimeError(library.duckdb_result_error(ctypes.byref(answer)).decode())

        def value(column: int, row: int) -> str | None:
            text = library.duckdb_value_varchar(ctypes.byref(answer), column, row)
            if text is None:
                return None
            try:
                return ctypes.string_at(text).decode()
            finally:
                library.duckdb_free(ctypes.c_void_p(text))

        columns, rows = (count(ctypes.byref(answer)) for count in (library.duckdb_column_count, library.duckdb_row_count))
        return [[value(column, row) for column in range(columns)] for row in range(rows)]
    finally:
        library.duckdb_destroy_result(ctypes.byref(answer))
        library.duckdb_disconnect(ctypes.byref(connection))
        library.duckdb_close(ctypes.byref(database))
