"""The segment's header as bytes: change a field, with or without a checksum that fits."""

import struct
from pathlib import Path
from typing import Any

PAGE = 4096
CONTROL = PAGE

# name: (offset, struct format), in the order of shx_header in layout.h
FIELDS = {
    "magic": (0, "8s"),
    "layout_version": (8, "<I"),
    "abi": (12, "<I"),
    "segment_size": (16, "<Q"),
    "capacity": (24, "<Q"),
    "buckets": (32, "<Q"),
    "gap_start": (40, "<Q"),
    "base": (48, "<Q"),
    "generation": (56, "<Q"),
    "created_ns": (64, "<Q"),
    "pid_namespace_device": (72, "<Q"),
    "pid_namespace_inode": (80, "<Q"),
    "store_id": (88, "<I"),
    "uid": (92, "<I"),
    "boot_id": (96, "40s"),
    "name": (136, "256s"),
    "database": (392, "2048s"),
    "crc": (2440, "<I"),
}
END = 2444


def _table() -> list[int]:
    polynomial, table = 0x82F63B78, []
    for byte in range(256):
        rest = byte
        for _ in range(8):
            rest = rest >> 1 ^ (polynomial if rest & 1 else 0)
        table.append(rest)
    return table


TABLE = _table()


def crc32c(data: bytes) -> int:
    """CRC-32C as the processor's instruction gives it: no inversion at the end. The length is a multiple of eight."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc


def read(path: Path) -> dict[str, Any]:
    page = path.read_bytes()[:PAGE]
    return {name: struct.unpack_from(form, page, offset)[0] for name, (offset, form) in FIELDS.items()}


def write(path: Path, *, checksum: bool = True, **changed: Any) -> None:
    """Change fields in place; the checksum follows unless it is not to."""
    with path.open("r+b") as file:
        page = bytearray(file.read(PAGE))
        for name, value in changed.items():
            offset, form = FIELDS[name]
            struct.pack_into(form, page, offset, value)
        if checksum and "crc" not in changed:
            offset, form = FIELDS["crc"]
            struct.pack_into(form, page, offset, crc32c(bytes(page[:offset])))
        file.seek(0)
        file.write(page)
