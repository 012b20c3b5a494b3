"""Names of events, patterns and handlers."""

from typing import Any

from shmctx.errors import InvalidField

ERROR_EVENT = "event:error"
"""The name of the events that tell of handlers that failed."""


def checked_pattern(pattern: object) -> str:
    """The pattern, if it is text. Raises InvalidField."""
    if isinstance(pattern, str) and pattern:
        return pattern
    raise InvalidField(f"An event name or pattern is text, not {pattern!r}.", hint="Such as 'agent:spawn', 'agent:*'.")


def name_of(function: Any) -> str:
    """What a function is called in annotations and errors: its qualified name without the function it was made in."""
    name: str = getattr(function, "__qualname__", None) or type(function).__qualname__
    return name.rpartition("<locals>.")[2]
