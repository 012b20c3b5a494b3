"""event_name as a pattern: the ring, the database and fnmatch agree on what fits."""

import asyncio
import string
from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shmctx
from shmctx.names import is_pattern, literal_part, matcher

NAMES = [
    "agent:spawn", "agent:status", "Agent:spawn", "agent", "agents:spawn", "completion:async", "a*b", "a[b]c", "a]b",
    "ab", "a^b", "a-b", "a!b", "a\nb", "a\0b", "größe:x", "größer:y", "\U0010ffff", "agent:\U0010ffff",
]  # fmt: skip
PATTERNS = [
    "agent:*", "*:spawn", "agent:s????", "*", "a[b]*", "a[[]b]c", "a[!b]b", "a[^b]b", "a[*]b", "a[a-c]*", "[Aa]gent:*",
    "a[]]b", "a[!]]b", "a[b", "[", "a[c-a]b", "größe*", "agent:spawn", "nothing:*", "?", "*e*", "a\0*",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_query_by_pattern_finds_what_fnmatch_says(stores, side, pattern):
    store = stores.leaderless()
    store.put_many(NAMES)
    store = side(store)
    expected = [name for name in NAMES if fnmatchcase(name, pattern)]

    async def ask():
        return [context.event_name for context in await store.aio.query(event_name=pattern)]

    assert [context.event_name for context in store.query(event_name=pattern)] == expected
    assert asyncio.run(ask()) == expected


def test_pattern_and_other_filters_hold_together(stores, side):
    store = stores.leaderless()
    refs = [store.put(name, agent_id=agent) for name in ("a:x", "a:y", "b:x") for agent in ("p", "q")]
    store = side(store)

    found = store.query(event_name="a:*", agent_id="q", newest_first=True, limit=1)
    assert [context.ref for context in found] == [refs[3]]


TEXT = st.text(alphabet=string.ascii_lowercase[:4] + "-!^[]*?:\\\n", max_size=8)


@settings(max_examples=500)
@given(name=TEXT, pattern=TEXT)
def test_a_matcher_is_fnmatchcase(name, pattern):
    assert bool(matcher(pattern)(name)) == fnmatchcase(name, pattern)
    if fnmatchcase(name, pattern):
        assert name.startswith(literal_part(pattern))
        assert name == pattern or is_pattern(pattern)


def test_a_pattern_that_is_no_text_is_refused(stores):
    with pytest.raises(shmctx.InvalidField, match="event_name is text"):
        stores.open().query(event_name=1)
