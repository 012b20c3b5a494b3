"""SVG and Mermaid: whatever contexts are called, the documents are whole, and small and large chains can be read."""

import html
import itertools
import random
import re
from xml.etree import ElementTree as ET

import hypothesis
import pytest
from hypothesis import strategies as st
from made import HOSTILE, context, forests

from shmctx import analysis
from shmctx.analysis.mermaid import LIMIT, MAX_TEXT, quoted
from shmctx.analysis.text import escaped

SVG = "{http://www.w3.org/2000/svg}"
ELEMENTS = {SVG + name for name in ("svg", "title", "style", "rect", "text", "tspan", "g", "circle", "path", "line")}
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40) | st.sampled_from(HOSTILE)

LABEL = r'\["([^"<>&]|<br/>)*"\](:::error)?'
LINE = re.compile(
    rf'flowchart TD|    n\d+{LABEL}|    m?\w+\["\d+ more"\]:::more|    n\d+ (-->|==>|-\.->) [nm]\d+'
    r"|    classDef \w+ [\w:#,-]+"
)


def named(name):
    """A cause and an effect that are called so in every field that is shown."""
    return analysis.chain(
        [
            context(1, name=name, agent=name, error_type=name, error_message=name),
            context(2, 1, name=name, agent=name, _duration_ms=3, at=0.001),
            context(3, "gone", name=name, correlation=name, event=name),
        ]
    )


def drawing(text):
    """The parsed picture; only elements that draw, no script, no reference, no handler."""
    root = ET.fromstring(text)
    for element in root.iter():
        assert element.tag in ELEMENTS
        assert not [name for name in element.attrib if name.startswith("on") or "href" in name]
    return root


def rows(root):
    return [group.find(SVG + "text") for group in root.iter(SVG + "g")]


@hypothesis.given(names)
@hypothesis.example(HOSTILE[0])
def test_no_name_breaks_out_of_a_picture(name):
    chain = named(name)
    root = drawing(analysis.svg(chain, title=name))
    shown = ["".join(row.itertext()).strip() for row in rows(root)]

    assert len(shown) == 3
    assert all(text.startswith(escaped(name)[:20].strip()) for text in shown)


@hypothesis.given(names)
@hypothesis.example(HOSTILE[0])
def test_no_name_breaks_out_of_a_flowchart(name):
    for line in analysis.mermaid(named(name)).splitlines():
        assert LINE.fullmatch(line), line


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_label_is_read_back_as_it_was(name):
    """Mermaid turns `#NUMBER;` back into the character."""
    read = html.unescape(re.sub(r"#(\d+);", r"&#\1;", quoted(name)))

    assert read in (escaped(name), escaped(name)[:79] + "…")


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_name_stays_in_its_line_of_text(name):
    lines = analysis.tree(named(name)).split("\n")

    assert len(lines) == 4
    assert all(line.isprintable() for line in lines)


@hypothesis.given(forests())
def test_a_picture_has_a_row_for_every_event_and_everything_is_inside(contexts):
    chain = analysis.chain(contexts)
    root = drawing(analysis.svg(chain))
    width, height = float(root.get("width")), float(root.get("height"))
    baselines = [float(row.get("y")) for row in rows(root)]

    assert len(baselines) == len(chain.nodes)
    assert all(later - earlier >= 18 for earlier, later in itertools.pairwise(baselines))
    assert all(0 < y < height for y in baselines)
    for group in root.iter(SVG + "g"):
        marks = [element for element in group if element.tag in (SVG + "circle", SVG + "rect")]
        (mark,) = [element for element in marks if element.get("class") != "odd"]
        left = float(mark.get("cx") or mark.get("x"))
        assert 400 < left <= left + float(mark.get("width", 0)) <= width


@pytest.mark.parametrize("size", [1, 5, 2000])
def test_small_and_large_pictures_can_be_read(size, seed):
    """Rows keep their height; an axis is never more than 40 rows away; names keep room for themselves."""
    dice = random.Random(seed)
    members = [context(1, name="root")]
    members += [
        context(n, dice.randrange(max(1, n - 20), n), name=f"some:event:{n}", agent="agent-7", at=n / 100)
        for n in range(2, size + 1)
    ]
    root = drawing(analysis.svg(analysis.chain(members), title="t"))
    axes = sorted({float(line.get("y1")) for line in root.iter(SVG + "line")})
    baselines = [float(row.get("y")) for row in rows(root)]

    assert len(baselines) == size
    assert all(min(abs(y - axis) for axis in axes) <= 41 * 18 for y in baselines)
    for row in rows(root):
        assert len(row.text.strip()) >= 4
        assert float(row.get("x")) + 6.7 * len("".join(row.itertext()).strip()) < 440
    marks = [text.text for text in root.iter(SVG + "text") if (text.text or "").startswith("+")]
    assert 1 <= len(set(marks)) <= 9


def test_errors_and_the_critical_path_are_told_apart():
    chain = analysis.chain(
        [context(1), context(2, 1, error="no"), context(3, 1, at=1, _duration_ms=5), context(4, 1, at=0.5)]
    )
    classes = [
        element.get("class") for element in drawing(analysis.svg(chain)).iter() if element.tag.endswith("circle")
    ]
    text = analysis.mermaid(chain)

    assert classes == ["hot", "bad", "bar"]
    assert "n0 ==> n2" in text
    assert "n0 --> n1" in text
    assert re.search(r"n1\[.*\]:::error", text)
    assert 'class="hot"' in analysis.svg(chain)


@pytest.mark.parametrize("shape", ["wide", "deep", "roots", "comb"])
def test_a_large_flowchart_is_cut_where_renderers_would_refuse_it(shape):
    count = 3000
    parent = {"wide": lambda _: 1, "deep": lambda n: n - 1, "roots": lambda _: None, "comb": lambda n: n - 1 - n % 2}[
        shape
    ]
    chain = analysis.chain([context(1), *(context(n, parent(n) or None) for n in range(2, count + 1))])
    lines = analysis.mermaid(chain).splitlines()
    drawn = [line for line in lines if re.match(r"    n\d+\[", line)]
    hidden = sum(int(found[1]) for line in lines if (found := re.search(r'\["(\d+) more"\]', line)))

    assert len(drawn) == LIMIT
    assert hidden + len(drawn) == count
    assert sum("-->" in line or "==>" in line or "-.->" in line for line in lines) <= 500


def test_long_labels_make_a_flowchart_smaller():
    chain = analysis.chain([context(1), *(context(n, 1, name='"' * 300, agent="<" * 300) for n in range(2, 300))])
    text = analysis.mermaid(chain)

    assert len(text) <= MAX_TEXT
    assert re.search(r'\["\d+ more"\]', text)
