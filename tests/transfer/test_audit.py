"""What the audit finds, and what it lets pass. An expected finding is marked at the end of its line: `#! rule`."""

import asyncio
import re
import textwrap
from pathlib import Path

import pytest

import shmctx
from shmctx.events import EventRouter
from shmctx.transfer.audit import DEFAULT, RULES, findings

MARK = re.compile(r"#! ([\w-]+)")


def found(program, rules=DEFAULT):
    return [(finding.line, finding.rule) for finding in findings(textwrap.dedent(program), rules=rules)]


def marked(program):
    lines = enumerate(textwrap.dedent(program).split("\n"), 1)
    return [(number, rule) for number, line in lines for rule in MARK.findall(line)]


FLAT = """
    from ksi_common.event_parser import SYSTEM_METADATA_FIELDS, extract_system_metadata

    KEY = "_correlation_id"
    FIELDS = frozenset({"_event_id", "_agent_id"})

    def read(data, line):
        one = data["_correlation_id"]  #! flat-metadata
        two = data.get("_event_id")  #! flat-metadata
        three = data.pop("_agent_id", None)  #! flat-metadata
        four = line["data"]["_event_depth"]  #! flat-metadata
        five = data[KEY]  #! flat-metadata
        six = "_root_event_id" in data  #! flat-metadata
        seven = "_root_event_id" not in data  #! flat-metadata
        del data["_client_id"]  #! flat-metadata
        match data:
            case {"_event_id": eight}:  #! flat-metadata
                return eight
        for field in SYSTEM_METADATA_FIELDS:
            if field in data:  #! flat-metadata
                yield data[field]  #! flat-metadata
        yield {name: data[name] for name in FIELDS}  #! flat-metadata
        yield extract_system_metadata(data)  #! flat-metadata

    async def write(data, router, agent_id):
        data["_agent_id"] = agent_id  #! flat-metadata
        data.setdefault("_client_id", "cli")  #! flat-metadata
        data.update({"_event_depth": 3})  #! flat-metadata
        data.update(_event_depth=3)  #! flat-metadata
        data |= {"_event_depth": 3}  #! flat-metadata
        data["_event_depth"] += 1  #! flat-metadata
        await router.emit("agent:status", {"_agent_id": agent_id})  #! flat-metadata
        later = {"_agent_id": agent_id, "state": "idle"}  #! flat-metadata
        await router.emit("agent:status", later)
"""

HANDLERS = """
    @event_handler("agent:status")
    async def status(raw_data, context=None):  #! raw-data
        name = raw_data["name"]  #! raw-data
        state = raw_data.get("state")  #! raw-data
        return raw_data["_event_id"]  #! flat-metadata

    class Service:
        async def undecorated(self, raw_data: dict, context=None):  #! raw-data
            return raw_data["state"]  #! raw-data

    async def handle_status(raw_data):  #! raw-data
        return field(raw_data, "name")

    def field(raw_data, name):
        return raw_data[name]  #! raw-data
"""

EMBEDDED = """
    def read(event, data):
        one = data["_ksi_context"]["_event_id"]  #! embedded-context
        two = data.get("_ksi_context", {})  #! embedded-context
        three = "_ksi_context" in event["data"]  #! embedded-context
        data.pop("_ksi_context", None)  #! embedded-context

    async def build(data, event_id, ref, emit):
        data["_ksi_context"] = {"_event_id": event_id}  #! built-context
        data = {"state": "idle", "_ksi_context": {"_event_id": event_id}}  #! built-context
        data = dict(state="idle", _ksi_context=other())  #! built-context
        data.setdefault("_ksi_context", {})  #! built-context
        context = {"_agent_id": "a-1", "user": 3}  #! built-context
        context["_event_depth"] = 3  #! built-context
        context.update({"_correlation_id": "c"})  #! built-context
        ksi_context.set({"_agent_id": "a-1"})  #! built-context
        known = {"_event_id": event_id, "_parent_event_id": None}  #! built-context
        call(context={"_agent_id": "a-1"})  #! built-context

    def make_context(agent_id):
        return {"_agent_id": agent_id}  #! built-context
"""

PASSED = """
    @event_handler("agent:spawn")
    async def spawn(data, context=None):
        await event_emitter("agent:spawned", {}, context)  #! passed-context
        await router.emit("agent:spawned", {}, context=context)  #! passed-context
        await agent_emit_event("a-1", "agent:spawned", {}, propagate_agent_context(context))  #! passed-context
        await emit_event(f"agent:{data['x']}", {}, {**context, "_iteration": 1})  #! passed-context
        await router.emit("agent:spawned", {}, {"_agent_id": "a-2"})  #! passed-context
        await router.emit("agent:spawned", {"from": context.copy()})  #! passed-context
        await router.emit("agent:spawned", {"context": ksi_context.get() or {}})  #! passed-context
        mine = await get_context_manager().create_context(event_id="evt_1")
        await router.emit("agent:spawned", {}, mine)  #! passed-context
"""

