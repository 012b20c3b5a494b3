"""A chain as an indented tree of text."""

from collections.abc import Iterator

from shmctx.analysis.chain import CYCLE, ORPHAN, START, Chain, Node

MAX_INDENT = 40
"""Levels that are drawn; deeper ones are marked by their number."""

NOTES = {None: "", START: "", ORPHAN: "parent unknown", CYCLE: "is its own ancestor"}
"""What a reader should know about a root."""


def drawn(chain: Chain) -> Iterator[tuple[Node, str]]:
    """Every node with the lines that lead to it: `│  └─ `."""
    continued: list[str] = []  # by level: what is drawn before the nodes below the last one met there
    for node in chain.nodes:
        if node.parent is None:
            continued = [""]
            yield node, ""
            continue
        before = continued[node.level - 1]
        parent = chain.nodes[node.parent]
        is_last = node.index + node.size == parent.index + parent.size
        line, further = ("└─ ", "   ") if is_last else ("├─ ", "│  ")
        if node.level > MAX_INDENT:
            line, further = f"… {node.level} ", ""
        del continued[node.level :]
        continued.append(before + further)
        yield node, before + line


def tree(chain: Chain) -> str:
    """The whole chain, a line for every event: what, who, when, how long, what went wrong."""
    return "".join(f"{before}{escaped(_told(chain, node))}\n" for node, before in drawn(chain))


def _told(chain: Chain, node: Node) -> str:
    parts = [node.event_name, node.agent_id or "", f"+{seconds(chain.offset(node))}"]
    if node.duration_ns is not None:
        parts.append(f"took {seconds(node.duration_ns / 1e9)}")
    if node.error is not None:
        parts.append(f"ERROR {node.error}")
    if NOTES[node.root]:
        parts.append(f"({NOTES[node.root]})")
    return "  ".join(part for part in (*parts, node.ref) if part)


def escaped(text: str) -> str:
    """In one line, and without what would drive a terminal or turn the direction of writing."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text)


def shortened(text: str, length: int) -> str:
    """At most `length` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def seconds(value: float) -> str:
    """Seconds with a unit that fits."""
    for limit, unit, divisor in ((1e-3, "µs", 1e-6), (1, "ms", 1e-3), (120, "s", 1), (7200, "min", 60)):
        if abs(value) < limit:
            return f"{value / divisor:.1f} {unit}"
    return f"{value / 3600:.1f} h"
