"""What a name stands for: an event's data, its context, a ref. Told by where the value comes from, else by its name.

Every name is looked at once for the whole function, whichever assignment comes first: a program that uses one name for
two things is rare, and a wrong guess costs a line of a report.
"""

import ast
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple, TypeAlias

from shmctx.transfer.audit import words

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_CONTAINERS = ("frozenset", "list", "set", "tuple")
_EVENTS = ("event", "entry", "line", "record")
_DEPTH = 8  # assignments from name to name that are followed


class Kind(Enum):
    """What a value is."""

    DATA = "data"
    CONTEXT = "context"
    """Known to be one: a handler's argument, or what a context manager gave."""
    NAMED = "named"
    """Called like a context."""
    REF = "ref"
    OTHER = "other"


IS_CONTEXT = (Kind.CONTEXT, Kind.NAMED)


class Binding(NamedTuple):
    """What a name is assigned; `element` if it takes one element of it after the other."""

    value: ast.expr
    element: bool


class Handler(NamedTuple):
    """The parameters of an event handler, or of a function that one hands its data to."""

    data: str | None
    context: str | None


class Scope:
    """The names of a module, class or function."""

    def __init__(self, node: ast.AST, parent: "Scope | None", handler: Handler | None) -> None:
        self.parent = parent
        self.handler = handler
        self.bindings: dict[str, list[Binding]] = {}
        self.parameters: set[str] = set()
        for child in own_nodes(node):
            for name, binding in _bound(child):
                self.bindings.setdefault(name, []).append(binding)
        if isinstance(node, Function):
            self.parameters = {argument.arg for argument in parameters(node)}

    def context_name(self) -> str:
        """How code in this place calls the current context."""
        scope: Scope | None = self
        while scope:
            if scope.handler:
                return scope.handler.context or "context"
            scope = scope.parent
        return "shmctx.current()"

    def find(self, name: str) -> "Scope | None":
        """The scope that has the name."""
        scope: Scope | None = self
        while scope and name not in scope.bindings and name not in scope.parameters:
            scope = scope.parent
        return scope

    def is_parameter(self, value: ast.expr, name: str) -> bool:
        """Whether an expression is a parameter of that name."""
        scope = self.find(name) if isinstance(value, ast.Name) and value.id == name else None
        return scope is not None and name in scope.parameters

    def event_of(self, data: ast.expr, depth: int = _DEPTH) -> str:
        """What the stored event is called out of which data is read, as in `event["data"]`; empty if there is none."""
        container = data.func.value if isinstance(data, ast.Call) and isinstance(data.func, ast.Attribute) else data
        container = container.value if isinstance(container, ast.Subscript) else container
        if isinstance(container, ast.Name) and container.id in _EVENTS:
            return container.id
        scope = self.find(data.id) if isinstance(data, ast.Name) and depth else None
        bindings = scope.bindings.get(data.id, ()) if scope and isinstance(data, ast.Name) else ()
        return next(filter(None, (self.event_of(item.value, depth - 1) for item in bindings if not item.element)), "")

    def kind(self, value: ast.expr | None, depth: int = _DEPTH) -> Kind | None:
        """What an expression gives; None for what cannot be told."""
        if value is None or depth == 0:
            return None
        same = _same_value(value)
        if same:
            return self._first_kind(same, depth)
        if isinstance(value, ast.Name):
            return self._name_kind(value.id, depth)
        if isinstance(value, ast.Call):
            return self._call_kind(value)
        if isinstance(value, ast.Subscript):
            return _item_kind(value.slice, last_name(value.value))
        if isinstance(value, ast.Attribute):
            return _kind_by_name(value.attr)
        if isinstance(value, ast.Constant | ast.JoinedStr):
            return Kind.REF if first_text(value).startswith("ctx_") else None
        return None

    def strings(self, value: ast.expr | None, depth: int = _DEPTH) -> frozenset[str]:
        """The strings that an expression can give, as far as the module spells them out."""
        if isinstance(value, ast.Constant):
            return frozenset([value.value]) if isinstance(value.value, str) else frozenset()
        if not isinstance(value, ast.Name) or depth == 0:
            return frozenset()
        found: set[str] = set()
        scope = self.find(value.id)
        for binding in scope.bindings.get(value.id, ()) if scope else ():
            get = self._elements if binding.element else self.strings
            found |= get(binding.value, depth - 1)
        return frozenset(found)

    def literals(self, value: ast.expr | None) -> Iterator[ast.Dict]:
        """The dict displays that an expression can give: itself, or what its name is assigned in this function."""
        if isinstance(value, ast.Dict):
            yield value
        elif isinstance(value, ast.Name):
            for binding in self.bindings.get(value.id, ()):
                if isinstance(binding.value, ast.Dict) and not binding.element:
                    yield binding.value

    def _elements(self, value: ast.expr, depth: int) -> frozenset[str]:
        if last_name(value) in words.FIELD_LISTS:
            return words.METADATA
        if isinstance(value, ast.Tuple | ast.List | ast.Set):
            return frozenset().union(*(self.strings(item, depth) for item in value.elts))
        if isinstance(value, ast.Call) and value.args and last_name(value.func) in _CONTAINERS:
            return self._elements(value.args[0], depth)
        if isinstance(value, ast.Name) and depth:
            scope = self.find(value.id)
            bindings = scope.bindings.get(value.id, ()) if scope else ()
            return frozenset().union(*(self._elements(item.value, depth - 1) for item in bindings if not item.element))
        return frozenset()

    def _first_kind(self, values: Iterable[ast.expr], depth: int) -> Kind | None:
        return next((kind for kind in (self.kind(value, depth - 1) for value in values) if kind), None)

    def _name_kind(self, name: str, depth: int) -> Kind | None:
        scope, by_name = self.find(name), _kind_by_name(name)
        if scope is None or by_name is Kind.REF:
            return by_name
        if scope.handler and name in scope.parameters:
            if name == scope.handler.data:
                return Kind.DATA
            if name == scope.handler.context:
                return Kind.CONTEXT
        values = [binding.value for binding in scope.bindings.get(name, ()) if not binding.element]
        return scope._first_kind(values, depth) or by_name  # noqa: SLF001 - a scope of the same module

    def _call_kind(self, call: ast.Call) -> Kind | None:
        name = last_name(call.func)
        known = _GIVEN.get(name)
        if known is None and isinstance(call.func, ast.Attribute):
            receiver = last_name(call.func.value)
            if (receiver, name) in words.CURRENT_CONTEXT:
                return Kind.CONTEXT
            if name in ("get", "pop", "setdefault") and call.args:
                return _item_kind(call.args[0], receiver)
        return known or (Kind.NAMED if _kind_by_name(name) is Kind.NAMED else None)


