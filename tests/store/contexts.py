"""Hypothesis strategies for everything that put() takes."""

from hypothesis import strategies as st

text = st.text(st.characters(codec="utf-8"), max_size=12)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
some_text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
integers = st.integers(-(1 << 63), (1 << 64) - 1)
numbers = integers | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
hexes = st.integers(0, (1 << 32) - 1).map("{:08x}".format)


def ids(prefix: str) -> st.SearchStrategy[str]:
    return hexes.map(prefix.__add__) | some_text | hexes | some_text.map(prefix.__add__)


custom = st.dictionaries(st.sampled_from(["_a", "_b", "_trial", "_ünïcode", "_user", "_ids"]), values, max_size=3)
sessions = st.builds(
    lambda sid, standard, rest: {**rest, **standard, "id": sid},
    st.sampled_from(["s-1", "s-2", "s-3"]) | some_text,
    st.fixed_dictionaries(
        {},
        optional={
            "agent_id": text,
            "created_at": numbers,
            "sandbox_uuid": st.uuids().map(str) | text,
        },
    ),
    st.dictionaries(text, values, max_size=2),
)
optional = st.fixed_dictionaries(
    {},
    optional={
        "agent_id": some_text,
        "client_id": some_text,
        "session": sessions,
        "event_id": ids("evt_"),
        "correlation_id": ids("corr_"),
        "parent_event_id": ids("evt_"),
        "root_event_id": ids("evt_"),
        "depth": st.integers(0, (1 << 32) - 1),
        "time_ns": st.integers(1, (1 << 63) - 1),
        "user_id": text,
        "tenant_id": text,
        "environment": text,
        "tags": st.lists(text, max_size=3),
        "error": values,
        "error_type": text,
        "error_message": text,
        "response_ref": text,
    },
)
fields = st.builds(lambda standard, own: {**standard, **own}, optional, custom)
annotations = st.builds(
    lambda standard, own: {**standard, **own},
    st.fixed_dictionaries(
        {}, optional={"error": values.filter(lambda value: value is not None), "tags": st.lists(text, max_size=2)}
    ),
    custom,
).filter(bool)
