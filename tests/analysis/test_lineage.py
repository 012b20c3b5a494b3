"""Lineage in a store, drained or not, against a model that follows the definition over all contexts."""

import asyncio
import random

import pytest
from made import refs

import shmctx


def forest(store, dice, count, stores, drain_at=()):
    """Put contexts whose parents are others before or after them, themselves, or unknown, in four correlations.

    Half of the ids are brought. Returns the contexts.
    """
    found = []
    brought = [f"id-{n}" if n % 4 == 0 else f"evt_{n:08x}" if n % 4 == 1 else None for n in range(count)]
    for number, own in enumerate(brought):
        if number in drain_at:
            stores.drain()
        fields = {"correlation_id": f"corr-{dice.randrange(4)}"}
        pick = dice.random()
        if pick < 0.55 and found:
            fields["parent"] = dice.choice(found[-10:])
        elif pick < 0.8:  # an id that was brought before, will be brought later, or never
            fields["parent_event_id"] = dice.choice([each for each in brought if each] + ["gone"])
        found.append(store.put(f"event:{number}", event_id=own, **fields))
        if dice.random() < 0.2:
            store.annotate(dice.choice(found), _note=number)
    return [store[ref] for ref in found]


class Model:
    """What the definition says, slowly."""

    def __init__(self, contexts):
        self.contexts = contexts
        self.by_identity = {each.identity: each for each in contexts}

    def children(self, context):
        return [each for each in self.contexts if each.parent_identity == context.identity]

    def siblings(self, context):
        if context.parent_identity is None:
            return []
        same = [each for each in self.contexts if each.parent_identity == context.parent_identity]
        return [each for each in same if each.ref != context.ref]

    def ancestors(self, context):
        found, at = [], context
        while (at := self.by_identity.get(at.parent_identity)) is not None:
            if at.ref in [context.ref, *(each.ref for each in found)]:
                break
            found.append(at)
        return found

    def descendants(self, context, levels=10**9):
        found, row = {}, [context]
        while row and levels:
            levels -= 1
            row = [each for cause in row for each in self.children(cause) if each.ref not in {context.ref, *found}]
            row = list({each.ref: each for each in row}.values())
            found |= {each.ref: each for each in row}
        return sorted(found.values(), key=lambda each: each.position)


def check(store, model, dice):
    for context in dice.sample(model.contexts, 15):
        assert store.children(context.ref) == model.children(context)
        assert store.siblings(context.ref) == model.siblings(context)
        assert store.ancestors(context.ref) == model.ancestors(context)
        assert store.descendants(context.ref) == model.descendants(context)
        levels = dice.randrange(4)
        assert store.descendants(context.ref, max_depth=levels) == model.descendants(context, levels)


def test_lineage_is_what_the_definition_says(stores, side, seed):
    dice = random.Random(seed)
    store = stores.leaderless()
    model = Model(forest(store, dice, 100, stores))

    check(side(store), model, dice)


def test_lineage_of_what_is_partly_drained(stores, seed):
    """Effects that are hot below causes that are cold, and the other way round."""
    dice = random.Random(seed)
    store = stores.leaderless()
    model = Model(forest(store, dice, 100, stores, drain_at=(30, 70)))

    check(store, model, dice)


def test_lineage_of_what_has_left_the_ring(stores, seed):
    """The ring holds the last few of them only."""
    dice = random.Random(seed)
    store = stores.open(16384)
    contexts = forest(store, dice, 250, stores)
    assert store.get_bytes(contexts[0].ref) is None
    assert store.get_bytes(contexts[-1].ref) is not None
    store.flush()
    contexts = [store[each.ref] for each in contexts]

    check(store, Model(contexts), dice)


def test_awaited_lineage_is_the_same(stores, side, seed):
    dice = random.Random(seed)
    store = stores.leaderless()
    contexts = forest(store, dice, 60, stores, drain_at=(30,))
    store = side(store)

    async def compare():
        for context in dice.sample(contexts, 10):
            assert await store.aio.siblings(context.ref) == store.siblings(context.ref)
            assert await store.aio.ancestors(context.ref) == store.ancestors(context.ref)
            assert await store.aio.descendants(context.ref) == store.descendants(context.ref)

    asyncio.run(compare())


@pytest.mark.parametrize("brought", [False, True])
def test_a_chain_longer_than_python_s_stack(stores, side, brought):
    store = stores.leaderless()
    chain = [store.put("event", event_id="e-0" if brought else None)]
    for number in range(1, 2500):
        chain.append(store.put("event", parent=chain[-1], event_id=f"e-{number}" if brought else None))
    store = side(store)

    assert refs(store.descendants(chain[0])) == refs(store[ref] for ref in chain[1:])
    assert refs(store.ancestors(chain[-1])) == refs(store[ref] for ref in chain[-2::-1])
    assert len(store.descendants(chain[0], max_depth=7)) == 7


def test_a_sibling_needs_no_parent_that_exists(stores, side):
    store = stores.leaderless()
    one, two = (store.put("x", parent_event_id="never-put") for _ in range(2))
    store = side(store)

    assert refs(store.siblings(one)) == refs([store[two]])
    with pytest.raises(shmctx.ContextNotFound):
        store.siblings("never-put")
