"""Batches prepared in another process, so that reading and writing take a processor each.

The other process reads sources and the database, never writes, and ends when this one does. What they say to each other
are msgpack messages, each behind its length: first the job, then a batch one way and an empty message back once it is
stored. The reader is two batches ahead at most, so memory does not grow.
"""

import contextlib
import gc
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from shmctx import errors
from shmctx.errors import ShmctxError, TransferError
from shmctx.settings import Settings
from shmctx.transfer import ledger
from shmctx.transfer.batches import Prepared, batches
from shmctx.transfer.intake import Intake
from shmctx.transfer.known import Known
from shmctx.transfer.sources import Sources

AHEAD = 2
_LENGTH = struct.Struct("<I")
GC_THRESHOLDS = 200_000, 50, 50
"""What a batch is made of has no cycles: looking for some at Python's pace takes a tenth of the time."""
_END = 10.0
"""Seconds until a reader that should have ended is killed."""


class Job(msgspec.Struct):
    """What is to be prepared."""

    sources: list[str]
    known: list[str]
    """Databases, that which is filled first."""
    position: int
    large_size: int
    large_fields: list[str]


class _Failed(msgspec.Struct, tag="failed"):
    kind: str
    message: str
    hint: str


class _Done(msgspec.Struct, tag="done"):
    """That was all."""


_Message = Prepared | _Failed | _Done
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Message).decode


def job_of(sources: Sequence[Path], known: Sequence[Path], position: int, settings: Settings) -> Job:
    """A job that another process can be given."""
    return Job(
        [str(path) for path in sources],
        [str(path) for path in known],
        position,
        settings.large_size,
        sorted(settings.large_fields),
    )


def prepare(job: Job, settled: "Settled | None" = None) -> Generator[Prepared]:
    """The batches of a job, made here. Raises SourceUnreadable, ColdError."""
    settings = Settings(large_size=job.large_size, large_fields=frozenset(job.large_fields))
    with contextlib.ExitStack() as stack:
        sources = stack.enter_context(Sources(map(Path, job.sources)))
        known = [stack.enter_context(Known(Path(path))) for path in job.known]
        done, _ = ledger.known_in(Path(job.known[0]))
        intake = Intake(known, job.position, settings, settled or (lambda: None))
        yield from batches(sources, done, intake, known[0].store_id)


def prepare_beside(job: Job) -> Generator[Prepared]:
    """The same, made in another process. A batch is taken for stored when the next one is asked for."""
    command = [sys.executable, "-c", "from shmctx.transfer.preparing import main; main()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
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


def main() -> None:
    """The other process."""
    gc.set_threshold(*GC_THRESHOLDS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it ends it
    back = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    settled = Settled(sys.stdin.buffer)
    try:
        for prepared in prepare(msgspec.msgpack.decode(_receive(sys.stdin.buffer), type=Job), settled):
            settled.sent += 1
            _send(back, _encode(prepared))
            settled.wait(AHEAD)
        settled.wait(0)
        _send(back, _encode(_Done()))
    except ShmctxError as error:
        _send(back, _encode(_Failed(type(error).__name__, error.message, error.hint)))
    except (BrokenPipeError, EOFError):
        os._exit(0)  # nobody wants it any more


class Settled:
    """How many batches were sent, and how many are stored."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._stored = 0
        self.sent = 0

    def __call__(self) -> None:
        """Wait until all are."""
        self.wait(0)

    def wait(self, ahead: int) -> None:
        """Until at most so many are not stored. Raises EOFError where nobody stores any more."""
        while self.sent - self._stored > ahead:
            _receive(self._stream)
            self._stored += 1


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
