"""Participants: who has state to keep, under which name, and in which order it is put back."""

import contextvars
import inspect
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any

from shmctx.checkpoints.bounded import in_thread, within
from shmctx.drafts import text
from shmctx.errors import InvalidField
from shmctx.event import encode_data

Capture = Callable[[], Any]
Restore = Callable[[Any], Any]


class Stage(IntEnum):
    """When a participant is restored: lower numbers first. Any whole number will do, between these too."""

    STATE = 100
    SESSIONS = 200
    """Contexts and sessions."""
    ORCHESTRATIONS = 300
    QUEUED_WORK = 400


class Participant:
    """Two functions, of either kind, that belong to one piece of state."""

    def __init__(
        self, name: str, capture: Capture, restore: Restore, *, stage: int, timeout: float | None, thread: bool
    ) -> None:
        text("A participant's name", name)
        functions: tuple[object, ...] = capture, restore
        if not all(map(callable, functions)):
            raise InvalidField(f"{name}: capture and restore are functions.")
        if not isinstance(stage, int):
            raise InvalidField(f"{name}: a stage is a whole number, not {stage!r}.")
        if thread and (inspect.iscoroutinefunction(capture) or inspect.iscoroutinefunction(restore)):
            raise InvalidField(f"{name} has a coroutine function; thread=True is for functions that block.")
        self.name = name
        self.stage = int(stage)
        self._capture = capture
        self._restore = restore
        self._timeout = timeout
        self._thread = thread

    async def captured(self) -> bytes:
        """What `capture` gives, encoded before anybody else can change it. Raises InvalidField, EventTimeout, and what
        `capture` does."""
        return await within(self._timeout, self._run(self._capture, encode_state), f"capture() of {self.name!r}")

    async def restored(self, state: Any) -> None:
        """Have `restore` take a state back. Raises EventTimeout, and what `restore` does."""
        await within(self._timeout, self._run(lambda: self._restore(state), _nothing), f"restore() of {self.name!r}")

    async def _run(self, function: Callable[[], Any], finish: Callable[[Any], Any]) -> Any:
        if self._thread:
            context = contextvars.copy_context()
            return await in_thread(lambda: finish(context.run(function)))
        result = function()
        return finish(await result if inspect.isawaitable(result) else result)


def encode_state(state: Any) -> bytes:
    """A state as it is stored: JSON. Raises InvalidField, naming the path, for what JSON cannot hold."""
    return encode_data({"state": state})


def _nothing(_result: Any) -> None:
    return None


class Participants:
    """Those of one application, by name."""

    def __init__(self) -> None:
        self._by_name: dict[str, Participant] = {}

    def add(self, participant: Participant) -> None:
        """Raises InvalidField for a name that is taken."""
        if participant.name in self._by_name:
            raise InvalidField(f"A participant named {participant.name!r} is registered already.")
        self._by_name[participant.name] = participant

    def remove(self, name: str) -> None:
        """Forget one, if it is there."""
        self._by_name.pop(name, None)

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[Participant]:
        """By stage, then as they were registered."""
        return iter(sorted(self._by_name.values(), key=lambda participant: participant.stage))
