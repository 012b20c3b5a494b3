"""Looking for a text in events: in names, ids, custom fields and data, whatever the case of its letters."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from shmctx.context import Context, Identity
from shmctx.errors import InvalidField
from shmctx.event import Event
from shmctx.refs import resolve_native

_AS_IN_JSON = re.compile(r"[ !#-\[\]-~]+")  # printable ASCII without quote and backslash
_PROBE = 1000  # characters of it at most
_json = msgspec.json.Encoder().encode


class Text:
    """A text to be found. Raises InvalidField for what is none.

    It is found as a part of a text that somebody brought, and of numbers as JSON spells them. Ids and refs that the
    store gave have arbitrary characters: only the whole of one is found, in all events that name the same record.
    """

    def __init__(self, text: str, store_id: int) -> None:
        if type(text) is not str or not text:
            raise InvalidField(f"text is what to look for, not {text!r}.")
        self.store_id = store_id
        self._wanted = text.lower()
        native = resolve_native(self._wanted)
        self.position = native[1] if native is not None and native[0] == store_id else None
        """Of the record whose ref or id the text is."""
        self.probe = max(_AS_IN_JSON.findall(self._wanted), key=len, default="")[:_PROBE]
        """The longest part of it that stands in JSON as it is, in small letters."""

    def is_in(self, event: Event) -> bool:
        """Whether the event has it anywhere."""
        return self._in_context(event.context) or any(self._wanted in text.lower() for text in _texts(event.data))

    def _in_context(self, context: Context) -> bool:
        said = (context.event_name, context.agent_id, context.client_id, context.session_id)
        if any(text is not None and self._wanted in text.lower() for text in said):
            return True
        ids = (context.identity, context.parent_identity, context.correlation_identity, context.root_identity)
        return any(map(self._is_id, (context.position, *ids))) or any(
            self._wanted in text.lower() for text in _texts([context.more, context.noted])
        )

    def _is_id(self, identity: Identity | None) -> bool:
        if isinstance(identity, str):
            return self._wanted in identity.lower()
        return identity is not None and identity == self.position


def _texts(value: Any) -> Iterator[str]:
    """All keys and values, as text."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif value is not None:
        yield _json(value).decode()
