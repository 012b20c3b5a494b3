"""How soon is the explorer page usable with a correlation of 10,000 events, and does it scroll without stalling?

A gateway serves a store with such a correlation; Chromium opens its address in a fresh context, so that every file of
the page comes over the wire, and the gateway has forgotten the correlation since the round before. Usable: the summary
and the first rows are painted, and the page has nothing left to do. Scrolling: the longest time between two frames
while the list of all events is scrolled from its begin to its end, pages of it being loaded on the way.
"""

import time
from typing import TYPE_CHECKING, Any

from bench.harness import Options, Row, Target, alone, main, missing
from bench.scene import Scene, browser, browser_path, let_in, served
from bench.stage import Site

if TYPE_CHECKING:
    from playwright.sync_api import Browser

EVENTS = 10_000
FORGOTTEN = 3.0  # seconds; for longer than the gateway keeps a correlation
LIMIT = 60_000  # ms
USABLE = Target("at most", 1.0, "at most 1 s")
SMOOTH = Target("at most", 0.1, "at most 100 ms")

PAINTED = """selector => new Promise(resolve => {
  const look = () => document.querySelectorAll(selector).length >= 10
    ? requestAnimationFrame(() => setTimeout(() => resolve(performance.now() / 1000)))
    : requestAnimationFrame(look);
  look();
})"""
"""Seconds from the navigation's begin until ten rows are painted and the page is idle."""

SCROLLED = """() => new Promise(resolve => {
  const list = document.querySelector(".virtual");
  const steps = 240, gaps = [];
  let before = performance.now(), step = 0;
  const frame = () => {
    const now = performance.now();
    gaps.push(now - before);
    before = now;
    list.scrollTop = (list.scrollHeight - list.clientHeight) * ++step / steps;
    if (step < steps) requestAnimationFrame(frame);
    else resolve(Math.max(...gaps.slice(1)) / 1000);
  };
  requestAnimationFrame(frame);
})"""
"""The longest time between two frames, in seconds."""


def measure(options: Options) -> list[Row]:
    if browser_path() is None or not _has_playwright():
        return [missing("explorer page", "s", [], "Chromium", USABLE)]
    rounds = options.pick(10, 3)
    with Site() as site, site.lead() as store:
        correlation = Scene(store).large(EVENTS)
        with served(store, site.folder) as gateway, browser() as chromium:
            tree, timeline, gaps = [], [], []
            for turn in range(rounds + 1):
                first = _opened(chromium, gateway, f"#/correlation/{correlation}", ".node")
                second = _opened(chromium, gateway, f"#/correlation/{correlation}?view=timeline", ".lane", scroll=True)
                if turn:  # the first warms up the browser
                    tree.append(first["usable"])
                    timeline.append(second["usable"])
                    gaps.append(second["gap"])
    of = f"{EVENTS:,} events"
    return [
        alone(f"explorer: tree of {of} usable", "s", tree, USABLE),
        alone(f"explorer: timeline of {of} usable", "s", timeline, USABLE),
        alone("explorer: longest frame while scrolling them", "s", gaps, SMOOTH, note="240 steps from begin to end"),
    ]


def _opened(
    chromium: "Browser", gateway: tuple[str, str], address: str, rows: str, *, scroll: bool = False
) -> dict[str, Any]:
    """What a visitor's browser measures that has never been there."""
    time.sleep(FORGOTTEN)
    url, token = gateway
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(LIMIT)
    try:
        let_in(context, url, token)
        page = context.new_page()
        page.goto(f"{url}/{address}", wait_until="commit")
        usable = page.evaluate(PAINTED, rows)
        return {"usable": usable, "gap": page.evaluate(SCROLLED) if scroll else None}
    finally:
        context.close()


def _has_playwright() -> bool:
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return False
    return True


if __name__ == "__main__":
    raise SystemExit(main(["explorer"]))
