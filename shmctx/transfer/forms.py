"""The forms that an event has in other logs, told apart and made alike: name, data, context, and what else was there.

| form | where the context is |
| --- | --- |
| embedded | a dict `_ksi_context` in the data, or at the root of the event |
| flat | fields with a leading underscore in the data or at the root; older logs also `event_id`, ... at the root |
| lean | elsewhere: the event names it by a reference |
| bare | nowhere: the event has none |
| context | a context alone, of which no log has an event |
"""

import datetime as dt
import math
from typing import Any

import msgspec

from shmctx.records import NOT_DECODABLE
from shmctx.transfer.embedding import EMBEDDED

FLAT_NAMES = frozenset({"_event_id", "_correlation_id", "_parent_event_id", "_root_event_id", "_event_depth"})
"""Any of these beside the data, or in it, says that metadata is flat there."""
ROOT_NAMES = {
    name: f"_{name}"
    for name in ("event_id", "correlation_id", "parent_event_id", "root_event_id", "event_depth", "agent_id")
}
"""What the oldest logs have at the root of an event, without underscore."""
REFERENCES = ("_context_ref", "context_ref", "_ksi_context_ref", "ref")
"""What a lean event names its context with."""
TIMES = ("timestamp", "_event_timestamp", "time", "ts")
_REFERENCES_IN_DATA = ("_context_ref", "_ksi_context_ref")
_DAY_NS = 86_400_000_000_000
_END_NS = (1 << 63) - 1
_SECONDS, _MILLISECONDS, _MICROSECONDS = 1e11, 1e14, 1e17
"""From where on a number is no count of seconds, of milliseconds, of microseconds since 1970: the first in the year
5138, the others as much later. Nothing before 1973 is told apart wrongly."""
_decode = msgspec.json.Decoder().decode


class SourceEvent(msgspec.Struct):
    """One event of a source, whatever form it had there."""

    event_name: str
    time_ns: int | None
    """Of the context, otherwise of the event, ns since 1970; None where neither says it."""
    data: dict[str, Any] | None
    """Without the context; None where there is a context only."""
    context: dict[str, Any] | None
    """Under wire names (`_event_id`, ...), as it was found; None where there is none, or a reference leads nowhere."""
    form: str
    envelope: dict[str, Any]
    """What else the event has at its root, such as `timestamp`: the moment it was logged."""
    ref: str | None = None
    """What a lean event calls its context."""
    file: str = ""
    line: int = 0
    end: int = 0
    """Bytes of the file's text up to behind this line: where reading goes on."""
    size: int = 0
    """Bytes that the line has."""
    crc: int = 0
    """Its CRC-32, without the newline."""

    @property
    def place(self) -> str:
        """`file:line`."""
        return f"{self.file}:{self.line}"

    def resolve(self, context: dict[str, Any]) -> None:
        """Take the context that the reference leads to. One that leads nowhere stays where it is."""
        self.context = context
        self.time_ns = time_of(context, self.envelope)
        for holder in (self.data or {}, self.envelope):
            for name in (EMBEDDED, *REFERENCES):
                if holder.get(name) == self.ref:
                    del holder[name]


class Unfit(Exception):
    """Why a line is no event."""


def event_of(text: bytes) -> SourceEvent:
    """The event of a line. Raises Unfit."""
    try:
        root = _decode(text)
    except NOT_DECODABLE as error:
        raise Unfit(f"no JSON: {error}") from None
    except RecursionError:
        raise Unfit("no JSON: it is nested too deeply") from None
    if type(root) is not dict:
        raise Unfit(f"a {_kind(root)}, no object")
    return event_from(root)


def event_from(root: dict[str, Any]) -> SourceEvent:
    """The event of a line that was decoded; takes the dict, and its data, apart. Raises Unfit."""
    name = root.pop("event_name", None)
    if name is None:
        name = root.pop("event", None)
    data = root.pop("data", None)
    if data is None:
        data = {}
    elif type(data) is not dict:
        raise Unfit(f"its data is a {_kind(data)}, no object")
    context = data.get(EMBEDDED)
    if type(context) is dict:
        del data[EMBEDDED]
        return _event("embedded", name, context, (data, root))
    return _other_form(name, data, root)


