"""What of the current context other systems attach to what they record."""

from shmctx.errors import ShmctxError
from shmctx.propagation import current

NAMES = ("ref", "correlation_id", "agent_id", "session_id")


def current_fields() -> dict[str, str]:
    """Those of NAMES that the current context has; none without one. Never raises: who records something else must not
    fail over it, so a session that cannot be read, its store being closed, counts as none."""
    context = current()
    if context is None:
        return {}
    try:
        session = context.session_id
    except ShmctxError:
        session = None
    values = (context.ref, context.correlation_id, context.agent_id, session)
    return {name: value for name, value in zip(NAMES, values, strict=True) if value}