SESSIONS = """
    @event_handler("completion:async")
    async def complete(data, context=None):
        session_id = data.get("session_id")  #! outside-session
        if "session_id" in data:  #! outside-session
            data["session_id"] = None  #! outside-session
        await emit_event("completion:result", {"session_id": session_id})  #! outside-session
        await emit_event("completion:result", {}, session_id=session_id)  #! outside-session
        return await work(data, 1)

    async def work(request, priority):
        copy = {**request, "priority": priority}
        return copy["session_id"]  #! outside-session

    def registered(event):
        return event["session_id"]  #! outside-session

    register_handler("completion:done", registered)

    async def handle_done(data):
        return data["session_id"]  #! outside-session

    for event in read_log():
        print(event["data"]["session_id"])  #! outside-session
"""


@pytest.mark.parametrize("program", [FLAT, HANDLERS, EMBEDDED, PASSED, SESSIONS])
def test_old_patterns_are_found_where_they_are(program):
    assert len(marked(program)) > 5
    # What a line is marked for is found in it; some patterns hold a second one, on the same line.
    assert sorted(set(found(program))) == marked(program)


LOOK_ALIKES = {
    "columns of a row": """
        def load(row, cursor):
            row = cursor.fetchone()
            return row["_event_id"], row["_correlation_id"]
    """,
    "headers and cookies": """
        import requests

        def login(response):
            return response.cookies.get("_client_id"), response.headers["_correlation_id"]
    """,
    "a document of another system": """
        def owner(doc, account):
            return doc["_agent_id"], account["_client_id"], account.get("_session_id")
    """,
    "attributes": """
        class Meter:
            def __init__(self, agent_id):
                self._event_id = self._agent_id = agent_id

            def read(self):
                return self._event_id, self._ksi_context
    """,
    "names without underscore": """
        @event_handler("agent:status")
        async def status(data, context=None):
            return data["event_id"], data.get("correlation_id"), data["agent_id"]
    """,
    "texts and comments": '''
        def explain(text):
            """Reads data["_event_id"] and data.get("_ksi_context")."""
            print("data['_correlation_id']")  # data.get("_event_id")
            return "_ksi_context" in text
    ''',
    "a list of names": """
        HIDDEN = ["_event_id", "_correlation_id"]

        def clean(data):
            return {name: value for name, value in data.items() if name not in HIDDEN}
    """,
    "raw data of measurements": """
        import pandas

        def normalise(raw_data):
            return raw_data["value"] / raw_data.get("weight", 1)

        class Sensor:
            def read(self, raw_data, scale):
                return raw_data[0] * scale
    """,
    "a web socket's handler": """
        async def handle_message(data, ctx):
            return data["session_id"], data.get("_client_id")
    """,
    "raw data of a file": """
        import shmctx

        def load(path):
            raw_data = json.load(open(path))
            return raw_data["agents"]
    """,
    "signals of a window": """
        from PyQt6.QtCore import pyqtSignal

        class Window:
            changed = pyqtSignal(int, int, object)

            def draw(self, context):
                self.changed.emit(1, 2, context)
                self.changed.emit(context)
    """,
    "other contexts": """
        import ssl

        def render(template, request):
            context = {"title": "Agents", "session_id": request.session["session_id"]}
            connect("host", context=ssl.create_default_context())
            return template.render(context)
    """,
    "a log handler's emit": """
        import logging

        class Handler(logging.Handler):
            def emit(self, record):
                super().emit(record)
                self.sink.emit("line", record)
    """,
    "sessions of a web server": """
        def view(request, session):
            if "session_id" in request.cookies:
                session["session_id"] = request.args.get("session_id")
            return {"session_id": session["session_id"]}
    """,
    "sessions of a database": """
        def rows(connection, session_id):
            data = connection.execute("SELECT * FROM session WHERE session_id = ?", (session_id,)).fetchone()
            return data["session_id"]
    """,
    "expectations of a test": """
        def test_wire_names(store):
            assert store.current().to_dict() == {"_event_id": "evt_1", "_correlation_id": "corr_1"}
    """,
    "wire names of a Context": """
        import shmctx

        def send(socket):
            wire = shmctx.current().to_dict()
            socket.send(wire["_event_id"], shmctx.current().to_dict()["_correlation_id"])
    """,
    "a ref": """
        async def log(cm, event, data):
            data["_ksi_context"] = await cm.store_event_with_context(event)
            context_ref = data.get("context_ref") or other()
            return {"_ksi_context": context_ref}, {"_ksi_context": None}
    """,
    "declarations": """
        class StatusData(TypedDict):
            session_id: str
            _ksi_context: dict
    """,
    "shmctx itself": """
        import shmctx

        @router.on("agent:spawn")
        async def spawn(data, context):
            await router.emit("agent:spawned", {"profile": data["profile"]}, agent_id="a-7", parent=context)
            with store.span("job:step", session={"id": context.session_id}) as step:
                store.put("agent:status", data={"depth": step.depth}, _trial=4)
            store.annotate(context, response_ref="resp-1")
    """,
}


