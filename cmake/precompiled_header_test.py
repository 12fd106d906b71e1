"""A small project that uses PrecompiledHeader.cmake, built in two folders with one compiler cache: what the cache serves,
and that it never serves what is stale."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

MODULES = Path(__file__).resolve().parent

LISTS = """
cmake_minimum_required(VERSION 3.25)
project(small LANGUAGES CXX)
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_EXTENSIONS OFF)
list(APPEND CMAKE_MODULE_PATH MODULES)
include(PrecompiledHeader)
add_compile_options(-fPIC)
millrace_precompiled_header(pch.hpp OPTIONS -fPIC)
add_executable(small main.cpp)
millrace_use_precompiled_header(small)
"""


class Clone:
    def __init__(self, folder: Path, system: Path, cache: Path) -> None:
        self.folder, self.system = folder, system
        self.environment = {**os.environ, "CCACHE_DIR": str(cache)}
        folder.mkdir()
        (folder / "CMakeLists.txt").write_text(LISTS.replace("MODULES", str(MODULES)))
        (folder / "pch.hpp").write_text("#pragma once\n#include <cstdio>\n#include <system.hpp>\n#define OURS 1\n")
        (folder / "main.cpp").write_text('int main() { std::printf("%d %d %s\\n", OURS, SYSTEM, __FILE__); }\n')

    def run(self, *command: str | Path) -> str:
        return subprocess.run(command, cwd=self.folder, env=self.environment, check=True, capture_output=True, text=True).stdout

    def build(self, flags: str = "", compiler: str | Path = "clang++-19") -> int:
        """Builds, and returns how many objects the cache served."""
        self.run("ccache", "--zero-stats")
        self.run("cmake", "-G", "Ninja", "-B", "build/dev", "-DCMAKE_BUILD_TYPE=Debug", f"-DCMAKE_CXX_COMPILER={compiler}",
                 f"-DCMAKE_CXX_FLAGS=-isystem {self.system} {flags}")  # fmt: skip
        self.run("ninja", "-C", "build/dev")
        counts = dict(line.split("\t") for line in self.run("ccache", "--print-stats").splitlines())
        assert counts["cache_miss"] != "0" or counts["direct_cache_hit"] != "0", "the cache was not asked"
        return int(counts["direct_cache_hit"]) + int(counts["preprocessed_cache_hit"])

    def says(self) -> str:
        return self.run(self.folder / "build/dev/small").rsplit(" ", 1)[0]


@pytest.fixture
def clones(tmp_path: Path) -> Iterator[tuple[Clone, Clone]]:
    system = tmp_path / "system"
    system.mkdir()
    (system / "system.hpp").write_text("#define SYSTEM 1\n")
    yield Clone(tmp_path / "one", system, tmp_path / "cache"), Clone(tmp_path / "another", system, tmp_path / "cache")


def test_another_folder_is_served(clones: tuple[Clone, Clone]) -> None:
    one, another = clones
    assert one.build() == 0
    assert another.build() == 1
    assert another.says() == one.says() == "1 1"


def test_debug_information_names_the_source_by_a_path_from_the_source_folder(clones: tuple[Clone, Clone]) -> None:
    one, another = clones
    one.build()
    another.build()
    for clone in clones:
        about = clone.run("llvm-dwarfdump-19", "build/dev/small")
        assert 'DW_AT_comp_dir\t("build/dev")' in about
        assert 'DW_AT_name\t("../../main.cpp")' in about
        assert str(clone.folder) not in about


def test_what_has_changed_is_not_served(clones: tuple[Clone, Clone]) -> None:
    one, another = clones
    one.build()
    (another.folder / "pch.hpp").write_text((one.folder / "pch.hpp").read_text().replace("OURS 1", "OURS 2"))
    assert another.build() == 0, "the precompiled header"
    assert another.says() == "2 1"
    (one.system / "system.hpp").write_text("#define SYSTEM 2\n")
    assert one.build() == 0, "a system header in it, in a folder that is built again"
    assert one.says() == "1 2"
    shutil.rmtree(another.folder / "build")
    assert another.build() == 0, "a system header in it, in a new folder"
    assert another.says() == "2 2"
    assert another.build("-DANOTHER=1") == 0, "a flag"


def test_another_compiler_is_not_served(clones: tuple[Clone, Clone], tmp_path: Path) -> None:
    one, another = clones
    compiler = tmp_path / "c++"
    compiler.write_text("#!/bin/sh\nexec clang++-19 \"$@\"\n")
    compiler.chmod(0o755)
    assert one.build(compiler=compiler) == 0
    assert another.build(compiler=compiler) == 1
    shutil.rmtree(another.folder / "build")
    compiler.write_text(compiler.read_text() + "# upgraded\n")
    assert another.build(compiler=compiler) == 0
