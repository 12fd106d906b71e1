"""The API as other programs see it: Prometheus' own parser reads the metrics, and the answers fit the document."""

import json
import math
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

PROBE = os.environ["API_PROBE"]
PREFIX = "/api/v1/optimization"
# What is answered only by asking PostgreSQL, which there is none of here: tests/functional has it.
ASK_A_SERVER = {f"{PREFIX}/recommendations"}
# For the operations that want a body.
INPUTS: dict[tuple[str, str], Any] = {
    ("post", "/api/v1/cache/invalidate"): {"patterns": ["nosuch"], "scope": "key_exact"},
    ("put", "/api/v1/cache/entries/{key}"): {"result": [1]},
    ("post", "/api/v1/performance/track-execution"): {"query": "SELECT 2", "duration_ms": 1.5, "metadata": {"rows_returned": 1}},
    ("post", "/api/v1/performance/create-alert"): {"metric_type": "cpu_usage", "threshold_value": 80},
    ("put", "/api/v1/execution/resource-quota/users/{user_id}"): {"hourly_query_limit": 5},
    ("put", "/api/v1/execution/resource-quota/projects/{project_id}"): {"max_concurrent_queries": 5, "hour": {}},
    ("post", "/api/v1/execution/queries"): {"sql": "SELECT $1", "parameters": [1, None], "priority": "low"},
    ("post", f"{PREFIX}/analyze-query"): {"query": "SELECT 1", "database_type": "postgresql"},
    ("post", f"{PREFIX}/optimize-query"): {"query": "SELECT 1", "optimization_level": 2},
}


def with_parameters(api: httpx.Client, method: str, path: str) -> str:
    """Of what is deleted there is another one."""
    if "{execution_id}" in path:
        execution = api.post("/api/v1/execution/queries", json={"sql": "SELECT 1"}).json()
        path = path.replace("{execution_id}", execution["execution_id"])
    path = path.replace("{template_id}", "0" * 16)
    return re.sub(r"{\w+}", "b" if method == "delete" and "alert" in path else "a", path)


@pytest.fixture(scope="module")
def api() -> Iterator[httpx.Client]:
    with subprocess.Popen([PROBE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as probe:
        assert probe.stdout is not None
        port = int(probe.stdout.readline())
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            yield client
        assert probe.stdin is not None
        probe.stdin.close()
        assert probe.wait(timeout=30) == 0


def document(api: httpx.Client) -> dict[str, Any]:
    return api.get("/openapi.json").json()


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_document_is_whole(api: httpx.Client) -> None:
    doc = document(api)
    assert doc["openapi"] == "3.1.0"
    assert set(doc["info"]) >= {"title", "version"}
    for reference in references(doc):
        node = doc
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
    for path, methods in doc["paths"].items():
        for method, operation in methods.items():
            response = api.request(method, with_parameters(api, method, path), json=INPUTS.get((method, path)))
            described = operation["responses"][str(response.status_code)]
            if "101" in operation["responses"]:
                assert response.status_code == 426
                continue
            assert response.status_code in ((503,) if path in ASK_A_SERVER else (200, 202, 204))
            if response.content:
                assert response.headers["content-type"].split(";")[0] in described["content"]


def test_answers_fit_the_document(api: httpx.Client) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    doc = document(api)
    for schema in doc["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for path, methods in doc["paths"].items():
        for method, operation in methods.items():
            expected = operation["responses"].get("200") or operation["responses"].get("202", {})
            content = expected.get("content", {}).get("application/json")
            if content is None or path in ASK_A_SERVER:
                continue
            schema = {"$ref": content["schema"]["$ref"], "components": doc["components"]}
            answer = api.request(method, with_parameters(api, method, path), json=INPUTS.get((method, path)))
            jsonschema.Draft202012Validator(schema).validate(answer.json())
            if given := INPUTS.get((method, path)):
                body = operation["requestBody"]["content"]["application/json"]["schema"]
                jsonschema.Draft202012Validator({**body, "components": doc["components"]}).validate(given)


def test_status(api: httpx.Client) -> None:
    status = api.get(f"{PREFIX}/status").json()
    assert status["status"] == "active"
    queries = status["wire"]["queries"]
    assert (queries["total"], queries["failed"]) == (1000, 10)
    assert math.isclose(queries["p50_ms"], 500, rel_tol=1 / 64)
    assert math.isclose(queries["p99_ms"], 990, rel_tol=1 / 64)
    assert status["wire"]["clients"]["connected"] == 7


def test_health(api: httpx.Client) -> None:
    health = api.get(f"{PREFIX}/optimization/health/").json()
    assert health["overall_status"] == "degraded"
    checked = datetime.fromisoformat(health["checked_at"])
    assert abs(datetime.now(checked.tzinfo) - checked) < timedelta(minutes=1)


def test_errors(api: httpx.Client) -> None:
    assert api.get("/nothing").json() == {"detail": "Not Found"}
    refused = api.post(f"{PREFIX}/status")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
    assert api.head(f"{PREFIX}/status").content == b""


def test_metrics_by_prometheus_own_parser(api: httpx.Client) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    response = api.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in parser.text_string_to_metric_families(response.text)}
    for family in families.values():
        assert family.name.startswith("millrace_")
        assert family.documentation.endswith(".")
    kinds = {sample.labels["kind"]: sample.value for sample in families["millrace_queries"].samples}
    assert kinds == {"select": 500, "insert": 500}
    errors = {sample.labels["sqlstate_class"]: sample.value for sample in families["millrace_query_errors"].samples}
    assert errors == {"40": 10}

    durations = families["millrace_query_duration_seconds"]
    assert durations.type == "histogram"
    reads = [sample for sample in durations.samples if sample.labels["group"] == "read"]
    buckets = [(float(s.labels["le"]), s.value) for s in reads if s.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == (math.inf, 500)
    by_edge = dict(buckets)
    assert math.isclose(by_edge[0.25], 125, abs_tol=5)
    (total,) = (sample.value for sample in reads if sample.name.endswith("_sum"))
    assert math.isclose(total, sum(range(2, 1001, 2)) / 1000)
    assert families["millrace_clients_connected"].samples[0].value == 7
    assert families["millrace_client_sent_bytes"].samples[0].value == 123_456
    assert json.dumps(families["millrace_build_info"].samples[0].labels) == '{"version": "1.2.3"}'
