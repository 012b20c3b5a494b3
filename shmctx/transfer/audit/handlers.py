"""Which functions of a module handle events, and whether the module has to do with events at all."""

import ast
from collections.abc import Iterator

from shmctx.transfer.audit import words
from shmctx.transfer.audit.scopes import Function, Handler, last_name, parameters

RAW_DATA = "raw_data"


def handler_of(function: Function, registered: frozenset[str]) -> Handler | None:
    """The parameters of an event handler; None for any other function.

    A handler is decorated or registered as one, or has KSI's old signature: `raw_data` and a context.
    """
    names = [argument.arg for argument in parameters(function)]
    contexts = [name for name in names if words.CONTEXT_NAME.search(name)]
    old = RAW_DATA in names and bool(contexts)
    if not old and function.name not in registered and not any(map(_decorates, function.decorator_list)):
        return None
    data = next((name for name in names if name in (RAW_DATA, "data", "event_data")), None)
    return Handler(data or next((name for name in names if name not in contexts), None), next(iter(contexts), None))


def _decorates(decorator: ast.expr) -> bool:
    if not isinstance(decorator, ast.Call):
        return False
    if words.HANDLER_DECORATOR.search(last_name(decorator.func)):
        return any(isinstance(value, ast.Constant) and isinstance(value.value, str) for value in decorator.args)
    return _registers(decorator)


def _registers(call: ast.Call) -> bool:
    """Whether a call names an event to register something for."""
    texts = (value.value for value in call.args if isinstance(value, ast.Constant))
    return last_name(call.func) in words.REGISTRATION and any(map(words.is_event_name, texts))


def registered(module: ast.Module) -> frozenset[str]:
    """The names of functions that are registered as handlers in a call."""
    return frozenset(name for node in ast.walk(module) if isinstance(node, ast.Call) for name in _functions(node))


def _functions(call: ast.Call) -> Iterator[str]:
    """Both `register_handler("a:b", function)` and `on("a:b")(function)`."""
    curried = isinstance(call.func, ast.Call) and _registers(call.func)
    if curried or _registers(call):
        for value in call.args:
            if isinstance(value, ast.Name | ast.Attribute):
                yield last_name(value)


def imports(module: ast.Module) -> frozenset[str]:
    """The top-level packages that a module imports; the empty name for its own."""
    found = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0] if not node.level else "")
    return frozenset(found)


def is_about_events(module: ast.Module, imported: frozenset[str], handlers: frozenset[str]) -> bool:
    """Whether keys such as `_client_id` mean metadata of events in this module."""
    if handlers or any(map(words.EVENT_SYSTEMS.match, imported)):
        return True
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value in words.DISTINCTIVE or node.value == words.EMBEDDED:
                return True
        elif isinstance(node, Function) and handler_of(node, handlers):
            return True
    return False
