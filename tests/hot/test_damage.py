"""A segment that somebody scribbles over: every answer is a result, a miss or a named error, and never a wrong context.

The scribbler leaves out the append lock's own line: glibc follows pointers in it, so a process that takes the lock
trusts it (readers do not take it). What shall not crash runs in processes of its own, where a signal is seen.
"""

import json
import mmap
import random
import sqlite3
from pathlib import Path

import headers
import pytest

import shmctx
from shmctx.errors import RecordDamaged
from shmctx.hot import segment as segments

LOCK = range(headers.CONTROL, headers.CONTROL + 64)
MUTATIONS = 20_000
INTERESTING = (0, 1, 63, 64, 0x7F, 0x80, 0xFF, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 56) - 1, 1 << 63, (1 << 64) - 1)

READER = """
import faulthandler, itertools, json, random, sys
import shmctx
from shmctx.errors import ShmctxError
faulthandler.enable()
name, seed, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
known = json.loads(input())  # ref -> [payload, wire names]
refs, dice = list(known), random.Random(seed)
answers = {"right": 0, "miss": 0, "error": 0}
settings = shmctx.Settings(attach_timeout=0.1, durable_timeout=0.1)
keep = shmctx.attach(name, readonly=dice.random() < 0.5, settings=settings)
print("ready", flush=True)

KEYS = [(0, "evt_00000003"), (1, 3), (1, "corr_00000001"), (2, "a-1"), (3, "s"), (4, 3)]

def check(ref, store):
    stored = store.get_bytes(ref)
    assert stored is None or stored.hex() == known[ref][0], ("bytes", ref, stored)
    context = store.get(ref)
    if context is not None:
        wire = context.to_dict()
        if "_session" not in wire:  # its own record may be gone
            wire["_session"] = known[ref][1]["_session"]
        assert wire == known[ref][1], ("context", ref, wire)
    return context is not None

def follow(store):
    since = dice.choice([None, "begin", dice.getrandbits(10)])
    with store.follow(since=since, timeout=0, catch_up=dice.random() < 0.5) as follower:
        for event in itertools.islice(follower, 200):
            wire = known.get(event.ref, [None, None])[1]
            assert wire is None or event.context.to_dict().items() <= wire.items(), ("event", event, wire)

ASK = [
    lambda s: s.query(agent_id="a-1", limit=5), lambda s: s.query(event_name="x"), lambda s: list(s), lambda s: len(s),
    lambda s: s.children(dice.choice(refs)), lambda s: s.ancestors(dice.choice(refs)),
    lambda s: s.descendants(dice.choice(refs)), lambda s: s.query(session_id="s", newest_first=True, limit=3),
    lambda s: s.query(correlation_id="corr_00000001"), lambda s: s.stats(), lambda s: s.get("evt_00000003"),
    lambda s: s._attachment.ring.scan(dice.getrandbits(8), dice.getrandbits(56), 100, 1 << 20),
    lambda s: s._attachment.ring.find(*dice.choice(KEYS), 0, 100),
    lambda s: shmctx.attach(name, settings=settings).close(),
    lambda s: follow(s),
]
for number in range(rounds):
    try:
        if number % 4:
            answers["right" if check(dice.choice(refs), keep) else "miss"] += 1
        else:
            dice.choice(ASK)(keep)
    except ShmctxError as error:
        answers["error"] += 1
print(json.dumps(answers), flush=True)
import os; os._exit(0)  # leaving in order would take a slot's words at their value
"""


def scribble(dice, memory):
    """One mutation: a bit, a byte, a word, a run, or a piece of the segment copied somewhere else."""
    size = len(memory)
    at = dice.randrange(size)
    while at in LOCK or at + 8 > size or at + 7 in LOCK:
        at = dice.randrange(size)
    kind = dice.randrange(5)
    if kind == 0:
        memory[at] ^= 1 << dice.randrange(8)
    elif kind == 1:
        memory[at] = dice.randrange(256)
    elif kind == 2:
        at &= ~7
        memory[at : at + 8] = dice.choice(INTERESTING).to_bytes(8, "little")
    else:
        length = min(dice.choice((8, 64, 128)), size - at)
        source = dice.randrange(size - length)
        piece = memory[source : source + length] if kind == 3 else dice.randbytes(length)
        if not set(range(at, at + length)) & set(LOCK):
            memory[at : at + length] = piece


