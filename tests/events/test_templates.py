"""Templates: what the data of an event must look like."""

from typing import Any, Literal

import pytest
from running import run

import shmctx
from shmctx.errors import EventInvalid


def positive(value):
    if value <= 0:
        raise ValueError(f"{value} is not above 0")


def test_data_that_fits_passes_as_it_is(store, router):
    router.template(
        "agent:spawn",
        required={"agent_id": str, "depth": int, "ratio": float, "tags": list[str], "kind": Literal["a", "b"]},
        optional={"parent": str | None, "more": dict[str, Any]},
        validators={"depth": positive, "agent_id": str.isascii},
    )
    router.on("*")(lambda data: data)
    data = {"agent_id": "a", "depth": 1, "ratio": 2, "tags": ["t"], "kind": "b", "parent": None, "free": object}
    data["free"] = 3
    results = run(router.emit("agent:spawn", data))
    assert results == [data]
    assert type(results[0]["ratio"]) is int


def test_every_problem_is_listed_and_nothing_is_stored(store, router):
    router.template(
        "agent:spawn",
        required={"agent_id": str, "name": str, "depth": int},
        optional={"tags": list[str], "mode": str, "model": str},
        validators={"depth": positive, "mode": lambda value: value in ("fast", "slow"), "model": lambda _: 1 / 0},
    )
    called = []
    router.on("*")(lambda: called.append(1))
    data = {"agent_id": 3, "depth": -1, "tags": ["a", 2], "mode": "odd", "model": "m"}
    with pytest.raises(EventInvalid) as refused:
        run(router.emit("agent:spawn", data))
    assert refused.value.problems == (
        "name is missing",
        "agent_id is not as declared: Expected `str`, got `int`",
        "depth is refused: -1 is not above 0",
        "tags is not as declared: Expected `str`, got `int` - at `$[1]`",
        "mode is refused by its validator",
        "model is refused: division by zero",
    )
    for problem in refused.value.problems:
        assert problem in str(refused.value)
    assert isinstance(refused.value, shmctx.PutError)
    assert (called, len(store)) == ([], 0)


def test_true_is_no_number(router):
    router.template("x", required={"n": int})
    with pytest.raises(EventInvalid):
        run(router.emit("x", {"n": True}))


def test_an_event_without_data_lacks_what_is_required(router):
    router.template("x", required={"n": int})
    with pytest.raises(EventInvalid, match="n is missing"):
        run(router.emit("x"))


def test_other_fields_are_allowed_unless_the_template_says_otherwise(router):
    router.template("open", optional={"a": int})
    router.template("closed", optional={"a": int}, extra=False)
    assert run(router.emit("open", {"b": 1})).errors == []
    with pytest.raises(EventInvalid, match="b is not declared"):
        run(router.emit("closed", {"a": 1, "b": 1}))


def test_metadata_is_no_field_of_a_closed_template(router):
    router.template("closed", optional={"a": int}, extra=False)
    assert run(router.emit("closed", {"a": 1, "_agent_id": "a"})).context.agent_id == "a"


def test_all_templates_whose_pattern_fits_hold(router):
    router.template("agent:*", required={"agent_id": str})
    router.template("agent:spawn", required={"profile": str})
    with pytest.raises(EventInvalid, match="agent_id is missing"):
        run(router.emit("agent:ready", {}))
    with pytest.raises(EventInvalid) as refused:
        run(router.emit("agent:spawn", {}))
    assert refused.value.problems == ("agent_id is missing", "profile is missing")
    assert run(router.emit("other")).errors == []


def test_a_template_declared_later_holds_from_then_on(router):
    assert run(router.emit("x")).errors == []
    router.template("x", required={"n": int})
    with pytest.raises(EventInvalid):
        run(router.emit("x"))


def test_a_handler_that_emits_what_does_not_fit_has_failed(store, router):
    router.template("y", required={"n": int})

    @router.on("x")
    async def handler():
        await router.emit("y", {})

    (failure,) = run(router.emit("x")).errors
    assert isinstance(failure.error, EventInvalid)
    assert store.query(event_name="y") == []


@pytest.mark.parametrize(
    "declared",
    [
        {"required": {"a": "no type"}},
        {"optional": {"a": 3}},
        {"optional": {}, "validators": {"b": positive}, "extra": False},
    ],
)
def test_templates_that_cannot_be_declared(router, declared):
    with pytest.raises(shmctx.InvalidField):
        router.template("x", **declared)
    with pytest.raises(shmctx.InvalidField):
        router.template("", required={})
    assert run(router.emit("x", {"a": 1})).errors == []
