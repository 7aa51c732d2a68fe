"""What the user gave comes back as it was, or is refused with a reason."""

from __future__ import annotations

import json
import math

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback import jsontext

LONE = st.text(st.characters(exclude_categories=()), max_size=20).map(
    # two halves side by side are one character to every reader of JSON
    lambda text: json.loads(json.dumps(text))
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | LONE
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(LONE, inner), max_leaves=20)


def same(one: object, other: object) -> bool:
    """Equal, of equal types, and NaN equals NaN."""
    return repr(one) == repr(other)


@given(VALUES)
def test_any_json_comes_back_as_it_was(value: object):
    line = json.dumps(value).encode()
    read, exact = jsontext.loads(line)
    assert same(read, value)
    written = jsontext.dumps(read, exact=exact)
    assert b"\n" not in written
    assert same(json.loads(written), value)
    assert same(jsontext.loads(written), (read, exact))


@given(VALUES.filter(lambda value: "nan" not in repr(value) and "inf" not in repr(value)))
def test_both_ways_write_the_same_value(value: object):
    assert same(json.loads(jsontext.dumps(value)), json.loads(jsontext.dumps(value, exact=True)))


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_in_one_line(line: bytes):
    reason = ""
    try:
        jsontext.loads(line)
    except ValueError as error:
        reason = f"{type(error).__name__}: {error}"
    assert reason == "" or reason.startswith("ValueError: not ")
    assert "\n" not in reason


@pytest.mark.parametrize(
    "line",
    [
        rb'"\ud800"',
        rb'{"\udfff":"x\ud83d"}',
        b"NaN",
        b"[-Infinity,Infinity]",
        b"18446744073709551616",
        b"-9223372036854775809",
        b"1e400",
        b'{"a":[-1.5E+999]}',
        b'{"a":' + b"9" * 4300 + b"}",
        '[18446744073709551616,"é\u2028"]'.encode(),
    ],
    ids=lambda line: line[:20].decode(errors="replace"),
)
def test_what_the_fast_way_would_lose_is_exact_and_written_byte_for_byte(line: bytes):
    value, exact = jsontext.loads(line)
    assert exact
    assert jsontext.dumps(value, exact=exact) == line


@pytest.mark.parametrize(
    "line",
    [
        b"18446744073709551615",
        b"-9223372036854775808",
        b'"12345678901234567890123"',
        b"0.12345678901234567890",
        b"1e308",
        b'{"a":"\xe2\x80\xa8","b":[1,2.5,null,true]}',
    ],
)
def test_ordinary_lines_take_the_fast_way(line: bytes):
    value, exact = jsontext.loads(line)
    assert not exact
    assert same(value, orjson.loads(line))


def test_of_duplicate_keys_the_last_counts():
    assert jsontext.loads(b'{"a":1,"a":2}') == ({"a": 2}, False)
    assert jsontext.loads(b'{"a":NaN,"a":2}') == ({"a": 2}, True)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"", "not JSON: Expecting value at column 1."),
        (b'{"prompt": "x",}', "not JSON: Expecting property name enclosed in double quotes at column 16."),
        (b'{"prompt": "x', "not JSON: Unterminated string starting at column 12."),
        (b'{"a": 1} {', "not JSON: Extra data at column 10."),
        (b'{"a": "\\x"}', "not JSON: Invalid \\escape at column 8."),
        ('{"é": nul}'.encode(), "not JSON: Expecting value at column 7."),
        ('{"é": "'.encode() + b'\xff"}', "not UTF-8 at column 8. Save the file as UTF-8."),
        (b'"\xed\xa0\x80"', "not UTF-8 at column 2. Save the file as UTF-8."),
        (b"1" * 4301, "an integer of more than 4300 digits. Write it as a string."),
        (b"-" + b"1" * 4301, "an integer of more than 4300 digits. Write it as a string."),
        (b"[" * 201 + b"]" * 201, "nested deeper than 200 levels."),
        (b'{"a":' * 201 + b"1" + b"}" * 201, "nested deeper than 200 levels."),
        (b"[" * 1100 + b"]" * 1100, "nested deeper than 200 levels."),
        (b"[" * 100_000 + b"]" * 100_000, "nested deeper than 200 levels."),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else value[:12].decode(errors="replace"),
)
def test_a_bad_line_is_refused_with_what_and_where(line: bytes, says: str):
    with pytest.raises(ValueError) as caught:
        jsontext.loads(line)
    # the wording of the parser may change with Python, the place may not
    assert str(caught.value).split(":")[0] == says.split(":")[0]
    assert str(caught.value).split(" at ")[-1] == says.split(" at ")[-1]


def test_200_levels_are_read_and_written_also_when_wrapped():
    value, exact = jsontext.loads(b"[" * 200 + b"]" * 200)
    assert not exact
    assert jsontext.dumps({"meta": {"field": value}})


def test_many_brackets_side_by_side_are_not_deep():
    assert jsontext.loads(b"[" + b"[[]]," * 500 + b"{}]")[0] == [[[]]] * 500 + [{}]


def test_dumps_falls_back_by_itself_where_the_fast_way_refuses():
    assert jsontext.dumps({"a": "x\ud800é", "b": 2**64}) == '{"a":"x\\ud800é","b":18446744073709551616}'.encode()
    assert jsontext.dumps(("a", 1)) == b'["a",1]'


def test_nan_is_kept_only_where_exactness_is_asked_for():
    assert jsontext.dumps(math.nan, exact=True) == b"NaN"
    assert jsontext.dumps(math.nan) == b"null"


def test_what_is_no_json_is_a_type_error():
    with pytest.raises(TypeError):
        jsontext.dumps({1, 2})


@pytest.mark.parametrize(
    ("text", "sent"),
    [("plain", "plain"), ("é😀", "é😀"), ("a\ud800b\udfff", "a\ufffdb\ufffd"), ("", "")],
    ids=["ascii", "astral", "lone", "empty"],
)
def test_a_lone_surrogate_is_sent_as_the_replacement_character(text: str, sent: str):
    assert jsontext.scrub(text) == sent
