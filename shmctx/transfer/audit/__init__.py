"""The audit: old patterns in Python programs that embed contexts in events, found in their syntax trees.

Nothing is imported or run. What a program does with names that it makes at run time, or in templates, is not seen.
"""

import ast
import platform
import tokenize
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from shmctx.transfer.audit.comments import Ignored, ignored
from shmctx.transfer.audit.files import Unreadable, python_files, text_of
from shmctx.transfer.audit.rules import DEFAULT, RULES, UNKNOWN_RULE, Finding, Rule
from shmctx.transfer.audit.visitor import Found, Visitor

__all__ = ["DEFAULT", "RULES", "Finding", "Report", "Rule", "Skipped", "Unreadable", "audit", "findings"]


class Skipped(msgspec.Struct, frozen=True):
    """A file that was not audited."""

    path: str
    reason: str


class Report(msgspec.Struct):
    """What an audit found."""

    files: int = 0
    """How many were audited."""
    findings: list[Finding] = msgspec.field(default_factory=list)
    skipped: list[Skipped] = msgspec.field(default_factory=list)

    @property
    def rules(self) -> dict[str, int]:
        """How often each rule that was met at all, the most frequent first."""
        return dict(Counter(finding.rule for finding in self.findings).most_common())

    def to_dict(self) -> dict[str, Any]:
        """The report as one JSON document."""
        document: dict[str, Any] = msgspec.to_builtins(self)
        return {"files": self.files, "rules": self.rules, **document}


def audit(paths: Iterable[Path], *, rules: Iterable[str] = DEFAULT, exclude: Iterable[str] = ()) -> Report:
    """Look through files and folders. What cannot be read or parsed is in the report's `skipped`, and stops nothing."""
    report, wanted = Report(), frozenset(rules)
    for path in python_files(paths, exclude):
        try:
            found = findings(text_of(path), str(path), wanted)
        except Unreadable as error:
            report.skipped.append(Skipped(str(path), str(error)))
        else:
            report.files += 1
            report.findings.extend(found)
    return report


def findings(source: str, path: str = "<text>", rules: Iterable[str] = DEFAULT) -> list[Finding]:
    """What is found in a program, in the order of its lines. Raises Unreadable if it is none."""
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    visited, comments = _parsed(source)
    lines, wanted = source.split("\n"), frozenset(rules)
    found: dict[tuple[int, int, str], Finding] = {}
    for node, rule, what, instead in visited:
        first, last = node.lineno, node.end_lineno or node.lineno
        if rule in wanted and not any(comment.covers(rule, first, last) for comment in comments):
            column = len(lines[first - 1].encode()[: node.col_offset].decode()) + 1  # ast counts bytes
            found.setdefault((first, column, rule), Finding(path, first, column, rule, what, instead))
    for comment in comments if UNKNOWN_RULE in wanted else ():
        for name in comment.unknown:
            place = (comment.line, comment.column, UNKNOWN_RULE)
            found[place] = Finding(path, *place, f"there is no rule `{name}`", f"one of {', '.join(RULES)}")
    return sorted(found.values())


def _parsed(source: str) -> tuple[list[Found], list[Ignored]]:
    try:
        with warnings.catch_warnings(action="ignore"):  # of doubtful literals, which are no business of an audit
            module = ast.parse(source)
        return Visitor(module).found, ignored(source)
    except (SyntaxError, tokenize.TokenError) as error:
        place = f"line {error.lineno}: " if isinstance(error, SyntaxError) and error.lineno else ""
        message = error.msg if isinstance(error, SyntaxError) else str(error)
        version = platform.python_version()
        raise Unreadable(f"cannot be parsed as Python {version}: {place}{message}") from None
    except ValueError as error:
        raise Unreadable(f"cannot be parsed: {error}") from None
    except (RecursionError, MemoryError):
        raise Unreadable("cannot be parsed: it is nested too deeply") from None
