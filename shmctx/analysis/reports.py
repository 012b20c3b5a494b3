"""Reports over many contexts, such as those of a day: frequent chains, slow handlers, bursts, unusually deep chains."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from shmctx.analysis.chain import Chain
from shmctx.analysis.facts import duration_ns, failed_handler, handlers
from shmctx.context import Context


class Frequent(msgspec.Struct):
    """A sequence of event names in which each caused the next."""

    names: list[str]
    count: int
    example: str
    """The ref of the oldest event that ends such a sequence."""


def frequent_chains(chain: Chain, *, length: int | None = None, limit: int = 20) -> list[Frequent]:
    """The sequences that occur most often, most frequent first, longer ones before shorter.

    `length` None: whole sequences, from a root to an event that caused nothing. Otherwise all stretches of `length`
    events. Each sequence is numbered by what precedes it, so counting needs no more than a step per event (or
    `length` steps).
    """
    numbers: dict[tuple[int, str], int] = {}
    steps: list[tuple[int, str]] = []
    lengths: list[int] = []

    def number(before: int, name: str) -> int:
        key = before, name
        if key not in numbers:
            numbers[key] = len(steps)
            steps.append(key)
            lengths.append(1 if before < 0 else lengths[before] + 1)
        return numbers[key]

    counts: Counter[int] = Counter()
    examples: dict[int, str] = {}
    whole: list[int] = []
    for node in chain.nodes:
        if length is None:
            found = number(-1 if node.parent is None else whole[node.parent], node.event_name)
            whole.append(found)
            if node.size > 1:
                continue
        else:
            names = _ending(chain, node.index, length)
            if len(names) < length:
                continue
            found = -1
            for name in names:
                found = number(found, name)
        counts[found] += 1
        examples[found] = min(examples.get(found, node.ref), node.ref)
    order = sorted(counts, key=lambda found: (-counts[found], -lengths[found], examples[found]))
    return [Frequent(_spelt(steps, found), counts[found], examples[found]) for found in order[:limit]]


def _ending(chain: Chain, index: int, length: int) -> list[str]:
    """The names of up to `length` events on the way down to one."""
    names: list[str] = []
    at: int | None = index
    while at is not None and len(names) < length:
        names.append(chain.nodes[at].event_name)
        at = chain.nodes[at].parent
    return names[::-1]


def _spelt(steps: Sequence[tuple[int, str]], number: int) -> list[str]:
    names = []
    while number >= 0:
        number, name = steps[number]
        names.append(name)
    return names[::-1]


class Slow(msgspec.Struct):
    """How long one handler took, or all handlers of one event name. Milliseconds; percentiles by nearest rank."""

    name: str
    count: int
    p50_ms: float
    p95_ms: float
    max_ms: float
    total_ms: float
    failed: int
    """Events in which this handler failed, or with this name that have an error."""
    slowest: str
    """The ref of the event that took longest."""


def slow_handlers(contexts: Iterable[Context], *, by_event: bool = False, limit: int = 20) -> list[Slow]:
    """What took longest by its 95th percentile, from what the event router annotated. `by_event`: all handlers of an
    event name together, instead of each handler."""
    took: dict[str, list[tuple[float, str]]] = {}
    failed: Counter[str] = Counter()
    for context in contexts:
        if by_event:
            duration = duration_ns(context)
            durations = {} if duration is None else {context.event_name: duration / 1e6}
            failed[context.event_name] += context.error_text is not None
        else:
            durations = handlers(context)
            if (name := failed_handler(context)) is not None:
                failed[name] += 1
        for name, milliseconds in durations.items():
            took.setdefault(name, []).append((milliseconds, context.ref))
    rows = [_slow(name, samples, failed[name]) for name, samples in took.items()]
    return sorted(rows, key=lambda row: (-row.p95_ms, row.name))[:limit]


def _slow(name: str, samples: list[tuple[float, str]], failed: int) -> Slow:
    samples.sort()
    values = [value for value, _ in samples]
    return Slow(
        name, len(values), _rank(values, 0.5), _rank(values, 0.95), values[-1], sum(values), failed, samples[-1][1]
    )  # fmt: skip


def _rank(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


class Burst(msgspec.Struct):
    """A stretch of time with many more events than is usual."""

    begin_ns: int
    end_ns: int
    """The first and the last event's time, since 1970."""
    events: int
    rate: float
    """Events a second, over whole windows."""
    usual: float
    """The same in the median window of all that was looked at."""
    by_name: dict[str, int]
    """Its most frequent event names."""
    by_agent: dict[str, int]


