"""Exporting: the events of a store, contexts embedded, into a file of another form or to standard output."""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from shmctx import drafts
from shmctx.attachment import Attachment
from shmctx.cold import Query, questions
from shmctx.cold.connection import Connection, connect, translated
from shmctx.cold.logged import directory_of
from shmctx.cold.reader import STORE_ID, SqliteReader, check_exists
from shmctx.errors import ColdMismatch, ContextNotFound, LogUnavailable
from shmctx.filters import Filters, wanted
from shmctx.log.reader import LogReader
from shmctx.refs import alias_of, resolve_native
from shmctx.store import Store
from shmctx.transfer import target as targets
from shmctx.transfer import writers
from shmctx.transfer.embedding import Embedded
from shmctx.transfer.outgoing import Outgoing, live

Progress = Callable[[int, int | None], None]
"""Called with (events done, events in all if that is known)."""
_STEP = 1000  # events between two calls of Progress


class Report(msgspec.Struct, kw_only=True):
    """What an export wrote."""

    database: str
    log: str
    to: str
    form: str
    events: int = 0
    without_data: int = 0
    """Of these, contexts that were put without data, or whose data is not there any more."""
    expired: int = 0
    """Of these without data: it expired or was forgotten."""
    missing: int = 0
    """Of these without data: the log should have it, and has not, or not whole."""
    fields_missing: int = 0
    """Large fields of data that the database should have and has not; a mark with their hash is in their place."""
    bytes: int = 0
    """Written; 0 for standard output."""
    seconds: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether everything was there that should be."""
        return not self.missing and not self.fields_missing


class Leaving:
    """Where an export gets its events: a database with its log, and the ring if a store is in use. For one thread."""

    def __init__(
        self, database: Path, log: Path | None, store_id: int, store: Store | None, *, annotated: bool
    ) -> None:
        self._reader = SqliteReader(database, store_id)
        self._store_id = store_id
        self._store = store
        cold = store is None or store.finder().anything_cold()
        named = self._reader.ask(questions.log_directory()) if cold and log is None else None
        self.database = database
        self.log = log or directory_of(database, named)
        if log is not None and not log.is_dir():
            raise LogUnavailable(f"There is no event log {log}.", hint="Name the folder that has its .jsonl files.")
        self._outgoing = Outgoing(self._reader, LogReader(self.log), store_id, annotated=annotated)

    def query(self, filters: Filters) -> Query:
        """The filters, checked. Raises InvalidField, ContextNotFound."""
        if self._store is not None:
            store_id = self._store_id
            return self._store.run(lambda finder: wanted(finder, store_id, filters))
        after = filters.get("after")
        return Query(
            correlation=drafts.identity("correlation_id", filters.get("correlation_id"), self._store_id),
            agent_id=filters.get("agent_id"),
            session_id=filters.get("session_id"),
            event_name=filters.get("event_name"),
            since_ns=drafts.limit_ns("since", filters.get("since")),
            until_ns=drafts.limit_ns("until", filters.get("until")),
            errors=filters.get("errors"),
            after=None if after is None else self._position(after),
        )

    def _position(self, ref: str) -> int:
        native = resolve_native(ref)
        if native is not None and native[0] == self._store_id:
            return native[1]
        position = self._reader.ask(questions.position_of(alias_of(ref)))
        if position is None:
            raise ContextNotFound(f"{ref!r} is not in {self.database}.")
        return position

    def events(self, query: Query) -> Iterator[Embedded]:
        """What fits, in the order of positions."""
        return self._outgoing.stored(query) if self._store is None else live(self._store, self._outgoing, query)

    def count(self, query: Query) -> int | None:
        """About how many there will be, where that is cheap to know."""
        cold = self._store is None or self._store.finder().anything_cold()
        return self._reader.ask(questions.count()) if cold and query == Query() else None

    def tell(self, report: Report) -> None:
        """Say in a report what was not there."""
        places = self._outgoing.places
        report.expired, report.missing = places.expired, places.missing
        report.fields_missing = self._outgoing.fields_missing

    def close(self) -> None:
        """Close the database."""
        self._reader.close()


def from_database(database: Path, log: Path | None = None, *, annotated: bool = True) -> Leaving:
    """What a database and its log hold; `log`: where that is, if not where the database says.

    `annotated`: contexts with what was annotated later. Raises ColdError.
    """
    database = database.absolute()
    check_exists(database)
    with translated(str(database)):
        connection = connect(database, Connection, readonly=True)
        try:
            row = connection.execute(STORE_ID).fetchone()
        finally:
            connection.close()
    if row is None:
        raise ColdMismatch(f"{database} belongs to no store yet.")
    return Leaving(database, log, int(row[0]), None, annotated=annotated)


def from_store(store: Store, attached: Attachment, log: Path | None = None, *, annotated: bool = True) -> Leaving:
    """The same of a store in use, with what only its ring has."""
    return Leaving(attached.database, log, store.store_id, store, annotated=annotated)


def export(
    leaving: Leaving,
    target: Path | BinaryIO,
    form: str,
    filters: Filters | None = None,
    *,
    replace: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Write the events that fit to a file, which is there when it is whole, or to an open binary stream.

    Raises InvalidField, ContextNotFound, ColdError, TransferError.
    """
    started = time.monotonic()
    query = leaving.query(filters or {})
    to = str(target) if isinstance(target, Path) else "-"
    report = Report(database=str(leaving.database), log=str(leaving.log), to=to, form=form)
    events = _watched(leaving.events(query), leaving.count(query) if progress else None, progress)
    if isinstance(target, Path):
        with targets.written(target, replace=replace) as path:
            with writers.opened(form, path, target) as write:
                _write(events, write, report)
            report.bytes = path.stat().st_size
    else:
        with targets.translated("Standard output"), writers.streamed(form, target) as write:
            _write(events, write, report)
            target.flush()
    leaving.tell(report)
    report.seconds = time.monotonic() - started
    return report


def _write(events: Iterable[Embedded], write: writers.Write, report: Report) -> None:
    count = without = 0
    for event in events:
        write(event)
        count += 1
        if event.data is None:
            without += 1
    report.events, report.without_data = count, without


def _watched(events: Iterator[Embedded], total: int | None, progress: Progress | None) -> Iterable[Embedded]:
    if progress is None:
        return events
    return _told(events, total, progress)


def _told(events: Iterator[Embedded], total: int | None, progress: Progress) -> Iterator[Embedded]:
    for done, event in enumerate(events):
        if done % _STEP == 0:
            progress(done, total)
        yield event
