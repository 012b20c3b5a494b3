"""The page as people use it: by keys, in the dark, on a phone."""

import pytest
from playwright.sync_api import expect

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}


def test_keys_move_open_and_explain(open_page, conversations):
    page = open_page("#/live?event_name=agent:exit")
    expect(page.locator(".event").nth(3)).to_be_visible()
    for key in "jjjk":
        page.keyboard.press(key)
    expect(page.locator("[aria-selected='true']")).to_have_attribute("aria-posinset", "2")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)

    page.keyboard.press("Enter")

    expect(page.locator("h1")).to_have_text("agent:exit")


def test_letters_are_letters_while_somebody_types(open_page, conversations):
    page = open_page("#/live")
    page.keyboard.press("/")
    page.keyboard.type("js?t")

    expect(page.get_by_label("Search by any id")).to_have_value("js?t")
    expect(page.get_by_role("dialog")).to_have_count(0)


def ground(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_light_and_dark_follow_the_system_until_somebody_chooses(open_page, conversations):
    dark = open_page("#/live", color_scheme="dark")
    light = open_page("#/live", color_scheme="light")
    night, day = ground(dark), ground(light)
    assert night != day

    switch = dark.locator("#theme")
    switch.click()
    expect(switch).to_have_text("Light")
    assert ground(dark) == day
    dark.reload()
    expect(switch).to_have_text("Light")
    assert ground(dark) == day


@pytest.mark.parametrize("view", ["live", "correlation", "timeline", "context", "session", "agent", "store"])
def test_every_view_fits_a_phone(open_page, store, conversations, view):
    context = store.query(correlation_id=conversations[4])[3]
    addresses = {
        "live": "#/live",
        "correlation": f"#/correlation/{context.correlation_id}",
        "timeline": f"#/correlation/{context.correlation_id}?view=timeline",
        "context": f"#/context/{context.ref}",
        "session": f"#/session/{context.session_id}",
        "agent": f"#/agent/{context.agent_id}",
        "store": "#/store",
    }
    page = open_page(addresses[view], **PHONE)
    expect(page.locator("main > .view")).to_be_visible()
    expect(page.locator("main[aria-busy]")).to_have_count(0)

    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["viewport"]["width"]
    assert page.evaluate("document.querySelector('main').scrollWidth") == PHONE["viewport"]["width"]
    assert page.locator("button:visible, nav a:visible").evaluate_all(
        "all => all.filter(one => one.getBoundingClientRect().height < 26).map(one => one.textContent)"
    ) == []
