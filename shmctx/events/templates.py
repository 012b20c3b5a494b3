"""Templates: which fields the data of an event has, what they hold, and who checks them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from shmctx.errors import EventInvalid, InvalidField
from shmctx.events.names import checked_pattern
from shmctx.events.results import message_of

Validator = Callable[[Any], Any]
"""Refuses a value by returning False or raising; anything else it returns is agreement."""


class Template:
    """What the data of events of one name, or name pattern, must look like."""

    def __init__(
        self,
        pattern: str,
        *,
        required: Mapping[str, Any] | None = None,
        optional: Mapping[str, Any] | None = None,
        validators: Mapping[str, Validator] | None = None,
        extra: bool = True,
    ) -> None:
        """`required` and `optional`: types by field, as annotations are written (`str`, `int | None`, `list[str]`,
        `Literal["a", "b"]`; `Any` for anything). `validators`: by field, called where the field is present and of its
        type. `extra`: whether other fields are allowed. Raises InvalidField for what is no type or no declared field.
        """
        self.pattern = checked_pattern(pattern)
        self.required = dict(required or {})
        self.optional = dict(optional or {})
        self.validators = dict(validators or {})
        self.extra = extra
        self._types = self.optional | self.required
        unknown = sorted(self.validators.keys() - self._types.keys())
        if unknown and not extra:
            raise InvalidField(
                f"The template of {pattern!r} validates {', '.join(unknown)}, which it does not declare."
            )
        for name, kind in self._types.items():
            _check_type(pattern, name, kind)

    def problems(self, data: Mapping[str, Any]) -> list[str]:
        """Everything about the data that does not fit."""
        missing = [f"{name} is missing" for name in self.required if name not in data]
        wrong = ((name, self._problem(name, value)) for name, value in data.items())
        return missing + [f"{name} {problem}" for name, problem in wrong if problem]

    def _problem(self, name: str, value: Any) -> str:
        if name in self._types:
            try:
                msgspec.convert(value, self._types[name])
            except msgspec.ValidationError as error:
                return f"is not as declared: {error}"
        elif not self.extra:
            return "is not declared"
        validator = self.validators.get(name)
        if validator is None:
            return ""
        try:
            accepted = validator(value)
        except Exception as error:  # noqa: BLE001  (raising is how a validator refuses, by whatever error)
            return f"is refused: {message_of(error) or type(error).__name__}"
        return "is refused by its validator" if accepted is False else ""


def check(templates: Iterable[Template], event_name: str, data: Mapping[str, Any]) -> None:
    """Raise EventInvalid, with every problem listed, unless the data fits all templates."""
    problems = tuple(dict.fromkeys(problem for template in templates for problem in template.problems(data)))
    if problems:
        raise EventInvalid(f"{event_name}: {'; '.join(problems)}. Nothing was stored.", problems=problems)


def _check_type(pattern: str, name: str, kind: Any) -> None:
    try:
        msgspec.convert(None, kind)
    except msgspec.ValidationError:
        return  # None is not of this type, which is one that msgspec understands
    except Exception as error:
        raise InvalidField(f"The template of {pattern!r}: {kind!r} is no type for {name}: {error}.") from error