@pytest.fixture
def story(stores):
    """(store, known): twenty contexts, half of them drained; for each ref its payload and wire names."""
    store = stores.leaderless(1 << 13)
    root = store.put("x", agent_id="a-0", session={"id": "s"})
    same = {"session": {"id": "s"}}
    refs = [root, *(store.put("x", agent_id=f"a-{n % 3}", parent=root, event_id=f"evt_{n:08x}") for n in range(10))]
    stores.drain()
    refs += [store.put("y", agent_id="a-1", correlation_id="corr_00000001", _n=n, **same) for n in range(10)]
    return store, {ref: [store.get_bytes(ref).hex(), store[ref].to_dict()] for ref in refs}


@pytest.fixture
def memory(stores):
    """`memory()`: the segment's bytes, writable."""
    maps = []

    def open_map():
        with segments.path_of(stores.name).open("r+b") as file:
            maps.append(mmap.mmap(file.fileno(), 0))
        return maps[-1]

    yield open_map
    for opened in maps:
        opened.close()


def restore(memory, whole):
    memory[: LOCK.start] = whole[: LOCK.start]
    memory[LOCK.stop :] = whole[LOCK.stop :]


def test_readers_of_a_segment_that_is_scribbled_over(stores, story, memory, spawn, seed):
    _, known = story
    dice, segment = random.Random(seed), memory()
    whole = segment[:]
    readers = [spawn(READER, stores.name, seed + n, 6000) for n in range(2)]
    for reader in readers:
        reader.say(json.dumps(known))
        assert reader.line() == "ready"
    done = 0
    while done < MUTATIONS or any(reader.lines.empty() and reader.poll() is None for reader in readers):
        if done % 25 == 0:  # else everything would soon be a miss
            restore(segment, whole)
        scribble(dice, segment)
        done += 1
    restore(segment, whole)
    answers = [json.loads(reader.line()) for reader in readers]
    for reader in readers:
        reader.finish()

    for answer in answers:
        assert min(answer["right"], answer["miss"] + answer["error"]) > 0, answers
    assert all(stores.attach()[ref].to_dict() == wire for ref, (_, wire) in known.items())


COPIES = """
import faulthandler, random, sys
from shmctx.errors import ShmctxError
from shmctx.hot._core import Ring
sys.path.insert(0, sys.argv[2])
from test_damage import scribble
faulthandler.enable()
whole = open(sys.argv[1], "rb").read()
known = {record[0]: record for record in Ring.from_bytes(whole).scan(1, 1 << 56, 1000, 1 << 30)[1]}
assert len(known) > 20
dice, seen = random.Random(int(sys.argv[3])), {"found": 0, "lost": 0, "refused": 0}
for _ in range(int(sys.argv[4])):
    changed = bytearray(whole)
    for _ in range(dice.choice((1, 1, 1, 2, 5, 50))):
        scribble(dice, changed)
    try:
        ring = Ring.from_bytes(changed)
    except ShmctxError:
        seen["refused"] += 1
        continue
    end, records, skipped = ring.scan(1, 1 << 56, 1000, 1 << 30)
    assert len(records) <= 256 and end <= 1 << 56, (end, len(records))
    for record in records:
        if record[0] in known:  # a copy of a record elsewhere does not count: its stamp names its place
            assert record[:2] + record[3:] == known[record[0]][:2] + known[record[0]][3:], record
        else:
            raise AssertionError(record)
    for link, key in enumerate(("evt_00000003", 3, "a-1", "s", 3)):
        assert len(ring.find(link, key, 0, 1 << 40)) <= 256
    seen["found" if len(records) == len(known) else "lost"] += 1
print(*seen.values())
"""