_GIVEN = {
    **dict.fromkeys(words.CONTEXT_GETTERS, Kind.CONTEXT),
    **dict.fromkeys(words.REF_GETTERS, Kind.REF),
    **dict.fromkeys(words.UNPACKERS, Kind.DATA),
    **dict.fromkeys(("to_dict", "read", "read_text", "str", "getsource", "dumps"), Kind.OTHER),
}


def _same_value(value: ast.expr) -> list[ast.expr]:
    """What an expression gives as it is, or a copy of: the first of these of which something is known."""
    if isinstance(value, ast.Await | ast.NamedExpr):
        return [value.value]
    if isinstance(value, ast.BoolOp):
        return value.values
    if isinstance(value, ast.IfExp):
        return [value.body, value.orelse]
    if isinstance(value, ast.Dict):
        return [item for key, item in zip(value.keys, value.values, strict=True) if key is None]
    if isinstance(value, ast.Call) and last_name(value.func) in ("dict", "copy", "deepcopy"):
        is_method = isinstance(value.func, ast.Attribute) and not value.args
        return [value.func.value] if is_method and isinstance(value.func, ast.Attribute) else value.args[:1]
    return []


def _item_kind(key: ast.expr, container: str) -> Kind | None:
    text = key.value if isinstance(key, ast.Constant) else None
    if text == words.EMBEDDED:
        return Kind.CONTEXT
    if text == "data" and container in _EVENTS:
        return Kind.DATA
    return _kind_by_name(text) if isinstance(text, str) else None


def _kind_by_name(name: str) -> Kind | None:
    if words.CONTEXT_NAME.search(name):
        return Kind.NAMED
    if words.REF_NAME.search(name):
        return Kind.REF
    return Kind.OTHER if words.OTHER_NAME.search(name) else None


def first_text(value: ast.expr) -> str:
    """The text of a constant, or what an f-string begins with; empty for anything else."""
    if isinstance(value, ast.JoinedStr):
        return first_text(value.values[0]) if value.values else ""
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""


def last_name(value: ast.AST) -> str:
    """What an expression is called: the last part of a dotted name, without calls and subscripts."""
    while isinstance(value, ast.Call | ast.Await | ast.Subscript):
        value = value.func if isinstance(value, ast.Call) else value.value
    return value.attr if isinstance(value, ast.Attribute) else value.id if isinstance(value, ast.Name) else ""


def parameters(function: Function) -> list[ast.arg]:
    """All parameters but `self` and `cls`."""
    arguments = function.args
    found = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return found[1:] if found and found[0].arg in ("self", "cls") else found


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """What lies in a scope, without what lies in scopes inside of it."""
    waiting = list(ast.iter_child_nodes(node))
    while waiting:
        child = waiting.pop()
        yield child
        if not isinstance(child, _SCOPES):
            waiting.extend(ast.iter_child_nodes(child))


def _bound(node: ast.AST) -> Iterator[tuple[str, Binding]]:
    pairs: list[tuple[ast.expr, ast.expr | None]] = []
    element = isinstance(node, ast.For | ast.AsyncFor | ast.comprehension)
    if isinstance(node, ast.Assign):
        pairs = [(target, node.value) for target in node.targets]
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
        pairs = [(node.target, node.value)]
    elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
        pairs = [(node.target, node.iter)]
    for target, value in pairs:
        if isinstance(target, ast.Name) and value is not None:
            yield target.id, Binding(value, element)
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            for part, item in zip(target.elts, value.elts, strict=True):
                if isinstance(part, ast.Name):
                    yield part.id, Binding(item, element)
