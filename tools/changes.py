"""What a change touches: the files that git says have changed, and what Ninja says is made of them."""

import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def git(*arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    return [line for line in done.stdout.split("\0" if "-z" in arguments else "\n") if line]


def day_old() -> str:
    """The newest commit that is more than a day older than HEAD; the empty tree where there is none."""
    (head,) = git("log", "-1", "--format=%ct", "HEAD")
    older = git("rev-list", "-1", f"--before={int(head) - 24 * 60 * 60}", "HEAD")
    return older[0] if older else git("hash-object", "-t", "tree", "/dev/null")[0]


def changed_since(revision: str) -> list[Path]:
    """Files that differ from that revision, files that git does not know yet too; those that are gone are left out."""
    names = git("diff", "-z", "--name-only", "--diff-filter=d", revision)
    return [ROOT / name for name in {*names, *git("ls-files", "-z", "--others", "--exclude-standard")}]


class Build:
    """A configured build folder. Knows what has been built: what a file includes is known once it has been compiled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _ninja(self, *arguments: str) -> Iterator[str]:
        done = subprocess.run(["ninja", "-C", str(self.folder), *arguments], check=True, capture_output=True, text=True)
        return iter(done.stdout.splitlines())

    def _path(self, name: str) -> Path:
        return (self.folder / name).resolve()

    @cached_property
    def _read_by_object(self) -> dict[str, set[Path]]:
        """An object's source and all that it includes, of the source folder."""
        read: dict[str, set[Path]] = defaultdict(set)
        current = ""
        for line in self._ninja("-t", "deps"):
            if line.startswith(" "):
                path = self._path(line.strip())
                if path.is_relative_to(ROOT) and not path.is_relative_to(self.folder):
                    read[current].add(path)
            elif line:
                current = line.split(":")[0]
        return read

    def objects_that_read(self, files: Iterable[Path]) -> set[str]:
        wanted = set(files)
        return {name for name, read in self._read_by_object.items() if read & wanted}

    def source_of(self, object_name: str) -> Path | None:
        stem = Path(object_name.removesuffix(".o")).name
        return next((path for path in self._read_by_object[object_name] if path.name == stem), None)

    def parts_of(self, source: Path) -> set[Path]:
        """The source and all that it includes, of the source folder; empty where it wasn't compiled."""
        return next((read for name, read in self._read_by_object.items() if self.source_of(name) == source), set())

    def unit_tests(self) -> list[str]:
        """The unit tests' programs, as Ninja names them."""
        return sorted(
            line.split(":")[0]
            for line in self._ninja("-t", "targets", "all")
            if line.startswith("src/") and line.split(":")[0].endswith("_test") and "EXECUTABLE" in line
        )

    def made_of(self, target: str) -> set[str]:
        """Everything that goes into a target: objects, libraries, sources."""
        return set(self._ninja("-t", "inputs", target))