def _other_form(name: Any, data: dict[str, Any], root: dict[str, Any]) -> SourceEvent:
    embedded, ref = _embedded(data, root)
    if embedded is not None:
        return _event("embedded", name, embedded, (data, root))
    if ref is None:
        ref = _reference(data, root)
    if ref is not None:
        return _event("lean", name, None, (data, root), ref)
    context = _flat(data, root)
    return _event("flat" if context else "bare", name, context, (data, root))


def _embedded(data: dict[str, Any], root: dict[str, Any]) -> tuple[dict[str, Any] | None, str | None]:
    """(context, reference) of what stands where a context is embedded; a reference stays there until it is resolved,
    and so does what means that there is none. Raises Unfit for anything else."""
    for holder in (data, root):
        if EMBEDDED in holder:
            found = holder[EMBEDDED]
            if type(found) is dict:
                del holder[EMBEDDED]
                return found, None
            if _is_reference(found):
                return None, found
            if found is not None and found != "":
                raise Unfit(f"its context is a {_kind(found)}")
    return None, None


def _reference(data: dict[str, Any], root: dict[str, Any]) -> str | None:
    for holder, names in ((root, REFERENCES), (data, _REFERENCES_IN_DATA)):
        for name in names:
            found: str | None = holder.get(name)
            if _is_reference(found):
                return found
    return None


def _is_reference(value: object) -> bool:
    return type(value) is str and value.startswith("ctx_")


def _flat(data: dict[str, Any], root: dict[str, Any]) -> dict[str, Any] | None:
    """The metadata among the data and at the root, taken out of both; the root's says more."""
    context: dict[str, Any] = {}
    for holder in (data, root):
        if not FLAT_NAMES.isdisjoint(holder):
            for name in [name for name in holder if name.startswith("_") and name != EMBEDDED]:
                context[name] = holder.pop(name)
    if not context and "event_id" in root:
        for name in [name for name in root if name in ROOT_NAMES]:
            context[ROOT_NAMES[name]] = root.pop(name)
    return context or None


def _event(
    form: str,
    name: Any,
    context: dict[str, Any] | None,
    parts: tuple[dict[str, Any], dict[str, Any]],
    ref: str | None = None,
) -> SourceEvent:
    data, root = parts
    if name is None and context is not None:
        name = context.get("_event_name")
    if type(name) is not str:
        raise Unfit("it has no event_name" if name is None else f"its event_name is a {_kind(name)}")
    return SourceEvent(name, time_of(context, root), data, context, form, root, ref)


def time_of(context: dict[str, Any] | None, root: dict[str, Any]) -> int | None:
    """The moment of an event: what its context says, otherwise what stands at its root."""
    time_ns = None if context is None else nanoseconds(context.get("_event_timestamp"))
    if time_ns is None:
        times = (nanoseconds(root[name]) for name in TIMES if name in root)
        time_ns = next((found for found in times if found is not None), None)
    return time_ns


def nanoseconds(moment: object) -> int | None:
    """Ns since 1970 of seconds, milliseconds, microseconds or nanoseconds, told apart by their size, or of ISO 8601
    text (UTC unless it says otherwise). None for anything else, and for what lies before 1970 or beyond 2262."""
    if type(moment) is float and 0 < moment < _SECONDS:
        seconds = int(moment)
        time_ns = seconds * 1_000_000_000 + round((moment - seconds) * 1e9)
    elif type(moment) is int or type(moment) is float:
        time_ns = _by_size(moment)
    elif type(moment) is str:
        time_ns = _from_text(moment)
    else:
        return None
    return time_ns if 0 < time_ns <= _END_NS else None


def _by_size(number: float) -> int:
    if not math.isfinite(number):
        return 0
    for limit, factor in ((_SECONDS, 10**9), (_MILLISECONDS, 10**6), (_MICROSECONDS, 10**3)):
        if abs(number) < limit:
            return int(number) * factor + (0 if type(number) is int else round((number - int(number)) * factor))
    return int(number)


def _from_text(text: str) -> int:
    try:
        moment = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        try:
            return nanoseconds(float(text)) or 0
        except ValueError:
            return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    since = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return since.days * _DAY_NS + since.seconds * 1_000_000_000 + since.microseconds * 1000


def _kind(value: object) -> str:
    names = {str: "text", list: "list", dict: "object", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
