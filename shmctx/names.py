"""Patterns of event names: `*`, `?` and `[...]`, case-sensitive, with the meaning they have in fnmatch.fnmatchcase."""

import re
from collections.abc import Callable
from fnmatch import fnmatchcase, translate
from functools import lru_cache

_SPECIAL = re.compile(r"[*?[]")
SQL_FUNCTION = ("fnmatch", 2, fnmatchcase)
"""For sqlite3's create_function: GLOB reads `[!...]` and an unclosed bracket in another way."""


@lru_cache(256)
def matcher(pattern: str) -> Callable[[str], object]:
    """A function that gives something true for the names that fit."""
    return re.compile(translate(pattern)).match if is_pattern(pattern) else pattern.__eq__


def is_pattern(text: str) -> bool:
    """Whether it can fit more than the name that it spells."""
    return _SPECIAL.search(text) is not None


def literal_part(pattern: str) -> str:
    """What all fitting names begin with, as far as SQLite looks at a text: up to a NUL."""
    return _SPECIAL.split(pattern.partition("\0")[0], maxsplit=1)[0]
