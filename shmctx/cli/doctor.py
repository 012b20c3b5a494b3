"""`shmctx doctor`: what about this machine and its stores deserves attention, and what to do about it."""

import os
import platform
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

from shmctx import process
from shmctx.cli.main import HELP_OPTIONS, PROBLEMS, examples
from shmctx.cli.render import Column, Listing, Output, size, with_output
from shmctx.cli.stores import View, complete_name, view
from shmctx.errors import SegmentError
from shmctx.hot import segment as segments
from shmctx.hot._core import SEALED

OK, NOTE, PROBLEM = "ok", "note", "problem"
_STOPPED = {"T": "stopped", "t": "stopped by a debugger"}
_ROOM = 32 << 20  # bytes: a new store with the default ring
_LOGIND = (Path("/etc/systemd/logind.conf"), Path("/etc/systemd/logind.conf.d"))
_FIRST_USER = 1000  # logind leaves users below alone


class Check(NamedTuple):
    """One finding. `store` is empty for what concerns the machine."""

    check: str
    status: str
    detail: str
    hint: str = ""
    store: str = ""


CHECKS = Listing(
    (
        Column("status", "Status"),
        Column("store", "Store"),
        Column("check", "Check"),
        Column("detail", "Finding"),
        Column("hint", "Try"),
    ),
    Check._asdict,
    Check._asdict,
)


@click.command(context_settings=HELP_OPTIONS, epilog=examples("shmctx doctor", "shmctx doctor ksi --json"))
@click.argument("name", required=False, shell_complete=complete_name)
@with_output
def doctor(out: Output, name: str | None) -> None:
    """Check the machine and one store, or all of them. Changes nothing.

    Looks at the room in /dev/shm, SQLite, systemd's RemoveIPC, stopped processes, dead leaders, segments that lost
    their name, and what killed processes left. Exit code 0 without problems, 5 with them; notes are no problems.
    """
    findings = [*machine(), *(check for each in _stores(name) for check in store(each))]
    out.rows(CHECKS, findings)
    if any(check.status == PROBLEM for check in findings):
        raise click.exceptions.Exit(PROBLEMS)


def _stores(name: str | None) -> list[str]:
    return [name] if name is not None else sorted({*segments.names(), *orphaned_names()})


# ---- the machine ----


def machine() -> Iterator[Check]:
    """What holds for every store here."""
    yield Check("system", OK, f"Linux {platform.release()}, {' '.join(platform.libc_ver())}, {platform.machine()}")
    yield _shared_memory()
    yield sqlite_verdict(sqlite3.sqlite_version_info)
    yield remove_ipc(logind_files(), os.geteuid())
    left = leftovers()
    if left:
        hint = "nothing: the next segment that is made removes them"
        yield Check("leftovers", NOTE, f"Unfinished segments of dead processes: {', '.join(left)}", hint)


def _shared_memory() -> Check:
    try:
        room = os.statvfs(segments.SHM)
    except OSError as error:
        return Check("shared memory", PROBLEM, f"Cannot be used: {error.strerror}.", "mount a tmpfs there")
    free = room.f_bavail * room.f_frsize
    detail = f"{size(free)} of {size(room.f_blocks * room.f_frsize)} free in {segments.SHM}"
    if free < _ROOM:
        return Check("shared memory", PROBLEM, detail, "a smaller --ring-size, or docker run --shm-size=1g")
    return Check("shared memory", OK, detail)


def sqlite_verdict(version: tuple[int, ...]) -> Check:
    """Whether this SQLite has the WAL-reset bug: 3.7.0 to 3.51.2, but for the back-ports 3.44.6 and 3.50.7.

    The versions are those of SQLite's release notes for 3.51.3, 3.50.7 and 3.44.6.
    """
    text = ".".join(map(str, version[:3]))
    repaired = (3, 44, 6) <= version < (3, 45) or (3, 50, 7) <= version < (3, 51)
    if version < (3, 7) or version >= (3, 51, 3) or repaired:
        return Check("SQLite", OK, f"{text}, without the WAL-reset bug")
    return Check(
        "SQLite",
        OK,
        f"{text} has the WAL-reset bug, which needs two connections that write or checkpoint at once. shmctx is "
        "immune: one connection does both",
        "let no other program write to the database or checkpoint it",
    )


def logind_files() -> list[Path]:
    """The configuration of systemd-logind, in the order in which later files win."""
    main, folder = _LOGIND
    return [path for path in (main, *sorted(folder.glob("*.conf"))) if path.is_file()]


