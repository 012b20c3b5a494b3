"""Every error of shmctx, in one tree.

ShmctxError
├── SegmentError                 the shared memory
│   ├── SegmentMissing           no segment of that name
│   ├── SegmentExists            made by somebody else meanwhile
│   ├── SegmentMismatch          another layout, build, user, boot or PID namespace
│   ├── SegmentCorrupt           control words or a header contradict each other
│   ├── SegmentTooLarge          /dev/shm has no room
│   ├── SegmentSealed            this generation takes no more puts
│   └── ReadOnly                 a write through a read-only handle
├── PutError                     nothing was stored
│   ├── RingFull                 no space until somebody drains
│   ├── PayloadTooLarge
│   ├── InvalidField             a field that cannot be stored, or does not exist
│   ├── EventInvalid             an event that its template refuses
│   ├── DepthExceeded            handlers that emit in a loop
│   └── WriterStalled            a stopped process holds the append lock
├── NotDurable                   stored, but no commit covers it yet
├── ContextNotFound (KeyError)   the ref resolves neither hot nor cold
│   ├── MalformedRef (ValueError)
│   └── ForeignRef               a ref of another store
├── RecordDamaged                a record is there, its checksum is wrong
├── ColdError                    the database and the event log
│   ├── ColdUnavailable          locked, missing, read-only, full, unreadable
│   ├── ColdMismatch             the database of another store, or of a newer shmctx
│   ├── LeadershipLost           another process raised the epoch
│   ├── LogUnavailable           the event log's directory: vanished, read-only, full, another process's
│   └── LogDamaged               a file of the event log is not what was written
├── SessionNotFound (KeyError)   no context has this session
├── LeaderAlive                  refused while a process drains
├── StoreClosed
├── RouterClosed                 the event router was shut down
├── ContextRequired              a handler's demands on its context are not met
├── EventTimeout (TimeoutError)  a handler, or an awaited event, took too long
├── NotRegistered (KeyError)     no runtime object of that name
├── CheckpointDamaged            parts of a state are gone
├── AgentsClosed                 the supervisor of agents was shut down
├── GatewayError                 a gateway refused, or is none
│   ├── GatewayUnavailable       nobody answers, or is too busy
│   └── Unauthorized             it wants its token
├── ExportFailed                 a receiver of spans did not take them
├── ExtraMissing (ImportError)   an integration's own library is not installed
├── CannotServe                  the gateway cannot be started as asked
└── TransferError                moving in or out
    ├── SourceUnreadable         what is to be moved in cannot be read
    └── TargetUnavailable        what is to be written is there already, or cannot be

Every error carries a `hint`: what to do next, in one sentence, or an empty string. The command line prints it after
``Try:``. None of them costs the caller anything that was stored before.
"""


class ShmctxError(Exception):
    """Base of all errors of shmctx. `hint` says what to do next."""

    hint: str = ""

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        if hint:
            self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip() if self.hint else self.message


class SegmentError(ShmctxError):
    """The shared-memory segment cannot be used as asked."""


class SegmentMissing(SegmentError):
    """No segment has that name."""

    hint = (
        "Start the daemon (`shmctx daemon NAME`) or open the store with shmctx.open(); `shmctx ls` shows what exists."
    )


class SegmentExists(SegmentError):
    """Another process made a segment of that name first."""


class SegmentMismatch(SegmentError):
    """The segment belongs to another layout, build, C library, user, boot or PID namespace."""


class SegmentCorrupt(SegmentError):
    """The segment's control words contradict each other; whatever the database has is intact."""

    hint = "Stop the processes that use it, run `shmctx-recover NAME --db FILE`, then start the daemon again."


class SegmentTooLarge(SegmentError):
    """Shared memory has no room for a segment of that size."""

    hint = "Free space in /dev/shm, ask for a smaller ring_size, or give the container more (docker run --shm-size)."


class SegmentSealed(SegmentError):
    """This generation of the segment takes no more puts: its name was removed, and a new one takes over."""

    hint = "Attach the name again."


class ReadOnly(SegmentError):
    """The handle is read-only."""

    hint = "Attach without readonly=True to write."


class PutError(ShmctxError):
    """Nothing was stored."""


class RingFull(PutError):
    """The ring holds nothing but records that are not in the database yet."""

    hint = (
        "Start a process that drains (`shmctx daemon`), look at `shmctx stat` for its last error, or use a larger ring."
    )


class PayloadTooLarge(PutError):
    """One record may take a quarter of the ring and 16 MiB at most."""

    hint = "Store large data elsewhere and put a reference to it, or use a larger ring_size."


class InvalidField(PutError):
    """A field does not exist, has the wrong type, or holds a value that cannot be encoded."""


class WriterStalled(PutError):
    """The append lock was not free in time: its holder is stopped (SIGSTOP, freezer, debugger)."""

    hint = "Resume or end that process; `shmctx doctor` names it. Reads are not affected."


class NotDurable(ShmctxError):
    """The record is in the ring and its ref is valid, but no commit covers it yet."""

    hint = "Look at `shmctx stat` for the drain's lag and last error; flush() waits again."


