"""Monitor: events by filters and text, with the fields that were asked for."""

import asyncio

import pytest
from scenes import AGENTS, WORDS

import shmctx
from shmctx.events.monitor import Monitor
from shmctx.events.selection import BUNDLES

TEXTS = ["needle", "NEEDLE", "née", "NÉE", 'quote"d', "back\\slash", "tab\tbed", "lorem", "evt_", "brought-1", "e-s",
         "4", "true", "_word", "straße", "x" * 50, "nowhere at all", "corr_", "deep", "1.5", "5e"]  # fmt: skip


def refs(found):
    return [event.ref for event in found]


def test_a_text_is_found_wherever_it_stands(scene):
    """In names, ids, custom fields, annotations, data and large fields; with and without other filters."""
    scene.fill(70)
    monitor = Monitor(scene.store)
    native = scene.random.choice(scene.puts).ref
    texts = [*TEXTS, native, f"corr_{native[4:]}", f"evt_{native[4:]}", native[4:9]]

    for text in texts:
        assert refs(monitor.events(text=text)) == scene.expected(text=text), text
        for more in ({"limit": 3}, {"limit": 2, "newest_first": True}, {"agent_id": scene.random.choice(AGENTS[1:])},
                     {"errors": True}, {"event_name": "agent:*", "limit": 4}, {"after": native},
                     {"after": native, "newest_first": True, "limit": 5}):  # fmt: skip
            assert refs(monitor.events(text=text, **more)) == scene.expected(text=text, **more), (text, more)


def test_events_come_with_their_data_as_it_was_put(scene):
    scene.fill(50)
    found = Monitor(scene.store).events()

    assert [(event.ref, event.data) for event in found] == [(put.ref, put.data) for put in scene.puts]
    assert [event.context for event in found] == scene.store.query()


def test_the_awaitable_face_finds_the_same(scene):
    scene.fill(40)
    monitor = Monitor(scene.store)

    async def ask():
        for text in WORDS:
            assert refs(await monitor.aio.events(text=text)) == scene.expected(text=text)
        assert await monitor.aio.query("agent:*", fields="full") == monitor.query("agent:*", fields="full")

    asyncio.run(ask())


def test_a_text_is_found_in_every_segment_of_the_log(stores):
    """Newest first as far as is needed, oldest first, in plain and in compressed files."""
    store = stores.open(log_rotate_bytes=4096)
    made = [store.put("x", data={"n": number, "pad": "lorem" * 40, "odd": f"word{number % 2}"}) for number in range(90)]
    store.flush(timeout=30)
    store.close()
    shmctx.unlink(stores.name)
    stores.open(rehydrate=False).close()
    monitor = Monitor(stores.attach())

    assert len({path.stem for path in stores.database.with_suffix(".events").glob("0*")}) > 2
    assert refs(monitor.events(text="WORD1")) == made[1::2]
    assert refs(monitor.events(text="word0", newest_first=True, limit=20)) == made[-2::-2][:20]
    assert refs(monitor.events(text="word0", after=made[40])) == made[42::2]


@pytest.fixture
def said(stores):
    """(monitor, ref) of one event that has something in every field."""
    store = stores.leaderless()
    with store.span("agent:spawn", agent_id="a-1", session={"id": "s-1"}, data={"config": {"model": "m", "n": 3}}):
        ref = store.put("agent:status", _trial=4, tags=["t"], data={"prompt": "hello", "usage": {"tokens": 7}})
    store.annotate(ref, _duration_ms=2.5, _handlers={"h": 2.5}, error_type="ValueError")
    return Monitor(store), ref


def test_every_bundle_has_the_fields_that_it_names(said):
    monitor, ref = said
    context = monitor.store[ref]

    for bundle, names in BUNDLES.items():
        (shown,) = monitor.query("agent:status", fields=bundle)
        assert tuple(shown) == names
        assert shown["ref"] == ref
        assert shown["timestamp"] == context.timestamp
    (timing,) = monitor.query("agent:status", fields="timing")
    assert (timing["_duration_ms"], timing["_handlers"]) == (2.5, {"h": 2.5})
    (full,) = monitor.query("agent:status", fields="full")
    assert full["custom"] == {"_trial": 4, "_duration_ms": 2.5, "_handlers": {"h": 2.5}}
    assert (full["error_type"], full["session"], full["tags"]) == ("ValueError", {"id": "s-1"}, ["t"])


def test_fields_may_be_listed_by_any_of_their_names(said):
    monitor, ref = said
    names = ["_agent_id", "agent_id", "_event_depth", "_ref", "_trial", "_nothing", "data.prompt", "data.usage.tokens",
             "data.usage.tokens.more", "data.none", "session_id", "_session", "_event_timestamp"]  # fmt: skip
    (shown,) = monitor.query("agent:status", fields=names)

    assert list(shown) == names
    assert list(shown.values())[:-1] == [
        "a-1", "a-1", 1, ref, 4, None, "hello", 7, None, None, "s-1", {"id": "s-1"}
    ]  # fmt: skip
    assert monitor.query("agent:spawn", fields=["data"]) == [{"data": {"config": {"model": "m", "n": 3}}}]


@pytest.mark.parametrize(
    "fields, meant",
    [
        ("monitor", "monitoring"), (["agent"], "agent_id"), (["refs"], "ref"), (["zzz"], "One of"),
        (["data."], "data"), ([5], "One of"), (["_"], "custom _name"),
    ],
    ids=repr,
)  # fmt: skip
def test_a_field_that_does_not_exist_is_an_error_that_lists_what_does(said, fields, meant):
    with pytest.raises(shmctx.InvalidField) as caught:
        said[0].query(fields=fields)

    assert meant in caught.value.hint
    assert "debugging" in caught.value.hint or "correlation_id" in caught.value.hint


@pytest.mark.parametrize("wanted", [{"text": ""}, {"text": 5}, {"nothing": 1}, {"limit": -1}, {"errors": 1}], ids=repr)
def test_filters_that_make_no_sense_are_named(said, wanted):
    with pytest.raises(shmctx.InvalidField):
        said[0].query(**wanted)
