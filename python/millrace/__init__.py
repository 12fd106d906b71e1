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
    CacheLevel,
    CacheOptimizationResult,
    CacheStats,
    CrossDatabaseInvalidation,
    IntelligentCacheManager,
    InvalidationScope,
    LevelStats,
    SyncIntelligentCacheManager,
    get_cache_manager,
    get_sync_cache_manager,
)

__all__ = [
    "AuthenticationError",
    "CacheLevel",
    "CacheOptimizationResult",
    "CacheStats",
    "CachedResult",
    "CrossDatabaseInvalidation",
    "IntelligentCacheManager",
    "InvalidRequestError",
    "InvalidationScope",
    "LevelStats",
    "MillraceError",
    "SyncIntelligentCacheManager",
    "UnavailableError",
    "UnexpectedAnswerError",
    "UnreachableError",
    "get_cache_manager",
    "get_sync_cache_manager",
]
