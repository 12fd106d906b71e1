"""What /proc says about a process."""

import os
from collections import Counter
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def _status_kib(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise KeyError(f"{field} of process {pid}")


def rss_bytes(pid: int) -> int:
    return _status_kib(pid, "VmRSS") * 1024


def peak_rss_bytes(pid: int) -> int:
    return _status_kib(pid, "VmHWM") * 1024


def open_files(pid: int) -> Counter[str]:
    """How many there are of each kind: "socket", "pipe", "anon_inode:[eventpoll]", a path."""
    kinds: Counter[str] = Counter()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(file)
        except FileNotFoundError:
            continue  # it was closed
        kinds[target.split(":[")[0] if target.startswith(("socket", "pipe")) else target] += 1
    return kinds


def _stat(pid: int) -> list[str]:
    # The name, in parentheses, may hold anything: what follows the last one is regular.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found += [int(child) for child in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue  # that thread ended
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of the process and of its children, those that have ended included."""
    utime, stime, ended_utime, ended_stime = (int(ticks) for ticks in _stat(pid)[11:15])
    total = (utime + stime + ended_utime + ended_stime) / _TICKS
    for child in children(pid):
        try:
            total += cpu_seconds(child)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended: its parent counts it next time
    return total