def remove_ipc(files: list[Path], uid: int) -> Check:
    """Whether systemd removes the names of a user's segments when the user logs out (its default)."""
    if not files and not Path("/run/systemd/system").is_dir():
        return Check("RemoveIPC", OK, "no systemd-logind here")
    value = "yes"
    for path in files:
        for setting in re.findall(r"(?m)^\s*RemoveIPC\s*=\s*(\w+)", path.read_text(errors="replace")):
            value = setting.lower()
    if value in ("no", "false", "off", "0"):
        return Check("RemoveIPC", OK, "off")
    if uid < _FIRST_USER:
        return Check("RemoveIPC", OK, "on, but not for system users such as this one")
    return Check(
        "RemoveIPC",
        NOTE,
        "on: systemd removes the names of this user's segments at the last log-out; the leader then makes new ones",
        "RemoveIPC=no in /etc/systemd/logind.conf, or loginctl enable-linger",
    )


def leftovers(folder: Path = segments.SHM) -> list[str]:
    """Files that processes left behind that died while they made a segment."""
    found = []
    for path in folder.glob("shmctx.*~*") if folder.is_dir() else ():
        maker = path.name.rpartition("~")[2].partition(".")[0]
        if maker.isdigit() and not process.is_alive(int(maker), 0):
            found.append(path.name)
    return sorted(found)


def orphaned_names() -> set[str]:
    """Names that segments had which processes of this user still use and which have none any more."""
    pattern = re.compile(re.escape(f"{segments.SHM}/shmctx.") + r"([^~/]+) \(deleted\)")
    found = set()
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            match = pattern.fullmatch(os.readlink(entry))
        except OSError:
            continue
        if match:
            found.add(match[1])
    return found


# ---- a store ----


def store(name: str) -> Iterator[Check]:
    """What holds for one store."""
    for check in (*_orphans(name), *_segment(name)):
        yield check._replace(store=name)


def _orphans(name: str) -> Iterator[Check]:
    for pid, orphan in segments.orphans(name):
        _, head, drained, _ = orphan.ring.positions()
        if orphan.ring.state() & SEALED and drained >= head:
            continue  # a former generation, done with: whoever still has it open moves on at its next call
        yield Check(
            "orphan",
            PROBLEM,
            f"{process.describe(pid)} uses a segment whose name was removed; "
            + ("the database has all of it" if drained >= head else "it has contexts that the database does not have"),
            f"shmctx daemon {name}, which drains it and starts the next one",
        )


def _segment(name: str) -> Iterator[Check]:
    try:
        with view(name) as found:
            told = found.store.stats()
            yield _state(told)
            yield _leader(told, name)
            yield from _processes(found)
    except SegmentError as error:
        yield Check("segment", PROBLEM, error.message, error.hint)


def _state(told: dict[str, Any]) -> Check:
    used = f"{size(told['lag_bytes'])} of {size(told['ring_bytes'])} not in the database"
    if told["state"] == "poisoned":
        return Check("segment", PROBLEM, f"Damaged beyond repair; it takes no more puts. {used}", "shmctx-recover")
    if told["lag_share"] > 0.75:
        return Check("segment", PROBLEM, f"Nearly full: {used}", "shmctx stat --watch, which shows whether it drains")
    return Check("segment", OK, f"{told['state']}, {used}")


def _leader(told: dict[str, Any], name: str) -> Check:
    leader = told["leader"]
    alive = leader is not None and leader["alive"]
    if not alive:
        if told["lag_bytes"]:
            detail = f"Nobody drains {size(told['lag_bytes'])} that the database does not have."
            return Check("leader", PROBLEM, detail, f"shmctx daemon {name} --db {told['database']}")
        return Check("leader", NOTE, "none; the database has everything", f"shmctx daemon {name}")
    who = process.describe(leader["pid"])
    if leader["state"] in _STOPPED:
        detail = f"{who}: it does not drain, and nobody may take over while it lives"
        return Check("leader", PROBLEM, detail, f"kill -CONT {leader['pid']}, or end it")
    if leader["error"]:
        return Check("leader", PROBLEM, f"{who}: {leader['error']}", "what its message says; it tries again by itself")
    return Check("leader", OK, who)


def _processes(found: View) -> Iterator[Check]:
    ring = found.attachment.ring
    leader = ring.leader()["pid"]
    holder = ring.holder()
    if holder and process.state(holder) in _STOPPED:
        detail = f"{process.describe(holder)} holds the append lock: nobody can put"
        yield Check("lock", PROBLEM, detail, f"kill -CONT {holder}, or end it; the lock is then repaired")
    for pid, start, *_ in ring.participants():
        if pid not in (holder, leader) and process.is_alive(pid, start) and process.state(pid) in _STOPPED:
            yield Check("process", PROBLEM, process.describe(pid), f"kill -CONT {pid}, or end it")
