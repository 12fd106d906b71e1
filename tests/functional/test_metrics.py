"""What Prometheus and Grafana are told: names as Prometheus wants them, and a dashboard of series that exist."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from wire import connect, eventually

from harness import Millrace, PostgreSQL

POSTGRESQL = {"wal_level": "logical"}
SCHEMA = "CREATE TABLE things (id int PRIMARY KEY); INSERT INTO things SELECT generate_series(1, 100)"
DASHBOARD = Path(__file__).parents[2] / "packaging/grafana/millrace.json"

# https://prometheus.io/docs/practices/naming/: base units, in the plural, at the end.
UNITS = ("seconds", "bytes", "ratio", "info")
NO_UNITS = {"milliseconds", "ms", "us", "minutes", "hours", "days", "kib", "mib", "mb", "kb", "kilobytes", "percent", "percentage"}


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL) -> Iterator[Millrace]:
    with Millrace(postgres) as server:
        with connect(server) as client:
            client.rows("SELECT id FROM things WHERE id = 1")  # from now on the database is followed
            eventually(lambda: server.change_stream("postgres").get("state") == "live", what="the change stream")
            for number in (1, 1, 1, 2, 2):
                client.rows(f"SELECT id FROM things WHERE id = {number}")
            client.rows("SELECT now()")
            client.rows("INSERT INTO things VALUES (0)")
            client.ask_or_error("SELECT id FROM nosuch")
        eventually(lambda: "template=" in text(server), what="the templates")
        yield server


def text(millrace: Millrace) -> str:
    return httpx.get(f"{millrace.http_url}/metrics", trust_env=False).text


def families(millrace: Millrace) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text(millrace))}


def test_names_are_as_prometheus_wants_them(millrace: Millrace) -> None:
    seen = text(millrace)
    types = re.findall(r"^# TYPE (\S+) (\S+)$", seen, re.MULTILINE)
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", seen, re.MULTILINE))
    assert len(types) == len({name for name, _ in types}) > 30  # no family comes twice
    for name, kind in types:
        assert re.fullmatch(r"millrace(_[a-z]+)+", name), name
        assert helps[name].endswith("."), name
        words = name.split("_")
        assert kind in ("counter", "gauge", "histogram")
        assert (kind == "counter") == name.endswith("_total"), name
        assert not set(words) & (NO_UNITS | {"counter", "gauge", "histogram", "count", "sum", "bucket"}), name
        for unit in UNITS:
            assert unit not in words or words[-1] == unit or words[-2:] == [unit, "total"], name
    for family in families(millrace).values():
        series = [(sample.name, *sorted(sample.labels.items())) for sample in family.samples]
        assert len(series) == len(set(series)), family.name
        assert not {label for sample in family.samples for label in sample.labels} & {"job", "instance"}


def test_few_templates_have_a_series(millrace: Millrace) -> None:
    """And the sum over them is what all queries are."""

    def all_told() -> bool:
        found = families(millrace)
        told = {sample.labels["template"]: sample.value for sample in found["millrace_template_queries"].samples}
        assert "other" in told and len(told) <= 21
        assert all(name == "other" or re.fullmatch("[0-9a-f]{16}", name) for name in told)
        return sum(told.values()) == sum(sample.value for sample in found["millrace_queries"].samples) >= 8

    eventually(all_told, what="all queries")
    with connect(millrace) as client:
        for number in range(60):
            client.rows(f"SELECT {', '.join(['id'] * (number + 2))} FROM things WHERE id = 5")
    eventually(all_told, what="those of many templates")


def test_the_dashboard_is_of_series_that_exist(millrace: Millrace) -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    exist: dict[str, set[str]] = {}
    for family in families(millrace).values():
        for sample in family.samples:
            exist.setdefault(sample.name, set()).update(sample.labels)
        exist.setdefault(family.name + ("_total" if family.type == "counter" else ""), set())
    expressions = [
        target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])
    ] + [one["expr"] for one in dashboard["annotations"]["list"]]
    assert len(expressions) > 30
    used = set()
    for expression in expressions:
        names = set(re.findall(r"millrace_\w+", expression))
        assert names and names <= exist.keys(), expression
        used |= names
        for by in re.findall(r"by \(([\w, ]+)\)", expression):
            labels = {label.strip() for label in by.split(",")}
            assert all(labels <= exist[name] for name in names), expression
    assert "millrace_build_info" in exist and "millrace_build_info" in json.dumps(dashboard["templating"])
    identities = [panel["id"] for panel in dashboard["panels"]]
    assert len(identities) == len(set(identities))
    places = {(x, y) for panel in dashboard["panels"] for x, y in cells(panel["gridPos"])}
    assert len(places) == sum(panel["gridPos"]["w"] * panel["gridPos"]["h"] for panel in dashboard["panels"])


def cells(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    for x in range(place["x"], place["x"] + place["w"]):
        assert x < 24
        for y in range(place["y"], place["y"] + place["h"]):
            yield x, y
