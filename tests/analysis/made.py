"""Contexts without a store: what the analysis takes is only what they say."""

from collections.abc import Iterable, Mapping
from typing import Any

from hypothesis import strategies as st

from shmctx.context import Context, Identity
from shmctx.refs import make_ref

STORE = 0xABCDEF
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND

HOSTILE = [
    "<script>alert(1)</script>",
    "]]></style><svg onload=x>",
    "a \"quoted\" & 'odd' name",
    "line\nbreak\ttab\r",
    "\x00\x1b[31mred\x07",
    'n1["x"] --> n2; end %% click',
    "#quot; #35; &amp; &#x41;",
    "`markdown` **bold** $x$ {{y}}",
    "\u202egnp.exe \u2028 \ufffe \U000e0001",
    "x" * 5000,
    "ünïcødé 漢字 🙂",
    " ",
]
"""Names that would break out of a label, a line, an element or the direction of writing."""


def context(
    position: int,
    parent: Identity | None = None,
    *,
    name: str = "event",
    event: str | None = None,
    at: float = 0.0,
    agent: str | None = None,
    correlation: Identity = 1,
    depth: int = 0,
    more: Mapping[str, Any] | None = None,
    **noted: Any,
) -> Context:
    """The context at a position, `at` seconds after START; `noted` is what was annotated."""
    return Context(
        event_name=name,
        depth=depth,
        parent=parent,
        correlation=correlation,
        agent_id=agent,
        event=event,
        more=dict(more) if more else None,
        ref=make_ref(STORE, position),
        time_ns=START + round(at * SECOND),
        noted=noted or None,
    )


def refs(found: Iterable[Any]) -> list[int]:
    """Positions of contexts or nodes."""
    return [int(_position(each.ref)) for each in found]


def _position(ref: str) -> int:
    return Context(event_name="", ref=ref).position


@st.composite
def forests(draw: st.DrawFn, *, largest: int = 30, doubled: bool = True) -> list[Context]:
    """Contexts whose parents are any others, themselves, or unknown: orphans and rings; some ids `doubled`."""
    size = draw(st.integers(0, largest))
    brought = draw(st.lists(st.sampled_from([None, None, "a", "b", "c", "d", "e", "f"]), min_size=size, max_size=size))
    if not doubled:
        brought = [own and f"{own}{index}" for index, own in enumerate(brought)]
    identities: list[Identity] = [own or 10 + index for index, own in enumerate(brought)]
    parents = st.none() | st.sampled_from(identities or [0]) | st.sampled_from(["gone", 7])
    return [
        context(
            10 + index,
            draw(parents),
            event=own,
            name=draw(st.sampled_from("pqr")),
            agent=draw(st.sampled_from([None, "x", "y"])),
            at=draw(st.integers(0, 50)),
            **({"_duration_ms": draw(st.integers(0, 9000))} if draw(st.booleans()) else {}),
            **({"error": "no"} if draw(st.booleans()) else {}),
        )
        for index, own in enumerate(brought)
    ]
