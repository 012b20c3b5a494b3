"""Where errors came from, and what they touched."""

import msgspec

from shmctx.analysis.chain import Chain, Node


class Failure(msgspec.Struct):
    """One error, from where it began."""

    origin: Node
    """The event that failed first: no failing event below it explains its error."""
    path: list[Node]
    """From the root to the origin, both included."""
    spread: list[Node]
    """The causes of the origin that failed with it, the nearest first: handlers that waited for its result."""
    after: list[Node]
    """Other events below the same root that failed later, in the order of their times."""
    effects: int
    """Events that the origin caused, directly or not."""
    agents: list[str]
    """Of all of these, the origin's first."""


def failures(chain: Chain) -> list[Failure]:
    """The errors of a chain, oldest origin first.

    An error is put down to an event below it that failed while its own handlers still ran (or, where nobody measured
    them, at any time): handlers that wait for others fail with them. What failed later is a consequence.
    """
    origins = [node for node in chain.nodes if node.error is not None and not _explained(chain, node)]
    rows = {root.index: _failed_below(chain, root) for root in chain.roots()}
    return [
        _failure(chain, origin, rows[chain.path(origin)[0].index])
        for origin in sorted(origins, key=lambda node: (node.time_ns, node.ref))
    ]


def _explained(chain: Chain, node: Node) -> bool:
    return any(
        child.error is not None and (node.duration_ns is None or child.time_ns <= node.end_ns)
        for child in chain.children(node)
    )


def _failed_below(chain: Chain, root: Node) -> list[Node]:
    found = [node for node in (root, *chain.below(root)) if node.error is not None]
    return sorted(found, key=lambda node: (node.time_ns, node.ref))


def _failure(chain: Chain, origin: Node, failed: list[Node]) -> Failure:
    path = chain.path(origin)
    spread: list[Node] = []
    for node in reversed(path[:-1]):
        if node.error is None:
            break
        spread.append(node)
    told = {origin.index, *(node.index for node in spread)}
    after = [node for node in failed if node.index not in told and node.time_ns >= origin.time_ns]
    effects = chain.below(origin)
    touched = [node.agent_id for node in (origin, *spread, *effects, *after) if node.agent_id is not None]
    return Failure(origin, path, spread, after, len(effects), list(dict.fromkeys(touched)))
