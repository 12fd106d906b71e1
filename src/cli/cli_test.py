"""The real binary: what it prints, how it ends, which source of a setting wins."""

import hashlib
import os
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

MILLRACE = Path(os.environ["MILLRACE_BIN"])
# Nothing of the environment that the tests run in may be a setting.
ENVIRONMENT = {"PATH": os.environ["PATH"], "MILLRACE_CONFIG": "/dev/null"}
FREE_PORTS = {"LISTEN_PORT": "0", "HTTP_PORT": "0"}


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MILLRACE, *arguments], env={**ENVIRONMENT, **environment}, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def file(tmp_path: Path):
    def write(content: str) -> Path:
        path = tmp_path / "millrace.toml"
        path.write_text(content)
        return path

    return write


def test_version_names_the_commit_and_the_libraries() -> None:
    done = run("version")
    assert done.returncode == 0
    assert re.match(r"millrace \d+\.\d+\.\d+\ncommit    \S+\ncompiler  .*Clang 19", done.stdout)
    assert "OpenSSL 3" in done.stdout
    assert run("--version").stdout == done.stdout.splitlines()[0] + "\n"


@pytest.mark.parametrize("command", [[], ["serve"], ["status"], ["top"], ["slow"], ["alerts"], ["alerts", "create"], ["jobs"], ["analyze"], ["check"], ["settings"], ["api-key"], ["version"]])
def test_help_everywhere(command: list[str]) -> None:
    done = run(*command, "--help")
    assert done.returncode == 0
    assert "Usage: millrace" in done.stdout


def test_api_keys_are_random_and_come_with_their_hash() -> None:
    keys = set()
    for _ in range(3):
        made = re.fullmatch(r"key   (mr_[0-9a-f]{64})\nhash  ([0-9a-f]{64})\n", run("api-key").stdout)
        assert made
        assert made[2] == hashlib.sha256(made[1].encode()).hexdigest()
        assert run("serve", "--check", API_KEY_HASHES=f"{made[2]}, {made[2].upper()}").returncode == 0
        keys.add(made[1])
    assert len(keys) == 3


@pytest.mark.parametrize("hashes", ["x", "ab" * 31, "," + "ab" * 32, "ab" * 33, "ab" * 31 + "zz", "ab" * 32 + " " + "ab" * 32])
def test_what_is_no_hash_is_refused(hashes: str) -> None:
    done = run("serve", "--check", API_KEY_HASHES=hashes)
    assert done.returncode == 2
    assert "API_KEY_HASHES" in done.stderr


def test_serve_help_lists_what_takes_effect_only() -> None:
    flags = run("serve", "--help").stdout
    assert "--pool-mode" in flags and "(session, transaction; default: session)" in flags
    assert "--slow-query-threshold-ms" in flags
    assert "--l1-cache-size-mb" in flags
    assert "--l3-materialized-view-ttl-hours" not in flags


def test_check_help_lists_what_it_asks_about_only() -> None:
    flags = run("check", "--help").stdout
    assert "--cache-consistency-level" in flags and "--json" in flags
    assert "--pool-size" not in flags


