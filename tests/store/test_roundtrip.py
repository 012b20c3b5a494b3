"""Any legal combination of fields is the same context in the ring, in the database, and in a ring filled from it."""

import hypothesis
from contexts import annotations, fields, names
from hypothesis import given
from hypothesis import strategies as st

import shmctx
from shmctx import records

# Not shrunk: every try goes to the disk, and examples are small.
QUICK = hypothesis.settings(
    deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck), phases=[hypothesis.Phase.generate]
)
drafts = st.lists(st.tuples(names, fields, st.integers(0, 3), st.none() | annotations), min_size=1, max_size=4)


def put_all(store, items):
    """Put each below one of those before it (or below none), and annotate it where the example says so."""
    refs = []
    for name, given_fields, back, annotation in items:
        named = 0 < back <= len(refs) and "parent_event_id" not in given_fields
        parent = {"parent": refs[-back]} if named else {}
        refs.append(store.put(name, **given_fields, **parent))
        if annotation:
            store.annotate(refs[-1], **annotation)
    return refs


def given_back(context, given_fields):
    """What was given is what is shown, up to None, which means not given."""
    wire = context.to_dict()
    for name, value in given_fields.items():
        if name.startswith("_"):
            assert wire[name] == value
        elif value is not None and name != "time_ns":
            assert getattr(context, name) == value, name
    if "time_ns" in given_fields:
        assert context.time_ns == given_fields["time_ns"]


def test_hot_and_cold_are_equal(stores, seed):
    store = stores.open(4 << 20)

    @hypothesis.seed(seed)
    @hypothesis.settings(QUICK, max_examples=120)
    @given(drafts)
    def check(items):
        refs = put_all(store, [(*item[:3], None) for item in items])
        store.flush(timeout=30)
        for ref, (name, given_fields, *_) in zip(refs, items, strict=True):
            hot, cold = store[ref], stores.cold(store, ref)
            assert hot == cold
            assert records.decode_context(store.get_bytes(ref)).event_name == name
            assert hot.to_dict() == cold.to_dict()
            given_back(hot, given_fields)

    check()


def test_a_ring_filled_from_the_database_has_the_same_records(stores, seed):
    @hypothesis.seed(seed)
    @hypothesis.settings(QUICK, max_examples=25)
    @given(drafts)
    def check(items):
        with opened() as store:
            refs = put_all(store, items)
            before = [(store[ref], store[ref].to_dict(), decoded(store, ref)) for ref in refs]
        shmctx.unlink(stores.name)
        with opened() as store:
            for ref, (context, wire, stored) in zip(refs, before, strict=True):
                assert decoded(store, ref) == stored
                assert store[ref] == context
                assert store[ref].to_dict() == wire

    def opened():
        return shmctx.open(stores.name, db=stores.database, ring_size=1 << 16)

    def decoded(store, ref):
        return records.decode_context(store.get_bytes(ref))

    check()
