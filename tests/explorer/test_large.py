"""Ten thousand events in a correlation, bursts in the stream, a gateway that restarts."""

import secrets

import pytest
from playwright.sync_api import expect

from bench.scene import let_in
from shmctx.gateway.limits import Limits
from shmctx.gateway.serving import Options, Serving

EVENTS = 10_000
ELEMENTS = 120  # rows in the page at most, whatever there is


@pytest.fixture(scope="module")
def large(scene):
    return scene.large(EVENTS)


def test_a_large_tree_asks_for_what_is_looked_at(open_page, large):
    page = open_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/nodes" in request.url else None)
    page.evaluate("id => location.hash = `#/correlation/${id}`", large)
    rows = page.get_by_role("treeitem")
    expect(rows.nth(10)).to_contain_text("optimizer:trial")
    assert len(asked) == 1
    assert rows.count() < ELEMENTS

    page.keyboard.press("End")

    last = page.locator("[aria-posinset='500']")
    expect(last).to_contain_text("optimizer:trial")
    expect(last).to_have_attribute("aria-selected", "true")
    assert len(asked) <= 3
    assert rows.count() < ELEMENTS


def test_a_large_timeline_scrolls_to_its_end(open_page, large):
    page = open_page(f"#/correlation/{large}?view=timeline")
    expect(page.locator(".lane").nth(10)).to_contain_text("optimizer")

    page.keyboard.press("End")

    expect(page.locator(f"[aria-posinset='{EVENTS}']")).to_contain_text("optimizer:step")
    assert page.locator(".lane").count() < ELEMENTS


def test_a_list_of_thousands_goes_on_while_somebody_scrolls(open_page, store, large):
    total = len(store.query(agent_id="trial-1"))
    assert total > 1000  # more pages than one
    page = open_page("#/agent/trial-1")
    expect(page.locator(".event").first).to_be_visible()

    for loaded in (500, 1000, total):
        expect(page.locator(f".event[aria-setsize='{loaded}']").first).to_be_visible()
        page.keyboard.press("End")

    expect(page.locator(f"[aria-posinset='{total}']")).to_be_visible()


def test_a_key_that_comes_before_the_next_frame_scrolls_to_the_end_of_what_is_there(open_page, large):
    """No frame comes between a page of events and the key that is pressed as soon as it is there."""
    page = open_page("#/agent/trial-1")
    expect(page.locator(".event").first).to_be_visible()
    page.evaluate(
        "() => { window.frame = requestAnimationFrame; requestAnimationFrame = (paint) => setTimeout(paint, 300); }"
    )
    page.keyboard.press("End")
    expect(page.locator(".event[aria-setsize='1000']").first).to_be_attached()

    page.keyboard.press("End")

    expect(page.locator("[aria-posinset='1000']")).to_be_visible()
    page.evaluate("() => { requestAnimationFrame = window.frame; }")


def options(folder, port=0, **limits):
    return Options(http=("127.0.0.1", port), token_file=folder / "gateway.token", limits=Limits(rate=0, **limits))


def test_a_page_that_is_too_slow_says_that_it_missed_something(open_page, store, folder, conversations):
    """It is busy with itself while more comes than fits into what lies between it and the gateway."""
    with Serving(store, options(folder, queued=1)) as serving:
        page = open_page("#/live", at=serving.url)
        expect(page.locator(".state")).to_have_text("live")
        page.evaluate("setTimeout(() => { const end = performance.now() + 2500; while (performance.now() < end); })")

        for number in range(600):
            store.put("probe:burst", data={"number": number, "text": "x" * 32_000})

        expect(page.locator(".missed")).to_contain_text("missed some")


def test_the_stream_goes_on_after_the_gateway_restarts(open_page, store, folder, conversations):
    name = f"probe:{secrets.token_hex(3)}"
    with Serving(store, options(folder)) as serving:
        page = open_page(f"#/live?event_name={name}", at=serving.url)
        expect(page.locator(".state")).to_have_text("live")
        store.put(name, data={"number": 1})
        expect(page.locator(".event")).to_have_count(1)
        port = serving.address[1]
    expect(page.locator(".state")).to_have_text("reconnecting")
    store.put(name, data={"number": 2})

    with Serving(store, options(folder, port)) as serving:
        let_in(page.context, serving.url, serving.token)
        expect(page.locator(".event")).to_have_count(2)
        store.put(name, data={"number": 3})
        expect(page.locator(".event")).to_have_count(3)