@pytest.mark.parametrize("arguments", [[], ["swim"], ["serve", "--nonsense"], ["serve", "--pool-size"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert "--help" in done.stderr


def test_check_accepts_a_good_file(file) -> None:
    path = file('LISTEN_PORT = 7000\npool_mode = "transaction"\n[PERFORMANCE_ALERT_THRESHOLDS]\nerror_rate_percentage = 2\n')
    done = run("serve", "--check", "--config", path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "configuration is valid\n", "")


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("LISTEN_PROT = 7000\n", 1, "LISTEN_PROT is not a setting; did you mean LISTEN_PORT?"),
        ("\n\nLISTEN_PORT = 70000\n", 3, "LISTEN_PORT: 70000 is out of range (0 to 65535)"),
        ('# x\nPOOL_MODE = "statement"\n', 2, "POOL_MODE: expected one of session, transaction"),
        ("LOG_LEVEL = info\n", 1, "not valid TOML"),
        ('TLS_CERT_FILE = "/none.pem"\nTLS_KEY_FILE = "/none.pem"\n', 1, "TLS_CERT_FILE: could not load the certificate"),
        ('DATABASE_URL = "postgresql://h/d?sslmode=verify-ca&sslrootcert=/none.pem"\n', 1, "SERVER_TLS_CA_FILE: could not"),
        ('AUTH_FILE = "/none.txt"\n', 1, "AUTH_FILE: cannot read /none.txt: No such file or directory"),
        ('UNIX_SOCKET_DIR = "/none"\n', 1, "UNIX_SOCKET_DIR: /none is not a directory"),
    ],
)
def test_check_names_file_line_and_reason(file, content: str, line: int, reason: str) -> None:
    path = file(content)
    done = run("serve", "--check", "-c", path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"{path}:{line}"), done.stderr
    assert reason in done.stderr


def test_check_reads_the_user_file(file, tmp_path: Path) -> None:
    users = tmp_path / "users.txt"
    path = file(f'AUTH_FILE = "{users}"\n')
    users.write_text('"ada" "secret"\n')
    assert run("serve", "--check", "-c", path).returncode == 0
    users.write_text('"ada" "secret"\n"grace" hopper\n')
    done = run("serve", "--check", "-c", path)
    assert done.returncode == 2
    assert f"{path}:1: AUTH_FILE: {users}: line 2: " in done.stderr
    assert "hopper" not in done.stderr


def test_serve_refuses_what_check_refuses(file) -> None:
    path = file("POOL_SIZE = 0\n")
    done = run("serve", "-c", path)
    assert (done.returncode, done.stderr) == (2, f"{path}:1: POOL_SIZE: 0 is out of range (1 to 10000)\n")


def test_flags_beat_environment_beats_file(file) -> None:
    path = file("POOL_SIZE = 1\nLISTEN_PORT = 7001\nHTTP_PORT = 7002\n")
    shown = run(
        "settings", "-c", path, "--pool-size", "4", POOL_SIZE="2", MILLRACE_POOL_SIZE="3", MILLRACE_HTTP_PORT="7003"
    ).stdout
    assert "POOL_SIZE = 4  # --pool-size\n" in shown
    assert f"LISTEN_PORT = 7001  # {path}:2\n" in shown
    assert "HTTP_PORT = 7003  # environment variable MILLRACE_HTTP_PORT\n" in shown
    assert 'LISTEN_HOST = "127.0.0.1"  # default\n' in shown


def test_settings_are_toml_again(file) -> None:
    tomllib = pytest.importorskip("tomllib")
    shown = run("settings", AUTH_QUERY=r'SELECT "a\b"').stdout
    parsed = tomllib.loads(shown)
    assert parsed["AUTH_QUERY"] == r'SELECT "a\b"'
    assert parsed["PERFORMANCE_ALERT_THRESHOLDS"]["cache_hit_rate_minimum"] == 70
    assert run("serve", "--check", "-c", file(shown)).stdout == "configuration is valid\n"


def test_passwords_are_masked() -> None:
    done = run("settings", DATABASE_URL="postgresql://app:hunter2@db:5432/shop")
    assert 'DATABASE_URL = "postgresql://app:***@db:5432/shop"  # environment variable DATABASE_URL' in done.stdout
    assert "hunter2" not in done.stdout + done.stderr
    done = run("settings", DATABASE_URL="postgresql://app:hunter2@db:0/shop")
    assert done.returncode == 2
    assert "hunter2" not in done.stdout + done.stderr


def test_a_mistyped_environment_variable_is_mentioned() -> None:
    done = run("serve", "--check", MILLRACE_POOL_SIZ="3")
    assert done.returncode == 0
    assert "did you mean POOL_SIZE?" in done.stderr


def test_status_without_a_server_is_exit_code_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = run("status", "--http-port", str(port))
    assert done.returncode == 1
    assert f"Millrace at 127.0.0.1:{port} gives no status: " in done.stderr


def serve_answer(answer: bytes) -> int:
    """Answers one connection so, and returns the port."""
    server = socket.create_server(("127.0.0.1", 0))

    def answer_once() -> None:
        with server, server.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(answer)

    threading.Thread(target=answer_once, daemon=True).start()
    return server.getsockname()[1]


def test_status_prints_a_summary() -> None:
    body = (
        '{"status":"active","wire":{"version":"9.8.7","uptime_seconds":3725.5,'
        '"clients":{"connected":12,"active":3,"waiting":0,"total":99,"refused":1,"logins_failed":2},'
        '"servers":{"idle":5,"active":3,"opened":20,"closed":12,"failed":0},'
        '"queries":{"total":1000,"failed":7,"recent_seconds":60,"per_second":12.34,"p50_ms":0.25,"p99_ms":null}},'
        '"warnings":["no cache yet"]}'
    )
    answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    done = run("status", HTTP_PORT=str(serve_answer(answer)))
    assert done.stdout == (
        "Millrace 9.8.7, active, up 1 h 2 min\n"
        "  clients  12 connected, 3 active, 0 waiting; so far 99, of them 1 refused, 2 log-ins failed\n"
        "  servers  3 active, 5 idle; so far 20 opened, 12 closed, 0 failed\n"
        "  queries  12.3 a second, median 0.250 ms, 99th percentile - ms (last 1 min 0 s); so far 1000, 7 failed\n"
        "  note     no cache yet\n"
    )
    assert run("status", "--json", HTTP_PORT=str(serve_answer(answer))).stdout == body + "\n"


def test_analyze_prints_what_is_known() -> None:
    body = (
        '{"query_hash":"00","statement_kind":"select","estimated_cost":12.5,"estimated_rows":3,"complexity":"simple",'
        '"tables_accessed":["public.pages"],"indexes_used":[],"performance_issues":["one","two"],'
        '"optimization_suggestions":["CREATE INDEX"],"plan":{"plan_operations":["Sort","Seq Scan"],"table_scans":["public.pages"]},'
        '"cache":{"cacheable":false,"why_not":"calls now()","what_helps":null},"warnings":["w"]}'
    )
    answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    done = run("analyze", "SELECT 1", HTTP_PORT=str(serve_answer(answer)))
    assert done.stdout.splitlines() == [
        "statement   select",
        "tables      public.pages",
        "complexity  simple",
        "cost        12.50",
        "rows        3",
        "plan        Sort",
        "            Seq Scan",
        "read whole  public.pages",
        "issues      one",
        "            two",
        "suggested   CREATE INDEX",
        "cacheable   no: calls now()",
        "note        w",
    ]
    assert run("analyze", "--json", "SELECT 1", HTTP_PORT=str(serve_answer(answer))).stdout == body + "\n"
    assert run("analyze").returncode == 2, "there is nothing to analyze"
    refusal = b'{"detail":[{"loc":["body","query"],"msg":"syntax error","type":"value_error"}]}'
    answer = b"HTTP/1.1 422 Unprocessable\r\nContent-Length: %d\r\n\r\n%s" % (len(refusal), refusal)
    done = run("analyze", "SELEC", HTTP_PORT=str(serve_answer(answer)))
    assert done.returncode == 1
    assert "gives no analysis: syntax error (HTTP 422)" in done.stderr


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "HTTP 503"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "ended early"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not HTTP as"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "not HTTP as"),
    ],
    ids=["503", "short", "ssh", "endless header"],
)
def test_status_of_something_else_is_exit_code_1(answer: bytes, reason: str) -> None:
    done = run("status", HTTP_PORT=str(serve_answer(answer)))
    assert done.returncode == 1
    assert reason in done.stderr


