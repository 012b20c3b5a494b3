"""Contexts as a KSI event router embeds them: the sample of its log where the repository has one, else made alike."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

SAMPLE = Path(__file__).parents[2] / "bench" / "data"


def embedded(seed: int, count: int) -> list[tuple[str, dict[str, Any]]]:
    """(event name, embedded context), in the order of the log."""
    return from_sample(count) or generated(random.Random(seed), count)


def from_sample(count: int) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for path in sorted(SAMPLE.glob("*.jsonl*")):
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as lines:
            for line in lines:
                event = json.loads(line)
                context = event.get("data", {}).get("_ksi_context")
                if isinstance(context, dict):
                    found.append((event["event_name"], context))
    return found[:count]


def generated(dice: random.Random, count: int) -> list[tuple[str, dict[str, Any]]]:
    """Trees of events: ids of eight hex digits, one session per agent, timestamps in float seconds."""
    found: list[tuple[str, dict[str, Any]]] = []
    now = 1_795_331_471.5404649
    for _ in range(count):
        agent = f"agent_{dice.randrange(40):03}"
        event_id = f"evt_{dice.getrandbits(32):08x}"
        cause = dice.choice(found[-30:])[1] if found and dice.random() < 0.8 else None
        root = f"evt_{dice.getrandbits(32):08x}"
        now += dice.random() / 1000
        context = {
            "_event_id": event_id,
            "_ref": f"ctx_{event_id}",
            "_event_timestamp": now,
            "_correlation_id": cause["_correlation_id"] if cause else f"corr_{dice.getrandbits(32):08x}",
            "_parent_event_id": cause["_event_id"] if cause else root,
            "_root_event_id": cause["_root_event_id"] if cause else root,
            "_event_depth": cause["_event_depth"] + 1 if cause else 1,
            "_agent_id": agent,
            "_client_id": dice.choice(["ksi-cli", "ksi-tui", agent]),
            "_session": {
                "id": f"sess_{agent}",
                "agent_id": agent,
                "sandbox_uuid": f"892f902b-d23f-0824-128b-2f330c5c7{int(agent[-3:]):03}",
                "created_at": 1753156000 + int(agent[-3:]),
            },
        }
        found.append((dice.choice(["agent:spawn", "completion:result", "state:entity:create"]), context))
    return found
