"""The steps by which the monitor finds events: filters first, then data, then the text in it.

A text alone narrows nothing. It is looked for in the ring, then in the log's lines, segment by segment, and in the
database's rows; only what may hold it is resolved.
"""

import functools
from collections.abc import Iterator, Sequence

import msgspec

from shmctx.cold import Query, holding
from shmctx.cold.logged import decode_line
from shmctx.cold.questions import FileRead, Steps
from shmctx.errors import LogDamaged
from shmctx.event import Event
from shmctx.events.text import Text
from shmctx.finder import Finder
from shmctx.log.reader import LogReader
from shmctx.refs import parse_ref

_PAGE = 256  # contexts that are resolved before their text is looked at
_END = 1 << 56  # of positions


def events(finder: Finder, query: Query, text: Text | None) -> Steps[list[Event]]:
    """The events that fit, in the order of their positions."""
    if text is None:
        return (yield from finder.data.events((yield from finder.query(query))))
    narrow = msgspec.structs.replace(query, limit=None, newest_first=False, before=None, after=None)
    search = _everywhere if narrow == Query() else _page_by_page
    return (yield from search(finder, query, text))


def _page_by_page(finder: Finder, query: Query, text: Text) -> Steps[list[Event]]:
    """What the filters leave, read to its end or until there is enough."""
    found: list[Event] = []
    while not _enough(found, query):
        page = yield from finder.query(msgspec.structs.replace(query, limit=_PAGE))
        found += filter(text.is_in, (yield from finder.data.events(page)))
        if len(page) < _PAGE:
            break
        query = _behind(query, page[-1].position)
    return found[: query.limit]


def _behind(query: Query, position: int) -> Query:
    side = {"before": position} if query.newest_first else {"after": position}
    return msgspec.structs.replace(query, **side)


def _enough(found: Sequence[Event], query: Query) -> bool:
    return query.limit is not None and len(found) >= query.limit


def _everywhere(finder: Finder, query: Query, text: Text) -> Steps[list[Event]]:
    """What is or says something new first: as soon as it is drained, the second step finds it."""
    positions = {*finder.undrained(), *(annotation.target for annotation in finder.undrained_annotations())}
    fresh = yield from _holding(finder, query, text, sorted(positions, reverse=query.newest_first), [])
    stored: list[Event] = []
    drained = finder.ring.positions()[2]  # by now: whatever lies behind it was looked at
    complete = query.newest_first and _enough(fresh, query) and fresh[-1].context.position >= drained
    if finder.anything_cold() and not complete:
        stored = yield from _stored(finder, query, text)
    found = {event.context.position: event for event in (*fresh, *stored)}
    return [found[position] for position in sorted(found, reverse=query.newest_first)][: query.limit]


def _holding(
    finder: Finder, query: Query, text: Text, positions: Sequence[int], found: list[Event]
) -> Steps[list[Event]]:
    """Add to `found` the events at these positions that hold the text, until there are enough."""
    for start in range(0, len(positions), _PAGE):
        if _enough(found, query):
            break
        chunk = positions[start : start + _PAGE]
        contexts = yield from finder.many(chunk)
        fitting = [contexts[at] for at in chunk if at in contexts and finder.fits(contexts[at], query)]
        found += filter(text.is_in, (yield from finder.data.events(fitting)))
    return found


def _stored(finder: Finder, query: Query, text: Text) -> Steps[list[Event]]:
    """Segment by segment of the log, as far as is needed; between two of them, all candidates are known."""
    found: list[Event] = []
    pending: set[int] = set()
    reader = yield from finder.data.log_reader()
    first = 0 if query.after is None else query.after + 1
    end = _END if query.before is None else query.before
    for number, lowest, highest in _stretches((yield holding.log_segments()), query):
        low, high = max(lowest, first), min(highest, end)
        if number is not None:
            pending |= yield FileRead(functools.partial(_lines, reader, number, text))
        if low >= high:
            continue
        candidates = {position for position in pending if low <= position < high}
        candidates |= set((yield holding.contexts_holding(text.probe, text.position, low, high)))
        found = yield from _holding(finder, query, text, sorted(candidates, reverse=query.newest_first), found)
        if _enough(found, query):
            break
    return found


def _stretches(segments: list[tuple[int, int, int]], query: Query) -> Iterator[tuple[int | None, int, int]]:
    """(segment to read, first position, end): when it is read, all lines of positions in [first, end) are.

    Lines are in the order of positions, but for those that a recovery has added.
    """
    if query.newest_first:
        end = _END
        ordered = sorted(segments, key=lambda segment: segment[2], reverse=True)
        lows = [high + 1 for _, _, high in ordered[1:]] + [0]
        for (number, _, _), low in zip(ordered, lows, strict=False):
            yield number, low, end
            end = low
        if not ordered:
            yield None, 0, _END
        return
    start = 0
    ordered = sorted(segments, key=lambda segment: segment[1])
    highs = [low for _, low, _ in ordered[1:]] + [_END]
    for (number, _, _), high in zip(ordered, highs, strict=False):
        yield number, start, high
        start = high
    if not ordered:
        yield None, 0, _END


def _lines(reader: LogReader, number: int, text: Text) -> set[int]:
    """Positions of the events of a segment whose line may hold the text, or refers to a large field that may."""
    probe = text.probe.encode()
    found = set()
    start: int | None = 0
    while start is not None:
        try:
            for _, line in reader.scan(number, start):
                if probe in line.lower() or b'"$payload"' in line:
                    found.add(_position(line, text.store_id))
            start = None
        except LogDamaged as damage:
            start = damage.next_offset
    return found - {-1}


def _position(line: bytes, store_id: int) -> int:
    """The position of a line's event; -1 for a line that is none of this store's."""
    try:
        parsed = parse_ref(decode_line(line).ref)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return -1
    return parsed[1] if parsed is not None and parsed[0] == store_id else -1
