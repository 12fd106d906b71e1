"""Circuit breakers of PostgreSQL's servers, as `ExecutionMetrics` has them. Times are seconds."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from ._answers import known, time_or_none


class CircuitState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True)
class CircuitBreakerConfig:
    failure_threshold: int
    success_threshold: int
    timeout_seconds: float
    max_timeout_seconds: float
    exponential_backoff: bool
    sliding_window_size: int


@dataclass(frozen=True)
class CircuitBreakerMetrics:
    """Since Millrace's start; requests are attempts to connect."""

    total_requests: int
    successful_requests: int
    failed_requests: int
    success_rate: float | None  # 0 to 1
    circuit_open_count: int
    avg_response_time: float | None  # of those that were answered
    last_failure_time: datetime | None
    last_success_time: datetime | None
    lost_connections: int
    refused_queries: int


@dataclass(frozen=True)
class CircuitBreakerStatus:
    name: str  # of the server: its host and port
    state: CircuitState
    failure_count: int  # since the last success
    success_count: int  # since the last failure
    recent_failures: int  # of the last `sliding_window_size` outcomes
    next_attempt_time: datetime | None
    seconds_until_retry: float | None
    config: CircuitBreakerConfig
    metrics: CircuitBreakerMetrics

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        metrics = body["metrics"]
        return known(
            cls,
            body,
            state=CircuitState(body["state"]),
            next_attempt_time=time_or_none(body["next_attempt_time"]),
            config=known(CircuitBreakerConfig, body["config"]),
            metrics=known(
                CircuitBreakerMetrics,
                metrics,
                last_failure_time=time_or_none(metrics["last_failure_time"]),
                last_success_time=time_or_none(metrics["last_success_time"]),
            ),
        )
