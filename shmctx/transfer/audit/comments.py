"""`# shmctx: ignore[rule, ...]`: the comments by which a program says that a finding is meant to be there."""

import io
import re
import tokenize
from typing import NamedTuple

from shmctx.transfer.audit.rules import RULES

_IGNORE = re.compile(r"#\s*shmctx:\s*ignore(?:\s*\[([^\]]*)\])?")


class Ignored(NamedTuple):
    """One such comment. `rules` is None if it means all of them; `alone` if nothing else stands on its line."""

    line: int
    column: int
    rules: frozenset[str] | None
    alone: bool

    @property
    def unknown(self) -> list[str]:
        """What it names and no rule is called."""
        return sorted((self.rules or frozenset()) - RULES.keys())

    def covers(self, rule: str, first: int, last: int) -> bool:
        """Whether it is meant for a finding on these lines: it stands on one of them, or alone above the first."""
        beside = first <= self.line <= last or (self.alone and self.line == first - 1)
        return beside and (self.rules is None or rule in self.rules)


def ignored(source: str) -> list[Ignored]:
    """The comments of a module that can be parsed."""
    if "shmctx:" not in source:
        return []
    found = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        match = _IGNORE.search(token.string) if token.type == tokenize.COMMENT else None
        if match:
            names = match[1]
            rules = None if names is None else frozenset(filter(None, map(str.strip, names.split(","))))
            line, column = token.start
            found.append(Ignored(line, column + match.start() + 1, rules, not token.line[:column].strip()))
    return found
