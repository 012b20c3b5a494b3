"""KSI's embedded contexts, put with their own ids, come back as they were."""

import ksi
import pytest

COUNT = 2000


def test_a_log_s_contexts_come_back_equal(stores, side, seed):
    store = stores.leaderless(4 << 20)
    sources = ksi.embedded(seed, COUNT)
    refs = [store.put(name, **context) for name, context in sources]
    store = side(store)

    assert len(set(refs)) == len(sources) == COUNT
    for ref, (name, context) in zip(refs, sources, strict=True):
        wanted = {**context, "_event_name": name}
        assert store[ref].to_dict() == wanted
        assert store[context["_ref"]].ref == store[context["_event_id"]].ref == ref
    assert list(store) == refs


def test_a_log_s_conversations_and_agents_are_found(stores, side, seed):
    store = stores.leaderless(4 << 20)
    sources = ksi.embedded(seed, 600)
    refs = [store.put(name, **context) for name, context in sources]
    store = side(store)

    for wire, name in (("_correlation_id", "correlation_id"), ("_agent_id", "agent_id")):
        groups = {}
        for ref, (_, context) in zip(refs, sources, strict=True):
            groups.setdefault(context[wire], []).append(ref)
        for value, members in list(groups.items())[:10]:
            assert [context.ref for context in store.query(**{name: value})] == members
    for ref, (_, context) in list(zip(refs, sources, strict=True))[:50]:
        own = context["_event_id"]
        below = [child for child, (_, other) in zip(refs, sources, strict=True) if other["_parent_event_id"] == own]
        assert [child.ref for child in store.children(ref)] == below


@pytest.mark.parametrize("timestamp", [1795331471.5404649, 1.0, 0.25, 4e9, 1795331471, 8589934591.5])
def test_timestamps_keep_every_digit(stores, side, timestamp):
    store = stores.leaderless()
    ref = store.put("x", _event_timestamp=timestamp)

    assert side(store)[ref].to_dict()["_event_timestamp"] == timestamp


def test_a_time_in_nanoseconds_keeps_every_digit(stores, side):
    store = stores.leaderless()
    ref = store.put("x", time_ns=1_795_331_471_540_464_901)

    assert side(store)[ref].time_ns == 1_795_331_471_540_464_901
