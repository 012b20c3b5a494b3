"""Attaching checks everything a segment says of itself, and refuses by name."""

import os
import random
import re
from pathlib import Path

import headers
import pytest

import shmctx
from shmctx.errors import SegmentCorrupt, SegmentError, SegmentMismatch, SegmentMissing
from shmctx.hot import segment as segments
from shmctx.hot._core import Ring


@pytest.fixture
def made(stores):
    """The file of a segment with one record in it, which nobody has open."""
    with shmctx.open(stores.name, db=stores.database, ring_size=4096) as store:
        store.put("x")
    return segments.path_of(stores.name)


def refused(stores, error, message=None):
    """The error that attaching, opening and a private copy all give. Nothing is removed and the database is intact."""
    path = segments.path_of(stores.name)
    before = path.read_bytes() if path.is_file() else None
    for call in (stores.attach, lambda: stores.attach(readonly=True), stores.open):
        with pytest.raises(error, match=message) as caught:
            call()
        assert caught.value.hint, caught.value
    assert before is None or path.read_bytes() == before
    return caught.value


def test_the_test_knows_the_layout(stores, made):
    """Rewriting the header without a change gives the same bytes, and the fields are those the core reads."""
    before = made.read_bytes()
    headers.write(made)
    assert made.read_bytes() == before
    with stores.attach() as store:
        shown = store._attachment.segment.header
    assert {name: headers.read(made)[name] for name in ("store_id", "capacity", "generation", "base", "uid")} == {
        name: shown[name] for name in ("store_id", "capacity", "generation", "base", "uid")
    }


def test_every_bit_of_the_header_counts(made):
    """Each single-bit flip of the header gives a named error, whichever check sees it first."""
    whole = made.read_bytes()
    assert Ring.from_bytes(whole).header()["name"]
    for offset in range(headers.END):
        for bit in range(8) if offset < 136 else (offset % 8,):
            changed = bytearray(whole)
            changed[offset] ^= 1 << bit
            with pytest.raises((SegmentMismatch, SegmentCorrupt)):
                Ring.from_bytes(changed)


@pytest.mark.parametrize("field", [name for name in headers.FIELDS if name != "crc"])
def test_a_field_that_does_not_fit_the_checksum_is_damage(stores, made, field):
    offset, _ = headers.FIELDS[field]
    with made.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x40]))

    refused(stores, (SegmentMismatch, SegmentCorrupt))


@pytest.mark.parametrize(
    "changed, error, message",
    [
        ({"magic": b"SHMCTX\n\n"}, SegmentCorrupt, "magic"),
        ({"layout_version": 0}, SegmentMismatch, "another layout"),
        ({"layout_version": 99}, SegmentMismatch, "another layout"),
        ({"abi": 1}, SegmentMismatch, "another build"),
        ({"capacity": 32}, SegmentCorrupt, "geometry"),
        ({"capacity": 65}, SegmentCorrupt, "geometry"),
        ({"capacity": 128}, SegmentCorrupt, "geometry"),
        ({"capacity": 1 << 63}, SegmentCorrupt, "geometry"),
        ({"capacity": 0}, SegmentCorrupt, "geometry"),
        ({"segment_size": 0}, SegmentCorrupt, "geometry"),
        ({"buckets": 1 << 40}, SegmentCorrupt, "geometry"),
        ({"buckets": 0}, SegmentCorrupt, "geometry"),
        ({"gap_start": 0}, SegmentCorrupt, "geometry"),
        ({"gap_start": 1 << 57}, SegmentCorrupt, "geometry"),
        ({"base": 1 << 60}, SegmentCorrupt, "geometry"),
        ({"base": 2}, SegmentCorrupt, "geometry"),
        ({"store_id": 1 << 24}, SegmentCorrupt, "geometry"),
        ({"name": b"x" * 256}, SegmentCorrupt, "geometry"),
        ({"name": b"another"}, SegmentMismatch, "its name is 'another'"),
        ({"database": b"x" * 2048}, SegmentCorrupt, "geometry"),
        ({"boot_id": b"x" * 40}, SegmentCorrupt, "geometry"),
        ({"boot_id": b"00000000-0000-4000-8000-000000000000"}, SegmentMismatch, "another boot"),
        ({"uid": os.geteuid() + 1}, SegmentMismatch, "made by uid"),
        ({"pid_namespace_inode": 4026531836 ^ 1}, SegmentMismatch, "PID namespace"),
        ({"pid_namespace_device": 12345}, SegmentMismatch, "PID namespace"),
    ],
    ids=lambda value: "".join(value) if isinstance(value, dict) else None,
)
def test_a_header_that_says_something_else_is_refused(stores, made, changed, error, message):
    """With a checksum that fits: these are honest headers of other builds, boots, users, or forged ones."""
    headers.write(made, **changed)

    refused(stores, error, message)


