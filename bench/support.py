"""What the bench commands share: the way to the harness, the binary under test, a table for people, a line of JSON."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".millrace"  # what takes long to fetch or build; safe to delete
sys.path.insert(0, str(ROOT / "tests"))


def millrace_binary() -> Path:
    """MILLRACE_BIN, or the release build: figures of another build would mislead."""
    binary = Path(os.environ.get("MILLRACE_BIN") or ROOT / "build/release/src/cli/millrace")
    if not binary.exists():
        sys.exit(
            f"{binary} is missing: build it with "
            "'cmake --preset release && cmake --build --preset release --target millrace'"
        )
    return binary.resolve()


def bench_program(room: str, name: str) -> Path:
    """The release build's, built if it isn't as the sources are."""
    done = subprocess.run([ROOT / "tools/build", "release", name], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"tools/build release {name} failed:\n{done.stdout}{done.stderr}")
    return ROOT / "build/release/src" / room / name


def cache_bench() -> Path:
    return bench_program("cache", "cache_bench")


def monitor_bench() -> Path:
    return bench_program("monitor", "monitor_bench")


def note(text: str) -> None:
    """Progress, for whoever watches."""
    print(text, file=sys.stderr, flush=True)


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """The first column to the left, figures to the right."""
    lines = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        cells = [cell.rjust(width) for cell, width in zip(line, widths)]
        cells[0] = line[0].ljust(widths[0])
        print("  ".join(cells).rstrip())


def print_figures(figures: Mapping[str, object]) -> None:
    """The last line of a bench: one JSON object."""
    print(json.dumps(figures), flush=True)
