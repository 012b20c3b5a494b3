"""Handlers: what was registered for which events, in which order, and how each wants to be called."""

import inspect
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from shmctx.errors import InvalidField
from shmctx.events.names import checked_pattern, name_of
from shmctx.events.templates import Template
from shmctx.names import matcher

if TYPE_CHECKING:
    from shmctx.events.emission import Emission

Call = Callable[["Emission"], Any]
"""Calls a handler with what its parameters ask of an event."""

_MAX_PLANS = 4096  # event names whose handlers are remembered; names that hold ids would grow without end

_FROM_EMISSION: dict[str, Call] = {
    "data": lambda emission: emission.data.copy(),
    "context": lambda emission: emission.scope.context,
    "event": lambda emission: emission.event,
    "event_name": lambda emission: emission.event_name,
}
"""Parameters with these names get these things; `registry.RESERVED` keeps the names free."""


class Priority(IntEnum):
    """When a handler runs: lower numbers first, as in KSI. Any number will do."""

    HIGHEST = 0
    HIGH = 10
    NORMAL = 50
    LOW = 90
    LOWEST = 100


class Handler:
    """A registered function: its name in annotations, its patterns, and what its parameters want."""

    def __init__(
        self, function: Callable[..., Any], patterns: Iterable[str], *, priority: int, thread: bool, name: str
    ) -> None:
        if not callable(function):
            raise InvalidField(f"A handler is a function, not {function!r}.")
        self.function = function
        self.patterns = tuple(map(checked_pattern, patterns))
        self.priority = priority
        self.name = name
        self.thread = thread
        self.is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004  (an object may have a coroutine function for its call)
        )
        if thread and self.is_async:
            raise InvalidField(f"{name} is a coroutine function; thread=True is for functions that block.")
        self.matches = [matcher(pattern) for pattern in self.patterns]
        self._parameters = _parameters(function)

    def call(self, objects: Mapping[str, Any]) -> Call:
        """How to call the function, with the registered objects that there are now.

        A parameter gets what its name says (data, context, event, event_name), then the object registered under its
        name; of the other positional ones the first gets data, the second the context; then its default applies.
        Whatever is still missing is asked of the registry at the call, and fails there.
        """
        function = self.function
        taken = {parameter.name for parameter in self._parameters}
        unnamed = [name for name in ("data", "context") if name not in taken]
        positional: list[Call] = []
        named: dict[str, Call] = {}
        for parameter in self._parameters:
            if parameter.kind is parameter.VAR_POSITIONAL and not positional:
                positional = [_FROM_EMISSION[name] for name in unnamed]
            source = self._source(parameter, objects, unnamed)
            if source is None:
                continue
            if parameter.kind is parameter.KEYWORD_ONLY or len(positional) < self._parameters.index(parameter):
                named[parameter.name] = source
            else:
                positional.append(source)
        return _caller(function, positional, named)

    def _source(self, parameter: inspect.Parameter, objects: Mapping[str, Any], unnamed: list[str]) -> Call | None:
        name = parameter.name
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            return None
        if name in _FROM_EMISSION:
            return _FROM_EMISSION[name]
        if name in objects:
            registered = objects[name]
            return lambda _: registered
        if parameter.default is not parameter.empty:
            return None
        if unnamed and parameter.kind is not parameter.KEYWORD_ONLY:
            return _FROM_EMISSION[unnamed.pop(0)]
        return lambda _: objects[name]

    def __repr__(self) -> str:
        return f"<Handler {self.name} of {', '.join(self.patterns)}>"


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except ValueError:  # a function written in C that does not tell: it gets the data
        return [inspect.Parameter("data", inspect.Parameter.POSITIONAL_ONLY)]


def _caller(function: Callable[..., Any], positional: list[Call], named: dict[str, Call]) -> Call:
    if not named and positional == [_FROM_EMISSION["data"]]:
        return lambda emission: function(emission.data.copy())
    if not named and positional == [_FROM_EMISSION["data"], _FROM_EMISSION["context"]]:
        return lambda emission: function(emission.data.copy(), emission.scope.context)
    return lambda emission: function(
        *(source(emission) for source in positional), **{name: source(emission) for name, source in named.items()}
    )


class Plan:
    """What is done with the events of one name: which handlers are called how, which templates must fit."""

    __slots__ = ("concurrent", "steps", "templates")

    def __init__(self, steps: tuple[tuple[Handler, Call], ...], templates: tuple[Template, ...]) -> None:
        self.steps = steps
        self.templates = templates
        # One handler, or handlers that never wait, need no tasks.
        self.concurrent = len(steps) > 1 and any(handler.is_async or handler.thread for handler, _ in steps)


class Handlers:
    """The handlers and templates of a router; works out once per event name which of them apply."""

    def __init__(self, objects: Mapping[str, Any]) -> None:
        self._objects = objects
        self._handlers: list[Handler] = []
        self._templates: list[tuple[Callable[[str], object], Template]] = []
        self._lock = threading.Lock()
        self.plans: dict[str, Plan] = {}
        """By event name, as far as worked out; replaced whenever what it rests on changes."""

    def add(self, function: Callable[..., Any], patterns: Iterable[str], *, priority: int, thread: bool) -> Handler:
        """Register a function. Raises InvalidField."""
        with self._lock:
            name = own = name_of(function)
            names = {handler.name for handler in self._handlers}
            count = 1
            while name in names:
                count += 1
                name = f"{own}#{count}"
            handler = Handler(function, patterns, priority=priority, thread=thread, name=name)
            # sort() is stable: of equal priority, who was registered first runs first
            self._handlers = sorted([*self._handlers, handler], key=lambda each: each.priority)
        self.forget_plans()
        return handler

    def remove(self, function: Callable[..., Any]) -> int:
        """Forget every registration of a function; returns how many there were."""
        with self._lock:
            kept = [handler for handler in self._handlers if handler.function is not function]
            removed = len(self._handlers) - len(kept)
            self._handlers = kept
        self.forget_plans()
        return removed

    def add_template(self, template: Template) -> None:
        """Hold events of the template's pattern to it."""
        with self._lock:
            self._templates = [*self._templates, (matcher(template.pattern), template)]
        self.forget_plans()

    def forget_plans(self) -> None:
        """What plans rest on has changed."""
        self.plans = {}

    def plan(self, event_name: str) -> Plan:
        """The plan for an event name. Raises InvalidField for a name that is no text."""
        plans = self.plans
        if not isinstance(event_name, str):
            raise InvalidField(f"event_name is text, not {type(event_name).__name__}. Nothing was stored.")
        handlers = [each for each in self._handlers if any(matches(event_name) for matches in each.matches)]
        plan = Plan(
            tuple((handler, handler.call(self._objects)) for handler in handlers),
            tuple(template for matches, template in self._templates if matches(event_name)),
        )
        if len(plans) >= _MAX_PLANS:
            plans.clear()
        plans[event_name] = plan
        return plan

    def __iter__(self) -> Iterator[Handler]:
        return iter(self._handlers)
