"""Event names and the patterns that match them."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from shmctx.errors import InvalidField

ERROR_EVENT = "event:error"
"""The name of the events that tell of handlers that failed."""


def checked_pattern(pattern: object) -> str:
    """The pattern, if it is text. Raises InvalidField."""
    if isinstance(pattern, str) and pattern:
        return pattern
    raise InvalidField(f"An event name or pattern is text, not {pattern!r}.", hint="Such as 'agent:spawn', 'agent:*'.")


def is_glob(pattern: str) -> bool:
    """Whether it can match more than the name that it spells."""
    return any(character in pattern for character in "*?[")


def matcher(pattern: str) -> Callable[[str], bool]:
    """A function that tells whether an event name fits the pattern: `*`, `?` and `[...]`, case-sensitive."""
    if is_glob(pattern):
        return lambda event_name: fnmatchcase(event_name, pattern)
    return lambda event_name: event_name == pattern


def name_of(function: Any) -> str:
    """What a function is called in annotations and errors: its qualified name without the function it was made in."""
    name: str = getattr(function, "__qualname__", None) or type(function).__qualname__
    return name.rpartition("<locals>.")[2]
