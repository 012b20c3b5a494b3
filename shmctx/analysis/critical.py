"""The critical path: which events made a chain take as long as it did."""

import msgspec

from shmctx.analysis.chain import Chain, Node


class Step(msgspec.Struct):
    """An event on the critical path. Everything in ns."""

    node: Node
    offset_ns: int
    """From the path's begin to the event."""
    before_ns: int
    """From the event until the next step began; for the last step its own duration."""
    gap_ns: int
    """Of the time before this event, how long no earlier step was being handled, as far as durations are known."""
    after_ns: int
    """How long it was still being handled when the next step and everything below that had ended."""


class CriticalPath(msgspec.Struct):
    """The chain of causes that ends last."""

    steps: list[Step]
    begin_ns: int
    """The first step's time, since 1970."""
    total_ns: int
    """From there to the end of the last event below it."""


def critical_path(chain: Chain) -> CriticalPath | None:
    """From the root whose tree ends last, always on to the effect whose tree ends last; None for an empty chain."""
    if not chain.nodes:
        return None
    ends = chain.ends()

    def last(nodes: list[Node]) -> Node | None:
        return max(nodes, key=lambda node: (ends[node.index], node.time_ns, node.index), default=None)

    path = []
    node = last(list(chain.roots()))
    while node is not None:
        path.append(node)
        node = last(list(chain.children(node)))
    return CriticalPath(_steps(path, ends), path[0].time_ns, ends[path[0].index] - path[0].time_ns)


def _steps(path: list[Node], ends: list[int]) -> list[Step]:
    begin = handled_until = path[0].time_ns
    steps = []
    for node, following in zip(path, [*path[1:], None], strict=True):
        gap = max(node.time_ns - handled_until, 0)
        handled_until = max(handled_until, node.end_ns)
        if following is None:
            before, after = node.duration_ns or 0, 0
        else:
            before, after = max(following.time_ns - node.time_ns, 0), max(node.end_ns - ends[following.index], 0)
        steps.append(Step(node, node.time_ns - begin, before, gap, after))
    return steps
