"""What agents put is text: names and values made to be scripts stay text in every view."""

from urllib.parse import quote

import pytest
from playwright.sync_api import expect

IMAGE = "<img src=x onerror=\"window.hacked='image'\">"
SCRIPT = "\"><script>window.hacked='script'</script>"
LINK = "javascript:window.hacked='link'"
CLOSING = "</a></div><svg onload=window.hacked='svg'>"


@pytest.fixture(scope="module")
def hostile(store):
    session, data = {"id": CLOSING, IMAGE: SCRIPT}, {SCRIPT: [IMAGE, {LINK: CLOSING}]}
    wrong = {"error": True, "error_type": IMAGE, "error_message": SCRIPT, "response_ref": LINK}
    with store.span(IMAGE, agent_id=SCRIPT, correlation_id=LINK, session=session, data=data) as root:
        store.put(CLOSING, tags=[IMAGE], _custom={IMAGE: 1}, **wrong)
    return root


@pytest.fixture
def addresses(hostile):
    def at(view, name, more=""):
        return f"#/{view}/{quote(name, safe='')}{more}"

    return {
        "live": "#/live",
        "filtered": f"#/live?text={quote(IMAGE)}",
        "context": at("context", hostile.ref),
        "tree": at("correlation", LINK),
        "timeline": at("correlation", LINK, "?view=timeline"),
        "session": at("session", CLOSING),
        "agent": at("agent", SCRIPT),
        "search": f"#/search?id={quote(SCRIPT)}",
    }


@pytest.mark.parametrize(
    "view", ["live", "filtered", "context", "tree", "timeline", "session", "agent", "search"]
)
def test_no_script_runs(open_page, addresses, view):
    page = open_page(addresses[view])
    expect(page.locator("main")).to_contain_text(SCRIPT if view in ("agent", "search") else IMAGE)

    for row in page.locator(".row, details > summary").all():
        row.hover()
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img, main script, main [onload], main [onerror]").count() == 0
    targets = page.locator("main a[href]").evaluate_all("all => all.map(one => one.getAttribute('href'))")
    assert [target for target in targets if not target.startswith("#/")] == []


@pytest.mark.parametrize(
    "address", ["#/context/%E0%A4%A", "#/%00", "#/correlation/", "#/live?errors=%3Cb%3E", "#/constructor/x"]
)
def test_an_address_that_makes_no_sense_gives_a_sentence(open_page, conversations, address):
    page = open_page(address)

    expect(page.locator("main")).not_to_be_empty()
    expect(page.locator("main[aria-busy]")).to_have_count(0)
