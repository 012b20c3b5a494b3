"""The registry: runtime objects by name."""

import pytest
from running import run

import shmctx
from shmctx.errors import NotRegistered
from shmctx.events import Registry


def test_objects_by_name():
    registry = Registry()
    state = registry.register("state", object())
    assert registry["state"] is state
    assert (list(registry), len(registry), "state" in registry, "other" in registry) == (["state"], 1, True, False)
    assert registry.get("other") is None
    assert registry.unregister("state") is state
    with pytest.raises(NotRegistered, match=r"'state'; registered: nothing"):
        registry["state"]
    with pytest.raises(KeyError):
        registry.unregister("state")


def test_a_name_has_one_object_unless_told_otherwise():
    registry = Registry()
    first, second = object(), object()
    registry.register("state", first)
    registry.register("state", first)
    with pytest.raises(shmctx.InvalidField, match="state"):
        registry.register("state", second)
    assert registry["state"] is first
    registry.register("state", second, replace=True)
    assert registry["state"] is second


@pytest.mark.parametrize("name", ["", None, 3, "data", "context", "event", "event_name"])
def test_names_that_cannot_be_given(name):
    with pytest.raises(shmctx.InvalidField):
        Registry().register(name, object())


def test_handlers_get_what_is_registered_when_the_event_comes(store, router):
    """Registration and replacement after the handler, and between events, included."""

    @router.on("x")
    async def handler(data, *, state):
        return state

    results = run(router.emit("x"))
    (failure,) = results.errors
    assert isinstance(failure.error, NotRegistered)
    assert "'state'" in store[results.ref].error_message
    router.registry.register("state", "first")
    assert run(router.emit("x")) == ["first"]
    router.registry.register("state", "second", replace=True)
    assert run(router.emit("x")) == ["second"]
    router.registry.unregister("state")
    assert len(run(router.emit("x")).errors) == 1
