"""Event data, wherever it is: in the ring beside its context, in the log; large fields in the ring or the database."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from shmctx import payloads
from shmctx.cold import questions
from shmctx.cold.logged import Logged
from shmctx.cold.questions import Steps
from shmctx.context import Context
from shmctx.errors import RecordDamaged
from shmctx.event import Event, decode_data
from shmctx.hot._core import ALIAS_LINK, CONTEXT, FIRST_POSITION, PAYLOAD, Ring
from shmctx.records import NOT_DECODABLE, StoredEvent, decode_event

if TYPE_CHECKING:
    from shmctx.log.reader import LogReader


class EventData:
    """Finds the data of events for one store. Any thread may use it."""

    def __init__(self, ring: Ring, database: Path, store_id: int) -> None:
        self._ring = ring
        self._log = Logged(database, store_id)

    def events(self, contexts: Sequence[Context]) -> Steps[list[Event]]:
        """The events of contexts, in their order, large fields in place: from the ring, otherwise from the log."""
        found = {context.position: self._hot_data(context.position) for context in contexts}
        logged = [position for position, data in found.items() if data == b""]
        if logged and self._anything_cold():
            found |= yield from self._log.data_at(logged)
        events = []
        for context in contexts:
            raw = found[context.position]
            data = decode_data(raw) if raw else None
            if data is not None and raw and payloads.refers(raw):
                data = payloads.restore(data, (yield from self._payloads_of(context.position)))
            events.append(Event(context, data))
        return events

    def brought(self, position: int) -> Steps[tuple[bytes, bytes]]:
        """What an event that another system logged has besides (`StoredEvent.logged`, `origin`); empty for others."""
        stored = self.stored(position)
        if stored is not None and stored.data != b"":
            return stored.logged or b"", stored.origin
        if not self._anything_cold():
            return b"", b""
        line = (yield from self._log.lines_at([position]))[position]
        return (b"", b"") if line is None else (bytes(line.timestamp), bytes(line.origin))

    def log_reader(self) -> Steps["LogReader"]:
        """The reader of the event log's files."""
        return self._log.reader()

    def at_hand(self, context: Context, payload: bytes) -> Event | None:
        """The event of a context whose record is at hand; None if parts of its data have to be looked for elsewhere."""
        try:
            raw = decode_event(payload).data
        except NOT_DECODABLE:
            return None
        if raw is None:
            return Event(context)
        return Event(context, decode_data(raw)) if raw and not payloads.refers(raw) else None

    def _anything_cold(self) -> bool:
        return self._ring.positions()[2] > FIRST_POSITION

    def _hot_data(self, position: int) -> bytes | None:
        """Encoded data; None where there is none, empty where the ring does not know."""
        stored = self.stored(position)
        return b"" if stored is None else stored.data

    def stored(self, position: int) -> StoredEvent | None:
        """What the ring has at a position; None where no whole context is there."""
        try:
            record = self._ring.record(position)
            return decode_event(record[4]) if record is not None and record[1] == CONTEXT else None
        except (RecordDamaged, *NOT_DECODABLE):
            return None

    def _payloads_of(self, position: int) -> Steps[dict[bytes, bytes]]:
        """The large fields of an event, by hash: what the ring does not have is asked of the database."""
        stored = self.stored(position)
        if stored is not None and stored.payloads:
            return (yield from self.payloads(stored.payloads))
        return (yield questions.payloads_of(position)) if self._anything_cold() else {}

    def payloads(self, hashes: Sequence[bytes]) -> Steps[dict[bytes, bytes]]:
        """Those of the large fields with these hashes that are there."""
        found = {digest: field for digest in hashes if (field := self.hot_payload(digest)) is not None}
        rest = [digest for digest in hashes if digest not in found]
        if self._anything_cold():
            for start in range(0, len(rest), questions.CHUNK):
                found |= yield questions.payloads(rest[start : start + questions.CHUNK])
        return found

    def hot_payload(self, digest: bytes) -> bytes | None:
        """A large field's JSON, if the ring has it."""
        for position in self._ring.find(ALIAS_LINK, payloads.alias(digest), 0, 8):
            with contextlib.suppress(RecordDamaged):
                record = self._ring.record(position)
                if record is not None and record[1] == PAYLOAD and record[4][: len(digest)] == digest:
                    return record[4][len(digest) :]
        return None
