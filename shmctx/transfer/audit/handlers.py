"""Which functions of a module handle events, and whether the module has to do with events at all."""

import ast
from collections.abc import Iterator

from shmctx.transfer.audit import words
from shmctx.transfer.audit.scopes import Function, Handler, last_name, own_nodes, parameters

RAW_DATA = "raw_data"


class Handlers:
    """The functions of a module that get an event's data: handlers, and those that a handler hands it to."""

    def __init__(self, module: ast.Module, *, about_events: bool) -> None:
        self._registered = _registered(module)
        self._functions = [node for node in ast.walk(module) if isinstance(node, Function)]
        self._found = self._all(named=False)
        if about_events or self._found:
            self._found = self._all(named=True)
        self.declared = frozenset(self._found)
        """Those that are handlers themselves."""
        self._spread()

    def __bool__(self) -> bool:
        return bool(self._found)

    def get(self, function: Function) -> Handler | None:
        """The parameters with an event's data and context; None for any other function."""
        return self._found.get(function)

    def _all(self, *, named: bool) -> dict[Function, Handler]:
        return {node: handler for node in self._functions if (handler := self._declared(node, named=named))}

    def _declared(self, function: Function, *, named: bool) -> Handler | None:
        """Of one that is decorated or registered as a handler, or takes `raw_data` and a context as in KSI; and with
        `named` of one that is called like a handler and takes data."""
        names = [argument.arg for argument in parameters(function)]
        contexts = [name for name in names if words.CONTEXT_NAME.search(name)]
        data = next((name for name in names if name in words.DATA_NAMES), None)
        said = function.name in self._registered or any(map(_decorates, function.decorator_list))
        old = data == RAW_DATA and bool(contexts)
        if not (said or old or (named and data and words.HANDLER_NAME.match(function.name))):
            return None
        return Handler(data or next((name for name in names if name not in contexts), None), next(iter(contexts), None))

    def _spread(self) -> None:
        """Follow data into functions of the same module that are called with it."""
        by_name = {function.name: function for function in self._functions}
        waiting = list(self._found.items())
        while waiting:
            function, handler = waiting.pop()
            for call in (node for node in own_nodes(function) if isinstance(node, ast.Call)):
                called = by_name.get(last_name(call.func)) if isinstance(call.func, ast.Name | ast.Attribute) else None
                if called and called not in self._found:
                    taken = _taken(call, called, handler)
                    if taken.data:
                        self._found[called] = taken
                        waiting.append((called, taken))


def _taken(call: ast.Call, called: Function, handler: Handler) -> Handler:
    """What a function calls the data and context that it is called with."""
    given = dict(zip((argument.arg for argument in parameters(called)), call.args, strict=False))
    given |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    names = {value.id: name for name, value in given.items() if isinstance(value, ast.Name)}
    return Handler(names.get(handler.data or ""), names.get(handler.context or ""))


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


def _registered(module: ast.Module) -> frozenset[str]:
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


def is_about_events(module: ast.Module, imported: frozenset[str]) -> bool:
    """Whether a module has to do with events, as far as it can be told without its handlers."""
    if any(map(words.EVENT_SYSTEMS.match, imported)):
        return True
    texts = (node.value for node in ast.walk(module) if isinstance(node, ast.Constant))
    return any(isinstance(text, str) and text in (words.EMBEDDED, *words.DISTINCTIVE) for text in texts)
