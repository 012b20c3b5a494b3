"""The routes that read: each gives what the store itself gives."""

import json
import urllib.parse

import msgspec
import pytest

from shmctx import analysis
from shmctx.events.monitor import Monitor


def plain(value):
    """As it is after a journey through JSON."""
    return json.loads(msgspec.json.encode(value))


def wire(contexts):
    return plain([context.to_dict() for context in contexts])


def pages(site, path):
    """All items of a route, page by page of two."""
    found, cursor = [], ""
    while True:
        answer = site(f"{path}{'&' if '?' in path else '?'}limit=2{cursor}").json
        assert len(answer["items"]) <= 2
        found += answer["items"]
        if answer["next"] is None:
            return found
        cursor = f"&cursor={answer['next']}"


def test_a_context_by_ref_and_by_event_id(site):
    context = site.store[site.leaves[2]]

    for ref in (context.ref, context.event_id):
        answer = site(f"/v1/contexts/{ref}")
        assert (answer.status, answer.json) == (200, plain(context.to_dict()))
        assert answer.json["_error_message"] == "boom"
    assert site(f"/v1/contexts/{context.ref}?fields=agent_id,_error").json == {
        "_ref": context.ref, "_event_id": context.event_id, "_event_name": "leaf:done", "_agent_id": "worker",
        "_error": True,
    }  # fmt: skip


def test_many_contexts_at_once(site):
    answer = site("/v1/contexts/resolve", {"refs": [site.root.ref, "ctx_0000000000000000", "nonsense"]})

    known = plain(site.store[site.root.ref].to_dict())
    assert answer.json == {"contexts": {site.root.ref: known, "ctx_0000000000000000": None, "nonsense": None}}
    assert site("/v1/contexts/resolve", {"refs": [site.root.ref] * 101}).code == "InvalidRequest"


@pytest.mark.parametrize("filters", [
    {}, {"agent_id": "worker"}, {"event_name": "step:*"}, {"errors": True}, {"errors": False}, {"session_id": "s/1"},
    {"newest_first": True}, {"until": 1000.0},
])  # fmt: skip
def test_queries_give_what_the_store_gives_page_by_page(site, filters):
    correlated = {**filters, "correlation_id": site.correlation}
    query = urllib.parse.urlencode({name: str(value).lower() if value in (True, False) else value
                                    for name, value in correlated.items()})  # fmt: skip

    assert pages(site, f"/v1/contexts?{query}") == wire(site.store.query(**correlated))
    assert pages(site, f"/v1/events?{query}&bundle=full") == plain(
        Monitor(site.store).query(fields="full", **correlated)
    )


def test_times_are_written_as_people_write_them(site):
    assert len(site(f"/v1/contexts?correlation_id={site.correlation}&since=10m").json["items"]) == 7
    assert site("/v1/contexts?since=2100-01-01T00:00").json == {"items": [], "next": None}
    assert site("/v1/contexts?since=soon").code == "InvalidField"


@pytest.mark.parametrize("kin", ["ancestors", "children", "descendants", "siblings"])
def test_relatives_page_by_page(site, kin):
    for ref in (site.root.ref, site.steps[1], site.leaves[0]):
        assert pages(site, f"/v1/contexts/{ref}/{kin}") == wire(getattr(site.store, kin)(ref))


def test_what_analysis_says(site):
    contexts = site.store.query(correlation_id=site.correlation)
    chain = analysis.chain(contexts)
    root, correlation = f"/v1/contexts/{site.root.ref}", f"/v1/correlations/{site.correlation}"

    impact = site(f"{root}/impact").json
    assert impact.pop("span_seconds") > 0
    assert impact == plain(analysis.impact(contexts[0], contexts[1:]))
    assert site(f"{root}/errors").json == {"items": plain(analysis.failures(chain))}
    assert site(f"{root}/critical-path").json == plain(analysis.critical_path(chain))
    trail = plain(analysis.audit_trail(contexts))
    answer = site(f"{correlation}/audit-trail?offset=2&limit=3").json
    assert answer == {**trail, "entries": trail["entries"][2:5], "total": 7}
    assert site(f"{correlation}/compare?with={site.correlation}").json == plain(analysis.compare(contexts, contexts))
    assert site(f"{correlation}/reports").json["chains"] == plain(analysis.frequent_chains(chain))


