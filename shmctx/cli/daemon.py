"""`shmctx daemon`: a process whose only task is to hold a store and drain it."""

import contextlib
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from shmctx import attachment as attachments
from shmctx import process
from shmctx.attachment import Attachment
from shmctx.cli.gateway import serve, told, with_gateway
from shmctx.cli.main import ERROR, HELP_OPTIONS, INTERRUPTED, complain, examples
from shmctx.cli.render import size
from shmctx.cli.stores import optional_name
from shmctx.drain.election import Election
from shmctx.drain.leader import Candidate
from shmctx.hot import segment as segments
from shmctx.hot._core import GRANULE
from shmctx.settings import DEFAULT_RING_SIZE, Settings, default_database, environment, parse_size
from shmctx.store import Store

_STEP = 0.1  # seconds between looks at signals while the drain ends
_PATIENCE = 1.0  # seconds after which another signal means it


def _stopping() -> set[signal.Signals]:
    """The signals that end a daemon; not SIGHUP under nohup."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return {signal.SIGINT, signal.SIGTERM} | (set() if ignored else {signal.SIGHUP})


@click.command(
    context_settings=HELP_OPTIONS,
    epilog=examples("shmctx daemon", "shmctx daemon ksi --db var/contexts.db --ring-size 64M"),
)
@optional_name
@click.option("--db", type=click.Path(dir_okay=False, path_type=Path), help="The SQLite file.", metavar="FILE")
@click.option("--log", type=click.Path(file_okay=False, path_type=Path), help="The event log's folder.", metavar="DIR")
@click.option("--ring-size", metavar="SIZE", help="Bytes of a new ring, such as 64M; a power of two.")
@with_gateway
def daemon(name: str, db: Path | None, log: Path | None, ring_size: str | None, **gateway: Any) -> None:
    """Make a store, or adopt what a dead process left, and drain it until a signal.

    NAME is `default` unless SHMCTX_SEGMENT says otherwise; the database is $XDG_STATE_HOME/shmctx/NAME.db unless
    SHMCTX_DB does; the event log is beside the database, as NAME.events, unless SHMCTX_LOG does; the ring has 32 MiB
    unless SHMCTX_RING_SIZE does. Where another process leads, this one stands by and takes over when it dies. SIGINT,
    SIGTERM and SIGHUP drain what is there and end it with exit code 0. With --http or --socket it is a gateway too, as
    `shmctx gateway` is by itself.
    """
    said = environment()
    database = (db or said.database or default_database(name)).absolute()
    directory = log or said.log
    asked = parse_size(ring_size) if ring_size is not None else said.ring_size or DEFAULT_RING_SIZE
    stopping = _stopping()
    # Blocked before the drain's thread starts, which inherits it: a signal waits here until sigwait takes it.
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    attachment = attachments.open_or_create(name, database, asked, Settings(), directory and directory.absolute())
    try:
        with _served(attachment, gateway) as told:
            click.echo(_greeting(attachment, told))
            signal.sigwait(stopping)
    finally:
        _stop(attachment, stopping)


def _commands() -> tuple[str, str]:
    """How `python` and `shmctx` are typed here, where the environment that has shmctx may not be on PATH."""

    def typed(program: Path) -> str:
        if shutil.which(program.name) == str(program):
            return program.name
        near = program.is_relative_to(Path.cwd())
        return shlex.quote(str(program.relative_to(Path.cwd()) if near else program))

    interpreter = Path(sys.executable)
    script = interpreter.with_name("shmctx")
    python = typed(interpreter)
    return python, typed(script) if script.exists() else f"{python} -m shmctx"


@contextlib.contextmanager
def _served(attachment: Attachment, gateway: dict[str, Any]) -> Iterator[str]:
    """Serve the daemon's store, if that is asked for; what to say about it."""
    if gateway["http"] is None and gateway["socket"] is None:
        yield ""
        return
    with serve(Store(attachment), gateway) as running:
        yield f"\n{told(running)}"


def _greeting(attachment: Attachment, gateway: str) -> str:
    name, header = attachment.name, attachment.segment.header
    candidate = attachment.candidate
    if candidate is not None and candidate.leads:
        role = "leads"
    else:
        holder = Election(attachment.database).holder()
        role = f"stands by for {process.describe(holder)}, which leads," if holder else "stands by for"
    python, shmctx = _commands()
    return f"""shmctx daemon {role} the store {name!r} ({attachment.store_id:06x}).

  segment   {segments.path_of(name)} ({size(header["segment_size"])})
  database  {attachment.database}
  events    {attachment.log_directory() or "?"}
  ring      {size(header["capacity"] * GRANULE)}
  pid       {os.getpid()}{gateway}

In another terminal:

  {python} -c 'import shmctx; print(shmctx.attach("{name}").put("hello"))'
  {shmctx} tail {name} --follow
  {shmctx} stat {name} --watch

Ctrl-C drains what is there and stops."""


def _stop(attachment: Attachment, stopping: set[signal.Signals]) -> None:
    """Drain what is there and close. Exits with an error where the database does not take it."""
    candidate = attachment.candidate
    assert candidate is not None
    led, ring = candidate.leads, attachment.ring
    head = ring.positions()[1]
    _wait_for_drain(attachment, candidate, stopping)
    attachment.close()
    if led and ring.positions()[2] < head:
        complain(*_undrained(attachment, head))
        raise click.exceptions.Exit(ERROR)


def _wait_for_drain(attachment: Attachment, candidate: Candidate, stopping: set[signal.Signals]) -> None:
    """Until the drain has ended. A signal that comes a second after the first ends the process at once; not an
    earlier one, because wrappers tend to send two."""
    began = time.monotonic()
    while not candidate.stop(_STEP):
        passed = time.monotonic() - began
        interrupted = signal.sigtimedwait(stopping, 0) is not None and passed > _PATIENCE
        if interrupted or passed > attachment.settings.durable_timeout:
            complain(*_undrained(attachment, attachment.ring.positions()[1]))
            sys.stderr.flush()
            # Past the interpreter's exit hooks, which would wait for the drain again.
            os._exit(INTERRUPTED if interrupted else ERROR)


def _undrained(attachment: Attachment, head: int) -> tuple[str, str]:
    """What to say about records before `head` that are not in the database, and what to do."""
    ring = attachment.ring
    left = max(head - ring.positions()[2], 0) * GRANULE
    return (
        f"{size(left)} are not in the database; they stay in shared memory. {ring.leader()['error']}".strip(),
        f"shmctx-recover {attachment.name} --db {attachment.database}",
    )
