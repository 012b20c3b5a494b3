"""The page in a real browser, on a real gateway, on a real store: one of each for a module."""

import os
import secrets
from pathlib import Path

import pytest

import shmctx

pytest.importorskip("litestar", reason="the extra `gateway` is not installed")
pytest.importorskip("playwright", reason="playwright is not installed: pip install 'shmctx[test]'")

from playwright.sync_api import expect

from bench.scene import Scene, browser, browser_path, let_in, served

LIMIT = 15_000  # ms; only a wait that hangs reaches it
expect.set_options(timeout=LIMIT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("explorer")


@pytest.fixture(scope="module")
def store(folder, request):
    """A store that a team of agents has put 12 conversations into."""
    name = f"{os.environ['SHMCTX_TEST_SESSION']}-{secrets.token_hex(4)}"
    opened = shmctx.open(name, db=folder / "contexts.db", ring_size=16 << 20)
    yield opened
    opened.close()
    shmctx.unlink(name)


@pytest.fixture(scope="module")
def scene(store):
    return Scene(store)


@pytest.fixture(scope="module")
def conversations(scene):
    return [scene.task(seconds_ago=60 - number) for number in range(12)]


@pytest.fixture(scope="module")
def gateway(store, folder):
    """(address, token)."""
    with served(store, Path(folder)) as served_at:
        yield served_at


@pytest.fixture(scope="module")
def chromium():
    if browser_path() is None:
        pytest.skip("no Chromium is installed: make browser")
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def pages(chromium):
    """Open pages by what they were opened with; to start one anew for every test would take most of its time."""
    opened = {}
    yield opened
    for page in opened.values():
        page.context.close()


@pytest.fixture
def open_page(chromium, gateway, pages):
    """`open_page("#/live", entered=True, **options)`: a page at an address of the gateway. Whatever its scripts throw,
    and whatever its content policy stops, fails the test."""
    url, token = gateway
    problems = []

    def begin(address="#/none", *, entered=True, at=url, **options):
        key = at, entered, repr(options)
        if key not in pages:
            context = chromium.new_context(**{"viewport": {"width": 1200, "height": 800}, **options})
            context.set_default_timeout(LIMIT)
            pages[key] = context.new_page()
            if entered:
                let_in(context, at, token)
        page = pages[key]
        page.goto(f"{at}/#/none")
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: problems.append(said.text) if "Content Security" in said.text else None)
        page.goto(f"{at}/{address}")
        return page

    yield begin
    assert problems == []
