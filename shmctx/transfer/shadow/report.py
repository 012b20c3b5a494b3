"""What running side by side has shown so far: figures of both sides, and where they differ."""

from typing import Any

import msgspec


class Timings(msgspec.Struct, frozen=True):
    """How long the calls of one side took, in microseconds; quantiles are exact to an eighth."""

    mean: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    longest: float = 0.0


class Failures(msgspec.Struct, frozen=True):
    """Errors of one class."""

    count: int
    last: str
    """What the last one said."""


class Side(msgspec.Struct, frozen=True):
    """The calls of one side."""

    calls: int = 0
    errors: dict[str, Failures] = {}
    """By the error's class. Those of the old side reached the application, those of shmctx did not."""
    microseconds: Timings = Timings()


class Calls(msgspec.Struct, frozen=True):
    """The same calls to both sides."""

    old: Side
    shmctx: Side
    left_alone: int = 0
    """Calls that shmctx was spared after an error or a slow call; after writes, `shmctx migrate` fills the gap."""
    fallbacks: int = 0
    """Reads that the old side answered because shmctx could not."""


class Example(msgspec.Struct, frozen=True):
    """One difference, as it was found."""

    event_id: str
    field: str
    old: Any
    shmctx: Any


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One process's figures since its start."""

    mode: str
    seconds: float
    """Since the start."""
    writes: Calls
    reads: Calls
    checks: Side
    """Reading back and comparing what was written: what shadowing costs beside the writes."""
    opening: Side
    """Opening the store."""
    compared: int
    """Events of which both sides' forms were compared."""
    equal: int
    missing: int
    """Events that the old side has and shmctx has not."""
    mismatches: dict[str, int]
    """Differences by field, such as `_agent_id`, `data.prompt` or `time_ns`."""
    examples: list[Example]
    """The first differences, at most as many as `Shadowing.examples`."""

    @property
    def clean(self) -> bool:
        """Whether shmctx has answered everything, as the old side does."""
        unanswered = self.writes.left_alone + self.reads.left_alone + self.reads.fallbacks + self.missing
        return not (unanswered or self.mismatches or self.writes.shmctx.errors or self.reads.shmctx.errors)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, with `clean`; what JSON does not know is there as its repr."""
        plain: dict[str, Any] = msgspec.to_builtins(self, enc_hook=repr)
        return {"clean": self.clean, **plain}

    def to_json(self) -> str:
        """As JSON, indented."""
        return msgspec.json.format(msgspec.json.encode(self.to_dict()), indent=2).decode()
