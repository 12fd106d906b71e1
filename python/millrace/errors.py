"""What can go wrong between a program and Millrace. All are MillraceErrors."""

from collections.abc import Sequence
from dataclasses import dataclass


class MillraceError(Exception):
    """The others' base."""


class UnreachableError(MillraceError):
    """Millrace gave no answer, or not in time. Whether it did what was asked isn't known."""


class AuthenticationError(MillraceError):
    """An API key is needed, or this one isn't known, or none is set up."""


class UnavailableError(MillraceError):
    """What is asked for is switched off, or there is too much to do now."""


class UnexpectedAnswerError(MillraceError):
    """An answer that isn't Millrace's, or that it failed."""


@dataclass(frozen=True)
class Problem:
    """Something in a request that isn't as it must be."""

    location: tuple[str | int, ...]  # ("body", "tags", 0)
    message: str
    type: str


class InvalidRequestError(MillraceError, ValueError):
    """A key, a time to live, a tag, ... isn't as it must be; `problems` say which."""

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)
