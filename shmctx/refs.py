"""Refs: `ctx_` and 16 Crockford base32 characters, that is a 24-bit store id and a 56-bit position."""

from shmctx.errors import MalformedRef
from shmctx.hot._core import make_ref, parse_ref

__all__ = ["REF_LENGTH", "alias_of", "make_ref", "native_id", "parse_ref", "resolve_native", "store_of"]

REF_LENGTH = 20
MAX_ALIAS = 256  # characters
_CHARACTERS = 16
_NATIVE_PREFIXES = ("ctx_", "evt_", "corr_")


def native_id(prefix: str, store_id: int, position: int) -> str:
    """The id of a record that brought none: the same 16 characters under another prefix."""
    return prefix + make_ref(store_id, position)[4:]


def resolve_native(text: str) -> tuple[int, int] | None:
    """(store id, position) of a native ref, event id or correlation id; None for anything else."""
    prefix, underscore, characters = text.partition("_")
    if len(characters) == _CHARACTERS and prefix + underscore in _NATIVE_PREFIXES:
        return parse_ref("ctx_" + characters)
    return None


def alias_of(ref: str) -> str:
    """The event id inside a ref of the form `ctx_<event id>`; other aliases are event ids themselves."""
    return ref.removeprefix("ctx_")


def store_of(ref: str) -> int:
    """The store id of a native ref. Raises MalformedRef."""
    parsed = parse_ref(ref)
    if parsed is None:
        raise MalformedRef(f"{ref!r} is not a ref.", hint="A ref is what put() returned: ctx_ and 16 characters.")
    return parsed[0]
