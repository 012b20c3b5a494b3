"""Runtime objects by name: services, routers, locks, whatever handlers share and no event may hold."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from shmctx.errors import InvalidField, NotRegistered

T = TypeVar("T")

RESERVED = frozenset({"data", "context", "event", "event_name"})
"""What handlers get by these parameter names."""


class Registry(Mapping[str, Any]):
    """Runtime objects of this process by name. Handlers get them by naming a parameter so, or from here.

    Nothing of it is ever stored: an event that carries such an object in its data is refused.
    """

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self._objects: dict[str, Any] = {}
        self._changed = changed

    def register(self, name: str, registered: T, *, replace: bool = False) -> T:
        """Keep an object under a name, and return it. Raises InvalidField for a name that is taken or reserved."""
        if type(name) is not str or not name or name in RESERVED:
            raise InvalidField(f"{name!r} cannot name a registered object.", hint=f"Not one of {sorted(RESERVED)}.")
        if name in self._objects and self._objects[name] is not registered and not replace:
            raise InvalidField(f"An object is registered as {name!r} already.", hint="Pass replace=True to replace it.")
        self._objects[name] = registered
        self._changed()
        return registered

    def unregister(self, name: str) -> Any:
        """Forget a name; returns its object. Raises NotRegistered."""
        registered = self[name]
        del self._objects[name]
        self._changed()
        return registered

    def __getitem__(self, name: str) -> Any:
        try:
            return self._objects[name]
        except KeyError:
            known = ", ".join(sorted(self._objects)) or "nothing"
            raise NotRegistered(f"No object is registered as {name!r}; registered: {known}.") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._objects)

    def __len__(self) -> int:
        return len(self._objects)

    def explained(self, error: InvalidField, data: object) -> InvalidField:
        """The error about data that cannot be stored; it names the registered object, if that is what is in the way."""
        for path, value in _values(data, "data"):
            for name, registered in self._objects.items():
                if value is registered:
                    return InvalidField(
                        f"{path}: this is the object registered as {name!r}, which lives in this process only. "
                        "Nothing was stored.",
                        hint=f"Leave it out; handlers reach it as registry[{name!r}] or by a parameter {name!r}.",
                    )
        return error


def _values(value: object, path: str) -> Iterator[tuple[str, object]]:
    """Everything that data refused for its contents holds, with its path; rings end."""
    stack, met = [(path, value)], set[int]()
    while stack:
        path, value = stack.pop()
        yield path, value
        if not isinstance(value, Mapping | list | tuple) or id(value) in met:
            continue
        met.add(id(value))
        if isinstance(value, Mapping):
            stack += [(f"{path}.{key}", item) for key, item in value.items()]
        else:
            stack += [(f"{path}[{index}]", item) for index, item in enumerate(value)]
