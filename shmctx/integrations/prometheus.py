"""Prometheus: a collector that reads the segment's own counters.

They are of all processes, living and dead, and lie in shared memory: whichever process is scraped tells them all, so
there is no directory of files for each process, and nothing to clean up. Names are those of the gateway's `/metrics`.
"""

from collections.abc import Callable, Iterator
from typing import Any

from shmctx.errors import ExtraMissing, ShmctxError
from shmctx.stats import GAUGES
from shmctx.store import Store

try:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector
except ImportError as error:
    raise ExtraMissing(
        "The collector is one of prometheus_client's, which is not installed.", hint="pip install 'shmctx[prometheus]'"
    ) from error


class StoreCollector(Collector):
    """`REGISTRY.register(StoreCollector(store))`: what Store.stats tells, of one store or several, under the label
    `store`. A store that cannot be read has `shmctx_up` 0 and nothing else; the scrape goes on."""

    def __init__(self, *stores: Store) -> None:
        self._stores = stores

    def collect(self) -> Iterator[Metric]:
        """Every family once, with a sample for each store."""
        read = {store.name: _stats(store) for store in self._stores}
        told = {name: stats for name, stats in read.items() if stats is not None}
        yield _family(GaugeMetricFamily, "up", "Whether the store can be read.", {n: read[n] is not None for n in read})
        for name, key, text in GAUGES:
            yield _family(GaugeMetricFamily, name, text, {store: stats[key] or 0 for store, stats in told.items()})
        alive = {store: bool(stats["leader"] and stats["leader"]["alive"]) for store, stats in told.items()}
        yield _family(GaugeMetricFamily, "leader_alive", "Whether a living process drains.", alive)
        counters = {store: stats["counters"] for store, stats in told.items()}
        for name in dict.fromkeys(name for counted in counters.values() for name in counted):
            values = {store: counted[name] for store, counted in counters.items()}
            yield _family(CounterMetricFamily, name, "Of all processes, living and dead.", values)


def _stats(store: Store) -> dict[str, Any] | None:
    try:
        return store.stats()
    except ShmctxError:
        return None


def _family(make: Callable[..., Any], name: str, text: str, values: dict[str, Any]) -> Metric:
    family: Metric = make(f"shmctx_{name}", text, labels=["store"])
    for store, value in values.items():
        family.add_sample(family.name + ("_total" if family.type == "counter" else ""), {"store": store}, float(value))
    return family
