"""Large fields of event data: stored once, by what they hold, and named by their hash where they were.

In place of the field stands `{"$payload": HASH, "size": BYTES}`. The hash is BLAKE2b over the field's JSON, 160 bits.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import msgspec

from shmctx.event import encode_data

HASH_BYTES = 20
_MARK = "$payload"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Accompanied(NamedTuple):
    """Event data with byte strings that belong to it, each stored once by its hash, whatever its size.

    Given as the data of a durable put. What the data says of them is the caller's; who reads the event does not read
    them.
    """

    data: Mapping[str, Any]
    hashes: tuple[bytes, ...]
    """Of all of them, each once."""
    new: Mapping[bytes, bytes]
    """By hash, those that the database does not have because of another event."""


def split(
    data: Any, encoded: bytes, large_fields: Collection[str], large_size: int, keep: Callable[[bytes, bytes], None]
) -> tuple[bytes, tuple[bytes, ...]]:
    """(encoded data, hashes of what was taken out). `keep(hash, JSON)` stores one field of `large_size` bytes or more.

    `data` was encoded to `encoded` without error. Only the top level is looked at. What looks as if it stood for a
    field that was taken out is taken out itself, so that putting back gives what was put.
    """
    if len(encoded) < large_size:
        return encoded, ()
    lean: dict[str, Any] = {}
    hashes = []
    for name, value in data.items():
        alike = _mark(value) is not None
        field = _encode(value) if alike or name in large_fields else b""
        if len(field) < large_size and not alike:
            lean[name] = value
            continue
        found = digest(field)
        keep(found, field)
        hashes.append(found)
        lean[name] = {_MARK: found.hex(), "size": len(field)}
    return (encode_data(lean), tuple(hashes)) if hashes else (encoded, ())


def digest(field: bytes) -> bytes:
    """The hash that names a field."""
    from hashlib import blake2b  # its OpenSSL is a part of what `import shmctx` would take, and few processes need it

    return blake2b(field, digest_size=HASH_BYTES).digest()


def alias(found: bytes) -> str:
    """The key under which the ring's index has a payload."""
    return f"payload:{found.hex()}"


def restore(data: dict[str, Any], fields: Mapping[bytes, bytes]) -> dict[str, Any]:
    """The data with large fields back in their places, given their JSON by hash; one that is gone keeps its mark."""
    if not fields:
        return data
    return {name: _restored(value, fields) for name, value in data.items()}


def _restored(value: Any, fields: Mapping[bytes, bytes]) -> Any:
    mark = _mark(value)
    field = None if mark is None else fields.get(mark)
    return value if field is None else _decode(field)


def _mark(value: Any) -> bytes | None:
    """The hash in what stands for a field, or looks like it."""
    mark = value.get(_MARK) if isinstance(value, dict) and len(value) == 2 else None
    try:
        return bytes.fromhex(mark) if isinstance(mark, str) else None
    except ValueError:
        return None


def refers(raw: bytes) -> bool:
    """Whether encoded data may refer to payloads."""
    return b'"$payload"' in raw


def named(data: Mapping[str, Any]) -> list[bytes]:
    """The hashes of the fields that were taken out of the data."""
    marks = map(_mark, data.values())
    return [found for found in marks if found is not None]
