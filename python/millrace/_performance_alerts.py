"""Anomalies and alerts, for both kinds of `query_performance_monitor`'s client: what they are, and mixins that ask for them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from urllib.parse import urlencode

from . import _protocol
from ._answers import known, read, time_or_none
from ._connection import AsyncCaller, SyncCaller
from ._protocol import Call


class AlertSeverity(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class AnomalyType(StrEnum):
    SLOW_QUERY = "slow_query"
    HIGH_CPU = "high_cpu"
    HIGH_MEMORY = "high_memory"
    RESOURCE_CONTENTION = "resource_contention"
    ERROR_SPIKE = "error_spike"
    THROUGHPUT_DROP = "throughput_drop"
    QUEUE_BUILDUP = "queue_buildup"
    DEADLOCK = "deadlock"


class PerformanceMetricType(StrEnum):
    """docs/alerts.md has the units; IO_OPERATIONS, NETWORK_LATENCY and LOCK_CONTENTION aren't measured."""

    EXECUTION_TIME = "execution_time"
    CPU_USAGE = "cpu_usage"
    MEMORY_USAGE = "memory_usage"
    IO_OPERATIONS = "io_operations"
    NETWORK_LATENCY = "network_latency"
    QUEUE_DEPTH = "queue_depth"
    LOCK_CONTENTION = "lock_contention"
    ERROR_RATE = "error_rate"
    THROUGHPUT = "throughput"
    CONCURRENCY = "concurrency"
    MEMORY_USAGE_PERCENTAGE = "memory_usage_percentage"
    SLOW_QUERY_PERCENTAGE = "slow_query_percentage"
    CACHE_HIT_RATE = "cache_hit_rate"


class NoDataPolicy(StrEnum):
    KEEP = "keep"
    OK = "ok"
    ALERT = "alert"


class AlertState(StrEnum):
    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"


@dataclass(frozen=True)
class PerformanceAnomaly:
    anomaly_id: str
    anomaly_type: AnomalyType
    severity: AlertSeverity
    detected_at: datetime
    description: str
    affected_queries: list[str]
    metrics: dict[str, float]
    threshold_value: float  # what was usual
    actual_value: float
    confidence_score: float  # 0 to 1
    likely_cause: str
    suggested_actions: list[str]
    related_context: dict[str, str]

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        return known(
            cls,
            body,
            anomaly_type=AnomalyType(body["anomaly_type"]),
            severity=AlertSeverity(body["severity"]),
            detected_at=datetime.fromisoformat(body["detected_at"]),
        )


@dataclass(frozen=True)
class AlertThreshold:
    """A rule: fires when there were `min_occurrences` within `window_minutes`: queries, of execution_time, else tens of seconds."""

    metric_type: PerformanceMetricType | str
    threshold_value: float
    comparison_operator: str = ">"  # > < >= <= ==
    window_minutes: int = 5
    min_occurrences: int = 1
    severity: AlertSeverity | str = AlertSeverity.MEDIUM
    enabled: bool = True
    notification_channels: Iterable[str] = ()
    clear_value: float | None = None  # what the figure must be back at; None: a tenth inside the threshold
    min_samples: int = 10
    no_data: NoDataPolicy | str = NoDataPolicy.KEEP

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        return known(
            cls,
            body,
            metric_type=PerformanceMetricType(body["metric_type"]),
            severity=AlertSeverity(body["severity"]),
            no_data=NoDataPolicy(body["no_data"]),
            notification_channels=tuple(body["notification_channels"]),
        )


@dataclass(frozen=True)
class CreatedAlert:
    alert_id: str  # "pending" unless it fires already
    rule_id: str
    threshold: AlertThreshold
    description: str
    current_value: float | None
    triggered_at: datetime
    suggested_actions: list[str]

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        triggered = datetime.fromisoformat(body["triggered_at"])
        return known(cls, body, threshold=AlertThreshold._of(body["threshold"]), triggered_at=triggered)


@dataclass(frozen=True)
class Alert:
    alert_id: str
    rule_id: str
    metric_type: PerformanceMetricType
    severity: AlertSeverity
    description: str
    threshold_value: float
    comparison_operator: str
    current_value: float
    triggered_at: datetime
    acknowledged: bool
    acknowledged_by: str | None
    resolved: bool
    resolved_at: datetime | None
    affected_resources: list[str]
    suggested_actions: list[str]

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        return known(
            cls,
            body,
            metric_type=PerformanceMetricType(body["metric_type"]),
            severity=AlertSeverity(body["severity"]),
            triggered_at=datetime.fromisoformat(body["triggered_at"]),
            resolved_at=time_or_none(body["resolved_at"]),
        )


@dataclass(frozen=True)
class AlertRule:
    rule_id: str
    built_in: bool  # from PERFORMANCE_ALERT_THRESHOLDS
    threshold: AlertThreshold
    state: AlertState
    occurrences: int  # in the window
    current_value: float | None

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        return known(cls, body, threshold=AlertThreshold._of(body["threshold"]), state=AlertState(body["state"]))


