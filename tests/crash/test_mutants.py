"""The tests of the tests: each of these bugs, planted in a copy of the core, must be found.

A normal run plants a third of them, another third each time; SHMCTX_TORTURE=1 plants all.
"""

import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import pytest
from compiler import run_program  # on the path by conftest.py

CORE_TESTS = Path(__file__).parents[1] / "core"
RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))  # the same in all processes of a run


def turn(planted):
    """Those whose turn it is."""
    return planted if os.environ.get("SHMCTX_TORTURE") else planted[zlib.crc32(RUN.encode()) % 3 :: 3]


@dataclass(frozen=True)
class Mutant:
    """One planted bug: texts of one file, each of which occurs exactly once, and what replaces them."""

    name: str
    file: str
    changes: tuple[tuple[str, str], ...]

    def text(self, core):
        """The changed file; fails if the core has moved on and a text is not where it was."""
        text = (core / self.file).read_text()
        for old, new in self.changes:
            assert text.count(old) == 1, f"{self.name}: {text.count(old)} times in {self.file}, not once: {old!r}"
            text = text.replace(old, new)
        return text


def ring(name, *changes):
    return Mutant(name, "ring.c", changes)


def repair(name, *changes):
    return Mutant(name, "repair.c", changes)


def lock(name, *changes):
    return Mutant(name, "lock.c", changes)


PAYLOAD = "    write_payload(record, draft->payload, draft->size);\n"
WRITE = "    write_record(ring, draft, crc, head);\n"
PUBLISH = "    publish(ring, head + need);\n"
CLAIM = "    claim(ring, head, head + need);\n"
PAD = "        shx_write_padding(ring, head, reserved - head);\n"
LAST = "store(&ring->control->writer.last, head);"
HEAD = "    if (position >= atomic_load_explicit(&ring->control->writer.head, ACQUIRE)) return SHX_MISS;\n"
RECORD = "    const shx_record *record = shx_slot(ring, position);\n"
LINK = "    shx_link_record(ring, head);\n"
FULL = "if (head - drained + padding + need > ring->capacity) return SHX_FULL;"
MARK = "if (annotation && back && back < position) mark_annotated"

