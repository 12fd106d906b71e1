"""How Millrace is, for both kinds of `query_optimization_engine`'s client: what it says, and mixins that ask for it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from ._answers import known, read
from ._connection import AsyncCaller, SyncCaller
from ._protocol import Call


@dataclass(frozen=True)
class ServiceHealth:
    available: bool
    status: str  # healthy, unavailable
    reason: str | None  # why it isn't available


@dataclass(frozen=True)
class OptimizationHealth:
    overall_status: str  # healthy, degraded (queries are answered, but something is missing), unhealthy
    health_score: float  # 0 to 100
    services: dict[str, ServiceHealth | None]  # None: it isn't wanted
    checked_at: datetime
    warnings: list[str]

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        services = {name: one and known(ServiceHealth, one) for name, one in body["services"].items()}
        return known(cls, body, services=services, checked_at=datetime.fromisoformat(body["checked_at"]))


@dataclass(frozen=True)
class OptimizationStatus:
    """What is running, and its figures: dicts are as REST has them. None is what this version doesn't say."""

    status: str
    optimization_engine_available: bool
    cache_stats: dict[str, int | None]
    optimization_counts: dict[str, int | None]
    service_health: dict[str, Any]  # its circuit_breaker_state is a CircuitState
    wire: dict[str, Any]  # of the PostgreSQL port: version, uptime_seconds, clients, servers, queries
    change_streams: list[dict[str, Any]]  # one a database whose answers are kept
    store: dict[str, Any]  # what survives a restart
    warnings: list[str]

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        return known(cls, body)


_STATUS = Call("GET", "/api/v1/optimization/status")
_HEALTH = Call("GET", "/api/v1/optimization/health", seconds=30)  # PostgreSQL is asked


class ServiceStates(AsyncCaller):
    """What QueryOptimizationEngine has of status and health."""

    async def get_status(self) -> OptimizationStatus:
        return read(OptimizationStatus, await self._ask(_STATUS))

    async def get_health(self) -> OptimizationHealth:
        """Also of a Millrace that isn't healthy; raises UnreachableError if none answers."""
        return read(OptimizationHealth, await self._ask(_HEALTH))


class SyncServiceStates(SyncCaller):
    """As ServiceStates, without asyncio."""

    def get_status(self) -> OptimizationStatus:
        return read(OptimizationStatus, self._ask(_STATUS))

    def get_health(self) -> OptimizationHealth:
        """Also of a Millrace that isn't healthy; raises UnreachableError if none answers."""
        return read(OptimizationHealth, self._ask(_HEALTH))