def bursts(
    contexts: Iterable[Context], *, window: float = 1.0, factor: float = 4.0, least: int = 20, limit: int = 20
) -> list[Burst]:
    """Runs of neighbouring windows (`window` seconds, aligned to the clock) with at least `least` events each, and
    `factor` times as many as the median window from the first event to the last; the largest first."""
    width = max(round(window * 1e9), 1)
    filled: dict[int, list[Context]] = {}
    for context in contexts:
        filled.setdefault(context.time_ns // width, []).append(context)
    if not filled:
        return []
    usual = _median_window(filled)
    busy = sorted(number for number, row in filled.items() if len(row) >= max(least, factor * usual))
    runs: list[list[int]] = []
    for number in busy:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    found = [_burst([context for number in run for context in filled[number]], run, width, usual) for run in runs]
    return sorted(found, key=lambda burst: (-burst.events, burst.begin_ns))[:limit]


def _median_window(filled: dict[int, list[Context]]) -> float:
    """The median of events in a window, those without any included."""
    windows = max(filled) - min(filled) + 1
    if 2 * (windows - len(filled)) > windows:
        return 0.0
    return float(statistics.median([0] * (windows - len(filled)) + [len(row) for row in filled.values()]))


def _burst(contexts: list[Context], run: list[int], width: int, usual: float) -> Burst:
    seconds = width / 1e9
    return Burst(
        begin_ns=min(context.time_ns for context in contexts),
        end_ns=max(context.time_ns for context in contexts),
        events=len(contexts),
        rate=len(contexts) / (len(run) * seconds),
        usual=usual / seconds,
        by_name=dict(Counter(context.event_name for context in contexts).most_common(5)),
        by_agent=dict(Counter(context.agent_id for context in contexts if context.agent_id).most_common(5)),
    )


class Deep(msgspec.Struct):
    """A correlation whose chain is deeper than is usual."""

    correlation_id: str
    depth: int
    """Of its deepest event, as the context says it: its causes may be older than what was looked at."""
    usual: float
    """The median depth of all correlations that were looked at."""
    events: int
    """That were looked at."""
    deepest: str
    """The ref of the deepest event."""
    begins_with: str
    """The name of its oldest event that was looked at."""
    repeats: dict[str, int]
    """Event names that occur more than once, most first: what emits itself again and again shows here."""


def deep_chains(contexts: Iterable[Context], *, least: int = 10, factor: float = 3.0, limit: int = 20) -> list[Deep]:
    """Correlations of at least depth `least`, and `factor` times the median depth; the deepest first."""
    members: dict[str, list[Context]] = {}
    for context in contexts:
        members.setdefault(context.correlation_id, []).append(context)
    deepest = {name: max(row, key=lambda context: context.depth) for name, row in members.items()}
    usual = float(statistics.median(context.depth for context in deepest.values())) if deepest else 0.0
    found = [
        _deep(members[name], context, usual)
        for name, context in deepest.items()
        if context.depth >= max(least, factor * usual)
    ]
    return sorted(found, key=lambda deep: (-deep.depth, deep.correlation_id))[:limit]


def _deep(members: list[Context], deepest: Context, usual: float) -> Deep:
    counted = Counter(context.event_name for context in members).most_common(5)
    oldest = min(members, key=lambda context: context.position)
    repeats = {name: count for name, count in counted if count > 1}
    return Deep(
        deepest.correlation_id, deepest.depth, usual, len(members), deepest.ref, oldest.event_name, repeats
    )  # fmt: skip
