"""Contexts that prove themselves: every field follows from (seed, writer, n), so whoever reads one can tell whether a
single byte of it is another record's."""

import functools
import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from shmctx import Context

CONVERSATION = 16
"""Contexts of one writer that share a correlation id."""


class Plan(NamedTuple):
    """What the n-th context of a writer is like."""

    alias: bool = False
    """It brings its own event id."""
    session: bool = False
    span: bool = False
    """It is entered, and the next context is put inside it."""
    child: bool = False
    """It is put inside the span of the one before."""
    annotated: bool = False
    """It is annotated once it is put."""


def _digest(*parts: object) -> bytes:
    return hashlib.blake2b(":".join(map(str, parts)).encode(), digest_size=32).digest()


@functools.lru_cache(256)
def _conversation(seed: int, writer: int, number: int) -> tuple[Plan, ...]:
    plans: list[Plan] = []
    for choice in _digest(seed, writer, number, "plans")[:CONVERSATION]:
        kind = choice % 16
        if plans and plans[-1].span:
            plans.append(Plan(child=True))
        else:
            # A conversation's last context enters no span: its child would belong to the next conversation.
            span = kind in (4, 5, 6) and len(plans) < CONVERSATION - 1
            plans.append(Plan(alias=kind in (0, 4), session=kind in (2, 3, 5), span=span, annotated=kind == 7))
    return tuple(plans)


def plan(seed: int, writer: int, n: int) -> Plan:
    return _conversation(seed, writer, n // CONVERSATION)[n % CONVERSATION]


def name(n: int) -> str:
    return f"step:{n % 5}"


def agent(writer: int) -> str:
    return f"agent-{writer % 8}"


def correlation(seed: int, writer: int, n: int) -> str:
    number = n // CONVERSATION
    return f"corr_{_digest(seed, writer, number, 'correlation').hex()[:8]}-{writer}-{number}"


def event_id(seed: int, writer: int, n: int) -> str:
    return f"evt_{_digest(seed, writer, n, 'event').hex()[:8]}-{writer}-{n}"


def session(seed: int, writer: int, n: int) -> dict[str, Any]:
    number = n // 64
    return {"id": f"s-{writer}-{number}", "agent_id": agent(writer), "note": _digest(seed, writer, number).hex()}


def annotation(seed: int, writer: int, n: int) -> dict[str, Any]:
    return {"_outcome": _digest(seed, writer, n, "outcome").hex()[:16], "error_type": f"E{n % 7}"}


def custom(seed: int, writer: int, n: int) -> dict[str, Any]:
    """The custom fields: who wrote it, and a text of 0 to 700 characters that nobody else writes."""
    proof = _digest(seed, writer, n, "proof").hex()
    length = int(proof[:4], 16) % (64 if proof[4] != "0" else 700)
    return {"_writer": writer, "_n": n, "_proof": (proof * 11)[:length]}


def data(seed: int, writer: int, n: int) -> dict[str, Any] | None:
    """What happened: nothing, {}, something small, or that with a large field, its own or one that many share."""
    proof = _digest(seed, writer, n, "data")
    kind = proof[0] % 8
    if kind < 4:
        return {} if kind == 3 else None
    found: dict[str, Any] = {"proof": proof.hex(), "writer": writer, "n": n}
    if kind == 7:
        found["content"] = "shared" * 200 if n % 2 else proof.hex() * 18
    return found


def check_data(found: dict[str, Any] | None, seed: int, writer: int, n: int) -> None:
    """Assert that an event's data is what its (writer, n) puts."""
    assert found == data(seed, writer, n), f"writer {writer}, n {n}: {found}"


def fields(seed: int, writer: int, n: int) -> dict[str, Any]:
    """The keyword arguments of the n-th put or span, but for the event's name."""
    given, how = custom(seed, writer, n), plan(seed, writer, n)
    given["data"] = data(seed, writer, n)
    if not how.child:  # what a child inherits must be there without being given
        given |= {"agent_id": agent(writer), "correlation_id": correlation(seed, writer, n)}
    if how.alias:
        given["event_id"] = event_id(seed, writer, n)
    if how.session:
        given["session"] = session(seed, writer, n)
    return given


def origin(context: Context) -> tuple[int, int]:
    """The (writer, n) that a context says it is."""
    return context.custom["_writer"], context.custom["_n"]


def check(context: Context, seed: int) -> tuple[int, int]:
    """Assert that a context is what its (writer, n) puts, annotated or not; returns them."""
    writer, n = origin(context)
    how, found = plan(seed, writer, n), dict(context.custom)
    expected = custom(seed, writer, n)
    if "_outcome" in found:
        assert how.annotated
        note = annotation(seed, writer, n)
        expected["_outcome"] = note["_outcome"]
        assert context.error_type == note["error_type"]
    else:
        assert context.error_type is None
    assert found == expected, f"writer {writer}, n {n}: {found} is not {expected}"
    assert (context.event_name, context.agent_id, context.depth) == (name(n), agent(writer), int(how.child))
    assert context.correlation_id == correlation(seed, writer, n)
    assert not how.alias or context.event_id == event_id(seed, writer, n)
    in_session = how.session or (how.child and plan(seed, writer, n - 1).session)
    assert context.session == (session(seed, writer, n - how.child) if in_session else None)
    return writer, n


def conversations(end: int) -> Iterator[range]:
    """The conversations of a writer's first `end` contexts."""
    return (range(start, min(start + CONVERSATION, end)) for start in range(0, end, CONVERSATION))
