"""W3C Trace Context and Baggage: what is valid, what is not, and the ids of a context in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmctx import w3c

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_a_traceparent_is_read_and_written():
    parent = w3c.parse_traceparent(f"00-{TRACE}-{SPAN}-01")

    assert parent == (TRACE, SPAN, 1)
    assert str(parent) == f"00-{TRACE}-{SPAN}-01"
    assert w3c.parse_traceparent(f" 00-{TRACE}-{SPAN}-00\t") == (TRACE, SPAN, 0)


@pytest.mark.parametrize("text", [f"01-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-later", f"00-{TRACE}-{SPAN}-ff"])
def test_later_versions_and_unknown_flags_are_read_as_far_as_they_are_known(text):
    assert w3c.parse_traceparent(text) == (TRACE, SPAN, 1)


@pytest.mark.parametrize(
    "text",
    [
        None, "", "00", "nonsense", f"00-{TRACE}-{SPAN}", f"00-{TRACE}-{SPAN}-01-more", f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[1:]}-{SPAN}-01", f"00-{TRACE}-{SPAN}-1", f"0-{TRACE}-{SPAN}-01", f"00_{TRACE}_{SPAN}_01",
        f"00-{TRACE}-{SPAN}-01\n", f"00-{TRACE}-{SPAN}-0g",
        f"00-{TRACE}-{SPAN[:-1]}\u0661-01", f"cc-{TRACE}-{SPAN}-01.x", f"cc-{TRACE}-{SPAN}-01-" + "x" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_traceparent_counts_as_none(text):
    assert w3c.parse_traceparent(text) is None


@given(st.text())
def test_no_text_is_an_error(text):
    parent = w3c.parse_traceparent(text)
    assert parent is None or w3c.parse_traceparent(str(parent)) == parent
    state = w3c.parse_tracestate(text)
    assert w3c.parse_tracestate(w3c.format_tracestate(state)).items() <= state.items()
    assert isinstance(w3c.parse_baggage(text), dict)


def test_a_trace_id_is_a_correlation_and_the_other_way_round():
    assert w3c.trace_id(TRACE) == TRACE
    assert w3c.span_id(f"span_{SPAN}") == SPAN


@pytest.mark.parametrize(
    "identity", ["corr_qdr4j00000000003", "", "0" * 32, TRACE.upper(), TRACE + "0", f"span_{0:016}"]
)
def test_other_ids_become_valid_ones(identity):
    assert w3c.parse_traceparent(str(w3c.Traceparent(w3c.trace_id(identity), w3c.span_id(identity)))) is not None
    assert w3c.trace_id(identity) == w3c.trace_id(identity) != w3c.trace_id(identity + "x")


def test_the_hashes_are_those_of_the_document():
    """BLAKE2b (RFC 7693) of the text, as `printf corr_1 | b2sum -l 128` gives it."""
    assert w3c.trace_id("corr_1") == "c1ba686da4bbb8435ecab54d9075de0f"
    assert w3c.span_id("evt_1") == "d659aecd31a53f49"


@pytest.mark.parametrize(
    "text,members",
    [
        ("a=1,b=2", {"a": "1", "b": "2"}),
        (" a=1 , ,\tb=x y", {"a": "1", "b": "x y"}),
        ("tenant@vendor=v", {"tenant@vendor": "v"}),
        ("0tenant@v=1", {"0tenant@v": "1"}),
        ("a=1,a=2", {}), ("A=1", {}), ("a=", {}), ("a=b=c", {}), ("a", {}), ("0a=1", {}), ("a=\x7f", {}), ("a=ü", {}),
        ("a=1,B=2", {}), ("a" * 257 + "=1", {}), ("a=" + "x" * 257, {}), (None, {}), ("", {}),
        ("a=1" + " " * 20_000, {}),
    ],
)  # fmt: skip
def test_a_tracestate_is_valid_as_a_whole_or_not_at_all(text, members):
    assert w3c.parse_tracestate(text) == members


def test_a_tracestate_has_32_members_and_512_characters_at_most():
    many = {f"k{number}": "v" for number in range(40)}
    assert w3c.parse_tracestate(",".join(f"{key}=v" for key in many)) == {}
    assert list(w3c.parse_tracestate(w3c.format_tracestate(many))) == list(many)[:32]
    long = {"first": "x", "long": "v" * 256, "longer": "w" * 256, "last": "y"}
    assert list(w3c.parse_tracestate(w3c.format_tracestate(long))) == ["first", "long", "last"]


@given(
    st.dictionaries(st.from_regex(r"[a-z.]{1,8}", fullmatch=True), st.text(st.characters(codec="utf-8"), max_size=9))
)
def test_baggage_comes_back_as_it_was(values):
    text = w3c.format_baggage(values)

    assert text.isascii()
    assert w3c.parse_baggage(text) == values


@pytest.mark.parametrize(
    "text,values",
    [
        ("a=1,b=2", {"a": "1", "b": "2"}),
        ("a = 1 ;property;p=2 , b=%C3%A4%2C", {"a": "1", "b": "ä,"}),
        ("a=1,nonsense,b=%FF,ü=1,=x,c=3", {"a": "1", "c": "3"}),
        ("a=%zz,b=%", {"a": "%zz", "b": "%"}),
        (None, {}), ("a=" + "x" * 20_000, {}),
    ],
)  # fmt: skip
def test_members_of_a_baggage_that_break_the_rules_are_left_out(text, values):
    assert w3c.parse_baggage(text) == values


def test_baggage_of_others_stays_untouched_behind_ours():
    text = w3c.format_baggage({"ours": "a b"}, "theirs=%20x;secure, ours=old,more=1")

    assert text == "ours=a%20b,theirs=%20x;secure,more=1"
    assert len(w3c.format_baggage({"a": "x" * 8000}, "b=" + "y" * 200 + ",c=1")) <= 8192
    assert w3c.format_baggage({"a": "x" * 8000}, "b=" + "y" * 200 + ",c=1").endswith(",c=1")
    assert w3c.format_baggage({}, ",".join("k=1" for _ in range(100))).count("=") == 64