class ContextNotFound(ShmctxError, KeyError):
    """The ref resolves neither in the ring nor in the database: never put, aged out, or lost with a reboot."""

    hint = "A ref is the text that put() returned; query() finds contexts by what they hold."

    __str__ = ShmctxError.__str__  # KeyError would print the repr of the message


class MalformedRef(ContextNotFound, ValueError):
    """Not a ref: `ctx_` and 16 Crockford base32 characters, or an id that a context brought with it."""


class ForeignRef(ContextNotFound):
    """A ref of another store."""

    hint = "Attach the store that made it; the first characters of a ref name the store."


class RecordDamaged(ShmctxError):
    """A record is in the ring but its size or checksum is wrong: some process wrote into the segment."""

    hint = "Run `shmctx doctor`; `shmctx-recover` puts damaged records aside."


class ColdError(ShmctxError):
    """The database or the event log cannot be used as asked. What is in the ring stays there."""


class ColdUnavailable(ColdError):
    """The database is locked, missing, read-only, full or unreadable."""


class ColdMismatch(ColdError):
    """The database belongs to another store, or to a newer shmctx."""


class LeadershipLost(ColdError):
    """Another process leads now: the database has a newer epoch or drain position than this one wrote."""


class LeaderAlive(ShmctxError):
    """Refused while a process drains this database."""


class StoreClosed(ShmctxError):
    """The store was closed in this process. Nothing that was put is affected."""

    hint = "Open or attach it again."


class LogUnavailable(ColdError):
    """The event log cannot be read or written. Events stay in the ring until it can."""


class LogDamaged(ColdError):
    """A file of the event log is not what was written. `next_offset` is where reading can go on, None if it cannot."""

    hint = "Restore the file from a backup; the database still has the event's context."

    def __init__(self, message: str = "", *, hint: str = "", next_offset: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.next_offset = next_offset


class EventInvalid(PutError):
    """The event's data does not fit its template; `problems` lists everything that is wrong with it."""

    hint = "Correct the data; the template is what router.template() was given for this event name."

    def __init__(self, message: str = "", *, hint: str = "", problems: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


class DepthExceeded(PutError):
    """Handlers emit events whose handlers emit events, deeper than the router allows: most likely in a loop."""

    hint = "Look at the chain of the event that is current; a router that needs more depth takes max_depth=."


class RouterClosed(ShmctxError):
    """The router was shut down in this process: it takes no new events, and what was emitted is stored."""

    hint = "Emit before shutdown(), or make a router; store.put() goes on without one."


class ContextRequired(ShmctxError):
    """A function was called in a context that lacks what it demands; `problems` lists everything that is missing."""

    hint = "Call it from a handler, or inside `with store.span(...)`, with these fields."

    def __init__(self, message: str = "", *, hint: str = "", problems: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


class EventTimeout(ShmctxError, TimeoutError):
    """A handler did not end, or an awaited event did not come, within its limit. What was emitted is stored."""


class NotRegistered(ShmctxError, KeyError):
    """The registry has no runtime object of that name."""

    hint = "Register it first: router.registry.register(name, object)."

    __str__ = ShmctxError.__str__  # KeyError would print the repr of the message


class SessionNotFound(ShmctxError, KeyError):
    """No context of the store belongs to a session with this id, or all of them have expired."""

    hint = "Look at session_id of one of its contexts; query(session_id=...) finds the others."

    __str__ = ShmctxError.__str__  # KeyError would print the repr of the message


class TransferError(ShmctxError):
    """A migration, a verification or an export cannot be done as asked. What was read from is unchanged."""


class SourceUnreadable(TransferError):
    """A file that is to be moved in is not there, or cannot be read."""


class TargetUnavailable(TransferError):
    """What is to be written outside of the store cannot be. What was there before is unchanged."""


class CheckpointDamaged(ShmctxError):
    """A state in a checkpoint cannot be put together: parts of it are gone or not what was stored."""

    hint = "Choose an older one for the next start: `shmctx checkpoint list`, then `shmctx checkpoint restore REF`."


class AgentsClosed(ShmctxError):
    """The supervisor was shut down in this process: it starts no more agents. What they put is stored."""

    hint = "Spawn before shutdown(), or make another shmctx.agents.Agents."


class CannotServe(ShmctxError):
    """The gateway cannot be started as asked: an address that is taken, a token that others can read. The store is
    not affected."""


class GatewayError(ShmctxError):
    """A gateway refused a request for a reason of its own, or what answers is none. `code` and `status` are what it
    said, where it said anything."""

    def __init__(self, message: str = "", *, hint: str = "", code: str = "", status: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.status = status


class GatewayUnavailable(GatewayError):
    """No gateway answers, or it is too busy to. Its store is not affected."""

    hint = "Start it with `shmctx gateway NAME`, or give the address that it printed."


class Unauthorized(GatewayError):
    """The gateway's token is missing or wrong."""

    hint = "The token is in the file that `shmctx gateway` names when it starts; --token-file FILE, or token_file=."


class ExtraMissing(ShmctxError, ImportError):
    """An integration stands beside a library that is not installed. Stores are not affected."""

    __str__ = ShmctxError.__str__


class ExportFailed(ShmctxError):
    """A receiver did not take what was sent to it. The store is as it was."""

    hint = "The exporter's log says what the receiver answered; export again from there with after=REF."
