"""Quotas of users and projects, for both kinds of `adaptive_query_executor`'s client: what they are, and mixins that ask
for them and set them."""

from dataclasses import dataclass
from typing import Any, Self

from . import _protocol
from ._answers import known, read
from ._connection import AsyncCaller, SyncCaller
from ._protocol import Call
from .errors import InvalidRequestError


@dataclass(frozen=True)
class QuotaWindow:
    """Begins with the first query that is counted in it."""

    used: int
    left: int | None  # None: there is no limit
    resets_in_seconds: float | None  # None: nothing was used


@dataclass(frozen=True)
class ResourceQuota:
    """Of a user or of a project whom clients name: one of the two ids is said. A limit of None is none."""

    user_id: str | None = None
    project_id: str | None = None
    max_concurrent_queries: int | None = None  # more of them wait
    max_memory_mb: int | None = None  # of PostgreSQL's process in one query
    max_cpu_percent: int | None = None  # isn't limited in this version: to set it is an InvalidRequestError
    max_execution_time_seconds: int | None = None
    daily_query_limit: int | None = None
    priority_boost: int = 0  # -4 to 4
    hourly_query_limit: int | None = None

    # What Millrace says besides; None in one that a program made.
    enforced: bool | None = None  # ENABLE_RESOURCE_QUOTAS
    counted_across_nodes: bool | None = None
    running_queries: int | None = None
    hour: QuotaWindow | None = None
    day: QuotaWindow | None = None

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        return known(cls, body, hour=known(QuotaWindow, body["hour"]), day=known(QuotaWindow, body["day"]))


_SETTABLE = (
    "max_concurrent_queries",
    "max_memory_mb",
    "max_cpu_percent",
    "max_execution_time_seconds",
    "daily_query_limit",
    "priority_boost",
    "hourly_query_limit",
)


def _path(user_id: str | None, project_id: str | None) -> str:
    if (user_id is None) == (project_id is None):
        raise InvalidRequestError("a quota is of a user_id or of a project_id")
    kind, name = ("projects", project_id) if user_id is None else ("users", user_id)
    return f"/api/v1/execution/resource-quota/{kind}/{_protocol.in_path(str(name), 'an id')}"


def _get(user_id: str | None, project_id: str | None) -> Call:
    return Call("GET", _path(user_id, project_id))


def _set(quota: ResourceQuota) -> Call:
    limits = {name: value for name in _SETTABLE if (value := getattr(quota, name)) is not None}
    return _protocol.with_json("PUT", _path(quota.user_id, quota.project_id), limits)


class ResourceQuotas(AsyncCaller):
    """What AdaptiveQueryExecutor has of quotas."""

    async def get_resource_quota(self, user_id: str | None = None, project_id: str | None = None) -> ResourceQuota:
        """Of one of the two, with what is used of it."""
        return read(ResourceQuota, await self._ask(_get(user_id, project_id)))

    async def set_resource_quota(self, quota: ResourceQuota) -> ResourceQuota:
        """In place of the one that there was, on this node until Millrace ends; with REDIS_URL on all nodes, for good.

        What was answered may be changed (`dataclasses.replace`) and given back.
        """
        return read(ResourceQuota, await self._ask(_set(quota)))


class SyncResourceQuotas(SyncCaller):
    """As ResourceQuotas, without asyncio."""

    def get_resource_quota(self, user_id: str | None = None, project_id: str | None = None) -> ResourceQuota:
        """Of one of the two, with what is used of it."""
        return read(ResourceQuota, self._ask(_get(user_id, project_id)))

    def set_resource_quota(self, quota: ResourceQuota) -> ResourceQuota:
        """In place of the one that there was, on this node until Millrace ends; with REDIS_URL on all nodes, for good.

        What was answered may be changed (`dataclasses.replace`) and given back.
        """
        return read(ResourceQuota, self._ask(_set(quota)))
