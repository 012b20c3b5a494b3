"""What the tests of the export share."""

import contextlib

import msgspec

from shmctx.transfer.embedding import wire
from shmctx.transfer.export import export, from_database

decode = msgspec.json.decode


def exported(stores, target, *, log=None, annotated=True, **filters):
    """(events, report) of a database's export as JSON lines."""
    leaving = from_database(stores.database, log, annotated=annotated)
    with contextlib.closing(leaving):
        report = export(leaving, target, "jsonl", filters, replace=True)
    return lines_of(target), report


def lines_of(path):
    return [decode(line) for line in path.read_bytes().splitlines()]


def expected(event):
    """An event of a store as a line has it."""
    return {
        "timestamp": event.timestamp,
        "event_name": event.event_name,
        "data": (event.data or {}) | {"_ksi_context": wire(event.context)},
    }


def everything(store, **filters):
    """What the store itself says of its events, in the form of lines."""
    return [expected(event) for event in store.events(store.query(**filters))]
