"""The words that programs around embedded contexts use, and the properties of a Context that take their place."""

import re

from shmctx.drafts import WIRE_NAMES

EMBEDDED = "_ksi_context"
SESSION_ID = "session_id"

DISTINCTIVE = frozenset(
    {"_event_id", "_event_timestamp", "_correlation_id", "_parent_event_id", "_root_event_id", "_event_depth"}
)
"""Keys that mean an event's metadata wherever they stand."""

COMMON = frozenset({"_agent_id", "_client_id", "_session_id", "_event_name"})
"""Keys that mean it where a module has to do with events."""

LOOSE = frozenset(WIRE_NAMES) - DISTINCTIVE - COMMON
"""Keys that mean it only in what is known to be an event's data."""

METADATA = DISTINCTIVE | COMMON
FIELD_LISTS = frozenset({"SYSTEM_METADATA_FIELDS"})
"""Names under which KSI keeps the list of metadata fields."""

EVENT_SYSTEMS = re.compile(r"(ksi|shmctx)(_\w+)?$")
"""Top-level packages whose import shows that a module has to do with events."""

QT = frozenset({"PyQt5", "PyQt6", "PySide2", "PySide6", "qtpy"})
"""Packages whose signals have an `emit` of another kind."""

CONTEXT_NAME = re.compile(r"(?:^|_)(?:context|ctx)$", re.IGNORECASE)
REF_NAME = re.compile(r"(?:^|_)refs?$", re.IGNORECASE)
OTHER_NAME = re.compile(
    r"(?:^|_)(?:args|attrs|code|columns?|config|content|cookies?|docs?|document|environ|headers?|html|output|params|"
    r"prompt|rows?|schema|settings|source|sql|text|wire)$",
    re.IGNORECASE,
)
"""Names of dicts that are no event's data, whatever keys they have, and of texts."""

CURRENT_NAME = re.compile(r"_*(?:ksi_)?(?:context|ctx)$", re.IGNORECASE)
"""Names of the context that an event happens in, rather than of something's own."""

CONTEXT_GETTERS = frozenset(
    {"copy_current_context", "create_context", "get_context", "propagate_agent_context", "get_current_context"}
)
CURRENT_CONTEXT = frozenset({("ksi_context", "get"), ("shmctx", "current")})
"""Calls that give the current context, by the last part of what they are called on and their name."""

REF_GETTERS = frozenset({"generate_ref", "put", "store_event_with_context"})

EMITTER = re.compile(r"(?:^|_)(?:emit|emitter|emit_event|emit_first|emit_event_first|emit_threadsafe)$")
HANDLER_DECORATOR = re.compile(r"(?:(?:^|_)event_handler|^EventHandler)$")
HANDLER_NAME = re.compile(r"_*(?:handle|on)_|\w*_handler$|handler?$")
DATA_NAMES = ("raw_data", "data", "event_data")
REGISTRATION = frozenset({"add_handler", "handler", "handles", "on", "register", "register_handler", "subscribe"})
"""Calls that register a handler if they name an event."""

EVENT_NAME = re.compile(r"\*|[\w.*-]+:[\w.:*-]*")
"""What KSI's event names and patterns look like."""

UNPACKERS = frozenset({"event_format_linter", "extract_system_metadata", "has_system_metadata"})
"""KSI's functions that take data and metadata apart."""


def field(key: str) -> str:
    """The property of a Context with what a wire name stands for."""
    return WIRE_NAMES.get(key, key.lstrip("_"))


def is_event_name(text: object) -> bool:
    """Whether a constant looks like an event's name or a pattern of names."""
    return isinstance(text, str) and EVENT_NAME.fullmatch(text) is not None
