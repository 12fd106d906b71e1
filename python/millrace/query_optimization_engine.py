"""What Millrace knows of a statement, without running it.

    engine = get_query_optimization_engine()
    analysis = await engine.analyze_query("SELECT * FROM pages WHERE project_id = 7")
    print(analysis.estimated_cost, analysis.performance_issues, analysis.missing_indexes)
    if not analysis.cache.cacheable:
        print(analysis.cache.why_not, analysis.cache.what_helps)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self
from urllib.parse import urlencode

from . import _protocol
from ._answers import known, read
from ._connection import shared
from ._optimization_health import OptimizationHealth, OptimizationStatus, ServiceHealth, ServiceStates, SyncServiceStates
from ._protocol import Call

__all__ = [
    "CachePayoff",
    "DatabaseType",
    "IndexRecommendation",
    "OptimizationHealth",
    "OptimizationRecommendation",
    "OptimizationStatus",
    "OptimizationType",
    "OptimizedQuery",
    "QueryAnalysis",
    "QueryCacheability",
    "QueryComplexity",
    "QueryContext",
    "QueryCost",
    "QueryGain",
    "QueryOptimizationEngine",
    "QueryPlan",
    "RecommendationType",
    "ResourceUsageEstimate",
    "RewriteStep",
    "RuleNotUsed",
    "ServiceHealth",
    "SyncQueryOptimizationEngine",
    "get_query_optimization_engine",
    "get_sync_query_optimization_engine",
]


class DatabaseType(StrEnum):
    POSTGRESQL = "postgresql"
    DUCKDB = "duckdb"
    HYBRID = "hybrid"
    REDIS = "redis"


class OptimizationType(StrEnum):
    """Kinds of what makes a query quicker, as in `OptimizedQuery.optimization_types`."""

    PREDICATE_PUSHDOWN = "predicate_pushdown"
    JOIN_REORDER = "join_reorder"
    INDEX_HINT = "index_hint"
    SUBQUERY_OPTIMIZATION = "subquery_optimization"
    CTE_OPTIMIZATION = "cte_optimization"
    PARTITION_PRUNING = "partition_pruning"
    COLUMNAR_OPTIMIZATION = "columnar_optimization"
    VECTOR_PROCESSING = "vector_processing"
    MEMORY_OPTIMIZATION = "memory_optimization"
    PARALLEL_EXECUTION = "parallel_execution"


class QueryComplexity(StrEnum):
    """By how many tables and views a statement names: one or none, up to 3, up to 6, more."""

    SIMPLE = "simple"
    MODERATE = "moderate"
    COMPLEX = "complex"
    VERY_COMPLEX = "very_complex"


@dataclass(frozen=True)
class CachePayoff:
    """What asking memory first has brought of late, for all statements that differ in constants only."""

    origin_us: float  # until the server has answered
    hit_us: float  # an answer from memory, without what it waits for
    miss_extra_us: float  # what asking memory in vain, and keeping the answer, takes more than passing on
    hit_ratio: float  # 0 to 1
    break_even: float  # the hit ratio over which it pays; over 1: never


@dataclass(frozen=True)
class QueryCacheability:
    """Whether the answer may be kept, for a session that asks for answers from memory and has set nothing else."""

    cacheable: bool
    reason: str | None  # docs/cache.md has the table of all
    why_not: str | None
    what_helps: str | None
    level: str | None
    cache_key: str  # for invalidation, with the scope key_exact
    dependency_tables: list[str] | None  # None: not known
    ttl_seconds: float | None
    tags: list[str]
    key_fields: dict[str, Any]
    payoff: CachePayoff | None = None  # None: none of them was to be kept lately


@dataclass(frozen=True)
class QueryPlan:
    """How PostgreSQL would run it, by its own estimates; costs in its units, in which reading a page in order is 1."""

    startup_cost: float  # until the first row
    total_cost: float
    plan_operations: list[str]  # what comes last first
    join_operations: list[str]
    scan_operations: list[str]
    sort_operations: list[str]
    table_scans: list[str]  # tables that are read whole


@dataclass(frozen=True)
class QueryAnalysis:
    """None is what isn't known: costs, rows and indexes where PostgreSQL gives no plan, and `warnings` says why."""

    query_hash: str
    statement_kind: str
    estimated_cost: float | None
    estimated_rows: int | None
    complexity: QueryComplexity | None
    tables_accessed: list[str] | None
    indexes_used: list[str] | None
    missing_indexes: list[str] | None
    performance_issues: list[str] | None
    optimization_suggestions: list[str] | None
    plan: QueryPlan | None
    execution_time_estimate_ms: float | None  # None, as the next two: nothing like it was seen yet
    confidence_score: float | None  # of what that goes by, the part within a factor of two
    estimated_from: str | None  # what it goes by
    cache: QueryCacheability
    warnings: list[str]

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        complexity = body["complexity"]
        payoff = body["cache"].get("payoff")
        plan = body.get("plan")
        return known(
            cls,
            body,
            complexity=None if complexity is None else QueryComplexity(complexity),
            plan=None if plan is None else known(QueryPlan, plan),
            cache=known(QueryCacheability, body["cache"], payoff=None if payoff is None else known(CachePayoff, payoff)),
        )


