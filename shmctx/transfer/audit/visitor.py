"""The walk over a module's syntax tree, and what each of its places is found to be."""

import ast
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from shmctx.transfer.audit import words
from shmctx.transfer.audit.handlers import RAW_DATA, Handlers, imports, is_about_events
from shmctx.transfer.audit.rules import (
    BUILT_CONTEXT,
    CONTEXT_AS_DICT,
    EMBEDDED_CONTEXT,
    FLAT_METADATA,
    OUTSIDE_SESSION,
    PASSED_CONTEXT,
)
from shmctx.transfer.audit.rules import RAW_DATA as RAW_DATA_RULE
from shmctx.transfer.audit.scopes import IS_CONTEXT, Function, Kind, Scope, first_text, last_name, own_nodes, parameters

READS, TESTS, REMOVES, WRITES = "reads", "looks for", "removes", "writes"
_METHODS = {"get": READS, "pop": REMOVES, "setdefault": WRITES, "__getitem__": READS, "__contains__": TESTS}
_NAME_WIDTH, _SHOWN = 40, 3  # how much is said of long expressions and of many fields
_FIELDS_BY_NAME = "its fields by name: router.emit(name, data, agent_id=...); ids, depth and cause come by themselves"


_Node: TypeAlias = ast.expr | ast.arg


class Found(NamedTuple):
    """One place: what it is, and what to write instead."""

    node: _Node
    rule: str
    what: str
    instead: str


class _Item(NamedTuple):
    """One entry of a dict display."""

    key: ast.expr
    value: ast.expr


