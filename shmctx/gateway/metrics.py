"""The store and the gateway in numbers, as OpenMetrics text (https://prometheus.io/docs/specs/om/open_metrics_spec/)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shmctx.gateway.tally import Tally
from shmctx.stats import GAUGES

MEDIA_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def rendered(stats: Mapping[str, Any], tally: Tally, clients: int) -> str:
    """All families, `# EOF` behind them. `stats`: of Store.stats."""
    store = f'{{store="{_escaped(stats["name"])}"}}'
    lines: list[str] = []
    for name, key, told in GAUGES:
        value = stats.get(key)
        lines += _family(f"shmctx_{name}", "gauge", told, [(store, value if value is not None else 0)])
    leader = stats["leader"]
    alive = int(leader is not None and leader["alive"])
    lines += _family("shmctx_leader_alive", "gauge", "Whether a living process drains.", [(store, alive)])
    for name, value in stats["counters"].items():
        lines += _family(f"shmctx_{name}", "counter", "Of all processes, living and dead.", [(store, value)])
    answers = [(f'{{status="{status}"}}', count) for status, count in sorted(tally.answers.items())]
    lines += _family("shmctx_gateway_requests", "counter", "Answers of the gateway.", answers)
    lines += _family("shmctx_gateway_live_clients", "gauge", "Who follows events now.", [("", clients)])
    lines += _family("shmctx_gateway_missed_events", "counter", "Too much for slow clients.", [("", tally.missed)])
    refused = [("", tally.refused_connections)]
    lines += _family("shmctx_gateway_refused_connections", "counter", "More than the gateway takes.", refused)
    return "\n".join([*lines, "# EOF", ""])


def _family(name: str, kind: str, told: str, samples: Sequence[tuple[str, float]]) -> Iterator[str]:
    yield f"# TYPE {name} {kind}"
    yield f"# HELP {name} {told}"
    suffix = "_total" if kind == "counter" else ""
    for labels, value in samples:
        yield f"{name}{suffix}{labels} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
