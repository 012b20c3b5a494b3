"""Each view shows what the store has, and leads to the others."""

import re

import pytest
from playwright.sync_api import expect


def test_without_the_token_the_page_asks_for_it(open_page, gateway, conversations):
    page = open_page("#/live", entered=False)
    token = page.get_by_label("Token")
    token.fill("not the token")
    token.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("That is not the token.")

    token.fill(gateway[1])
    token.press("Enter")

    expect(page.locator(".event").first).to_be_visible()
    [cookie] = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert gateway[1] not in page.evaluate("document.cookie + JSON.stringify({...localStorage})")


def test_live_shows_what_was_there_and_what_comes(open_page, store, conversations):
    page = open_page("#/live")
    expect(page.locator(".event").nth(5)).to_be_visible()
    expect(page.locator(".state")).to_have_text("live")

    ref = store.put("probe:live", agent_id="prober", data={"answer": 42})

    row = page.locator(".event", has_text="probe:live")
    expect(row).to_contain_text("answer: 42")
    expect(row.locator("a")).to_have_attribute("href", f"#/context/{ref}")


def test_live_filters_past_and_coming_events(open_page, store, conversations):
    page = open_page("#/live")
    page.get_by_label("Event", exact=True).fill("tool:*")
    page.keyboard.press("Enter")
    expect(page.locator(".event", has_text="agent:spawn")).to_have_count(0)
    expect(page.locator(".event", has_text="tool:call").first).to_be_visible()
    expect(page.locator(".state")).to_have_text("live")

    store.put("other:probe", data={})
    store.put("tool:probe", data={})

    expect(page.locator(".event", has_text="tool:probe")).to_have_count(1)
    expect(page.locator(".event", has_text="other:probe")).to_have_count(0)
    assert page.url.endswith("#/live?event_name=tool%3A*")


def test_a_filter_that_cannot_be_is_told(open_page, conversations):
    page = open_page("#/live?correlation_id=")
    page.get_by_label("Correlation").fill("x" * 5000)
    page.keyboard.press("Enter")

    expect(page.get_by_role("alert")).to_be_visible()


def test_paused_the_stream_waits_and_says_how_much(open_page, store, conversations):
    page = open_page("#/live")
    expect(page.locator(".state")).to_have_text("live")
    page.keyboard.press("Space")
    for number in range(3):
        store.put("probe:paused", data={"number": number})
    expect(page.locator(".pause")).to_have_text("Go on (3 waiting)")
    expect(page.locator(".event", has_text="probe:paused")).to_have_count(0)

    page.keyboard.press("Space")

    expect(page.locator(".event", has_text="probe:paused")).to_have_count(3)


def test_a_correlation_opens_collapsed_and_its_tree_by_keys(open_page, conversations):
    page = open_page(f"#/correlation/{conversations[0]}")
    rows = page.get_by_role("treeitem")
    expect(rows.first).to_have_attribute("aria-expanded", "true")  # the only root
    expect(page.locator("[aria-level='3']")).to_have_count(0)

    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(rows.nth(1)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowRight")
    expect(rows.nth(1)).to_have_attribute("aria-expanded", "true")
    expect(page.locator("[aria-level='3']").first).to_contain_text("agent:spawn")

    page.keyboard.press("ArrowLeft")
    expect(page.locator("[aria-level='3']")).to_have_count(0)
    page.keyboard.press("ArrowLeft")
    expect(rows.first).to_have_attribute("aria-selected", "true")


def test_the_timeline_has_every_event_in_order_and_marks_errors(open_page, store, conversations):
    correlation = next(one for one in conversations if store.query(correlation_id=one, errors=True))
    events = store.query(correlation_id=correlation)
    page = open_page(f"#/correlation/{correlation}")
    timeline = page.get_by_role("tab", name="Timeline")
    expect(timeline).to_have_attribute("aria-selected", "false")
    page.keyboard.press("2")

    expect(timeline).to_have_attribute("aria-selected", "true")
    first = page.locator(".lane").first
    expect(first).to_contain_text("agent:spawn")
    expect(first).to_have_attribute("aria-setsize", str(len(events)))
    left = page.locator(".duration").evaluate_all("all => all.map(one => parseFloat(one.style.left))")
    assert left == sorted(left)
    expect(page.locator(".lane.wrong").first).to_be_visible()
    assert page.url.endswith("?view=timeline")


def test_a_context_shows_its_fields_its_data_and_its_kin(open_page, store, conversations):
    [root] = store.query(correlation_id=conversations[1], event_name="agent:spawn", agent_id="planner")
    [plan] = store.query(correlation_id=conversations[1], event_name="llm:complete")
    page = open_page(f"#/context/{plan.ref}")

    expect(page.locator("h1")).to_have_text("llm:complete")
    expect(page.locator(".card", has_text="Data")).to_contain_text("Split into steps")
    expect(page.locator(".fields")).to_contain_text(plan.correlation_id)
    expect(page.locator(".below .event")).to_have_count(len(store.children(plan.ref)))
    page.locator(".ancestors a").click()

    expect(page.locator(".spelled code")).to_have_text(root.ref)
    assert page.url.endswith(f"#/context/{root.ref}")


def test_a_session_and_an_agent_lead_to_their_events(open_page, store, conversations):
    session = store.query(correlation_id=conversations[2])[0].session_id
    page = open_page(f"#/session/{session}")
    expect(page.locator(".card")).to_contain_text("channel")
    expect(page.locator(".event").first).to_have_attribute("aria-setsize", str(len(store.session(session).events)))

    page.locator(".chips a", has_text="planner").click()

    expect(page.locator("h1")).to_contain_text("planner")
    expect(page.locator(".event").first).to_have_attribute("aria-setsize", str(len(store.query(agent_id="planner"))))
    expect(page.locator(".chips", has_text="Correlations").locator("a")).to_have_count(len(conversations))


@pytest.mark.parametrize("kind", ["context", "correlation", "session", "agent"])
def test_search_finds_any_id(open_page, store, conversations, kind):
    context = store.query(correlation_id=conversations[3])[2]
    ids = {
        "context": context.event_id,
        "correlation": context.correlation_id,
        "session": context.session_id,
        "agent": context.agent_id,
    }
    page = open_page("#/store")
    page.keyboard.press("/")
    page.keyboard.type(ids[kind])
    page.keyboard.press("Enter")

    expect(page).to_have_url(re.compile(f"#/{kind}/"))
    expect(page.locator("h1")).to_be_visible()


def test_what_is_not_there_is_told(open_page, conversations):
    page = open_page("#/search?id=nothing-like-that")
    expect(page.get_by_role("status")).to_contain_text("Nothing has this id.")

    page.goto(page.url.split("#")[0] + "#/context/ctx_000000000000000z")
    expect(page.get_by_role("alert")).to_be_visible()
    page.goto(page.url.split("#")[0] + "#/no-such-view")
    expect(page.locator("main")).to_contain_text("There is no such view.")


def test_the_store_s_charts_move(open_page, store, conversations):
    page = open_page("#/store")
    puts = page.locator(".chart", has_text="Puts")
    expect(page.locator(".status")).to_have_text("alive")
    expect(page.get_by_role("img", name="of the ring holds events")).to_be_visible()
    expect(puts.locator(".line")).to_have_attribute("d", re.compile("M"))

    expect(puts.locator(".line")).to_have_attribute("d", re.compile("L.*L"))  # three samples with a rate
