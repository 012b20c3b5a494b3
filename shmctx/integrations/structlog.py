"""structlog: events that tell the context they were written in."""

from collections.abc import MutableMapping
from typing import Any

from shmctx.integrations.fields import current_fields


def merge_shmctx(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ARG001
    """A processor: adds `ref`, `correlation_id`, `agent_id` and `session_id` where the current context has them.

    `structlog.configure(processors=[merge_shmctx, ...])`. What was bound by hand stays.
    """
    for name, value in current_fields().items():
        event.setdefault(name, value)
    return event