DEATHS = [
    ring("commit-before-the-record", (WRITE + PUBLISH, PUBLISH + WRITE)),
    ring("commit-before-the-stamp", (
        PAYLOAD,
        PAYLOAD + "    atomic_store(&ring->control->writer.head, position + granules_of(draft->size));\n",
    )),
    ring("commit-before-the-payload", (
        PAYLOAD,
        "    atomic_store(&record->stamp, stamp);\n"
        "    atomic_store(&ring->control->writer.head, position + granules_of(draft->size));\n" + PAYLOAD,
    )),
    ring("link-before-the-commit", (PUBLISH + LINK, LINK + PUBLISH)),
    ring("never-linked", (LINK, "")),
    ring("write-before-the-claim", (CLAIM + WRITE, WRITE + CLAIM)),
    ring("no-padding-at-the-end", ("return need > room ? room : 0;", "return need > room && need > 64 ? room : 0;")),
    ring("padding-one-short", (
        "shx_write_padding(ring, head, padding);", "shx_write_padding(ring, head, padding - 1);",
    )),
    ring("padding-not-committed", ("        publish(ring, head);\n", "")),
    ring("one-granule-too-many", (FULL, FULL.replace("> ring->capacity", "> ring->capacity + 1"))),
    ring("one-granule-too-few", (FULL, FULL.replace("> ring->capacity", ">= ring->capacity"))),
    ring("space-without-padding", (FULL, FULL.replace("padding + ", ""))),
    ring("drained-ignored", (FULL, FULL.replace("head - drained + ", ""))),
    ring("distance-cut-short", ("position - newest : 0", "(position - newest) % 8 : 0")),
    ring("distance-of-another-bucket", ("load(bucket_of(ring, i, tag))", "load(bucket_of(ring, i, tag + 1))")),
    ring("start-not-remembered", (LAST, "(void)head;")),
    ring("start-remembered-too-late", (PUBLISH, PUBLISH + "    store(&writer->last, head);\n"), (LAST, "(void)head;")),
    ring("mark-before-the-commit", (
        PUBLISH, "    if (draft->target) mark_annotated(ring, draft->target);\n" + PUBLISH,
    )),
    ring("never-marked", (MARK, MARK.replace("annotation &&", "!annotation &&"))),
    ring("stranger-marked", ("    if (!shx_live(ring, target)) return;\n", ""),
         ("    if ((stamp & SHX_POSITION_MASK) != target) return;\n", "")),
    ring("uncommitted-record-visible", (HEAD + RECORD, RECORD)),
    ring("own-key-forgotten", ("draft->self >> i & 1 ?", "0 ?")),
    lock("never-consistent", ("    pthread_mutex_consistent(&control->writer.mutex);\n", "")),
    lock("no-repair", ("shx_repair(ring) != SHX_OK", "0")),
    lock("repair-not-counted", (
        "    atomic_fetch_add_explicit(&control->repairs, 1, memory_order_relaxed);\n", "",
    )),
    ring("unlocked-too-early", (
        "    status = append_locked(ring, draft, crc, position);\n    shx_lock_leave(ring);\n",
        "    shx_lock_leave(ring);\n    status = append_locked(ring, draft, crc, position);\n",
    )),
    ring("gap-forgotten", ("        span += ring->base - ring->gap_start;\n", "")),
    Mutant("another-link-followed", "index.c", (
        ("if (!tag || ((tag ^ walk->tag) & ring->bucket_mask)) continue;", "(void)ring;\n        if (!tag) continue;"),
    )),
    repair("repair-does-not-pad", (PAD, "")),
    repair("repair-pads-too-late", (PAD, "        atomic_store(&writer->head, reserved);\n" + PAD)),
    repair("repair-gives-the-space-back", (
        PAD, "        reserved = head;\n        atomic_store(&writer->reserved, head);\n",
    )),
    repair("repair-does-not-link", ("        shx_link_record(ring, last);", "        return SHX_OK;")),
    repair("repair-does-not-mark", ("view.kind != SHX_PADDING", "view.kind == SHX_CONTEXT")),
]

STILL = "    if (!shx_live(ring, position)) return SHX_MISS;\n"

# Bugs of readers, found where another process overtakes them.
OVERTAKEN = [
    ring("fetched-before-the-commit", (
        HEAD + "    /* Acquire: as in shx_look. */\n", "",
    ), (STILL, STILL + HEAD)),
    ring("fetch-without-second-look", (STILL, "")),
    ring("copy-without-second-look", ("    if (!shx_live(ring, view->position)) return SHX_MISS;\n", "")),
]

CLEAR = "    shx_clear(ring, position, view.granules);\n"
ERASED = "    store(&shx_slot(ring, position)->size_crc,"

# Bugs of erasing, found where it is stopped at each instruction.
ERASING = [
    Mutant("zeroed-before-it-is-erased", "erase.c", ((CLEAR, ""), (ERASED, CLEAR + ERASED))),
    Mutant("erased-with-the-record-s-own-checksum", "erase.c", (
        ("(uint64_t)erased_crc(&view) << 32", "(uint64_t)view.crc << 32"),
    )),
    Mutant("lock-kept-by-an-eraser", "erase.c", (("    if (lock == SHX_OK) shx_lock_leave(ring);", "   "),)),
    ring("erased-called-damaged", (
        "return is_erased(ring, view) ? SHX_ERASED", "return is_erased(ring, view) ? SHX_DAMAGED",
    )),
]

FLIPS = ("hostile", "flips", 0, 8)
WAKES = "who_moves_a_word_wakes_its_sleepers"

