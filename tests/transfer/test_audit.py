"""What the audit finds, and what it lets pass. An expected finding is marked at the end of its line: `#! rule`."""

import asyncio
import re
import textwrap
from pathlib import Path

import pytest
from audit_programs import EMBEDDED, FLAT, HANDLERS, LOOK_ALIKES, PASSED, SESSIONS

import shmctx
from shmctx.events import EventRouter
from shmctx.transfer.audit import DEFAULT, RULES, findings

MARK = re.compile(r"#! ([\w-]+)")


def found(program, rules=DEFAULT):
    return [(finding.line, finding.rule) for finding in findings(textwrap.dedent(program), rules=rules)]


def marked(program):
    lines = enumerate(textwrap.dedent(program).split("\n"), 1)
    return [(number, rule) for number, line in lines for rule in MARK.findall(line)]


@pytest.mark.parametrize("program", [FLAT, HANDLERS, EMBEDDED, PASSED, SESSIONS])
def test_old_patterns_are_found_where_they_are(program):
    assert len(marked(program)) > 5
    # What a line is marked for is found in it; some patterns hold a second one, on the same line.
    assert sorted(set(found(program))) == marked(program)


@pytest.mark.parametrize("program", LOOK_ALIKES.values(), ids=LOOK_ALIKES)
def test_what_only_looks_like_an_old_pattern_passes(program):
    assert findings(textwrap.dedent(program), rules=RULES) == []


def test_a_context_as_dict_is_found_when_it_is_asked_for():
    program = """
        @event_handler("agent:status")
        async def status(data, context=None):
            if "_agent_id" in context:  #! context-as-dict
                return context.get("_agent_id")  #! context-as-dict
            return ksi_context.get()["_event_id"]  #! context-as-dict
    """

    assert found(program) == []
    assert found(program, RULES) == marked(program)


def test_what_to_write_instead_uses_the_names_of_the_place():
    program = textwrap.dedent("""
        @event_handler("agent:status")
        async def status(data, ctx):
            return data["_event_depth"]

        def anywhere(message):
            return message["_event_timestamp"]

        for event in log:
            print(event["data"]["_correlation_id"])
    """)

    instead = [finding.instead for finding in findings(program)]
    assert instead == ["ctx.depth", "shmctx.current().timestamp", "event.context.correlation_id"]


def test_places_count_characters_from_one():
    (finding,) = findings('größe = "ü", data["_event_id"]\n')

    assert (finding.line, finding.column) == (1, 14)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_ending_counts(newline):
    (finding,) = findings(newline.join(["", "", 'x = data["_event_id"]', ""]))

    assert (finding.line, finding.column) == (3, 5)


def test_comments_allow_places():
    program = """
        one = data["_event_id"]  # shmctx: ignore[flat-metadata]
        two = data["_event_id"]  # shmctx: ignore
        three = data["_event_id"]  # checked  # shmctx: ignore[outside-session, flat-metadata]
        # shmctx: ignore[flat-metadata]
        four = data["_event_id"]
        five = data["_event_id"]  #! flat-metadata
        six = data["_event_id"]  # shmctx: ignore[raw-data]  #! flat-metadata
        seven = data["_event_id"], "# shmctx: ignore"  #! flat-metadata
        eight = {  # shmctx: ignore[built-context]
            "_event_id": 1,
            "_correlation_id": 2,
        }
        nine = {
            "_ksi_context": {"_event_id": 1},  # shmctx: ignore[built-context]
        }
    """

    assert found(program) == marked(program)


def test_a_comment_that_names_no_rule_is_told():
    program = 'x = data["_event_id"]  # shmctx: ignore[flat-metdata]\n'

    assert found(program) == [(1, "flat-metadata"), (1, "unknown-rule")]
    assert "flat-metdata" in findings(program, rules=["unknown-rule"])[0].what


# ---- the rules' own examples ----


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_example_of_a_rule_has_what_it_finds(rule):
    assert {finding.rule for finding in findings(rule.before, rules=DEFAULT | {rule.id})} == {rule.id}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_what_a_rule_says_to_write_instead_passes_and_runs(rule, segment_name, db):
    assert findings(rule.after, rules=RULES) == []

    async def emit(store):
        router = EventRouter(store)
        names = {"router": router, "store": store, "shmctx": shmctx}
        exec(rule.after, names)
        if "report" in names:
            await names["report"]("a-1", store.put("agent:begin"))
        return await router.emit("agent:status", {"state": "idle", "text": "x"}, agent_id="a-1")

    with shmctx.open(segment_name, db=db) as store:
        results = asyncio.run(emit(store))
        stored = store.event(results.ref)
    assert results.errors == []
    assert (stored.data["state"], stored.context.agent_id) == ("idle", "a-1")


def test_the_page_of_rules_says_what_the_rules_say():
    page = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()
    sections = dict(re.findall(r"(?ms)^## ([\w-]+)\n(.*?)(?=^## |\Z)", page))

    assert [section for section in sections if section in RULES] == list(RULES)
    for rule in RULES.values():
        said = " ".join(sections[rule.id].split())
        assert f"{rule.finds} {rule.why}" in said, rule.id
        assert f"```python{rule.before}```\n\nInstead:\n\n```python{rule.after}```" in sections[rule.id], rule.id
        assert ("--select" in said) is not rule.default, rule.id
        assert f"| [`{rule.id}`](#{rule.id}) | {rule.finds} |" in page
