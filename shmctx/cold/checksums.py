"""Checksums of rows, for what SQLite's own integrity check cannot see: a changed byte in a column without an index.

A context's also covers its line of the event log, which nothing else protects until it is compressed.
"""

from zlib import crc32

import msgspec

from shmctx.cold.rows import PLAIN_COLUMNS, Row

_encode = msgspec.msgpack.Encoder().encode
_LOWEST = 1 << 31  # SQLite stores what fits 32 bits with a sign in four bytes


def checksum(row: Row, line: bytes = b"") -> int:
    """CRC-32 of the row's columns as a msgpack array, then of its line in the log without the newline; less 2^31."""
    return crc32(line, crc32(_encode(row))) - _LOWEST


def checked(row: Row, line: bytes = b"") -> Row:
    """The row with its checksum as its last column."""
    return (*row, crc32(line, crc32(_encode(row))) - _LOWEST)


def proven(row: Row, known: object, line: bytes = b"") -> bool:
    """Whether row and line are what this checksum is of; a row of a damaged database may hold anything."""
    try:
        return known == checksum(row, line)
    except (ValueError, TypeError, OverflowError):
        return False


def context_row(stored: Row) -> Row:
    """What the checksum is of, from all columns that contexts have: without the optional ones if they are empty."""
    optional = stored[PLAIN_COLUMNS:]
    return stored[:PLAIN_COLUMNS] if optional.count(None) == len(optional) else stored