@dataclass(frozen=True)
class QueryContext:
    """Who asks, and what may be done. `user_id` and `project_id` are the application's own.

    What isn't sent has no effect: Millrace reads statistics and indexes in PostgreSQL's catalogs, and
    MAX_QUERY_OPTIMIZATION_TIME_MS limits its search.
    """

    database_type: DatabaseType | str = DatabaseType.POSTGRESQL
    user_id: str | None = None
    project_id: str | None = None
    table_statistics: Mapping[str, Any] | None = None  # isn't sent, nor are the next three
    available_indexes: Sequence[Any] | None = None
    memory_limit: int | None = None
    timeout_seconds: float | None = None
    enable_caching: bool = True  # whether to say under which key the answer is kept
    optimization_level: int = 3  # 1 to 5: docs/rewriting.md
    database: str | None = None  # Millrace's own DATABASE_URL's unless it is said; likewise:
    user: str | None = None
    time_zone: str | None = None  # of the session; without it nothing is done that depends on it


@dataclass(frozen=True)
class ResourceUsageEstimate:
    memory_mb: float  # what sorts, hashes and the like hold
    cpu_percent: float  # of one processor, while it runs: what of the total isn't reading pages


@dataclass(frozen=True)
class QueryCost:
    """By PostgreSQL's estimates, in its units, in which reading a page in order is 1; and how long it will take."""

    cpu_cost: float
    io_cost: float
    memory_cost: float  # pages that sorts and hashes hold; not in the total
    network_cost: float  # pages of its answer; not in the total
    total_cost: float
    execution_time_estimate_ms: float | None  # None, as the next two: nothing like it was seen yet
    confidence_score: float | None  # of what that goes by, the part within a factor of two
    estimated_from: str | None  # what it goes by
    resource_usage_estimate: ResourceUsageEstimate

    @classmethod
    def _of(cls, body: dict[str, Any] | None) -> Self | None:
        if body is None:
            return None
        return known(cls, body, resource_usage_estimate=known(ResourceUsageEstimate, body["resource_usage_estimate"]))


@dataclass(frozen=True)
class RewriteStep:
    rule: str
    before: str
    after: str


@dataclass(frozen=True)
class RuleNotUsed:
    """It would have been used, but for what is missing."""

    rule: str
    missing: str


@dataclass(frozen=True)
class OptimizedQuery:
    original_query: str
    optimized_query: str  # the original, where nothing was found that is estimated to be better
    optimization_types: list[str]  # each once: of OptimizationType
    estimated_improvement_percent: float | None  # None, as the costs: PostgreSQL estimated nothing; `warnings` says why
    cost_before: QueryCost | None
    cost_after: QueryCost | None
    cache_key: str | None
    steps: list[RewriteStep]  # all that could be done, chosen or not
    rules_not_used: list[RuleNotUsed]
    warnings: list[str]
    cache_ttl: int | None = None  # seconds; Millrace doesn't say it here: analyze_query's cache.ttl_seconds does
    execution_hints: dict[str, Any] | None = None  # Millrace gives none
    rules: list[str] = field(default_factory=list)  # Millrace's own, that made it

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        return known(
            cls,
            body,
            cost_before=QueryCost._of(body["estimated_cost_before"]),
            cost_after=QueryCost._of(body["estimated_cost_after"]),
            steps=[known(RewriteStep, step) for step in body["steps"]],
            rules_not_used=[known(RuleNotUsed, rule) for rule in body["rules_not_used"]],
        )


class RecommendationType(StrEnum):
    QUERY_OPTIMIZATION = "query_optimization"
    RESOURCE_OPTIMIZATION = "resource_optimization"
    CACHE_OPTIMIZATION = "cache_optimization"


@dataclass(frozen=True)
class QueryGain:
    """PostgreSQL's costs of one execution, without the index and with it, beside the others that are recommended."""

    query_hash: str
    query: str  # with ? in place of constants
    executions: float
    cost_before: float
    cost_after: float


@dataclass(frozen=True)
class IndexRecommendation:
    table_name: str  # with its schema
    columns: list[str]  # as CREATE INDEX has them
    include: list[str]
    where: str | None
    index_type: str
    estimated_size_mb: float
    estimated_improvement_percent: float  # of what the queries that it serves take
    workload_improvement_percent: float  # of what all of them take, its writes counted
    usage_frequency: float  # executions an hour that it serves
    creation_cost: float
    maintenance_cost: float  # of an hour's writes
    sql_statement: str
    priority: int  # 1 to 5; 5: do it first
    measured: bool  # planned by PostgreSQL with HypoPG; else by formulas of Millrace's
    supersedes: list[str]  # indexes that aren't needed beside it
    queries: list[QueryGain]


