"""The pictures in docs/screenshots: `python -m bench.screenshots [FOLDER]`. Every view, light, dark and on a phone."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import shmctx
from bench.harness import ROOT
from bench.scene import Scene, browser, browser_path, let_in, served
from bench.stage import Site

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

Views = dict[str, tuple[str, str, int]]
"""Address, what to wait for, and how long then (ms), by name."""

LARGEST = 150_000  # bytes of a picture
DESK: dict[str, Any] = {"viewport": {"width": 1200, "height": 750}}
SHAPES: dict[str, dict[str, Any]] = {
    "light": {**DESK, "color_scheme": "light"},
    "dark": {**DESK, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 780}, "is_mobile": True, "color_scheme": "light"},
}
SETTLED = 400  # ms for what is still on its way when the first rows are there
CHARTS = 12_000  # ms until charts have a course
PAUSE = 0.7  # seconds between conversations that are put meanwhile


@contextmanager
def busy(scene: Scene) -> Iterator[None]:
    """Somebody puts events all the time."""
    done = threading.Event()

    def work() -> None:
        while not done.wait(PAUSE):
            scene.task(seconds_ago=4)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def views(store: shmctx.Store, correlation: str) -> Views:
    """Where each view is."""
    planned = store.query(correlation_id=correlation, event_name="llm:complete")[0]
    session = planned.session_id
    return {
        "live": ("#/live", ".event", 4_000),
        "tree": (f"#/correlation/{correlation}", ".node", SETTLED),
        "timeline": (f"#/correlation/{correlation}?view=timeline", ".lane", SETTLED),
        "context": (f"#/context/{planned.ref}", ".below .event", SETTLED),
        "session": (f"#/session/{session}", ".event", SETTLED),
        "agent": ("#/agent/worker-3", ".event", SETTLED),
        "store": ("#/store", ".chart", CHARTS),
    }


def take(context: "BrowserContext", url: str, shape: str, wanted: Views, folder: Path) -> None:
    """All views in one shape."""
    page = context.new_page()
    for name, (address, selector, settle) in wanted.items():
        page.goto(f"{url}/{address}")
        page.wait_for_selector(selector)
        if name == "tree":  # open some of it
            for key in ("j", "j", "ArrowRight", "j", "ArrowRight", "j", "ArrowRight"):
                page.keyboard.press(key)
                page.wait_for_timeout(SETTLED)
        page.wait_for_timeout(settle)
        file = folder / f"{name}-{shape}.png"
        page.screenshot(path=file)
        size = file.stat().st_size
        print(f"{file.name}: {size:,} bytes{' - too large' if size > LARGEST else ''}")


def main(folder: Path) -> int:
    """Take them all. Exits 1 where there is no browser."""
    if browser_path() is None:
        print("There is no Chromium: make browser", file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    with Site() as site, site.lead() as store, served(store, site.folder) as (url, token), browser() as chromium:
        scene = Scene(store)
        correlations = [scene.task(seconds_ago=90 - number) for number in range(40)]
        correlation = next(one for one in correlations if store.query(correlation_id=one, errors=True))
        with busy(scene):
            for shape, options in SHAPES.items():
                context = chromium.new_context(**options)
                let_in(context, url, token)
                take(context, url, shape, views(store, correlation), folder)
                context.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "screenshots"))
