"""The agents of one process: spawned, found by their id, ended together."""

import asyncio
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from types import TracebackType
from typing import IO, Any, Self

from shmctx.agents.agent import Agent, Program
from shmctx.agents.restarting import Restart, When
from shmctx.context import Context
from shmctx.errors import AgentsClosed, InvalidField
from shmctx.store import Store

SPAWN = "agent:spawn"


class Agents(Mapping[str, Agent]):
    """Starts agents in processes of their own, watches them, and ends them: a mapping of those that are supervised now.

    `async with Agents(store) as agents:`; leaving the block is `shutdown()`. `grace`: seconds from SIGTERM to SIGKILL.
    Everything about an agent is an event: `agent:spawn`, and its children `agent:exit` and, below those,
    `agent:restart`; `store.follow(event_name="agent:*")` sees them in any process.
    """

    def __init__(self, store: Store, *, grace: float = 5.0) -> None:
        self._store = store
        self._grace = grace
        self._agents: dict[str, Agent] = {}
        self._closed = False

    def __getitem__(self, agent_id: str) -> Agent:
        return self._agents[agent_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._agents)

    def __len__(self) -> int:
        return len(self._agents)

    def spawn(
        self,
        agent_id: str,
        command: Sequence[str],
        *,
        restart: Restart | When = "never",
        env: Mapping[str, str] | None = None,
        event_name: str = SPAWN,
        data: Mapping[str, Any] | None = None,
        cwd: str | PathLike[str] | None = None,
        stdin: int | IO[Any] | None = subprocess.DEVNULL,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        **fields: Any,
    ) -> Agent:
        """Put `agent:spawn`, a child of the current context, and start a process that continues it by `from_env()`.

        `command`: program and arguments, through no shell. `env`: instead of this process's environment. `data`:
        the event's (default: the command). `cwd`, `stdin`, `stdout`, `stderr`: as subprocess.Popen takes them; an agent
        is no reader of this process's terminal. `fields`: more of the spawn context, as put takes them.

        Raises InvalidField, AgentsClosed, what put raises (then nothing was started), and OSError or ValueError where
        the program cannot be started; the spawn event then has the error.
        """
        asyncio.get_running_loop()  # RuntimeError before anything starts
        if self._closed:
            raise AgentsClosed(f"The supervisor was shut down. {agent_id!r} was not started.")
        if not agent_id or agent_id in self._agents:
            raise InvalidField(f"{agent_id!r} is no id for a new agent: it is empty, or that of one that runs here.")
        if isinstance(command, str) or not command or not all(isinstance(word, str) for word in command):
            raise InvalidField(f"command is a list of texts, not {command!r}.", hint="Use shlex.split(command).")
        policy = restart if isinstance(restart, Restart) else Restart(when=restart)
        told = {"command": list(command)} if data is None else data
        scope = self._store.enter(event_name, told, agent_id=agent_id, **fields)
        assert isinstance(scope.context, Context)
        options = {"cwd": cwd, "stdin": stdin, "stdout": stdout, "stderr": stderr}
        program = Program(list(command), env, options)
        try:
            agent = Agent(self._store, scope.context, program, policy, self._grace)
        except (OSError, ValueError) as error:
            self._store.annotate(
                scope.context.ref, error=True, error_type=type(error).__name__, error_message=str(error)
            )
            raise
        self._agents[agent_id] = agent
        agent.on_end(lambda: self._agents.pop(agent_id, None))
        return agent

    async def shutdown(self, grace: float | None = None) -> None:
        """End all agents at once, SIGKILL after `grace` seconds, and start no more. Idempotent.

        Raises what kept an exit from being told, when all have ended.
        """
        self._closed = True
        ends = await asyncio.gather(*(agent.stop(grace) for agent in self.values()), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.shutdown()
