"""Sessions by their id: the newest data, everything that belongs to them, drained or not."""

import asyncio
import time

import pytest

import shmctx
from shmctx.errors import SessionNotFound

BEGIN = float(int(time.time()) - 1000)


@pytest.fixture
def told(stores, side):
    """A session of two turns, whose data grew in the second; and another session."""
    store = stores.leaderless()
    with store.span("turn", agent_id="a-1", session={"id": "s-1", "topic": "one"}, timestamp=BEGIN + 100):
        store.put("late", agent_id="a-3", timestamp=BEGIN + 250)
        store.put("reply", agent_id="a-2", timestamp=BEGIN + 101, response_ref="resp:1")
    with store.span("turn", agent_id="a-1", session={"id": "s-1", "topic": "two", "n": 2}, timestamp=BEGIN + 200):
        ref = store.put("reply", agent_id="a-2", timestamp=BEGIN + 201)
    store.annotate(ref, response_ref="resp:2")
    store.put("other", session={"id": "s-2"}, timestamp=BEGIN + 300)
    return side(store)


def test_a_session_has_all_that_belongs_to_it(told):
    session = told.session("s-1")

    assert session.data == {"id": "s-1", "topic": "two", "n": 2}
    assert [each.event_name for each in session.events] == ["turn", "late", "reply", "turn", "reply"]
    assert [each.timestamp for each in session.chain] == [BEGIN + after for after in (100, 101, 200, 201, 250)]
    assert (session.first_activity, session.last_activity) == (BEGIN + 100, BEGIN + 250)
    assert session.agents == ["a-1", "a-2", "a-3"]
    assert session.response_refs == ["resp:1", "resp:2"]
    assert session.to_dict()["chain"] == [each.ref for each in session.chain]


def test_an_awaited_session_is_the_same(told):
    awaited = asyncio.run(told.aio.session("s-1"))

    assert awaited == told.session("s-1")


def test_an_unknown_session_is_said(told):
    for look in (told.session, lambda name: asyncio.run(told.aio.session(name))):
        with pytest.raises(SessionNotFound, match="'s-3'") as caught:
            look("s-3")
        assert isinstance(caught.value, KeyError)
        assert caught.value.hint


@pytest.mark.parametrize("wrong", [None, 5, b"s-1", "\ud800"])
def test_what_cannot_be_an_id_is_said(told, wrong):
    with pytest.raises((SessionNotFound, shmctx.InvalidField)):
        told.session(wrong)


def test_the_empty_id_is_as_good_as_any(stores, side):
    store = stores.leaderless()
    try:
        store.put("x", session={"id": ""})
    except shmctx.InvalidField:
        with pytest.raises(SessionNotFound):
            store.session("")
    else:
        assert len(side(store).session("").events) == 1