def test_copies_with_random_mutations_give_whole_records_or_none(stores, story, spawn, seed):
    """As recovery reads them: ten thousand mutated segments, scanned and searched."""
    process = spawn(COPIES, segments.path_of(stores.name), Path(__file__).parent, seed, MUTATIONS // 2)
    found, lost, refused = map(int, process.line(90).split())
    process.finish()

    assert min(found, lost, refused) > 0
    assert found + lost + refused == MUTATIONS // 2


WRITER = """
import faulthandler, sys, time
import shmctx
from shmctx.errors import ShmctxError
faulthandler.enable()
limits = {"put_timeout": 0.02, "lock_timeout": 0.2, "durable_timeout": 0.1, "attach_timeout": 0.1}
settings = shmctx.Settings(**limits, idle_interval=0.02)
store = shmctx.open(sys.argv[1], db=sys.argv[2], settings=settings)
print("ready", flush=True)
answers = {"ref": 0, "error": 0}
deadline = time.monotonic() + 20
for number in range(1500):
    if time.monotonic() > deadline:
        break
    try:
        ref = store.put("z", _n=number)
        answers["ref"] += 1
        context = store.get(ref)
        assert context is None or context.custom["_n"] == number, context
    except ShmctxError as error:
        answers["error"] += 1
print(answers["ref"], answers["error"], flush=True)
import os; os._exit(0)
"""


def test_writers_and_a_leader_of_a_segment_that_is_scribbled_over(stores, story, memory, spawn, seed):
    """They may fail, by name; the database gets nothing that was not put."""
    _, known = story
    dice, segment = random.Random(seed), memory()
    writer = spawn(WRITER, stores.name, stores.database)
    assert writer.line() == "ready"
    control = range(headers.CONTROL + 64, headers.CONTROL + 4096)
    done = 0
    while writer.lines.empty() and writer.poll() is None:
        at = dice.randrange(2 * headers.PAGE, len(segment) - 8) if dice.random() < 0.9 else dice.choice(control[:-8])
        word = dice.choice([segment[at] ^ 1 << dice.randrange(8), dice.randrange(256)])
        segment[at] = word
        done += 1
    answered = [int(number) for number in writer.line().split()]
    writer.finish()

    assert done > 1000
    assert sum(answered) > 0
    look = sqlite3.connect(stores.database)
    assert look.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    rows = dict(look.execute("SELECT ref, event_name FROM context").fetchall())
    look.close()
    assert all(rows.get(ref, wire["_event_name"]) == wire["_event_name"] for ref, (_, wire) in known.items())
    assert set(rows.values()) <= {"x", "y", "z", "filler"}


def test_one_damaged_record_is_an_error_by_name_and_the_others_are_found(stores, story, memory):
    store, known = story
    segment = memory()
    victim = list(known)[-3]
    at = segment[:].index(bytes.fromhex(known[victim][0]))
    segment[at + 3] ^= 0x10

    with pytest.raises(RecordDamaged) as caught:
        store[victim]
    assert "shmctx-recover" in caught.value.hint
    assert store.get_bytes(victim) is None
    assert all(store[ref].to_dict() == wire for ref, (_, wire) in known.items() if ref != victim)
    assert list(store) == [ref for ref in known if ref != victim]
    stores.drain()
    look = sqlite3.connect(stores.database)
    ((position, raw),) = look.execute("SELECT position, raw FROM quarantine").fetchall()
    look.close()
    assert position == shmctx.hot._core.parse_ref(victim)[1]
    assert bytes(segment[at : at + 8]) in raw


def test_a_damaged_record_that_is_drained_is_read_from_the_database(stores, story, memory):
    store, known = story
    stores.drain()
    segment = memory()
    for payload, _ in known.values():
        segment[segment[:].index(bytes.fromhex(payload)) + 3] ^= 0x10

    assert all(store[ref].to_dict() == wire for ref, (_, wire) in known.items())


RECOVER = """
import faulthandler, random, shutil, sqlite3, sys
from pathlib import Path
from shmctx.drain.recover import recover
from shmctx.errors import ShmctxError
sys.path.insert(0, sys.argv[3])
from test_damage import scribble
faulthandler.enable()
segment, database, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[4]
whole, before = segment.read_bytes(), database.read_bytes()
dice, seen = random.Random(int(sys.argv[5])), {"told": 0, "refused": 0}
for number in range(int(sys.argv[6])):
    changed = bytearray(whole)
    for _ in range(dice.choice((1, 2, 5, 50))):
        scribble(dice, changed)
    segment.write_bytes(changed)
    dry = number % 4 > 0
    try:
        report = recover(name, database, dry_run=dry)
        assert report.contexts + report.already_stored <= 40, report
        seen["told"] += 1
    except ShmctxError as error:
        seen["refused"] += 1
    if not dry:
        look = sqlite3.connect(database)
        assert look.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        names = {row[0] for row in look.execute("SELECT DISTINCT event_name FROM context")}
        look.close()
        assert names <= {"x", "y"}, names
    database.write_bytes(before)
    for suffix in ("-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
print(*seen.values())
"""


def test_recovery_of_mutated_segments_ends_with_a_report_or_a_refusal(stores, story, spawn, seed):
    pytest.importorskip("shmctx.drain.recover")
    store, _ = story
    store.close()
    process = spawn(
        RECOVER, segments.path_of(stores.name), stores.database, Path(__file__).parent, stores.name, seed, 120
    )
    told, refused = map(int, process.line(90).split())
    process.finish()

    assert min(told, refused) > 0
    assert told + refused == 120
