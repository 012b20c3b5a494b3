"""Running coroutines in tests: never without end, and never with anything left running."""

import asyncio

LIMIT = 20.0  # seconds; only what hangs reaches it


def run(coroutine):
    """asyncio.run with a limit; fails if the coroutine leaves tasks behind."""

    async def limited():
        async with asyncio.timeout(LIMIT):
            result = await coroutine
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"left running: {left}"
        return result

    return asyncio.run(limited())
