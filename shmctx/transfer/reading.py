"""Batches read in another process, so that reading and storing take a processor each.

The other process reads sources, no database of ours, and ends when this one does. What they say to each other are
msgpack messages, each behind its length: first the job, then a batch one way and an empty message back once it is
stored. The reader is two batches ahead at most, so memory does not grow.
"""

import contextlib
import gc
import os
import struct
import subprocess
import sys
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from shmctx import errors
from shmctx.errors import ShmctxError, TransferError
from shmctx.transfer.batches import Batch, Done, batches
from shmctx.transfer.ledger import Progress
from shmctx.transfer.sources import Sources

AHEAD = 2
_LENGTH = struct.Struct("<I")
_GC_THRESHOLDS = 200_000, 50, 50
_END = 10.0
"""Seconds until a reader that should have ended is killed."""


class Job(msgspec.Struct):
    """What is to be read."""

    sources: list[str]
    done: list[Progress]
    store_id: int


class _Failed(msgspec.Struct, tag="failed"):
    kind: str
    message: str
    hint: str


class _Done(msgspec.Struct, tag="done"):
    """That was all."""


_Message = Batch | _Failed | _Done
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Message).decode


def read(paths: Iterable[Path], done: Done, store_id: int) -> Generator[Batch]:
    """The batches of what these paths have, read here. Raises SourceUnreadable."""
    with Sources(paths) as sources:
        yield from batches(sources, done, store_id)


def read_beside(paths: Iterable[Path], done: Done, store_id: int) -> Generator[Batch]:
    """The same, read in another process. A batch is taken for stored when the next one is asked for."""
    job = Job([str(path) for path in paths], list(done.values()), store_id)
    command = [sys.executable, "-c", "from shmctx.transfer.reading import main; main()"]
    # In a group of its own: whoever interrupts this process does not mean that one, which ends by itself then.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0) as process:
        to, back = cast(BinaryIO, process.stdin), cast(BinaryIO, process.stdout)
        try:
            _send(to, _encode(job))
            while not isinstance(found := _decode(_receive(back)), _Done):
                if isinstance(found, _Failed):
                    raise _error(found)
                yield found
                _send(to, b"")
        except (BrokenPipeError, EOFError):
            raise TransferError(
                "The process that reads the sources has ended. What was stored so far stays.",
                hint="Run the same command again: it goes on where it was.",
            ) from None
        finally:
            with contextlib.suppress(BrokenPipeError):
                to.close()
            back.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END)
            process.kill()


def _error(failed: _Failed) -> ShmctxError:
    kind = getattr(errors, failed.kind, TransferError)
    error: ShmctxError = kind(failed.message, hint=failed.hint)
    return error


@contextlib.contextmanager
def few_collections() -> Iterator[None]:
    """While the block runs, Python seldom looks for garbage in cycles: batches have none, and looking for it takes a
    tenth of the time."""
    before = gc.get_threshold()
    gc.set_threshold(*_GC_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@few_collections()
def main() -> None:
    """The other process."""
    back = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    asked = sys.stdin.buffer
    try:
        job = msgspec.msgpack.decode(_receive(asked), type=Job)
        done = {progress.key: progress for progress in job.done}
        for ahead, batch in enumerate(read(map(Path, job.sources), done, job.store_id)):
            _send(back, _encode(batch))
            if ahead >= AHEAD:
                _receive(asked)
        _send(back, _encode(_Done()))
    except ShmctxError as error:
        _send(back, _encode(_Failed(type(error).__name__, error.message, error.hint)))
    except (BrokenPipeError, EOFError):
        os._exit(0)  # nobody wants it any more
    asked.read()  # what it still has to say, until it closes


def _send(stream: BinaryIO, message: bytes) -> None:
    stream.write(_LENGTH.pack(len(message)))
    stream.write(message)
    stream.flush()


def _receive(stream: BinaryIO) -> bytes:
    """The next message. Raises EOFError where the other side is gone."""
    head = stream.read(_LENGTH.size)
    size = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else -1
    message = stream.read(max(size, 0))
    if len(message) != size:
        raise EOFError
    return message
