"""Byte strings that accompany an event, as the states of a checkpoint do: stored once, and there as long as needed."""

from apps import rows

from shmctx.payloads import Accompanied, digest

PIECE = b"no JSON, and small"
NAME = digest(PIECE)


def there(store):
    return store.run(lambda finder: finder.data.payloads([NAME])) == {NAME: PIECE}


def put(store, new=None):
    return store.put("kept", data=Accompanied({"n": 1}, (NAME,), new or {NAME: PIECE}), durable=True)


class Meanwhile(dict):
    """Does something when all of it has been looked at for the first time."""

    def __init__(self, items, then):
        super().__init__(items)
        self.then = [then]

    def items(self):
        yield from super().items()
        while self.then:
            self.then.pop()()


def test_what_accompanies_several_events_goes_with_the_last(stores, store):
    refs = [put(store) for _ in range(2)]
    assert rows(stores.database, "SELECT count(*) FROM payload") == [(1,)]
    assert [event.data for event in store.events(refs)] == [{"n": 1}] * 2

    store.forget(refs[0])
    assert there(store)
    store.forget(refs[1])
    assert not there(store)
    assert rows(stores.database, "SELECT count(*) FROM payload") == [(0,)]


def test_what_is_forgotten_while_another_event_is_put_is_stored_again(stores, store):
    """It was found in the ring, and went with the event before, a moment before this one was stored."""
    former = put(store)
    ref = put(store, Meanwhile({NAME: PIECE}, lambda: store.forget(former)))
    assert store.get(former) is None
    assert there(store)

    store.flush()
    assert rows(stores.database, "SELECT hash, length(data) > 0 FROM payload") == [(NAME, 1)]
    store.forget(ref)
    assert not there(store)
