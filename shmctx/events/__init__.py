"""Events: a router that stores each event and calls its handlers in its context; decorators; replay; a monitor."""

from shmctx.event import Event
from shmctx.events.guards import context_sampling, context_tags, context_timeout, requires_context
from shmctx.events.handlers import Priority
from shmctx.events.monitor import Monitor
from shmctx.events.registry import Registry
from shmctx.events.replaying import Pair, Replay, replay
from shmctx.events.results import Failure, Results
from shmctx.events.router import EventRouter

__all__ = [
    "Event",
    "EventRouter",
    "Failure",
    "Monitor",
    "Pair",
    "Priority",
    "Registry",
    "Replay",
    "Results",
    "context_sampling",
    "context_tags",
    "context_timeout",
    "replay",
    "requires_context",
]
