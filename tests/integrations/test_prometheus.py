"""The collector tells the segment's counters to whoever scrapes, and each integration says which extra it wants."""

import json
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from shmctx.integrations.prometheus import StoreCollector


def samples(registry):
    return {
        (sample.name, sample.labels.get("store")): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


@pytest.fixture
def registry():
    return CollectorRegistry(auto_describe=True)


def test_counters_are_of_all_processes_living_and_dead(stores, spawn, registry):
    store = stores.open()
    registry.register(StoreCollector(store))
    before = samples(registry)["shmctx_puts_total", store.name]
    script = "import shmctx, sys\nwith shmctx.attach(sys.argv[1]) as store: store.put_many(['work'] * 7)"
    spawn(script, store.name).finish()
    found = samples(registry)

    assert found["shmctx_puts_total", store.name] - before == 7
    assert found["shmctx_up", store.name] == found["shmctx_leader_alive", store.name] == 1
    assert found["shmctx_ring_bytes", store.name] == store.stats()["ring_bytes"]


def test_a_scrape_over_http_tells_several_stores(stores, segment_name, db, registry):
    names = [stores.open().name, stores.open(name=f"{segment_name}-b", db=db.with_name("b.db")).name]
    registry.register(StoreCollector(*stores_named(stores, names)))
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=20) as answer:
            text = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
        thread.join(20)

    assert [f'shmctx_up{{store="{name}"}} 1.0' in text for name in names] == [True, True]
    assert text.count("# TYPE shmctx_puts_total counter") == 1


def stores_named(stores, names):
    import shmctx

    return [stores.exit.enter_context(shmctx.attach(name)) for name in names]


def test_a_store_that_is_closed_does_not_end_the_scrape(stores, registry):
    store = stores.open()
    registry.register(StoreCollector(store))
    store.close()

    assert {value for (name, _), value in samples(registry).items() if name == "shmctx_up"} == {0}
    assert b"shmctx_up" in generate_latest(registry)
    assert not [name for name, _ in samples(registry) if name != "shmctx_up"]


def test_names_are_those_of_the_gateway(stores, registry):
    """A dashboard does not care where it scrapes."""
    from shmctx.gateway.metrics import rendered
    from shmctx.gateway.state import Tally

    store = stores.open()
    registry.register(StoreCollector(store))
    gateway = {family.name for family in text_string_to_metric_families(rendered(store.stats(), Tally(), 0))}
    ours = {family.name for family in registry.collect()}

    assert {name for name in gateway if not name.startswith("shmctx_gateway_")} == ours - {"shmctx_up"}


@pytest.mark.parametrize(
    "module,library,extra",
    [
        ("prometheus", "prometheus_client", "prometheus"),
        ("otel", "opentelemetry", "otel"),
        ("otel_spans", "opentelemetry.sdk", "otel"),
        ("otel_feed", "opentelemetry.sdk", "otel"),
    ],
)
def test_an_integration_without_its_library_says_which_extra(spawn, module, library, extra):
    process = spawn(
        f"""
        import sys, json
        sys.modules[{library!r}] = None
        import shmctx
        try:
            import shmctx.integrations.{module}
        except shmctx.errors.ExtraMissing as error:
            print(json.dumps([isinstance(error, ImportError), error.hint]))
        """
    )
    assert json.loads(process.line()) == [True, f"pip install 'shmctx[{extra}]'"]
    process.finish()


@pytest.mark.parametrize("module", ["logging", "structlog", "asgi"])
def test_the_others_need_no_library(spawn, module):
    script = f"import sys\nsys.modules['structlog'] = None\nimport shmctx.integrations.{module}\nprint(1)"
    assert spawn(script).line() == "1"
