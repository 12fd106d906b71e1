"""Builds of Millrace that lack one of the things that keep answers fresh, to show that a check notices.

What ships has no such switch: the sources are copied, and one line of the copy is another one. The
options are those of every build, so that the compiler cache has the rest.
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from support import ROOT, note

COPIED = ("CMakeLists.txt", "CMakePresets.json", "cmake", "src", "tools")


@dataclass(frozen=True)
class Omission:
    file: str  # below src/
    line: str  # is there once
    instead: str
    breaks: tuple[str, ...]  # the levels whose promise it breaks
    faults: tuple[str, ...]  # that show it soon


OMISSIONS = {
    # What was told of a table and isn't visible yet keeps nobody from keeping what is read meanwhile.
    "fill_safety": Omission(
        "pipeline/pipeline.cpp",
        '    if (!is_visible(scope, judgement.read.reads, seen, columns)) return refuse("not_visible");\n',
        "    (void)is_visible(scope, judgement.read.reads, seen, columns);\n",
        ("bounded", "session", "read_after_write", "strong"), ("commits_are_hidden",),
    ),
    # What a session writes makes nothing stale, and nothing of it is remembered.
    "own_writes": Omission(
        "gateway/relay_server.cpp",
        "  pipeline_.apply(changes_, scope, now_, is_certain);\n",
        "  (void)scope, (void)is_certain;\n",
        ("eventual", "bounded"), ("stream_is_delayed",),
    ),
    # Whatever was shown is not remembered: time may run backwards.
    "seen": Omission(
        "pipeline/consistency.cpp", "      needed = {.rows = time.seen, .catalogs = time.seen - catalogs_lag_ns};\n",
        "      needed = {};\n",
        ("session",), ("stream_is_delayed",),
    ),
    # What is kept is as good as what is proved.
    "proofs": Omission(
        "pipeline/pipeline.cpp", "  if (proved >= needed.rows && certain >= needed.catalogs) return {std::move(entry)};\n",
        "  if (proved >= 0 && certain >= 0) return {std::move(entry)};\n",
        ("bounded", "session", "read_after_write", "strong"), ("stream_is_delayed",),
    ),
}  # fmt: skip


def leave_out(name: str, source: Path) -> None:
    """In the file below `source`; an error if it isn't written as it was any more."""
    omission = OMISSIONS[name]
    file = source / omission.file
    text = file.read_text()
    if text.count(omission.line) != 1:
        raise ValueError(f"{omission.file} isn't what bench/without.py knows: it holds {text.count(omission.line)} times\n{omission.line}")
    file.write_text(text.replace(omission.line, omission.instead))


def build_without(name: str) -> Path:
    """The program without it, built in build/without/NAME."""
    folder = ROOT / "build/without" / name
    folder.mkdir(parents=True, exist_ok=True)
    for part in COPIED:
        if (ROOT / part).is_dir():
            # As old as what it was copied from: what hasn't changed isn't built again.
            shutil.copytree(ROOT / part, folder / part, dirs_exist_ok=True)
        else:
            shutil.copy2(ROOT / part, folder / part)
    try:
        leave_out(name, folder / "src")
    except ValueError as error:
        sys.exit(str(error))
    note(f"building without {name}")
    if not (folder / "build/dev/build.ninja").exists():
        run(["cmake", "--preset", "dev", "-DMILLRACE_TESTS=OFF"], folder)
    run(["ninja", "-C", "build/dev", "millrace"], folder)
    return folder / "build/dev/src/cli/millrace"


def run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} in {folder} failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
