"""What is sent to Millrace and what its answers mean, without a connection: both kinds of client use it."""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from .errors import (
    AuthenticationError,
    InvalidRequestError,
    MillraceError,
    Problem,
    UnavailableError,
    UnexpectedAnswerError,
)

DEFAULT_URL = "http://127.0.0.1:8642"
DEFAULT_TIMEOUT = 5.0  # seconds

Json = Callable[[Any], Any]


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    content: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0  # that the answer may take, where the client's own time-out is less


def url_from(given: str | None) -> str:
    return (given or os.environ.get("MILLRACE_URL") or DEFAULT_URL).rstrip("/")


def key_from(given: str | None) -> str | None:
    return given or os.environ.get("MILLRACE_API_KEY") or None


def in_path(name: str, what: str) -> str:
    """Raises InvalidRequestError for what a path can't say: dots are steps in it."""
    if name in ("", ".", ".."):
        raise InvalidRequestError(f"{name!r} can't be {what}")
    return quote(name, safe="", errors="strict")


def entry_path(query_key: str) -> str:
    return f"/api/v1/cache/entries/{in_path(query_key, 'a key')}"


def with_json(method: str, path: str, body: dict[str, Any], default: Json | None = None) -> Call:
    try:
        content = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=default).encode()
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(f"this can't be said in JSON: {error}") from error
    return Call(method, path, content, {"Content-Type": "application/json"})


def names(given: Iterable[str] | None) -> list[str]:
    """A single text is one name, not its letters."""
    if given is None:
        return []
    return [given] if isinstance(given, str) else sorted(given) if isinstance(given, set | frozenset) else list(given)


def answer(status: int, content: bytes) -> Any:
    """The answer's JSON, None if it has none; raises what the status says."""
    if status == 204:
        return None
    try:
        body = json.loads(content)
    except ValueError as error:
        raise UnexpectedAnswerError(f"status {status}, and no JSON: {content[:100]!r}") from error
    if status in (200, 202):
        return body
    raise error_of(status, body)


def error_of(status: int, body: Any) -> MillraceError:
    detail = body.get("detail") if isinstance(body, dict) else None
    if status == 422 and isinstance(detail, list):
        problems = [Problem(tuple(one["loc"]), str(one["msg"]), str(one["type"])) for one in detail]
        text = "; ".join(f"{'.'.join(map(str, one.location))}: {one.message}" for one in problems)
        return InvalidRequestError(text, problems)
    message = str(detail or f"status {status}")
    if status in (401, 403):
        return AuthenticationError(message)
    if status in (429, 503):
        return UnavailableError(message)
    if status in (400, 413, 414, 431):
        return InvalidRequestError(message)
    return UnexpectedAnswerError(f"status {status}: {message}")
