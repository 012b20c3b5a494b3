"""The store against a dict and a list: puts, annotations, drains, restarts, lost segments, in any order."""

import os
import secrets
import shutil
import tempfile
from pathlib import Path

import contexts
import hypothesis
from hypothesis import stateful
from hypothesis import strategies as st
from stores import SMALL, Stores

import shmctx

AGENTS = st.sampled_from(["a", "b", None])
NAMES = st.sampled_from(["start", "step", "end"])
INHERITED = ("_agent_id", "_session", "_correlation_id", "_root_event_id", "_k")
PICK = st.integers(0, 1 << 16)


class StoreAgainstModel(stateful.RuleBasedStateMachine):
    """`wire` is the model: ref to what to_dict() must give; its order is the order of the puts."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        name = f"{os.environ['SHMCTX_TEST_SESSION']}-{secrets.token_hex(4)}"
        self.stores = Stores(name, self.folder / "contexts.db")
        self.store = self.stores.leaderless(SMALL)
        self.wire = {}

    def teardown(self):
        self.stores.exit.close()
        shmctx.unlink(self.stores.name)
        shutil.rmtree(self.folder)

    def chosen(self, pick):
        return list(self.wire)[pick % len(self.wire)]

    def drained_when_full(self, call):
        try:
            return call()
        except shmctx.RingFull:
            self.stores.drain()
            return call()

    def put_below(self, parent, name, agent, fields):
        given = {"parent": parent} if parent else {}
        ref = self.drained_when_full(lambda: self.store.put(name, agent_id=agent, **given, **fields))
        above = self.wire.get(parent, {})
        inherited = {name: above[name] for name in INHERITED if name in above}
        own = {"_agent_id": agent, "_session": fields.get("session"), "_k": fields.get("_k")}
        self.wire[ref] = {
            "_correlation_id": f"corr_{ref[4:]}", "_root_event_id": f"evt_{ref[4:]}",
            **inherited, **{k: v for k, v in own.items() if v is not None},
            "_ref": ref, "_event_id": f"evt_{ref[4:]}", "_event_name": name,
            "_event_depth": above.get("_event_depth", -1) + 1,
            **({"_parent_event_id": above["_event_id"]} if above else {}),
        }  # fmt: skip

    @stateful.rule(name=NAMES, agent=AGENTS, session=st.sampled_from(["s", "t", None]), k=st.none() | st.integers(0, 3))
    def put(self, name, agent, session, k):
        fields = {"session": {"id": session, "n": 1}} if session else {}
        self.put_below(None, name, agent, fields | ({"_k": k} if k is not None else {}))

    @stateful.precondition(lambda self: self.wire)
    @stateful.rule(pick=PICK, name=NAMES, agent=AGENTS)
    def put_child(self, pick, name, agent):
        self.put_below(self.chosen(pick), name, agent, {})

    @stateful.precondition(lambda self: self.wire)
    @stateful.rule(pick=PICK, value=contexts.values.filter(lambda value: value is not None))
    def annotate(self, pick, value):
        ref = self.chosen(pick)
        self.drained_when_full(lambda: self.store.annotate(ref, _noted=value))
        self.wire[ref]["_noted"] = value

    @stateful.rule(count=st.integers(1, 40))
    def fill(self, count):
        for _ in range(count):
            self.put_below(None, "filler", None, {})

    @stateful.rule()
    def drain(self):
        self.stores.drain()

    @stateful.rule()
    def attach_again(self):
        self.store.close()
        self.store = self.stores.attach()

    @stateful.rule()
    def lose_the_segment(self):
        """As in a reboot after a drain: the ring comes back from the database."""
        self.stores.drain()
        self.store.close()
        shmctx.unlink(self.stores.name)
        self.store = self.stores.leaderless(SMALL)

    @stateful.precondition(lambda self: self.wire)
    @stateful.rule(pick=PICK)
    def look_up(self, pick):
        ref = self.chosen(pick)
        context = self.store[ref]
        assert self.shown(context) == self.wire[ref]
        children = [r for r, wire in self.wire.items() if wire.get("_parent_event_id") == self.wire[ref]["_event_id"]]
        assert [child.ref for child in self.store.children(ref)] == children
        parent = self.wire[ref].get("_parent_event_id")
        assert [a.event_id for a in self.store.ancestors(ref)][:1] == ([parent] if parent else [])

    @stateful.rule(agent=AGENTS, name=NAMES | st.none(), session=st.sampled_from(["s", "t", None]))
    def query(self, agent, name, session):
        filters = {"agent_id": agent, "event_name": name, "session_id": session}
        wanted = [
            ref
            for ref, wire in self.wire.items()
            if (agent is None or wire.get("_agent_id") == agent)
            and (name is None or wire["_event_name"] == name)
            and (session is None or wire.get("_session", {}).get("id") == session)
        ]
        assert [context.ref for context in self.store.query(**filters)] == wanted

    @stateful.invariant()
    def all_are_there_in_order(self):
        assert list(self.store) == list(self.wire)

    def shown(self, context):
        return {name: value for name, value in context.to_dict().items() if name != "_event_timestamp"}


def test_the_store_behaves_as_its_model(seed):
    limits = hypothesis.settings(
        max_examples=8, stateful_step_count=25, deadline=None, database=None,
        suppress_health_check=list(hypothesis.HealthCheck), phases=[hypothesis.Phase.generate],
    )  # fmt: skip
    stateful.run_state_machine_as_test(hypothesis.seed(seed)(StoreAgainstModel), settings=limits)
