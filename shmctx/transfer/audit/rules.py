"""The rules of the audit: what each finds, why it has to go, and what to write instead.

docs/audit.md is made of these texts, and tests run both sides of every example.
"""

import msgspec

FLAT_METADATA = "flat-metadata"
EMBEDDED_CONTEXT = "embedded-context"
BUILT_CONTEXT = "built-context"
PASSED_CONTEXT = "passed-context"
RAW_DATA = "raw-data"
OUTSIDE_SESSION = "outside-session"
CONTEXT_AS_DICT = "context-as-dict"
UNKNOWN_RULE = "unknown-rule"


class Rule(msgspec.Struct, frozen=True):
    """One pattern. `before` and `after` are pieces of a program, which tests audit and run; `default` says whether the
    rule is looked for unless something else is selected."""

    id: str
    finds: str
    why: str
    before: str
    after: str
    default: bool = True


_ALL = (
    Rule(
        FLAT_METADATA,
        "Metadata (`_event_id`, `_correlation_id`, `_agent_id`, ...) read from the event's data, looked for there, or "
        "put there.",
        "It lies in the context, which is stored once and named by a ref. A handler gets data without it.",
        """
@event_handler("agent:status")
async def status(data, context=None):
    if "_agent_id" in data:
        return data["_correlation_id"], data.get("_event_depth", 0)
""",
        """
@router.on("agent:status")
async def status(data, context):
    if context.agent_id is not None:
        return context.correlation_id, context.depth
""",
    ),
    Rule(
        EMBEDDED_CONTEXT,
        "The context read out of `_ksi_context` in an event's data.",
        "Data holds no context any more, and in a log that was moved in `_ksi_context` is a ref.",
        """
@event_handler("agent:status")
async def status(data, context=None):
    ksi_context = data.get("_ksi_context", {})
    return ksi_context["_agent_id"]
""",
        """
@router.on("agent:status")
async def status(data, context):
    return context.agent_id
""",
    ),
    Rule(
        BUILT_CONTEXT,
        "A context put together by hand: `_ksi_context` filled in, a dict of metadata, or metadata written into a "
        "context.",
        "Ids, depth, parent and correlation come from the current context. By hand they are forgotten or wrong, and a "
        "context never changes once it is stored.",
        """
async def report(agent_id, parent_id):
    event = {"state": "idle", "_ksi_context": {"_agent_id": agent_id, "_parent_event_id": parent_id}}
    await emit_event("agent:status", event)
""",
        """
async def report(agent_id, cause):
    await router.emit("agent:status", {"state": "idle"}, agent_id=agent_id, parent=cause)
""",
    ),
    Rule(
        PASSED_CONTEXT,
        "An event emitted with a context as an argument, or with one inside its data.",
        "What a handler emits is a child of the event that it handles, without anything being passed. What should be "
        "different is given by name.",
        """
@event_handler("agent:status")
async def status(data, context=None):
    await event_emitter("monitor:seen", {"state": data["state"]}, context)
    await event_emitter("monitor:seen", {"state": data["state"]}, {"_agent_id": "monitor"})
""",
        """
@router.on("agent:status")
async def status(data):
    await router.emit("monitor:seen", {"state": data["state"]})
    await router.emit("monitor:seen", {"state": data["state"]}, agent_id="monitor")
""",
    ),
    Rule(
        RAW_DATA,
        "A handler that takes `raw_data`, and what it reads from it.",
        "It took data with metadata mixed in, to be taken apart by the handler. The router does that.",
        """
@event_handler("agent:status")
async def status(raw_data, context=None):
    return raw_data["state"]
""",
        """
@router.on("agent:status")
async def status(data):
    return data["state"]
""",
    ),
    Rule(
        OUTSIDE_SESSION,
        "`session_id` read from an event's data, or sent in it.",
        "A session is part of the context and is inherited, so whatever follows an event is in its session.",
        """
@event_handler("agent:status")
async def status(data, context=None):
    session_id = data.get("session_id")
    await event_emitter("completion:async", {"prompt": "Go on.", "session_id": session_id})
""",
        """
@router.on("agent:status")
async def status(data, context):
    if context.session_id is not None:
        await router.emit("completion:async", {"prompt": "Go on."})
    else:
        await router.emit("completion:async", {"prompt": "Begin."}, session={"id": "s-1"})
""",
    ),
    Rule(
        CONTEXT_AS_DICT,
        "A context read as a dict, by its wire names.",
        "shmctx's own router gives handlers a `Context`, whose fields are attributes. Behind the KSI adapter contexts "
        "are dicts as before, which is why this rule has to be selected.",
        """
@event_handler("agent:status")
async def status(data, context=None):
    return context.get("_agent_id")
""",
        """
@router.on("agent:status")
async def status(data, context):
    return context.agent_id
""",
        default=False,
    ),
    Rule(
        UNKNOWN_RULE,
        "A `# shmctx: ignore[...]` that names no rule.",
        "It ignores nothing, and what it was meant for may be overlooked.",
        """
def prompt(data):
    return data["text"]  # shmctx: ignore[flat-metdata]
""",
        """
def prompt(data):
    return data["text"]
""",
    ),
)

RULES: dict[str, Rule] = {rule.id: rule for rule in _ALL}
"""Every rule by its id."""

DEFAULT = frozenset(rule.id for rule in _ALL if rule.default)
"""The ids of the rules that are looked for unless something else is selected."""


class Finding(msgspec.Struct, frozen=True, order=True):
    """One place in a program. Lines and columns count from 1, columns in characters."""

    path: str
    line: int
    column: int
    rule: str
    what: str
    instead: str
