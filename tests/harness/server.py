"""A server process: its folder, its log, its start and its end."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from . import proc

_LOG_TAIL_LINES = 30


class ServerError(RuntimeError):
    """A server did not start, died or did not stop; the message ends with the tail of its log."""


class Server:
    """Base of all servers. A subclass gives the command and says when the server is ready."""

    name = "server"
    stop_signal = signal.SIGTERM
    start_seconds = 60.0
    stop_seconds = 60.0
    # What stop() must find; None accepts any exit code.
    expected_exit_code: int | None = 0

    def __init__(self, folder: Path | None = None, *, run_as: str | None = None) -> None:
        """`folder` is kept at the end; without one a temporary folder is made, and removed."""
        self._run_as = run_as
        self._keep_folder = folder is not None
        self.folder = folder if folder else Path(tempfile.mkdtemp(prefix=f"millrace-{self.name}-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.give(self.folder)
        self._process: subprocess.Popen[bytes] | None = None
        self.output: int | None = None  # a descriptor for what it says, instead of its log
        self.exit_code: int | None = None

    # --- what a subclass says ---

    def command(self) -> Sequence[str | Path]:
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        return {}

    def is_ready(self) -> bool:
        raise NotImplementedError

    # --- life ---

    def start(self) -> Self:
        self.exit_code = None
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._as_user(self.command(), dies_with_us=True),
                cwd=self.folder,
                env={**os.environ, **self.environment()},
                stdin=subprocess.DEVNULL,
                stdout=log if self.output is None else self.output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us; we stop our servers in order
            )
        try:
            self.wait_for(self.is_ready, self.start_seconds, "become ready")
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> int:
        """Asks the server to end, waits, and returns its exit code; idempotent."""
        if self._process is not None:
            process, self._process = self._process, None
            process.send_signal(self.stop_signal)
            try:
                self.exit_code = process.wait(self.stop_seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                self.exit_code = process.wait()
                raise self._error(f"did not stop within {self.stop_seconds:g} s of {self.stop_signal.name}") from None
            if self.expected_exit_code is not None and self.exit_code != self.expected_exit_code:
                raise self._error(f"ended with {_how_it_ended(self.exit_code)}")
        return self.exit_code if self.exit_code is not None else 0

    def kill(self) -> None:
        """Ends the server as a crash would; its children, if any, end by themselves: waits for that."""
        if self._process is not None:
            process, self._process = self._process, None
            orphans = proc.children(process.pid) if process.poll() is None else []
            process.kill()
            self.exit_code = process.wait()
            deadline = time.monotonic() + self.stop_seconds
            while any(proc.exists(pid) for pid in orphans) and time.monotonic() < deadline:
                time.sleep(0.02)

    def restart(self) -> None:
        self.stop()
        self.start()

    def wait_for(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Polls until the condition holds; fails when the server dies or the time is up."""
        deadline = time.monotonic() + seconds
        while not condition():
            code = self.process.poll()
            if code is not None:
                raise self._error(f"ended with {_how_it_ended(code)} before it could {what}")
            if time.monotonic() > deadline:
                raise self._error(f"did not {what} within {seconds:g} s")
            time.sleep(0.02)

    def __enter__(self) -> Self:
        if self._process is None:
            try:
                self.start()
            except BaseException:
                self._remove_folder()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except ServerError as stop_error:
            if error is None:
                raise
            error.add_note(str(stop_error))
        finally:
            self._remove_folder()

    # --- what can be seen from outside ---

    @property
    def process(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ServerError(f"{self.name} is not running")
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log_path(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def rss_bytes(self) -> int:
        return proc.rss_bytes(self.pid)

    def peak_rss_bytes(self) -> int:
        return proc.peak_rss_bytes(self.pid)

    def cpu_seconds(self) -> float:
        return proc.cpu_seconds(self.pid)

    def open_files(self) -> Counter[str]:
        return proc.open_files(self.pid)

    # --- the user that the server runs as ---

    def give(self, path: Path) -> None:
        """Makes `path` the property of the user that the server runs as."""
        if self._run_as:
            user = pwd.getpwnam(self._run_as)
            os.chown(path, user.pw_uid, user.pw_gid)

    def run_tool(self, command: Sequence[str | Path]) -> str:
        """Runs a command to its end as the server's user; its output is part of the error if it fails."""
        done = subprocess.run(
            self._as_user(command), cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise ServerError(f"{Path(command[0]).name} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def _as_user(self, command: Sequence[str | Path], *, dies_with_us: bool = False) -> list[str]:
        options: list[str] = []
        if self._run_as:
            group = pwd.getpwnam(self._run_as).pw_gid
            options += [f"--reuid={self._run_as}", f"--regid={group}", "--clear-groups"]
        if dies_with_us:
            options.append(f"--pdeathsig={self.stop_signal.name.removeprefix('SIG')}")
        return [*(["setpriv", *options, "--"] if options else []), *map(str, command)]

    def _remove_folder(self) -> None:
        if not self._keep_folder and "MILLRACE_KEEP_FOLDERS" not in os.environ:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _error(self, what: str) -> ServerError:
        tail = "\n".join(self.log.splitlines()[-_LOG_TAIL_LINES:])
        return ServerError(f"{self.name} {what}\n--- the end of {self.log_path}:\n{tail}")


def _how_it_ended(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def unprivileged_user() -> str | None:
    """The user for servers that refuse to run as root; None where we are not root."""
    if os.geteuid() != 0:
        return None
    for candidate in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(candidate).pw_name
        except KeyError:
            continue
    raise ServerError("running as root, and there is no user 'postgres' or 'nobody' to run servers as")
