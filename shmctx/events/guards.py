"""Decorators that put conditions and limits on running in a context. On handlers and on any other function."""

import contextvars
import functools
import inspect
import math
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from shmctx.context import Context, sources
from shmctx.drafts import WIRE_NAMES
from shmctx.errors import ContextRequired, EventTimeout, InvalidField, ReadOnly
from shmctx.events.emission import current_emission
from shmctx.events.isolation import within
from shmctx.events.names import name_of
from shmctx.propagation import current, current_scope
from shmctx.store import Store

F = TypeVar("F", bound=Callable[..., Any])

_HASHES = 1 << 32


def requires_context(
    *, fields: Iterable[str] = (), max_age: float | None = None, min_depth: int = 0
) -> Callable[[F], F]:
    """The function runs only in a context that has all `fields` (agent_id, _agent_id, a custom _name), is not older
    than `max_age` seconds, and lies `min_depth` events or more below the start of its chain.

    Raises ContextRequired, listing all that fails. A context from a clock that was ahead has age 0.
    """
    wanted = (fields,) if isinstance(fields, str) else tuple(fields)

    def check(function: Callable[..., Any]) -> bool:
        context = current()
        problems = _problems(context, wanted, max_age, min_depth)
        if problems:
            where = "without a context" if context is None else f"in {context.event_name} ({context.ref})"
            raise ContextRequired(
                f"{name_of(function)} cannot run {where}: {'; '.join(problems)}.", problems=tuple(problems)
            )
        return True

    return _before(check)


def _problems(context: Context | None, fields: Iterable[str], max_age: float | None, min_depth: int) -> list[str]:
    if context is None:
        return ["there is no current context"]
    problems = [f"{field} is missing" for field in fields if _field(context, field) is None]
    age = time.time() - context.timestamp
    if max_age is not None and age > max_age:
        problems.append(f"the context is {age:.3g} s old, more than {max_age:g} s")
    if context.depth < min_depth:
        problems.append(f"its depth is {context.depth}, less than {min_depth}")
    return problems


def _field(context: Context, name: str) -> Any:
    standard = WIRE_NAMES.get(name, name)
    return context.custom.get(name) if standard.startswith("_") else getattr(context, standard, None)


def context_tags(tags: Iterable[str]) -> Callable[[F], F]:
    """Whatever context the function runs in gets these tags, beside those that it has. Without a context: no effect.

    In a handler they are stored with the event's duration; elsewhere at once.
    """
    added = (tags,) if isinstance(tags, str) else tuple(tags)
    if not all(isinstance(tag, str) for tag in added):
        raise InvalidField("tags is a list of texts.")

    def note(_: Callable[..., Any]) -> bool:
        scope, emission = current_scope(), current_emission()
        if scope is None or scope.context is None:
            return True
        if emission is not None and emission.scope is scope and not emission.ended:
            emission.tags = [*(emission.tags or ()), *added]
        else:
            _annotate(scope.context, added)
        return True

    return _before(note)


def _annotate(context: Context, tags: tuple[str, ...]) -> None:
    for store in sources(context.store_id):
        if isinstance(store, Store):
            known = store.get(context.ref, context).tags or ()
            try:
                return store.annotate(context.ref, tags=list(dict.fromkeys([*known, *tags])))
            except ReadOnly:
                continue  # another handle of the same store may write
    return None


def context_sampling(rate: float) -> Callable[[F], F]:
    """The function runs in a share of the chains, `rate` from 0 to 1, and returns None in the others.

    Which ones follows from the correlation id alone: a chain is in or out as a whole, in every process. Without a
    context there is no chain to choose by, and the function runs.
    """
    if type(rate) not in (int, float) or not 0 <= rate <= 1:
        raise InvalidField(f"A rate lies between 0 and 1, not {rate!r}.")
    threshold = math.floor(rate * _HASHES)

    def chosen(_: Callable[..., Any]) -> bool:
        context = current()
        return context is None or zlib.crc32(context.correlation_id.encode()) < threshold

    return _before(chosen)


def _before(check: Callable[[Callable[..., Any]], bool]) -> Callable[[F], F]:
    """A decorator that asks `check` before each call, which may raise or, by False, leave the call out."""

    def decorate(function: F) -> F:
        wrapper: Any
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                return await function(*args, **kwargs) if check(function) else None

        else:

            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                return function(*args, **kwargs) if check(function) else None

        decorated: F = wrapper
        return decorated

    return decorate


def context_timeout(seconds: float) -> Callable[[F], F]:
    """Every call ends within `seconds`, or raises EventTimeout.

    A coroutine is cancelled then. A function that is none runs in a thread of its own, with the caller's contextvars:
    the caller waits no longer than that, but nothing can stop the thread.
    """
    if type(seconds) not in (int, float) or not seconds > 0:
        raise InvalidField(f"A time limit is a number of seconds above 0, not {seconds!r}.")

    def decorate(function: F) -> F:
        wrapper: Any
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                return await within(seconds, function(*args, **kwargs), name_of(function))

        else:

            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                return _in_thread(seconds, functools.partial(function, *args, **kwargs), name_of(function))

        decorated: F = wrapper
        return decorated

    return decorate


def _in_thread(seconds: float, function: Callable[[], Any], name: str) -> Any:
    results: list[Any] = []
    errors: list[BaseException] = []
    context = contextvars.copy_context()

    def run() -> None:
        try:
            results.append(context.run(function))
        except BaseException as error:  # noqa: BLE001  (raised where the function was called)
            errors.append(error)

    # A daemon: a function that hangs must not keep the interpreter from ending.
    thread = threading.Thread(target=run, name=f"shmctx-{name}", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise EventTimeout(f"{name} took longer than {seconds:g} s.", hint="Its thread goes on; nothing can stop it.")
    return results[0]