def test_an_event_with_its_data_and_context(site):
    event = site.store.event(site.steps[1])

    assert site(f"/v1/events/{event.ref}").json == {**plain(event.to_dict()), "context": plain(event.context.to_dict())}
    assert site("/v1/events?text=BOOM&fields=ref").json["items"] == [{"ref": site.leaves[2]}]
    assert site("/v1/events?fields=ref&bundle=full").code == "InvalidField"


def test_a_correlation_as_a_tree_and_as_a_timeline(site):
    path = f"/v1/correlations/{site.correlation}"
    summary = site(path).json

    assert (summary["count"], summary["errors"], summary["agents"]) == (7, 1, ["lead", "worker"])
    assert [node["ref"] for node in summary["roots"]] == [site.root.ref]
    assert summary["roots"][0]["children"] == 3
    below = site(f"{path}/nodes?parent={site.root.ref}&offset=1&limit=1").json
    assert ([node["ref"] for node in below["items"]], below["total"]) == (site.steps[1:2], 3)
    timeline = site(f"{path}/timeline").json
    assert [node["ref"] for node in timeline["items"]] == site.refs
    starts = [node["start_ms"] for node in timeline["items"]]
    assert starts[0] == 0
    assert starts == sorted(starts)
    last = timeline["items"][-1]
    assert (last["error"], last["duration_ms"], last["depth"]) == ("boom", 2.5, 2)
    assert timeline["duration_ms"] >= starts[-1] + 2.5 - 0.001
    assert site(f"{path}/nodes?parent=ctx_0000000000000000").code == "ContextNotFound"


def test_sessions_agents_and_search(site):
    assert site("/v1/sessions/s%2F1").json == plain(site.store.session("s/1").to_dict())
    agent = site("/v1/agents/worker").json
    assert (agent["agent_id"], agent["complete"], agent["sessions"]) == ("worker", True, ["s/1"])
    ours = next(each for each in agent["correlations"] if each["correlation_id"] == site.correlation)
    assert (ours["event_name"], ours["events"], ours["errors"]) == ("leaf:done", 3, 1)
    for text, kind in [
        (site.steps[0], "context"), (site.root.event_id, "context"), (site.correlation, "correlation"),
        ("s/1", "session"), ("worker", "agent"), ("nobody", "none"),
    ]:  # fmt: skip
        assert site(f"/v1/search?id={urllib.parse.quote(text, safe='')}").json["kind"] == kind
    for path in ("/v1/sessions/none", "/v1/agents/none", "/v1/correlations/none"):
        assert site(path).status == 404


def test_the_store_in_numbers(site):
    stats = site("/v1/stats").json
    assert (stats["name"], stats["ring_bytes"]) == (site.name, site.store.stats()["ring_bytes"])
    assert site("/v1/health", token=None).json == {"status": "ok"}
    metrics = site("/metrics")
    assert metrics.headers["content-type"].startswith("application/openmetrics-text")
    lines = metrics.body.decode().splitlines()
    assert lines[-1] == "# EOF"
    assert f'shmctx_leader_alive{{store="{site.name}"}} 1' in lines
    families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(families) == len(set(families)) > 15


def test_what_only_the_database_has(site, tmp_path):
    """Cold contexts are found as hot ones are: here of a gateway on a store whose ring was overwritten."""
    from sites import Site

    small = Site(tmp_path, ring_size=64 << 10)
    try:
        while small.store.get_bytes(small.root.ref) is not None:
            small.store.put("filler", durable=small.store.stats()["lag_share"] > 0.5, _fill="x" * 200)
        assert small(f"/v1/contexts/{small.root.ref}").json == plain(small.store[small.root.ref].to_dict())
        assert small(f"/v1/events/{small.root.ref}").json["data"] == {"n": 0}
        assert small(f"/v1/correlations/{small.correlation}").json["count"] == 7
    finally:
        small.close()
