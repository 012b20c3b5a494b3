"""How many bytes of ring does a context take that used to travel inside every event?"""

import json

from bench import stage
from bench.harness import Options, Row, Target, main, versus
from shmctx.hot._core import GRANULE


def measure(options: Options) -> list[Row]:
    contexts = stage.contexts_of(options.events)
    with stage.Site() as site, site.create(64 * stage.MiB) as store:
        before = stage.head(store)
        for event_name, wire in contexts:
            store.put(event_name, **wire)
        used = (stage.head(store) - before) * GRANULE / len(contexts)
    embedded = sum(len(json.dumps(wire)) for _, wire in contexts) / len(contexts)
    note = f"{len(contexts):,} contexts that bring their ids; headers and sessions included"
    bound = Target("at most", 192 / embedded, "at most 192 B")
    json_bytes = ("embedded JSON", [embedded])
    return [versus("ring bytes per context, KSI events", "bytes", [used], json_bytes, bound, note=note)]


if __name__ == "__main__":
    raise SystemExit(main(["space"]))