@pytest.mark.parametrize("program", LOOK_ALIKES.values(), ids=LOOK_ALIKES)
def test_what_only_looks_like_an_old_pattern_passes(program):
    assert findings(textwrap.dedent(program), rules=RULES) == []


def test_a_context_as_dict_is_found_when_it_is_asked_for():
    program = """
        @event_handler("agent:status")
        async def status(data, context=None):
            if "_agent_id" in context:  #! context-as-dict
                return context.get("_agent_id")  #! context-as-dict
            return ksi_context.get()["_event_id"]  #! context-as-dict
    """

    assert found(program) == []
    assert found(program, RULES) == marked(program)


def test_what_to_write_instead_uses_the_names_of_the_place():
    program = textwrap.dedent("""
        @event_handler("agent:status")
        async def status(data, ctx):
            return data["_event_depth"]

        def anywhere(message):
            return message["_event_timestamp"]

        for event in log:
            print(event["data"]["_correlation_id"])
    """)

    instead = [finding.instead for finding in findings(program)]
    assert instead == ["ctx.depth", "shmctx.current().timestamp", "event.context.correlation_id"]


def test_places_count_characters_from_one():
    (finding,) = findings('größe = "ü", data["_event_id"]\n')

    assert (finding.line, finding.column) == (1, 14)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_ending_counts(newline):
    (finding,) = findings(newline.join(["", "", 'x = data["_event_id"]', ""]))

    assert (finding.line, finding.column) == (3, 5)


def test_comments_allow_places():
    program = """
        one = data["_event_id"]  # shmctx: ignore[flat-metadata]
        two = data["_event_id"]  # shmctx: ignore
        three = data["_event_id"]  # checked  # shmctx: ignore[outside-session, flat-metadata]
        # shmctx: ignore[flat-metadata]
        four = data["_event_id"]
        five = data["_event_id"]  #! flat-metadata
        six = data["_event_id"]  # shmctx: ignore[raw-data]  #! flat-metadata
        seven = data["_event_id"], "# shmctx: ignore"  #! flat-metadata
        eight = {  # shmctx: ignore[built-context]
            "_event_id": 1,
            "_correlation_id": 2,
        }
        nine = {
            "_ksi_context": {"_event_id": 1},  # shmctx: ignore[built-context]
        }
    """

    assert found(program) == marked(program)


def test_a_comment_that_names_no_rule_is_told():
    program = 'x = data["_event_id"]  # shmctx: ignore[flat-metdata]\n'

    assert found(program) == [(1, "flat-metadata"), (1, "unknown-rule")]
    assert "flat-metdata" in findings(program, rules=["unknown-rule"])[0].what


# ---- the rules' own examples ----


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_example_of_a_rule_has_what_it_finds(rule):
    assert {finding.rule for finding in findings(rule.before, rules=DEFAULT | {rule.id})} == {rule.id}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_what_a_rule_says_to_write_instead_passes_and_runs(rule, segment_name, db):
    assert findings(rule.after, rules=RULES) == []

    async def emit(store):
        router = EventRouter(store)
        names = {"router": router, "store": store, "shmctx": shmctx}
        exec(rule.after, names)
        if "report" in names:
            await names["report"]("a-1", store.put("agent:begin"))
        return await router.emit("agent:status", {"state": "idle", "text": "x"}, agent_id="a-1")

    with shmctx.open(segment_name, db=db) as store:
        results = asyncio.run(emit(store))
        stored = store.event(results.ref)
    assert results.errors == []
    assert (stored.data["state"], stored.context.agent_id) == ("idle", "a-1")


def test_the_page_of_rules_says_what_the_rules_say():
    page = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()
    sections = dict(re.findall(r"(?ms)^## ([\w-]+)\n(.*?)(?=^## |\Z)", page))

    assert [section for section in sections if section in RULES] == list(RULES)
    for rule in RULES.values():
        said = " ".join(sections[rule.id].split())
        assert f"{rule.finds} {rule.why}" in said, rule.id
        assert f"```python{rule.before}```\n\nInstead:\n\n```python{rule.after}```" in sections[rule.id], rule.id
        assert ("--select" in said) is not rule.default, rule.id
        assert f"| [`{rule.id}`](#{rule.id}) | {rule.finds} |" in page