class Running:
    """`millrace serve` under a service manager: what it tells the NOTIFY_SOCKET can be waited for."""

    def __init__(self, tmp_path: Path, *arguments: str | Path, abstract: bool = False, **environment: str) -> None:
        name = f"millrace-test-{os.getpid()}-{time.monotonic_ns()}" if abstract else str(tmp_path / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + name if abstract else name)
        self._socket.settimeout(60)
        self._log = tmp_path / "log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [MILLRACE, "serve", *arguments],
                env={**ENVIRONMENT, **FREE_PORTS, **environment, "NOTIFY_SOCKET": "@" + name if abstract else name},
                stdin=subprocess.DEVNULL,
                stderr=log,
            )

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._socket.close()

    def told(self) -> list[str]:
        return self._socket.recv(4096).decode().splitlines()

    def wait_until_reloaded(self) -> None:
        assert "RELOADING=1" in self.told()
        assert "READY=1" in self.told()

    def wait_until_logged(self, text: str) -> None:
        """The log is written by a thread of its own, a moment later."""
        deadline = time.monotonic() + 10
        while text not in self.log:
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        return self.process.wait(60)

    @property
    def log(self) -> str:
        return self._log.read_text()


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_is_told(tmp_path: Path, abstract: bool) -> None:
    with Running(tmp_path, abstract=abstract) as millrace:
        assert "READY=1" in millrace.told()
        millrace.signal(signal.SIGHUP)
        assert re.fullmatch(r"RELOADING=1 MONOTONIC_USEC=\d+", " ".join(millrace.told()))
        assert "READY=1" in millrace.told()
        millrace.signal(signal.SIGTERM)
        assert millrace.told() == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=40000000"]
        assert millrace.end() == 0