# Bugs that no death shows: the mutant, and the program of tests/core that finds it.
OTHERS = [
    (ring("no-second-look", ("    if (!shx_live(ring, view->position)) return SHX_MISS;\n", "")),
     ("stress", "processes", 1, 2000)),
    (ring("claimed-too-late", (CLAIM + WRITE, WRITE + CLAIM)), ("stress", "processes", 1, 2000)),
    (ring("checksum-ignored", ("stamp) == view->crc;", "stamp) == view->crc || view->kind;")), FLIPS),
    (ring("size-unchecked", (" && sane_size(ring, position, view->granules);", " && sane_size(ring, position, 0);")),
     FLIPS),
    (ring("stamp-unchecked", ("    if ((stamp & SHX_POSITION_MASK) != position) return SHX_MISS;\n", "")),
     ("records",)),
    (ring("newest-record-skipped", ("|| position < end)", "|| position <= end)")), ("records",)),
    (ring("age-ignored", (" && position >= load(&ring->control->tail);", ";")), ("records",)),
    (ring("drained-moves-back", ("position <= load(&ring->control->drained)", "position == 0")), ("records",)),
    (ring("nobody-woken", ("    if (status == SHX_OK) shx_wake_head(ring);\n", "")), ("handles", WAKES)),
    (ring("space-kept-secret", ("    shx_wake_drained(ring);\n", "")), ("handles", WAKES)),
    (Mutant("erased-and-not-zeroed", "erase.c", ((CLEAR, ""),)), ("records",)),
    (Mutant("neighbours-erased", "erase.c", (("!fits(ring, &view)", "!fits(ring, &view) && 0"),)), ("records",)),
    (lock("poison-forgotten", ("state & SHX_POISONED ? SHX_CORRUPT : SHX_SEALED_OFF", "SHX_SEALED_OFF")), ("records",)),
    (lock("lock-kept-by-the-refused", ("    shx_lock_leave(ring);\n    return state", "    return state")),
     ("records",)),
    (Mutant("walk-without-end", "index.c", (("back && back < at ? at - back : 0;", "back < at ? at - back : 0;"),)),
     ("records", "walks_find_each_record_by_each_key_newest_first")),
]


@pytest.mark.parametrize("mutant", turn(DEATHS), ids=lambda mutant: mutant.name)
def test_stepper_finds(mutant, step, release):
    changed = {mutant.file: mutant.text(release.core[0].parent)}

    done = step("--second", 4, changed=changed, name=f"mutant-{mutant.name}")

    assert done.returncode == 1, f"{mutant.name} was not found"
    assert "FAILED" in done.stdout + done.stderr


@pytest.mark.parametrize("mutant", turn(OVERTAKEN), ids=lambda mutant: mutant.name)
def test_overtaking_readers_finds(mutant, step, release):
    changed = {mutant.file: mutant.text(release.core[0].parent)}

    done = step("--scenario", "eviction", "--reader", 12, changed=changed, name=f"mutant-{mutant.name}")

    assert done.returncode == 1, f"{mutant.name} was not found"
    assert "FAILED" in done.stdout


@pytest.mark.parametrize("mutant", turn(ERASING), ids=lambda mutant: mutant.name)
def test_stepping_through_an_erasure_finds(mutant, step_erasure, release):
    changed = {mutant.file: mutant.text(release.core[0].parent)}

    done = step_erasure(2, changed=changed, name=f"mutant-{mutant.name}")

    assert done.returncode == 1, f"{mutant.name} was not found"
    assert "FAILED" in done.stderr


@pytest.mark.parametrize("mutant, command", turn(OTHERS), ids=lambda value: getattr(value, "name", ""))
def test_core_programs_find(mutant, command, release):
    changed = {mutant.file: mutant.text(release.core[0].parent)}
    name, *arguments = command

    path = release.program(f"mutant-{mutant.name}", [CORE_TESTS / f"{name}.c"], changed)

    assert run_program(path, *arguments).returncode != 0, f"{mutant.name} was not found"


@pytest.mark.parametrize("command", sorted({command for _, command in OTHERS}, key=str), ids=str)
def test_core_programs_accept_the_core_as_it_is(command, release):
    name, *arguments = command

    assert run_program(release.program(name, [CORE_TESTS / f"{name}.c"]), *arguments).returncode == 0
