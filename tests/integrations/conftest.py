import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))
sys.path.insert(0, str(Path(__file__).parent))

from stores import stores  # noqa: F401

from shmctx.integrations.ksi import ContextManager

SHORT = 60.0  # seconds; only a test that hangs reaches it


@pytest.fixture
def ksi(segment_name, db):
    """`ksi(work)` runs `await work(manager)` with a manager of this test's store, in a loop and contextvars of its
    own, and returns what it gave."""

    def run(work, **made):
        async def whole():
            manager = ContextManager(**{"name": segment_name, "db": db, **made})
            await manager.initialize()
            try:
                return await asyncio.wait_for(work(manager), SHORT)
            finally:
                await manager.shutdown()

        return asyncio.run(whole())

    return run
