"""How answers become data classes: the classes say which of an answer's names they have, whatever else is in it."""

from datetime import datetime
from typing import Any, TypeVar

from .errors import UnexpectedAnswerError

Kind = TypeVar("Kind")


def known(kind: type[Kind], body: dict[str, Any], **read: Any) -> Kind:
    """A `kind` of what it has fields for; `read` in place of what `body` has. Whatever else is in it is left out."""
    fields = kind.__dataclass_fields__  # type: ignore[attr-defined]
    return kind(**{name: value for name, value in body.items() if name in fields} | read)


def time_or_none(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def read(kind: Any, body: Any) -> Any:
    """`kind._of(body)`. Raises UnexpectedAnswerError if something is missing, or isn't as it must be."""
    try:
        return kind._of(body)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise UnexpectedAnswerError(f"not the answer that was expected: {error!r}") from error