class _Anomalies:
    @staticmethod
    def _of(body: dict[str, Any]) -> list[PerformanceAnomaly]:
        return [PerformanceAnomaly._of(one) for one in body["anomalies"]]


class _Alerts:
    @staticmethod
    def _of(body: dict[str, Any]) -> list[Alert]:
        return [Alert._of(one) for one in body["alerts"]]


class _Rules:
    @staticmethod
    def _of(body: dict[str, Any]) -> list[AlertRule]:
        return [AlertRule._of(one) for one in body["rules"]]


_PATH = "/api/v1/performance"
_ANOMALIES = Call("GET", f"{_PATH}/anomalies")
_RULES = Call("GET", f"{_PATH}/alert-rules")


def _create(threshold: AlertThreshold) -> Call:
    body = {name: value for name, value in vars(threshold).items() if value is not None}
    body["notification_channels"] = _protocol.names(threshold.notification_channels)
    return _protocol.with_json("POST", f"{_PATH}/create-alert", body)


def _list(active_only: bool) -> Call:
    return Call("GET", f"{_PATH}/alerts?active_only={'true' if active_only else 'false'}")


def _one(method: str, kind: str, name: str, what: str = "") -> Call:
    return Call(method, f"{_PATH}/{kind}/{_protocol.in_path(name, 'an id')}{what}")


def _acknowledge(alert_id: str, by: str | None) -> Call:
    return _one("POST", "alerts", alert_id, "/acknowledge" + (f"?{urlencode({'acknowledged_by': by})}" if by else ""))


class PerformanceAlerts(AsyncCaller):
    """What QueryPerformanceMonitor has of anomalies and alerts. None: there is no such alert."""

    async def detect_performance_anomalies(self) -> list[PerformanceAnomaly]:
        """Those that were found of late, the newest first."""
        found: list[PerformanceAnomaly] = read(_Anomalies, await self._ask(_ANOMALIES))
        return found

    async def create_alert(self, threshold: AlertThreshold) -> CreatedAlert:
        made: CreatedAlert = read(CreatedAlert, await self._ask(_create(threshold)))
        return made

    async def get_alerts(self, active_only: bool = True) -> list[Alert]:
        alerts: list[Alert] = read(_Alerts, await self._ask(_list(active_only)))
        return alerts

    async def acknowledge_alert(self, alert_id: str, acknowledged_by: str | None = None) -> Alert | None:
        body = await self._ask(_acknowledge(alert_id, acknowledged_by), or_none=True)
        return None if body is None else read(Alert, body)

    async def resolve_alert(self, alert_id: str) -> Alert | None:
        body = await self._ask(_one("POST", "alerts", alert_id, "/resolve"), or_none=True)
        return None if body is None else read(Alert, body)

    async def delete_alert(self, alert_id: str) -> bool:
        """Whether there was one."""
        return await self._ask(_one("DELETE", "alerts", alert_id), or_none=True, absent=False) is not False

    async def get_alert_rules(self) -> list[AlertRule]:
        rules: list[AlertRule] = read(_Rules, await self._ask(_RULES))
        return rules

    async def delete_alert_rule(self, rule_id: str) -> bool:
        """Whether there was one."""
        return await self._ask(_one("DELETE", "alert-rules", rule_id), or_none=True, absent=False) is not False


class SyncPerformanceAlerts(SyncCaller):
    """As PerformanceAlerts, without asyncio."""

    def detect_performance_anomalies(self) -> list[PerformanceAnomaly]:
        """Those that were found of late, the newest first."""
        found: list[PerformanceAnomaly] = read(_Anomalies, self._ask(_ANOMALIES))
        return found

    def create_alert(self, threshold: AlertThreshold) -> CreatedAlert:
        made: CreatedAlert = read(CreatedAlert, self._ask(_create(threshold)))
        return made

    def get_alerts(self, active_only: bool = True) -> list[Alert]:
        alerts: list[Alert] = read(_Alerts, self._ask(_list(active_only)))
        return alerts

    def acknowledge_alert(self, alert_id: str, acknowledged_by: str | None = None) -> Alert | None:
        body = self._ask(_acknowledge(alert_id, acknowledged_by), or_none=True)
        return None if body is None else read(Alert, body)

    def resolve_alert(self, alert_id: str) -> Alert | None:
        body = self._ask(_one("POST", "alerts", alert_id, "/resolve"), or_none=True)
        return None if body is None else read(Alert, body)

    def delete_alert(self, alert_id: str) -> bool:
        """Whether there was one."""
        return self._ask(_one("DELETE", "alerts", alert_id), or_none=True, absent=False) is not False

    def get_alert_rules(self) -> list[AlertRule]:
        rules: list[AlertRule] = read(_Rules, self._ask(_RULES))
        return rules

    def delete_alert_rule(self, rule_id: str) -> bool:
        """Whether there was one."""
        return self._ask(_one("DELETE", "alert-rules", rule_id), or_none=True, absent=False) is not False
