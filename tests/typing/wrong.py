"""Each line that is marked is a mistake, and mypy says so: the marks are needed (warn_unused_ignores)."""

import shmctx


def mistakes(store: shmctx.Store, context: shmctx.Context) -> None:
    store.put()  # type: ignore[call-arg]
    store.put("x", agent_id=5)  # type: ignore[arg-type]
    store.put("x", durable="yes")  # type: ignore[arg-type]
    store.query(nosuch=1)  # type: ignore[call-arg]
    store.query("positional")  # type: ignore[call-arg]
    store["x"] = context  # type: ignore[index]
    del store["x"]  # type: ignore[attr-defined]
    context.depth = 3  # type: ignore[misc]
    shmctx.open("name", ring_size="big")  # type: ignore[arg-type]
    print(shmctx.current().ref)  # type: ignore[union-attr]
