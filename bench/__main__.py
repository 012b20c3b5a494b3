"""All figures in one table: `python -m bench [--json FILE] [--quick] [NAME ...]`."""

import sys

from bench.harness import main

# From the smallest figure to the longest run.
SCRIPTS = (
    "get", "query", "lineage", "peers", "put", "producers", "latency", "follow", "emit", "ksi", "space", "disk",
    "drain", "sustain", "migrate", "export", "recover", "failover", "idle", "imports", "child", "gateway", "explorer",
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(SCRIPTS))
