"""Questions about what happened: chains, impact, errors, critical paths, comparisons, audit trails, reports.

Everything here is a function over contexts that somebody has already found (`store.query`, `store.descendants`), and
gives objects that msgspec turns into JSON:

    from shmctx import analysis

    chain = analysis.chain(store.query(correlation_id=context.correlation_id))
    print(analysis.tree(chain))
    path = analysis.critical_path(chain)
    what = analysis.impact(context, store.descendants(context.ref))
"""

from shmctx.analysis.audit import LONG_GAP, Entry, Trail, audit_trail
from shmctx.analysis.chain import Chain, Node, chain
from shmctx.analysis.compare import Comparison, Difference, compare
from shmctx.analysis.critical import CriticalPath, Step, critical_path
from shmctx.analysis.failures import Failure, failures
from shmctx.analysis.impact import Impact, impact
from shmctx.analysis.mermaid import mermaid
from shmctx.analysis.reports import (
    Burst,
    Deep,
    Frequent,
    Slow,
    bursts,
    deep_chains,
    frequent_chains,
    slow_handlers,
)
from shmctx.analysis.svg import svg
from shmctx.analysis.text import tree

__all__ = [
    "LONG_GAP",
    "Burst",
    "Chain",
    "Comparison",
    "CriticalPath",
    "Deep",
    "Difference",
    "Entry",
    "Failure",
    "Frequent",
    "Impact",
    "Node",
    "Slow",
    "Step",
    "Trail",
    "audit_trail",
    "bursts",
    "chain",
    "compare",
    "critical_path",
    "deep_chains",
    "failures",
    "frequent_chains",
    "impact",
    "mermaid",
    "slow_handlers",
    "svg",
    "tree",
]