@dataclass(frozen=True)
class OptimizationRecommendation:
    recommendation_id: str
    type: RecommendationType
    description: str
    affected_queries: list[str]
    estimated_improvement_percent: float | None  # None: it isn't about time
    implementation_effort: str  # Low, Medium, High
    priority: int
    sql_changes: list[str]  # each does it; the first is what is meant
    configuration_changes: list[str]
    monitoring_metrics: list[str]
    table_name: str
    index: IndexRecommendation | None  # a new one

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        index = body["index"]
        if index is not None:
            index = known(IndexRecommendation, index, queries=[known(QueryGain, gain) for gain in index["queries"]])
        return known(cls, body, type=RecommendationType(body["type"]), index=index)


@dataclass(frozen=True)
class _Recommendations:
    recommendations: list[OptimizationRecommendation]

    @classmethod
    def _of(cls, body: dict[str, Any]) -> Self:
        return cls([OptimizationRecommendation._of(one) for one in body["recommendations"]])


def _recommend(table_name: str | None, database: str | None, budget_mb: int | None) -> Call:
    given = {"table_name": table_name, "database": database, "budget_mb": budget_mb}
    query = urlencode({name: value for name, value in given.items() if value is not None})
    path = "/api/v1/optimization/recommendations" + (f"?{query}" if query else "")
    return Call("GET", path, seconds=30)


_NOT_SENT = {"table_statistics", "available_indexes", "memory_limit", "timeout_seconds"}


def _optimize(query: str, context: QueryContext | None) -> Call:
    said = vars(context or QueryContext())
    asked = {name: value for name, value in said.items() if name not in _NOT_SENT} | {"query": query}
    asked["database_type"] = str(asked["database_type"])
    return _protocol.with_json("POST", "/api/v1/optimization/optimize-query", asked)


def _analyze(query: str, database_type: DatabaseType | str, database: str | None, user: str | None) -> Call:
    body = {"query": query, "database_type": str(database_type), "database": database, "user": user}
    return _protocol.with_json("POST", "/api/v1/optimization/analyze-query", body)


class QueryOptimizationEngine(ServiceStates):
    """For asyncio; one may be used by any number of tasks and event loops. `aclose`, or `async with`, ends connections."""

    async def analyze_query(
        self,
        query: str,
        database_type: DatabaseType | str = DatabaseType.POSTGRESQL,
        *,
        database: str | None = None,
        user: str | None = None,
    ) -> QueryAnalysis:
        """As `user` in `database`; of Millrace's own DATABASE_URL unless they are said."""
        return read(QueryAnalysis, await self._ask(_analyze(query, database_type, database, user)))

    async def optimize_query(self, query: str, context: QueryContext | None = None) -> OptimizedQuery:
        """Another way to say it that PostgreSQL answers sooner, with the same rows. Neither text is run."""
        return read(OptimizedQuery, await self._ask(_optimize(query, context)))

    async def get_optimization_recommendations(
        self, table_name: str | None = None, *, database: str | None = None, budget_mb: int | None = None
    ) -> list[OptimizationRecommendation]:
        """Indexes that the queries seen would gain by, of at most `budget_mb` together (half of what the tables take
        unless it is said), and such as are there in vain. Takes up to ten seconds; the answer is kept for a minute."""
        return read(_Recommendations, await self._ask(_recommend(table_name, database, budget_mb))).recommendations


class SyncQueryOptimizationEngine(SyncServiceStates):
    """Without asyncio; one may be used by any number of threads. `close`, or `with`, ends connections."""

    def analyze_query(
        self,
        query: str,
        database_type: DatabaseType | str = DatabaseType.POSTGRESQL,
        *,
        database: str | None = None,
        user: str | None = None,
    ) -> QueryAnalysis:
        """As `user` in `database`; of Millrace's own DATABASE_URL unless they are said."""
        return read(QueryAnalysis, self._ask(_analyze(query, database_type, database, user)))

    def optimize_query(self, query: str, context: QueryContext | None = None) -> OptimizedQuery:
        """Another way to say it that PostgreSQL answers sooner, with the same rows. Neither text is run."""
        return read(OptimizedQuery, self._ask(_optimize(query, context)))

    def get_optimization_recommendations(
        self, table_name: str | None = None, *, database: str | None = None, budget_mb: int | None = None
    ) -> list[OptimizationRecommendation]:
        """Indexes that the queries seen would gain by, of at most `budget_mb` together (half of what the tables take
        unless it is said), and such as are there in vain. Takes up to ten seconds; the answer is kept for a minute."""
        return read(_Recommendations, self._ask(_recommend(table_name, database, budget_mb))).recommendations


def get_query_optimization_engine(url: str | None = None, *, api_key: str | None = None) -> QueryOptimizationEngine:
    """The program's one engine for this URL and key, which default to MILLRACE_URL and MILLRACE_API_KEY."""
    return shared(QueryOptimizationEngine, url, api_key)


def get_sync_query_optimization_engine(
    url: str | None = None, *, api_key: str | None = None
) -> SyncQueryOptimizationEngine:
    """As get_query_optimization_engine, for programs without asyncio."""
    return shared(SyncQueryOptimizationEngine, url, api_key)
