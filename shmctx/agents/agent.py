"""An agent: one process after another, each continuing the chain of the one before, each end an event."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from shmctx.agents.restarting import Restart
from shmctx.agents.running import COULD_NOT_START, End, Running
from shmctx.context import Context
from shmctx.errors import ColdError, RingFull, WriterStalled
from shmctx.propagation import bound
from shmctx.store import Store

T = TypeVar("T")

logger = logging.getLogger("shmctx.agents")

EXIT, RESTART = "agent:exit", "agent:restart"
_RETRY = 0.5  # seconds between tries to put what a full ring did not take


class Exit(msgspec.Struct, frozen=True):
    """One end of an agent's process, as its event `agent:exit` says it."""

    ref: str
    """The event's ref."""
    end: End
    last_ref: str
    """The newest context by this agent at that moment; the next process continues there."""
    stopped: bool
    """Whether the supervisor had asked it to end."""

    @property
    def code(self) -> int | None:
        """The exit code; None where a signal ended it."""
        return self.end.code

    @property
    def signal(self) -> int | None:
        """The signal that ended it; None where it exited by itself."""
        return self.end.signal


class Program(NamedTuple):
    """What is started, again and again."""

    command: Sequence[str]
    env: Mapping[str, str] | None
    options: Mapping[str, Any]
    """Of subprocess.Popen."""


class Agent:
    """A supervised agent, made by `Agents.spawn`. `context` is that of its spawn event."""

    def __init__(self, store: Store, context: Context, program: Program, restart: Restart, grace: float) -> None:
        """Start the first process. Raises OSError."""
        self.context = context
        self.agent_id: str = context.agent_id or ""
        self.restarts = 0
        self._store = store
        self._program = program
        self._restart = restart
        self._grace = grace
        self._last = context
        self._told = context.ref
        self._stopping = asyncio.Event()
        self._running: Running | None = self._start()
        self._task = asyncio.create_task(self._supervise(self._running), name=f"agent {self.agent_id}")
        self._task.add_done_callback(self._over)

    @property
    def pid(self) -> int | None:
        """The process that runs now; None between two of them, and after the last."""
        return None if self._running is None else self._running.pid

    async def wait(self) -> Exit:
        """Wait until no process of it runs and none will: its last exit. Raises what kept it from being supervised."""
        return await asyncio.shield(self._task)

    async def stop(self, grace: float | None = None) -> Exit:
        """End it for good: SIGTERM to its process group, SIGKILL after `grace` seconds (default: the supervisor's)."""
        self._stopping.set()
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._grace if grace is None else grace):
                return await self.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
            return await self.wait()

    def on_end(self, call: Callable[[], object]) -> None:
        """Have a function called, in the event loop, when no process of it runs and none will."""
        self._task.add_done_callback(lambda _: call())

    def _over(self, task: "asyncio.Task[Exit]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.error("Agent %s is supervised no more: %s", self.agent_id, error)

    def _signal(self, number: int) -> None:
        if self._running is not None:
            self._running.signal(number)

    def _start(self) -> Running:
        with bound(self._last):
            env = self._store.child_env(self._program.env)
        return Running(self._program.command, env, self._program.options)

    async def _supervise(self, running: Running) -> Exit:
        """Watch one process after another; returns the exit of the last."""
        try:
            in_a_row = 0
            end = await self._watch(running)
            while True:
                self._running = None
                ended = await self._report(end)
                in_a_row = 0 if end.seconds >= self._restart.steady else in_a_row
                pause = self._restart.pause(failed=end.failed, in_a_row=in_a_row)
                if pause is None or await self._stopped_within(pause):
                    return ended
                in_a_row += 1
                end = await self._run_again(ended, pause)
        finally:
            if self._running is not None:  # cancelled: nobody will watch it
                self._running.kill()
                self._running = None

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._stopping.wait()
        except TimeoutError:
            return self._stopping.is_set()

    async def _run_again(self, former: Exit, pause: float) -> End:
        """Start the next process, where the chain of the former one ended, and wait for its end."""
        self.restarts += 1
        data = {"attempt": self.restarts, "after_seconds": pause, "continues": former.last_ref}
        await self._put(RESTART, parent=former.ref, data=data)
        if self._stopping.is_set():
            return End(None, 0, None, 0.0)
        try:
            running = self._running = self._start()
        except OSError as error:
            return End(None, COULD_NOT_START, None, 0.0, str(error))
        return await self._watch(running)

    async def _watch(self, running: Running) -> End:
        """Note the process's number with the event that started it, and wait for its end."""
        await self._patiently(self._store.aio.annotate, self._told, _pid=running.pid)
        return await running.ended()

    async def _report(self, end: End) -> Exit:
        """Put the event that says how a process ended."""
        self._last = await self._newest()
        stopped = self._stopping.is_set()
        data = {
            "pid": end.pid, "code": end.code, "signal": end.signal_name, "seconds": end.seconds, "stopped": stopped,
            "restarts": self.restarts, "last_ref": self._last.ref,
        }  # fmt: skip
        wrong = {"error": True, "error_type": "AgentExit", "error_message": f"{self.agent_id}: {end.text}"}
        ref = await self._put(EXIT, parent=self.context, data=data, **({} if stopped or not end.failed else wrong))
        return Exit(ref, end, self._last.ref, stopped)

    async def _newest(self) -> Context:
        """The newest context by this agent; the one known before, where nothing came behind the event of its start."""
        try:
            found = await self._store.aio.query(agent_id=self.agent_id, newest_first=True, limit=1)
        except ColdError:  # the database is away, and a query asks both
            return self._last
        return found[0] if found and found[0].ref > self._told else self._last  # refs sort by age

    async def _put(self, event_name: str, **fields: Any) -> str:
        self._told = await self._patiently(self._store.aio.put, event_name, **fields)
        return self._told

    async def _patiently(self, write: Callable[..., Awaitable[T]], *args: Any, **fields: Any) -> T:
        """Write what must not be lost: a full ring is waited for, unless the agent is to end."""
        while True:
            try:
                return await write(*args, **fields)
            except (RingFull, WriterStalled):
                if self._stopping.is_set():
                    raise
                await asyncio.sleep(_RETRY)
