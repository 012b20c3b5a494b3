"""A chain as a Mermaid flowchart, for documents that draw Mermaid (GitHub, GitLab, many wikis)."""

from shmctx.analysis.chain import Chain, Node
from shmctx.analysis.critical import critical_path
from shmctx.analysis.text import NOTES, escaped, seconds, shortened

LIMIT = 240
"""Events that are drawn. Renderers refuse flowcharts of more than 500 edges (Mermaid's `maxEdges`), and every event has
up to two."""
MAX_TEXT = 50_000
"""Characters that renderers accept (Mermaid's `maxTextSize`)."""
_LABEL = 80  # characters of a label's line


def mermaid(chain: Chain, *, limit: int = LIMIT) -> str:
    """The flowchart; the critical path is drawn bold, errors red. Of larger chains the first `limit` events are drawn
    (fewer if their labels are too long), nearest to the roots first; what each of them caused beyond that is one box
    with a number."""
    while len(text := _flowchart(chain, max(limit, 1))) > MAX_TEXT and limit > 1:
        limit //= 2
    return text


def _flowchart(chain: Chain, limit: int) -> str:
    shown = _nearest(chain, limit)
    critical = critical_path(chain)
    bold = {step.node.index for step in critical.steps} if critical else set()
    lines = ["flowchart TD"]
    for index in sorted(shown):
        node = chain.nodes[index]
        lines.append(f'    n{index}["{_label(chain, node)}"]{":::error" if node.error is not None else ""}')
        if node.parent is not None:
            lines.append(f"    n{node.parent} {'==>' if index in bold else '-->'} n{index}")
        hidden = sum(child.size for child in chain.children(node) if child.index not in shown)
        if hidden:
            lines += [f'    m{index}["{hidden} more"]:::more', f"    n{index} -.-> m{index}"]
    unseen = sum(root.size for root in chain.roots() if root.index not in shown)
    if unseen:
        lines.append(f'    more["{unseen} more"]:::more')
    lines += ["    classDef error stroke:#c00,stroke-width:2px", "    classDef more stroke-dasharray:4"]
    return "\n".join(lines) + "\n"


def _nearest(chain: Chain, limit: int) -> set[int]:
    """The first `limit` nodes by level: whose parent is not drawn is not drawn either."""
    ordered = sorted(chain.nodes, key=lambda node: (node.level, node.index))
    return {node.index for node in ordered[:limit]}


def _label(chain: Chain, node: Node) -> str:
    lines = [node.event_name, f"{node.agent_id or ''} +{seconds(chain.offset(node))}".strip()]
    if node.duration_ns is not None:
        lines[1] += f", took {seconds(node.duration_ns / 1e9)}"
    lines += [text for text in (node.error, NOTES[node.root]) if text]
    return "<br/>".join(map(quoted, lines))


def quoted(text: str) -> str:
    """Any text inside a quoted label: whatever is not a letter, a digit or harmless is written as its number."""
    cut = shortened(escaped(text), _LABEL)
    return "".join(
        character if character.isalnum() or character in " .,:-_+/…" else f"#{ord(character)};" for character in cut
    )
