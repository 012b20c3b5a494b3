"""Programs with the old patterns, each marked where it has one (`#! rule`), and programs that only look like them."""

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
