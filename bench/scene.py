"""A store with something to see, a gateway on it, and a browser: for the explorer's figures, tests and screenshots."""

import os
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import shmctx

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
START = 1_000_000  # ns between an event and the first that it causes
TOOLS = ("search", "read_file", "run_tests", "edit", "browse")
TASKS = ("Sort the mail of the week", "Find the slow query", "Review the pull request", "Plan the release")


def browser_path() -> str | None:
    """Chromium of this machine, or what SHMCTX_BROWSER names; None where there is none."""
    return os.environ.get("SHMCTX_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def browser() -> "Iterator[Browser]":
    """Chromium, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=browser_path())
        try:
            yield running
        finally:
            running.close()


def let_in(context: "BrowserContext", url: str, token: str | None) -> None:
    """Give a browser's context the cookie that stands for the token."""
    answer = context.request.post(f"{url}/v1/login", data={"token": token or ""})
    if not answer.ok:
        raise RuntimeError(f"The gateway did not take its token: {answer.status} {answer.text()}")


class Scene:
    """Puts what a team of agents does. The same seed puts the same."""

    def __init__(self, store: shmctx.Store, seed: int = 1) -> None:
        self._store = store
        self._random = random.Random(seed)
        self._number = 0

    def task(self, *, seconds_ago: float = 0.0) -> str:
        """One conversation: a plan, some workers, their tools and models, now and then an error. Its correlation."""
        self._number += 1
        began = time.time_ns() - int(seconds_ago * 1e9)
        session = {"id": f"session-{self._number % 9:03}", "channel": "chat", "language": "en"}
        goal = TASKS[self._number % len(TASKS)]
        root = self._put("agent:spawn", None, began, agent_id="planner", session=session, data={"goal": goal})
        plan = self._put(
            "llm:complete", root, began + START, 900, agent_id="planner",
            data={"model": "small", "prompt": f"Split into steps: {goal}", "tokens": self._random.randint(200, 900)},
        )  # fmt: skip
        at = began + 1_000_000_000
        for worker in self._random.sample(range(1, 9), self._random.randint(2, 4)):
            at = self._work(plan, at, f"worker-{worker}")
        self._put("agent:exit", root, at + START, agent_id="planner", data={"result": "done", "steps": 3})
        return self._store.resolve(root).correlation_id

    def _work(self, plan: str, at: int, agent: str) -> int:
        spawned = self._put("agent:spawn", plan, at, agent_id=agent, data={"step": agent, "budget": 4000})
        for _ in range(self._random.randint(2, 4)):
            took = self._random.uniform(40, 700)
            tool = self._random.choice(TOOLS)
            asked = self._put(
                "tool:call", spawned, at + START, took, agent_id=agent,
                data={"tool": tool, "arguments": {"path": "src/queue.py", "lines": [10, 80]}},
            )  # fmt: skip
            at += int(took * 1e6)
            wrong = self._random.random() < 0.15
            error = {"error": True, "error_type": "TimeoutError", "error_message": f"{tool} did not answer within 30 s"}
            outcome = {"status": "failed"} if wrong else {"status": "ok", "bytes": self._random.randint(80, 9000)}
            self._put("tool:result", asked, at, 2, agent_id=agent, data=outcome, **(error if wrong else {}))
        said = {"to": "planner", "text": "Step is done."}
        self._put("message:send", spawned, at + START, 3, agent_id=agent, data=said)
        return at + START

    def _put(self, name: str, parent: str | None, at: int, took: float = 0.0, **fields: Any) -> str:
        under = {} if parent is None else {"parent": parent}
        ref = self._store.put(name, time_ns=at, **under, **fields)
        if took:
            self._store.annotate(ref, _duration_ms=round(took, 2))
        return ref

    def large(self, events: int) -> str:
        """One correlation of so many events: trials of an optimizer, some steps each. Its id."""
        began = time.time_ns() - events * 2_000_000
        root = self._put("optimizer:start", None, began, agent_id="optimizer", data={"trials": events // 20})
        left, at, trial = events - 1, began, 0
        while left > 0:
            at += 30_000_000
            under = self._put("optimizer:trial", root, at, 35, agent_id=f"trial-{trial % 8}", data={"trial": trial})
            left, trial = left - 1, trial + 1
            for step in range(min(19, left)):
                at += 500_000
                said = {"error": True, "error_type": "ValueError"} if self._random.random() < 0.02 else {}
                took = self._random.expovariate(0.2)
                self._put("optimizer:step", under, at, took, agent_id=f"trial-{trial % 8}", data={"step": step}, **said)
                left -= 1
        return self._store.resolve(root).correlation_id


@contextmanager
def served(store: shmctx.Store, folder: Path) -> Iterator[tuple[str, str]]:
    """A gateway on a free port of this machine, without a limit of requests: its address and its token."""
    from shmctx.gateway.limits import Limits
    from shmctx.gateway.serving import Options, Serving

    options = Options(http=("127.0.0.1", 0), token_file=folder / "gateway.token", limits=Limits(rate=0))
    with Serving(store, options) as serving:
        assert serving.token is not None
        yield serving.url, serving.token
