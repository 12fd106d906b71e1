"""The reads of a psql script."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# What a script is made of, where a semicolon isn't an end, or a name matters.
_TOKEN = re.compile(
    r"""(?P<comment>--[^\n]*|/\*)
      | (?P<escaped>\b[eE]'(?:[^'\\]|\\.|'')*')
      | (?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*")
      | (?P<dollar>\$(?:[A-Za-z_]\w*)?\$)
      | (?P<word>[A-Za-z_\x80-\U0010ffff][\w$]*)
      | (?P<backslash>\\[^\n]*)
      | (?P<open>\() | (?P<close>\)) | (?P<end>;)
      | (?P<space>\s+) | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_READS = ("select", "with", "values", "table")
_DOES_MORE = {"into", "insert", "update", "delete", "merge"}


@dataclass
class _Statement:
    start: int  # of its first word
    words: list[str]
    end: int  # behind its semicolon
    plain: bool  # psql gets no word in it

    def is_read(self) -> bool:
        return self.plain and self.words[0] in _READS and not _DOES_MORE.intersection(self.words)


def reads(script: str) -> list[str]:
    return [script[one.start : one.end] for one in _statements(script) if one.is_read()]


def _statements(script: str) -> Iterator[_Statement]:
    at, depth, blocks = 0, 0, 0
    start: int | None = None
    words: list[str] = []
    plain = True

    def matched(position: int) -> re.Match[str]:
        found = _TOKEN.match(script, position)
        assert found
        return found

    while at < len(script):
        token = matched(at)
        kind, text, begin, at = token.lastgroup, token[0], at, token.end()
        if kind == "comment":
            if text == "/*":
                at = _end_of_comment(script, at)
            continue
        if kind == "space":
            continue
        if kind == "backslash":  # a command to psql, which may end a statement
            if start is None or text.startswith(("\\g", "\\crosstabview", "\\p", "\\r", "\\w")):
                start, words, plain, depth, blocks = None, [], True, 0, 0
            else:
                plain = False
                if text.startswith("\\;"):
                    at = begin + 2
            continue
        if start is None:
            start = begin
        if kind == "dollar":
            end = script.find(text, at)
            at = len(script) if end < 0 else end + len(text)
        elif kind == "word":
            word = text.lower()
            words.append(word)
            # The body of a function in SQL: as psql itself finds its end.
            if words[0] == "create" and {"function", "procedure"}.intersection(words[:4]):
                blocks += word == "begin" or (word == "case" and blocks > 0)
                blocks -= word == "end" and blocks > 0
        elif kind == "open":
            depth += 1
        elif kind == "close":
            depth = max(0, depth - 1)
        elif kind == "end" and depth == 0 and blocks == 0:
            if words:
                yield _Statement(start, words, at, plain)
                if words[0] == "copy" and "stdin" in words:
                    at = _end_of_data(script, at)
            start, words, plain = None, [], True


def _end_of_comment(script: str, at: int) -> int:
    """Comments nest."""
    depth = 1
    for found in re.compile(r"/\*|\*/").finditer(script, at):
        depth += 1 if found[0] == "/*" else -1
        if depth == 0:
            return found.end()
    return len(script)


def _end_of_data(script: str, at: int) -> int:
    """If the COPY fails, what follows isn't its data: then what is skipped here is only not said twice."""
    found = re.compile(r"^\\\.$", re.MULTILINE).search(script, at)
    return found.end() if found else at
