"""Alerts, from statements that are slow in PostgreSQL to who is told of it, over a restart too."""

import functools
import json
import os
import queue
import signal
import stat
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from wire import connect, eventually

from harness import Millrace, PostgreSQL, millrace_binary

PERFORMANCE = "/api/v1/performance"
RULE = {"metric_type": "execution_time", "threshold_value": 40, "min_occurrences": 2, "severity": "high"}


class Receiver:
    """A webhook: fails as often as it is told to, and hangs while it is told to."""

    def __init__(self) -> None:
        self.got: queue.Queue[dict[str, Any]] = queue.Queue()
        self.failures = 0
        self.hanging = threading.Event()
        self.released = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if receiver.hanging.is_set():
                    receiver.released.wait(60)
                if receiver.failures > 0:
                    receiver.failures -= 1
                    self.send_error(503)
                    return
                assert self.headers["Content-Type"] == "application/json"
                receiver.got.put(body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.close()


def api(millrace: Millrace) -> httpx.Client:
    return httpx.Client(base_url=millrace.http_url, trust_env=False, timeout=60)


def alerts(client: httpx.Client, active_only: bool = True) -> list[dict[str, Any]]:
    answer = client.get(f"{PERFORMANCE}/alerts", params={"active_only": active_only})
    assert answer.status_code == 200, answer.text
    return answer.json()["alerts"]


def create(client: httpx.Client, **rule: Any) -> dict[str, Any]:
    answer = client.post(f"{PERFORMANCE}/create-alert", json=rule)
    assert answer.status_code == 200, answer.text
    return answer.json()


def be_slow(millrace: Millrace, times: int) -> None:
    with connect(millrace) as client:
        for _ in range(times):
            client.rows("SELECT pg_sleep(0.06)")


def test_from_slow_statements_to_a_webhook_and_over_a_restart(
    postgres: PostgreSQL, receiver: Receiver, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    command = tmp_path / "command"
    command.write_text(f"#!/bin/sh\ncat >>{told}\necho >>{told}\n")
    command.chmod(0o755)
    settings: dict[str, str | int] = {
        "DATA_DIR": str(tmp_path),
        "ALERT_WEBHOOK_URL": receiver.url,
        "ALERT_COMMAND": str(command),
    }
    receiver.failures = 1
    with Millrace(postgres, settings) as millrace, api(millrace) as client:
        made = create(client, **RULE, notification_channels=["ops"])
        assert made["alert_id"] == "pending"
        be_slow(millrace, 2)
        firing = receiver.got.get(timeout=60)
        assert firing["version"] == "4" and firing["status"] == "firing" and firing["receiver"] == "millrace"
        (one,) = firing["alerts"]
        assert one["labels"]["alertname"] == "MillraceExecutionTime"
        assert (one["labels"]["severity"], one["labels"]["channels"]) == ("high", "ops")
        assert one["labels"]["rule_id"] == made["rule_id"]
        (alert,) = alerts(client)
        assert alert["alert_id"] == one["annotations"]["alert_id"]
        assert alert["current_value"] >= 60 * 0.98 and alert["threshold_value"] == 40
        (shown,) = client.get(f"{PERFORMANCE}/dashboard").json()["active_alerts"]
        assert (shown["alert_id"], shown["severity"]) == (alert["alert_id"], "high")
        assert millrace.metric("alerts_firing", severity="high") == 1
        assert millrace.metric("alert_notifications_total", channel="webhook", outcome="attempt_failed") == 1
        done = client.post(f"{PERFORMANCE}/alerts/{alert['alert_id']}/acknowledge", params={"acknowledged_by": "ada"})
        assert done.json()["acknowledged"]
        eventually(lambda: _is_json(told), what="the command")
        assert json.loads(told.read_text())["alerts"] == firing["alerts"]
        saved = tmp_path / "alerts.json"
        eventually(lambda: saved.exists() and '"ada"' in saved.read_text(), what="the alert to be saved")
        assert stat.S_IMODE(saved.stat().st_mode) == 0o600

    with Millrace(postgres, settings) as millrace, api(millrace) as client:
        (again,) = alerts(client)
        assert again["alert_id"] == alert["alert_id"] and again["acknowledged_by"] == "ada"
        assert client.post(f"{PERFORMANCE}/alerts/{alert['alert_id']}/resolve").json()["resolved"]
        resolved = receiver.got.get(timeout=60)
        assert resolved["status"] == "resolved" and resolved["alerts"][0]["endsAt"] > resolved["alerts"][0]["startsAt"]
        assert resolved["alerts"][0]["fingerprint"] == one["fingerprint"]
        assert alerts(client) == []
        assert [one["resolved"] for one in alerts(client, active_only=False)] == [True]
        assert client.delete(f"{PERFORMANCE}/alert-rules/{made['rule_id']}").status_code == 204
        rules = client.get(f"{PERFORMANCE}/alert-rules").json()["rules"]
        assert {rule["built_in"] for rule in rules} == {True}
        assert client.delete(f"{PERFORMANCE}/alert-rules/{rules[0]['rule_id']}").status_code == 409


def _is_json(file: Path) -> bool:
    try:
        json.loads(file.read_text())
    except (OSError, ValueError):
        return False
    return True


def test_by_command(postgres: PostgreSQL) -> None:
    with Millrace(postgres) as millrace, api(millrace) as client:
        alerts_command = functools.partial(millrace.run_command, "alerts")
        assert alerts_command() == "no alert fires\n"
        made = alerts_command("create", "execution_time", "40", "--severity", "high", "--occurrences", "1")
        rule = made.removeprefix("rule ").strip()
        assert f"{rule}  high  execution_time > 40.00  1 in 5 min  inactive\n" in alerts_command("rules")
        assert "built in" in alerts_command("rules")
        be_slow(millrace, 1)
        eventually(lambda: alerts(client), what="the rule to fire")
        listed = alerts_command("list")
        identity, severity = listed.split()[:2]
        assert severity == "high" and "longer than 40 ms" in listed
        assert "fires, acknowledged by ada b" in alerts_command("acknowledge", identity, "--by", "ada\tb")
        assert json.loads(alerts_command("--json"))["alerts"][0]["acknowledged_by"] == "ada\tb"
        assert "over, acknowledged" in alerts_command("resolve", identity)
        assert identity in alerts_command("list", "--all")
        assert alerts_command("delete", identity) == "deleted\n"
        assert alerts_command("delete-rule", rule) == "deleted\n"
        assert "there is no such alert (HTTP 404)" in alerts_command("resolve", "../x", code=1)
        assert "isn't measured in this version (HTTP 422)" in alerts_command("create", "io_operations", "1", code=1)
        assert alerts_command("list", "--all") == "there was no alert\n"


def test_a_webhook_that_hangs_delays_nothing(postgres: PostgreSQL, receiver: Receiver) -> None:
    receiver.hanging.set()
    with Millrace(postgres, {"ALERT_WEBHOOK_URL": receiver.url}) as millrace, api(millrace) as client:
        for threshold in (40, 41, 42):
            create(client, **RULE | {"threshold_value": threshold, "min_occurrences": 1})
        be_slow(millrace, 1)
        eventually(lambda: len(alerts(client)) == 3, what="all rules to fire")
        be_slow(millrace, 1)
        assert millrace.metric("alert_notifications_total", channel="webhook", outcome="delivered") == 0
        receiver.hanging.clear()
        receiver.released.set()
        assert {receiver.got.get(timeout=60)["status"] for _ in range(3)} == {"firing"}


def test_it_ends_while_a_webhook_hangs(postgres: PostgreSQL, receiver: Receiver) -> None:
    receiver.hanging.set()
    with Millrace(postgres, {"ALERT_WEBHOOK_URL": receiver.url}) as millrace, api(millrace) as client:
        create(client, **RULE | {"min_occurrences": 1})
        be_slow(millrace, 1)
        eventually(lambda: len(alerts(client)) == 1, what="the rule to fire")


def test_what_is_wrong(postgres: PostgreSQL) -> None:
    with Millrace(postgres, {"ENABLE_ANOMALY_DETECTION": "false"}) as millrace, api(millrace) as client:
        answer = client.post(f"{PERFORMANCE}/create-alert", json={"metric_type": "io_operations", "threshold_value": 1})
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["body", "metric_type"]
        assert client.post(f"{PERFORMANCE}/alerts/nosuch/resolve").status_code == 404
        assert client.get(f"{PERFORMANCE}/anomalies").status_code == 503


def test_switched_off(postgres: PostgreSQL) -> None:
    with Millrace(postgres, {"PERFORMANCE_MONITORING_ENABLED": "false"}) as millrace, api(millrace) as client:
        os.kill(millrace.pid, signal.SIGHUP)
        eventually(lambda: "settings were reloaded" in millrace.log, what="the reload")
        for path in ("alerts", "alert-rules", "anomalies"):
            answer = client.get(f"{PERFORMANCE}/{path}")
            assert answer.status_code == 503 and "PERFORMANCE_MONITORING_ENABLED" in answer.text
        assert millrace.metric("anomalies_total") == 0


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("DATA_DIR", "/nosuch", "is not a directory"),
        ("DATA_DIR", "here", "an absolute path"),
        ("ALERT_COMMAND", "/nosuch", "can't be run"),
        ("ALERT_WEBHOOK_URL", "ftp://x", "an http or https URL"),
        ("ALERT_WEBHOOK_URL", "http://", "an http or https URL"),
    ],
)
def test_what_can_not_be(name: str, value: str, why: str) -> None:
    done = subprocess.run(
        [millrace_binary(), "serve", "--check"],
        env=os.environ | {f"MILLRACE_{name}": value}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert name in done.stderr and why in done.stderr
