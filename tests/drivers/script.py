"""What the drivers' scripts share: sections that go on after an unexpected error, and the values to try."""

import asyncio
import inspect
import sys
from collections.abc import Callable

_sections: list[Callable] = []


def section(function: Callable) -> Callable:
    _sections.append(function)
    return function


def show(*things: object) -> None:
    """One line; whatever is longer than a screen is cut, with its length."""
    for thing in things:
        text = repr(thing)
        print(text if len(text) < 2000 else f"{text[:200]}… {len(text)} characters", end="  ")
    print()


def run(*arguments: object) -> None:
    """Every section in order; one that fails says so, and the next goes on."""
    for function in _sections:
        print(f"## {function.__name__}", flush=True)
        try:
            outcome = function(*arguments)
            if inspect.isawaitable(outcome):
                asyncio.get_event_loop().run_until_complete(outcome)
        except Exception as error:
            print(f"!! {type(error).__name__}: {error}")
    sys.stdout.flush()


# A type and literals of it; in text and in binary they must come through as they are.
VALUES: dict[str, list[str]] = {
    "int2": ["0", "-32768", "32767"],
    "int4": ["0", "-2147483648", "2147483647"],
    "int8": ["0", "-9223372036854775808", "9223372036854775807"],
    "numeric": ["0", "-1.50", "123456789012345678901234567890.123456789", "NaN", "1e-20"],
    "float4": ["1.5", "NaN", "Infinity", "-Infinity", "-0"],
    "float8": ["0.1", "NaN", "Infinity", "-Infinity", "1e308", "5e-324"],
    "bool": ["t", "f"],
    "text": ["", "plain", "O'Reilly \\ \"x\"", "tab\tand\nline", "漢字 🐘 e\u0301 \u202e \u200b", "x" * 5000],
    "varchar": ["v"],
    "bytea": ["", "\\x00ff10", "\\x" + "ab" * 3000],
    "date": ["2000-01-01", "0001-01-01", "9999-12-31"],
    "time": ["00:00:00", "23:59:59.999999"],
    "timestamp": ["2000-01-01 00:00:00", "1999-12-31 23:59:59.999999"],
    "timestamptz": ["2000-01-01 00:00:00+00", "2024-02-29 12:00:00+05:30"],
    "interval": ["0", "1 day", "-01:02:03.5"],
    "uuid": ["00000000-0000-0000-0000-000000000000", "12345678-1234-5678-1234-567812345678"],
    "json": ['{"a": [1, 2.5, null, "ü"]}', "[]", "null"],
    "jsonb": ['{"a": [1, 2.5, null, "ü"]}', "[]", "null"],
    "int4[]": ["{}", "{1,NULL,3}", "{{1,2},{3,4}}"],
    "text[]": ["{}", '{a,"b c",NULL,"q\\"uote",""}'],
    "int4range": ["empty", "[1,5)", "(,10)", "[3,)"],
    "tstzrange": ["[2000-01-01 00:00:00+00,2001-01-01 00:00:00+00)"],
    "mood": ["sad", "happy ☺"],
    "pair": ["(1,x)", '(,"a b")'],
    "inet": ["127.0.0.1", "::1/64"],
    "even": ["2"],
}
