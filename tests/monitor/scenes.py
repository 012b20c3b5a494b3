"""Stores with random events, and what is known of each: the same answers are due wherever the events are."""

import random
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import pytest

import shmctx

NAMES = ["agent:spawn", "agent:status", "agent:[x]", "completion:result", "Ägypten:sonne", "a"]
AGENTS = [None, "a-1", "a-2", "Needle-agent"]
WORDS = ["needle", "NEEDLE", "née", 'quote"d', "back\\slash", "tab\tbed", "plain", "lorem ipsum", "42", "straße"]
FAILURES: list[dict[str, Any]] = [
    {"error": True}, {"error": False}, {"error_type": "ValueError"}, {"error_message": "needle in it"}, {"error": 0},
]  # fmt: skip
LARGE = 400  # bytes: from here on a field is stored by itself


class Put(NamedTuple):
    """What was put, as it was said."""

    ref: str
    fields: dict[str, Any]
    data: dict[str, Any] | None
    notes: list[dict[str, Any]]

    @property
    def in_error(self) -> bool:
        return any(
            said.get("error", False) is not False or "error_type" in said or "error_message" in said
            for said in (self.fields, *self.notes)
        )


class Scene:
    """A store and all that was put into it, oldest first."""

    def __init__(self, stores: Any, seed: int, place: str) -> None:
        self.random = random.Random(seed)
        self.stores = stores
        self.place = place
        self.store = stores.leaderless(large_size=LARGE)
        self.puts: list[Put] = []

    def fill(self, count: int) -> "Scene":
        """Put so many, annotate some, and bring them where the scene wants them."""
        for number in range(count):
            if self.place == "half" and number == count // 2:
                self.stores.drain()
            self.puts.append(self._put(number))
            if self.random.random() < 0.4:
                self._annotate(self.random.choice(self.puts))
        if self.place == "annotated later":
            self.stores.drain()
            for put in self.random.sample(self.puts, count // 4):
                self._annotate(put)
        if self.place in ("cold", "rehydrated"):
            self.stores.drain()
            self.store.close()
            shmctx.unlink(self.stores.name)
            self.stores.open(rehydrate=self.place == "rehydrated").close()
            self.store = self.stores.attach(large_size=LARGE)
        return self

    def _put(self, number: int) -> Put:
        choose = self.random.choice
        fields: dict[str, Any] = {
            "event_name": choose(NAMES),
            "agent_id": choose(AGENTS),
            "session": choose([None, {"id": "s-1"}, {"id": "Needle-session"}]),
            "timestamp": 1_795_000_000.0 + number,
            "_word": choose([None, *WORDS]),
            "event_id": choose([None, None, f"evt_{self.random.randrange(1 << 32):08x}", f"brought-{number}"]),
            "parent": choose([None, *(put.ref for put in self.puts[-5:])]),
            **(choose(FAILURES) if self.random.random() < 0.2 else {}),
        }
        fields = {name: value for name, value in fields.items() if value is not None}
        return Put(self.store.put(data=(data := self._data()), **fields), fields, data, [])

    def _data(self) -> dict[str, Any] | None:
        choose = self.random.choice
        kind = self.random.random()
        if kind < 0.3:
            return None
        if kind < 0.45:
            return {"prompt": "x" * LARGE + choose(WORDS), "n": 1}
        return {"deep": [{"word": choose(WORDS)}, self.random.randrange(100)], "ok": True}

    def _annotate(self, put: Put) -> None:
        note = self.random.choice([{"_duration_ms": 1.5}, {"_noted": self.random.choice(WORDS)}, *FAILURES])
        self.store.annotate(put.ref, **note)
        put.notes.append(note)

    def expected(self, **filters: Any) -> list[str]:
        """Refs of what fits, found by looking at each."""
        found = [put.ref for put in self.puts if self._fits(put, filters)]
        if filters.get("newest_first"):
            found.reverse()
        if filters.get("after"):
            order = [put.ref for put in self.puts][:: -1 if filters.get("newest_first") else 1]
            rest = set(order[order.index(filters["after"]) + 1 :])
            found = [ref for ref in found if ref in rest]
        return found[: filters.get("limit")]

    def _fits(self, put: Put, filters: dict[str, Any]) -> bool:
        fields = put.fields
        own = self.store[put.ref]
        return (
            ("event_name" not in filters or fnmatchcase(fields["event_name"], filters["event_name"]))
            and ("agent_id" not in filters or own.agent_id == filters["agent_id"])
            and ("session_id" not in filters or own.session_id == filters["session_id"])
            and ("correlation_id" not in filters or own.correlation_id == filters["correlation_id"])
            and ("parent" not in filters or own.parent_event_id == self.store[filters["parent"]].event_id)
            and ("errors" not in filters or put.in_error is filters["errors"])
            and ("since" not in filters or fields["timestamp"] >= filters["since"])
            and ("until" not in filters or fields["timestamp"] < filters["until"])
            and ("text" not in filters or self._says(put, filters["text"]))
        )

    def _says(self, put: Put, text: str) -> bool:
        own = self.store[put.ref]
        ids = [own.event_id, own.correlation_id, own.parent_event_id, own.root_event_id]
        brought = [name for name in ids if name is not None and not _native(name)]
        said = [own.event_name, own.agent_id, own.client_id, own.session_id, *brought, *leaves([own.more, own.noted])]
        said += leaves(put.data)
        given = {name.partition("_")[2] for name in (own.ref, *ids) if name is not None and _native(name)}
        prefix, _, rest = text.partition("_")
        whole = prefix in ("ctx", "evt", "corr") and rest in given  # one record under each of its names
        return whole or any(text.lower() in part.lower() for part in said if part is not None)


def _native(name: str) -> bool:
    return len(name.partition("_")[2]) == 16


def leaves(value: Any) -> list[str]:
    """Keys and values as text."""
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (key, *leaves(item))]
    if isinstance(value, list | tuple):
        return [text for item in value for text in leaves(item)]
    if isinstance(value, bool):
        return [str(value).lower()]
    return [] if value is None else [str(value)]


PLACES = ["hot", "half", "annotated later", "cold", "rehydrated"]


@pytest.fixture(params=PLACES)
def scene(request, stores, seed) -> Scene:
    return Scene(stores, seed, request.param)