class Visitor(ast.NodeVisitor):
    """Collects what it `found` in a module."""

    def __init__(self, module: ast.Module) -> None:
        self.found: list[Found] = []
        imported = imports(module)
        about_events = is_about_events(module, imported)
        self._handlers = Handlers(module, about_events=about_events)
        self._about_events = about_events or bool(self._handlers)
        self._has_signals = not imported.isdisjoint(words.QT)
        self._claimed: set[int] = set()  # dict displays that are reported as a whole
        self._scope = Scope(module, None, None)
        self.visit(module)

    # ---- scopes ----

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """A function, and whether it handles events."""
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        """As a plain one."""
        self._function(node)

    def _function(self, node: Function) -> None:
        handler = self._handlers.get(node)
        if handler and handler.data == RAW_DATA and node in self._handlers.declared:
            argument = next(argument for argument in parameters(node) if argument.arg == RAW_DATA)
            self._report(argument, RAW_DATA_RULE, f"handler `{node.name}` takes `raw_data`", f"def {node.name}(data)")
        for outside in (*node.decorator_list, node.args):
            self.visit(outside)
        self._scope = Scope(node, self._scope, handler)
        for inner in own_nodes(node):
            if isinstance(inner, ast.Return) and words.CONTEXT_NAME.search(node.name):
                self._built(inner.value, f"`{node.name}` returns")
        for statement in node.body:
            self.visit(statement)
        assert self._scope.parent
        self._scope = self._scope.parent

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """A class, whose names its own body sees."""
        self._scope = Scope(node, self._scope, None)
        self.generic_visit(node)
        assert self._scope.parent
        self._scope = self._scope.parent

    # ---- accesses ----

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """`x[key]`, read or deleted; assignments are seen with their value."""
        if not isinstance(node.ctx, ast.Store):
            action = READS if isinstance(node.ctx, ast.Load) else REMOVES
            self._access(node, node.value, self._scope.strings(node.slice), action)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        """`key in x`."""
        for left, operator, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
            if isinstance(operator, ast.In | ast.NotIn):
                self._access(node, right, self._scope.strings(left), TESTS)
            if isinstance(left, ast.Dict) or isinstance(right, ast.Dict):
                return  # what something is compared with is an expectation, and no context
        self.generic_visit(node)

    def visit_Match(self, node: ast.Match) -> None:
        """`case {key: name}`."""
        for case in node.cases:
            for pattern in ast.walk(case.pattern):
                if isinstance(pattern, ast.MatchMapping):
                    for key in pattern.keys:
                        self._access(key, node.subject, self._scope.strings(key), READS)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        """`x[key] = value`, and dicts under the name of a context."""
        self._assigned(node.targets, node.value)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """As without the annotation."""
        if node.value:
            self._assigned([node.target], node.value)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """`x |= {key: value}` and `x[key] += value`."""
        if isinstance(node.target, ast.Subscript):
            self._access(node.target, node.target.value, self._scope.strings(node.target.slice), WRITES)
        elif isinstance(node.op, ast.BitOr):
            self._updated(node.target, node.value)
        self.generic_visit(node)

    def _assigned(self, targets: Iterable[ast.expr], value: ast.expr) -> None:
        for target in targets:
            if isinstance(target, ast.Subscript):
                keys = self._scope.strings(target.slice)
                if words.EMBEDDED in keys:
                    self._embeds(target, value)
                self._access(target, target.value, keys - {words.EMBEDDED}, WRITES)
            elif words.CONTEXT_NAME.search(last_name(target)):
                self._built(value, f"`{ast.unparse(target)}` is")

    def _access(self, node: _Node, receiver: ast.expr, keys: frozenset[str], action: str) -> None:
        """Something is done with keys of a dict."""
        kind = self._scope.kind(receiver)
        name = ast.unparse(receiver)
        name = name if len(name) <= _NAME_WIDTH else f"{name[:_NAME_WIDTH]}…"
        metadata = self._metadata(keys, kind)
        if words.EMBEDDED in keys and kind is not Kind.OTHER:
            what = f"{action} `{words.EMBEDDED}` in `{name}`"
            self._report(node, EMBEDDED_CONTEXT, what, f"{self._context(receiver)}: data holds no context")
        elif metadata and kind in (*IS_CONTEXT, Kind.REF):  # a ref that the same name resolves somewhere
            self._of_context(node, name, metadata, action)
        elif metadata and kind is not Kind.OTHER:
            what = f"{action} {_quoted(metadata)} in `{name}`"
            self._report(node, FLAT_METADATA, what, self._field(metadata, action, self._context(receiver)))
        elif words.SESSION_ID in keys and kind is Kind.DATA:
            what, field = f"{action} `session_id` in `{name}`", f"{self._context(receiver)}.session_id"
            self._report(node, OUTSIDE_SESSION, what, _SESSION if action is WRITES else field)
        elif action is READS and self._about_events and self._scope.is_parameter(receiver, RAW_DATA):
            self._report(node, RAW_DATA_RULE, "reads from `raw_data`", "data[...], of a handler's parameter `data`")

    def _context(self, data: ast.expr) -> str:
        """How code calls the context that belongs to an event's data."""
        event = self._scope.event_of(data)
        return f"{event}.context" if event else self._scope.context_name()

    def _of_context(self, node: _Node, name: str, metadata: list[str], action: str) -> None:
        if action in (WRITES, REMOVES):
            self._report(node, BUILT_CONTEXT, f"{action} {_quoted(metadata)} in context `{name}`", _FIELDS_BY_NAME)
        else:
            instead = self._field(metadata, action, name)
            self._report(node, CONTEXT_AS_DICT, f"{action} {_quoted(metadata)} in context `{name}`", instead)

    def _metadata(self, keys: Iterable[str], kind: Kind | None) -> list[str]:
        """Those of the keys that mean metadata here."""
        meant = words.METADATA if self._about_events else words.DISTINCTIVE
        return sorted(set(keys) & (meant | words.LOOSE if kind is Kind.DATA else meant))

    def _field(self, metadata: list[str], action: str, context: str) -> str:
        fields = list(map(words.field, metadata[:_SHOWN]))
        if action is WRITES:
            return f"router.emit(name, data, {', '.join(f'{field}=...' for field in fields)})"
        said = ", ".join(f"{context}.{field}" for field in fields)
        return said if action is not TESTS else f"{context}.{fields[0]} is not None"

    # ---- calls ----

    def visit_Call(self, node: ast.Call) -> None:
        """Methods of dicts, emits, and functions that take data apart."""
        name = last_name(node.func) if isinstance(node.func, ast.Name | ast.Attribute) else ""
        if isinstance(node.func, ast.Attribute):
            self._method(node, node.func.value, name)
        if words.EMITTER.search(name):
            self._emit(node)
        elif name in words.UNPACKERS and node.args:
            instead = f"nothing: data comes without metadata; it is in {self._scope.context_name()}"
            self._report(node, FLAT_METADATA, f"`{name}` takes data and metadata apart", instead)
        for keyword in node.keywords:
            if keyword.arg == words.EMBEDDED:
                self._embeds(keyword.value, keyword.value)
            elif keyword.arg and words.CONTEXT_NAME.search(keyword.arg) and not words.EMITTER.search(name):
                self._built(keyword.value, f"argument `{keyword.arg}` is")
        self.generic_visit(node)

    def _method(self, node: ast.Call, receiver: ast.expr, name: str) -> None:
        if name in _METHODS and node.args:
            keys = self._scope.strings(node.args[0])
            if name == "setdefault" and words.EMBEDDED in keys and len(node.args) > 1:
                self._embeds(node, node.args[1])
                return
            self._access(node, receiver, keys, _METHODS[name])
        elif name == "update":
            self._updated(receiver, *node.args)
            named = frozenset(keyword.arg for keyword in node.keywords if keyword.arg) - {words.EMBEDDED}
            self._access(node, receiver, named, WRITES)
        elif name == "set" and node.args and words.CONTEXT_NAME.search(last_name(receiver)):
            self._built(node.args[0], f"`{last_name(receiver)}` is set to")

    def _updated(self, receiver: ast.expr, *values: ast.expr) -> None:
        for value in values:
            for display in self._scope.literals(value):
                self._claimed.add(id(display))
                self._access(display, receiver, frozenset(self._keys(display)) - {words.EMBEDDED}, WRITES)

    def _emit(self, node: ast.Call) -> None:
        """An event's name, its data, and what KSI's routers take as the third argument: the context."""
        named = [index for index, value in enumerate(node.args[:2]) if words.is_event_name(first_text(value))]
        if not named and self._has_signals and isinstance(node.func, ast.Attribute):
            return
        start = named[0] if named else 0
        data = [*node.args[start + 1 : start + 2], *(item.value for item in node.keywords if item.arg == "data")]
        contexts = [*node.args[start + 2 : start + 3], *(item.value for item in node.keywords if item.arg == "context")]
        for value in data:
            for display in self._scope.literals(value):
                self._event_data(display)
        for value in contexts:
            displays = [display for display in self._scope.literals(value) if self._metadata(self._keys(display), None)]
            if displays or self._scope.kind(value) in IS_CONTEXT:
                self._claimed.update(map(id, displays))
                instead = _FIELDS_BY_NAME if displays else "nothing: the current context is the cause"
                self._report(value, PASSED_CONTEXT, "passes a context to an emit", instead)
        for keyword in node.keywords:
            if keyword.arg == words.SESSION_ID:
                self._report(keyword.value, OUTSIDE_SESSION, "passes `session_id` to an emit", _SESSION)

    # ---- dicts ----

    def visit_Dict(self, node: ast.Dict) -> None:
        """A dict that embeds a context, or that is one."""
        keys = self._keys(node)
        if words.EMBEDDED in keys:
            self._embeds(*keys[words.EMBEDDED])
        if id(node) not in self._claimed and len(words.DISTINCTIVE & keys.keys()) > 1:
            self._report(node, BUILT_CONTEXT, f"a dict of {_quoted(self._metadata(keys, None))}", _FIELDS_BY_NAME)
        self.generic_visit(node)

    def _event_data(self, display: ast.Dict) -> None:
        """The data of an event that is emitted."""
        if id(display) in self._claimed:
            return
        keys = self._keys(display)
        metadata = self._metadata(keys, Kind.DATA)
        if metadata:
            self._claimed.add(id(display))
            what = f"puts {_quoted(metadata)} into an event's data"
            self._report(keys[metadata[0]].key, FLAT_METADATA, what, self._field(metadata, WRITES, ""))
        if words.SESSION_ID in keys:
            node = keys[words.SESSION_ID].key
            self._report(node, OUTSIDE_SESSION, "puts `session_id` into an event's data", _SESSION)
        for key, (_, value) in keys.items():
            kind = self._scope.kind(value)
            current = words.CURRENT_NAME.match(key) and any(
                map(words.CURRENT_NAME.match, map(last_name, ast.walk(value)))
            )
            if key != words.EMBEDDED and (kind is Kind.CONTEXT or (kind is Kind.NAMED and current)):
                what = f"puts a context into an event's data, as `{key}`"
                self._report(value, PASSED_CONTEXT, what, "nothing, or its ref: the event's own context leads to it")

    def _embeds(self, node: _Node, value: ast.expr) -> None:
        """Something is put under `_ksi_context`."""
        if self._scope.kind(value) is not Kind.REF and not isinstance(value, ast.Constant):
            self._claimed.update(id(display) for display in self._scope.literals(value))
            self._report(node, BUILT_CONTEXT, f"puts a context under `{words.EMBEDDED}`", _FIELDS_BY_NAME)

    def _built(self, value: ast.expr | None, what: str) -> None:
        """Something that is called a context is given a value."""
        if isinstance(value, ast.Dict) and id(value) not in self._claimed:
            metadata = self._metadata(self._keys(value), None)
            if metadata:
                self._claimed.add(id(value))
                self._report(value, BUILT_CONTEXT, f"{what} a dict of {_quoted(metadata)}", _FIELDS_BY_NAME)

    def _keys(self, display: ast.Dict) -> dict[str, _Item]:
        return {
            text: _Item(key, value)
            for key, value in zip(display.keys, display.values, strict=True)
            if key
            for text in self._scope.strings(key)
        }

    def _report(self, node: _Node, rule: str, what: str, instead: str) -> None:
        self.found.append(Found(node, rule, what, instead))


_SESSION = "nothing: events inherit the session; session={'id': ...} begins one"


def _quoted(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
