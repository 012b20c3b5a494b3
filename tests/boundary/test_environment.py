"""Subprocesses: a child continues what its environment names, and says so where it cannot."""

import asyncio
import json
import subprocess
import sys

import pytest

import shmctx
from shmctx import w3c

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

CHILD = """
import shmctx
with shmctx.from_env() as store:
    store.put("child:done")
"""


@pytest.fixture(autouse=True)
def nothing_current():
    """from_env() leaves a context current, as it should; not for the next test."""
    yield
    shmctx.propagation.set_scope(None)


def test_a_subprocess_continues_the_chain(store):
    with store.span("job", agent_id="a") as job:
        subprocess.run([sys.executable, "-c", CHILD], env=store.child_env(), check=True, timeout=30)

    (child,) = store.children(job.ref)
    assert (child.event_name, child.agent_id, child.depth) == ("child:done", "a", 1)


def test_a_subprocess_of_asyncio_continues_the_chain_of_its_task(store):
    async def run(name):
        with store.span(name) as context:
            child = await asyncio.create_subprocess_exec(sys.executable, "-c", CHILD, env=store.child_env())
            assert await child.wait() == 0
        return context

    async def main():
        return await asyncio.gather(run("left"), run("right"))

    for context in asyncio.run(main()):
        assert [child.event_name for child in store.children(context.ref)] == ["child:done"]


def test_a_grandchild_of_a_process_without_shmctx_continues_it_too(store):
    """A shell in between hands the environment on."""
    with store.span("job") as job:
        command = ["sh", "-c", '"$0" -c "$1"', sys.executable, CHILD]
        subprocess.run(command, env=store.child_env(), check=True, timeout=30)

    assert len(store.children(job.ref)) == 1


def test_the_environment_has_the_ref_the_segment_and_the_w3c_headers(store, monkeypatch):
    monkeypatch.setenv("BAGGAGE", "theirs=1")
    monkeypatch.setenv("TRACESTATE", "of=another-trace")
    with store.span("job") as job:
        environ = store.child_env({"PATH": "/bin", "BAGGAGE": "mine=2"})
        inherited = store.child_env()

    trace, span = w3c.trace_id(job.correlation_id), w3c.span_id(job.event_id)
    assert environ == {
        "PATH": "/bin", "SHMCTX_SEGMENT": store.name, "SHMCTX_REF": job.ref, "TRACEPARENT": f"00-{trace}-{span}-01",
        "TRACESTATE": f"shmctx={job.ref}", "BAGGAGE": f"shmctx.correlation_id={job.correlation_id},mine=2",
    }  # fmt: skip
    assert inherited["BAGGAGE"].endswith(",theirs=1")
    assert inherited["TRACESTATE"] == f"shmctx={job.ref}"


def test_without_a_context_no_stale_ref_goes_on(store):
    environ = store.child_env({"SHMCTX_REF": "ctx_left-over", "SHMCTX_SEGMENT": "other"})

    assert environ == {"SHMCTX_SEGMENT": store.name}
    with shmctx.from_env(environ):
        assert shmctx.current() is None


def test_from_env_makes_the_context_current(store):
    with store.span("job") as job:
        environ = store.child_env({})
    with shmctx.from_env(environ) as child:
        assert shmctx.current() == job
        assert store[child.put("x")].parent_ref == job.ref


def test_a_store_that_is_not_the_context_s_gets_no_ref_but_the_trace(store, elsewhere):
    with store.span("job", agent_id="a") as job:
        environ = elsewhere.child_env({})
    assert "SHMCTX_REF" not in environ
    with shmctx.from_env(environ):
        started = shmctx.current()
    assert (started.event_name, started.store_id) == ("process:start", elsewhere.store_id)
    assert (started.correlation_id, started.parent_event_id) == (
        job.correlation_id,
        f"span_{w3c.span_id(job.event_id)}",
    )
    assert started.agent_id == "a"


def test_a_traceparent_alone_is_continued(store):
    environ = {"SHMCTX_SEGMENT": store.name, "TRACEPARENT": f"00-{TRACE}-{SPAN}-01"}
    with shmctx.from_env(environ) as child:
        started = shmctx.current()
        ref = child.put("work")

    assert (started.correlation_id, started.parent_event_id) == (TRACE, f"span_{SPAN}")
    assert store[ref].parent_ref == started.ref
    assert store.event(started.ref).data["pid"] > 0


@pytest.mark.parametrize("traceparent", ["", "nonsense", f"00-{'0' * 32}-{SPAN}-01", f"ff-{TRACE}-{SPAN}-01"])
def test_a_malformed_traceparent_is_as_good_as_none(store, traceparent):
    with shmctx.from_env({"SHMCTX_SEGMENT": store.name, "TRACEPARENT": traceparent, "BAGGAGE": "shmctx.agent_id=a"}):
        assert shmctx.current() is None
    assert len(store) == 0


def test_an_environment_without_a_store_says_what_to_do():
    with pytest.raises(shmctx.SegmentMissing, match=r"SHMCTX_SEGMENT is not set.*child_env"):
        shmctx.from_env({})


def test_an_environment_of_a_store_that_is_gone(segment_name):
    with pytest.raises(shmctx.SegmentMissing):
        shmctx.from_env({"SHMCTX_SEGMENT": f"{segment_name}-gone", "SHMCTX_REF": "ctx_qdr4j00000000003"})


def test_a_name_that_is_none_is_refused(store):
    with pytest.raises(shmctx.InvalidField):
        shmctx.from_env({"SHMCTX_SEGMENT": "../etc/passwd"})


@pytest.mark.parametrize(
    "ref,error",
    [("ctx_0000000000000003", shmctx.ForeignRef), ("ctx_!", shmctx.ContextNotFound), ("x" * 300, shmctx.MalformedRef)],
)
def test_a_left_over_ref_is_an_error_and_leaves_nothing_attached(store, ref, error):
    before = store.stats()["participants"]
    with pytest.raises(error):
        shmctx.from_env({"SHMCTX_SEGMENT": store.name, "SHMCTX_REF": ref})

    assert shmctx.current() is None
    assert store.stats()["participants"] == before == 1


def test_a_ref_that_has_expired_is_continued_by_its_ids(store):
    with store.span("job", agent_id="a") as job:
        environ = store.child_env({})
    store.forget(job.ref)
    with shmctx.from_env(environ):
        started = shmctx.current()

    assert (started.correlation_id, started.parent_event_id) == (job.correlation_id, job.event_id)
    assert (started.agent_id, started.event_name) == ("a", "process:start")
    with pytest.raises(shmctx.ContextNotFound):
        shmctx.from_env({"SHMCTX_SEGMENT": store.name, "SHMCTX_REF": job.ref})


def test_a_child_with_a_ref_loads_nothing_that_only_headers_need(store, spawn):
    """Attaching is a part of every subprocess's start."""
    script = "import shmctx, json, sys; shmctx.from_env().close(); print(json.dumps(sorted(sys.modules)))"
    with store.span("job"):
        child = spawn(script, env={**store.child_env({})})
    loaded = json.loads(child.line())
    child.finish()

    assert "shmctx.environment" in loaded
    assert [name for name in ("asyncio", "shmctx.carriers", "shmctx.w3c", "psutil", "click") if name in loaded] == []
