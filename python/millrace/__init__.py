"""Millrace, from Python.

    from millrace.intelligent_cache_manager import get_cache_manager
"""

from .errors import (
    AuthenticationError,
    InvalidRequestError,
    MillraceError,
    UnavailableError,
    UnexpectedAnswerError,
    UnreachableError,
)
from .intelligent_cache_manager import (
    CachedResult,
    CacheGuarantee,
    CacheLevel,
    CacheOptimizationResult,
    CacheStats,
    CrossDatabaseInvalidation,
    IntelligentCacheManager,
    InvalidationScope,
    LevelStats,
    SyncIntelligentCacheManager,
    TableInvalidations,
    get_cache_manager,
    get_sync_cache_manager,
)
from .query_optimization_engine import (
    DatabaseType,
    QueryAnalysis,
    QueryCacheability,
    QueryComplexity,
    QueryOptimizationEngine,
    SyncQueryOptimizationEngine,
    get_query_optimization_engine,
    get_sync_query_optimization_engine,
)

__all__ = [
    "AuthenticationError",
    "CacheGuarantee",
    "CacheLevel",
    "CacheOptimizationResult",
    "CacheStats",
    "CachedResult",
    "CrossDatabaseInvalidation",
    "DatabaseType",
    "IntelligentCacheManager",
    "InvalidRequestError",
    "InvalidationScope",
    "LevelStats",
    "MillraceError",
    "QueryAnalysis",
    "QueryCacheability",
    "QueryComplexity",
    "QueryOptimizationEngine",
    "SyncIntelligentCacheManager",
    "SyncQueryOptimizationEngine",
    "TableInvalidations",
    "UnavailableError",
    "UnexpectedAnswerError",
    "UnreachableError",
    "get_cache_manager",
    "get_query_optimization_engine",
    "get_sync_cache_manager",
    "get_sync_query_optimization_engine",
]
