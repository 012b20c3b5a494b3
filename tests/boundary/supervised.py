"""What the tests of agents start, and how they wait."""

import asyncio
import sys
import textwrap

LIMIT = 30  # seconds

WORKS = """
    import shmctx
    with shmctx.from_env() as store:
        with store.span("agent:work"):
            store.put("agent:done")
"""
IDLES = """
    import shmctx, time
    store = shmctx.from_env()
    store.put("agent:ready")
    time.sleep(600)
"""
DIES = """
    import shmctx, os, signal
    store = shmctx.from_env()
    with store.span("agent:step"):
        store.put("agent:step")
        os.kill(os.getpid(), signal.SIGKILL)
"""
STUBBORN = """
    import shmctx, signal, subprocess, sys, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    store = shmctx.from_env()
    store.put("agent:ready", data={"child": child.pid})
    time.sleep(600)
"""


def python(script, *arguments):
    return [sys.executable, "-c", textwrap.dedent(script), *arguments]


def run(main, limit=LIMIT):
    async def limited():
        async with asyncio.timeout(limit):
            return await main()

    return asyncio.run(limited())


async def heard(store, name, count=1):
    """The first events of a name, also those from before."""
    found = []
    while len(found) < count:
        found = await store.aio.query(event_name=name)
        await asyncio.sleep(0.01)
    return found