@pytest.mark.parametrize("size", [0, 1, 8, 2000, 4096, 8192, "half", "one less", "one more", "twice"])
def test_a_file_of_another_length_is_refused(stores, made, size):
    whole = made.stat().st_size
    others = {"half": whole // 2, "one less": whole - 1, "one more": whole + 1, "twice": 2 * whole}
    os.truncate(made, others.get(size, size))

    refused(stores, SegmentCorrupt)


@pytest.mark.parametrize("content", ["zeroes", "random", "text"])
def test_a_file_that_is_no_segment_is_refused(stores, made, content, seed):
    size = made.stat().st_size
    make = {"zeroes": bytes, "random": random.Random(seed).randbytes, "text": lambda count: b"\n" * count}[content]
    made.write_bytes(make(size))

    refused(stores, SegmentCorrupt, "no shmctx segment")


@pytest.mark.parametrize("target", ["missing", "itself", "another segment"])
def test_a_symlink_at_the_name_is_not_followed(stores, made, tmp_path, target):
    moved = made.with_name(made.name + "-moved")
    made.rename(moved)
    made.symlink_to({"missing": tmp_path / "none", "itself": made, "another segment": moved}[target])

    refused(stores, SegmentMismatch)
    assert made.is_symlink()


@pytest.mark.parametrize("kind", ["directory", "fifo"])
def test_what_is_no_regular_file_is_refused(stores, made, kind):
    made.unlink()
    made.mkdir() if kind == "directory" else os.mkfifo(made)
    try:
        refused(stores, SegmentError)
    finally:
        made.rmdir() if kind == "directory" else made.unlink()


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o666, 0o602])
def test_a_segment_that_others_may_open_is_refused(stores, made, mode):
    made.chmod(mode)

    error = refused(stores, SegmentMismatch, f"{mode:04o}")
    assert re.search(f"chmod 600 {re.escape(str(made))}", error.hint)


def test_a_segment_of_another_user_is_refused(stores, made):
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(made, 65534, 65534)

    refused(stores, SegmentMismatch, "belongs to uid 65534")
    with pytest.raises(shmctx.ShmctxError):
        shmctx.open(stores.name, db=stores.database.with_name("2.db"), ring_size=4096)


def test_another_user_can_neither_read_nor_remove_it(stores, made, spawn):
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    intruder = spawn(
        """
        import os, sys
        import shmctx
        from shmctx.errors import SegmentMismatch
        os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
        for call in (shmctx.attach, shmctx.unlink):
            try:
                call(sys.argv[1])
            except SegmentMismatch as error:
                print(error.message, "|", error.hint)
        """,
        stores.name,
    )

    assert "another user" in intruder.line()
    assert "only its owner" in intruder.line()
    intruder.finish()
    assert made.exists()


def test_a_process_of_another_pid_namespace_is_refused(stores, made, unshared):
    done = unshared(
        ["--pid", "--fork", "--mount-proc"],
        "import shmctx, sys\ntry: shmctx.attach(sys.argv[1])\nexcept shmctx.SegmentMismatch as e: print(e)",
        stores.name,
    )

    assert "PID namespace" in done
    assert "docker run --pid" in done


def test_a_missing_segment_says_what_exists_and_how_to_make_one(stores):
    with pytest.raises(SegmentMissing, match=stores.name) as caught:
        stores.attach()
    assert "shmctx daemon" in caught.value.hint


@pytest.mark.parametrize("size", [0, 1, 100, 4096])
def test_a_copy_of_too_few_bytes_is_refused(made, size):
    with pytest.raises(SegmentCorrupt):
        Ring.from_bytes(made.read_bytes()[:size])


def test_control_words_that_contradict_each_other_poison_the_segment(stores, made):
    """`head` before `drained`: every put answers SegmentCorrupt, reads go on, nobody can lead it silently."""
    store = stores.attach()
    ref = next(iter(store))
    head_at = headers.CONTROL + 48  # behind the mutex (40 bytes) and `reserved`
    with Path(made).open("r+b") as file:
        file.seek(head_at)
        file.write((0).to_bytes(8, "little"))

    for _ in range(2):
        with pytest.raises(SegmentCorrupt) as caught:
            store.put("y")
        assert "shmctx-recover" in caught.value.hint
    assert store[ref].event_name == "x"
    with pytest.raises(shmctx.SegmentError):
        stores.open()