def test_sigint_ends_it_too(tmp_path: Path) -> None:
    with Running(tmp_path) as millrace:
        millrace.told()
        millrace.signal(signal.SIGINT)
        assert millrace.end() == 0


def test_sighup_reads_the_settings_again(tmp_path: Path, file) -> None:
    path = file("POOL_SIZE = 1\nIO_THREADS = 1\n")
    with Running(tmp_path, "-c", path) as millrace:
        millrace.told()
        file('POOL_SIZE = 2\nIO_THREADS = 2\nLOG_FORMAT = "json"\n')
        millrace.signal(signal.SIGHUP)
        millrace.wait_until_reloaded()
        millrace.wait_until_logged('"event":"settings were reloaded","changed":"POOL_SIZE LOG_FORMAT"')
        assert '"setting":"IO_THREADS"' in millrace.log

        file("POOL_SIZE = 0\n")
        millrace.signal(signal.SIGHUP)
        millrace.wait_until_reloaded()
        millrace.wait_until_logged(f'"event":"settings were not reloaded","reason":"{path}:1: POOL_SIZE: 0 is out of range')
        millrace.signal(signal.SIGTERM)
        assert millrace.end() == 0


def test_the_documentation_is_what_the_table_says() -> None:
    documentation = Path(os.environ["MILLRACE_SOURCE"]) / "docs/settings.md"
    assert documentation.read_text() == run("settings", "--markdown").stdout, (
        "write it again: millrace settings --markdown > docs/settings.md"
    )


def test_the_example_file_is_valid_with_and_without_its_comments(file) -> None:
    example = (Path(os.environ["MILLRACE_SOURCE"]) / "packaging/millrace.toml").read_text()
    assert run("serve", "--check", "-c", file(example)).stdout == "configuration is valid\n"
    settings = dict(re.findall(r"^# ([A-Z_]+) = (.*)$", example, re.MULTILINE))
    for name in ("TLS_CERT_FILE", "TLS_KEY_FILE", "AUTH_FILE", "DATA_DIR"):  # show where a file could be
        del settings[name]
    uncommented = "".join(f"{name} = {value}\n" for name, value in settings.items())
    done = run("serve", "--check", "-c", file(uncommented))
    assert (done.stdout, done.stderr) == ("configuration is valid\n", "")
