"""Functions of every kind, run with a context variable set: functions, coroutine functions, generators, both ways.

The variable is set while the function's own code runs, and only then: a generator gives the caller its own value back
at every yield, and finds the one it had when it is resumed, whoever resumes it and in whichever contextvars.Context.
"""

import functools
import sys
from collections.abc import AsyncGenerator, Callable
from contextvars import ContextVar, Token
from typing import Any, TypeVar

# Of inspect, whose import would double the time of `import shmctx`.
_GENERATOR, _COROUTINE, _ITERABLE_COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x100, 0x200

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def carried(function: F, variable: ContextVar[T], make: Callable[[], T]) -> F:
    """The function with `variable` set to what `make` gives, called once for every time the body begins."""
    kind = _kind(function)
    if kind & (_COROUTINE | _ITERABLE_COROUTINE):
        wrap = _coroutine_function
    elif kind & _ASYNC_GENERATOR:
        wrap = _async_generator_function
    else:
        wrap = _generator_function if kind & _GENERATOR else _function
    wrapper: Any = functools.update_wrapper(wrap(function, variable, make), function)
    carried_function: F = wrapper
    return carried_function


def _kind(function: Any) -> int:
    """The flags of the code that a call will run; 0 for what is not written in Python."""
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    return code.co_flags if code else 0


def _leave(variable: ContextVar[T], token: Token[T]) -> None:
    """The former value comes back, except in another contextvars.Context: nothing was set there."""
    try:
        variable.reset(token)
    except ValueError:  # what was suspended here is closed elsewhere
        return


def _function(function: Callable[..., Any], variable: ContextVar[T], make: Callable[[], T]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        token = variable.set(make())
        try:
            return function(*args, **kwargs)
        finally:
            _leave(variable, token)

    return wrapper


def _coroutine_function(
    function: Callable[..., Any], variable: ContextVar[T], make: Callable[[], T]
) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        token = variable.set(make())
        try:
            return await function(*args, **kwargs)
        finally:
            _leave(variable, token)

    return wrapper


def _generator_function(
    function: Callable[..., Any], variable: ContextVar[T], make: Callable[[], T]
) -> Callable[..., Any]:
    """PEP 380's `yield from`, spelled out, because something is to be done at every yield."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        generator = function(*args, **kwargs)
        inside = make()
        step, sent = generator.send, None
        while True:
            token = variable.set(inside)
            try:
                item = step(sent)
            except StopIteration as end:
                return end.value
            finally:
                inside = variable.get()  # the body may be inside a block of its own
                _leave(variable, token)
            try:
                sent = yield item
                step = generator.send
            except BaseException as error:  # noqa: BLE001  (GeneratorExit too: the body's own answer decides)
                step, sent = generator.throw, error

    return wrapper


def _async_generator_function(
    function: Callable[..., Any], variable: ContextVar[T], make: Callable[[], T]
) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        generator = function(*args, **kwargs)
        inside = make()
        step, sent = _first_step(generator), None
        while True:
            token = variable.set(inside)
            try:
                item = await step(sent)
            except StopAsyncIteration:
                return
            finally:
                inside = variable.get()
                _leave(variable, token)
            try:
                sent = yield item
                step = generator.asend
            except BaseException as error:  # noqa: BLE001  (as above)
                step, sent = generator.athrow, error

    return wrapper


def _first_step(generator: AsyncGenerator[Any, Any]) -> Callable[[Any], Any]:
    """`generator.asend`, without the event loop's hooks, which look for the first call of any generator.

    The loop closes what it knows at its end, and would close body and wrapper at once, each waiting for the other. It
    knows the wrapper alone, and the wrapper closes the body.
    """

    def step(value: None) -> Any:
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            return generator.asend(value)
        finally:
            sys.set_asyncgen_hooks(*hooks)

    return step
