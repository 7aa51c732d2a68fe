"""Whatever the bytes are, each line that is not blank becomes pairs or says what is wrong with it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aifeedback.errors import InputError, SettingsError
from aifeedback.files import Reader
from aifeedback.records import Invalid, Pair
from aifeedback.settings import InputSettings

PAIR = {"prompt": "p", "response_a": "x", "response_b": "y"}
Items = list[Pair | Invalid]
WriteFile = Callable[..., str]


def line(**fields: object) -> bytes:
    return json.dumps({**PAIR, **fields}).encode()


def read(content: bytes, given: InputSettings | None = None) -> Items:
    reader = Reader(["-"], given or InputSettings(), stdin=io.BytesIO(content))
    return [item for chunk in reader.chunks() for item in chunk]


def reasons(items: Items) -> list[str]:
    return [item.reason for item in items if isinstance(item, Invalid)]


def ids(items: Items) -> list[str]:
    return [item.id for item in items if isinstance(item, Pair)]


@pytest.fixture
def file(tmp_path: Path) -> WriteFile:
    def write(content: bytes, name: str = "pairs.jsonl") -> str:
        path = tmp_path / name
        path.write_bytes(content)
        return str(path)

    return write


def test_lines_are_split_at_newlines_alone_and_blank_ones_still_count():
    text = "a\u2028b\u0085c\u000bd\u001ce"
    items = read(b"\n" + json.dumps({**PAIR, "prompt": text}, ensure_ascii=False).encode() + b"\r\n \r\n" + line(id=2))
    assert [(item.line, item.prompt) for item in items] == [(2, text), (4, "p")]
    assert {item.file for item in items} == {"stdin"}


def test_a_bad_line_is_kept_whole_and_stops_nobody():
    items = read(b'{"prompt": "\xff"}\r\n' + line(id="good") + b'\n{"id": 7, "prompt": "x"}\n')
    bad, good, lacking = items
    assert isinstance(good, Pair)
    assert bad == Invalid("stdin", 1, '{"prompt": "\\xff"}', "not UTF-8 at column 13. Save the file as UTF-8.")
    assert isinstance(lacking, Invalid)
    assert (lacking.line, lacking.id, lacking.raw) == (3, "7", '{"id": 7, "prompt": "x"}')
    assert lacking.reason.startswith('no "response_a" and no "response_b"')


@pytest.mark.parametrize("value", [b"1", b"null", b'"text"', b"NaN"])
def test_what_is_no_object_says_so(value: bytes):
    assert reasons(read(value)) == ["no JSON object. One object a line is expected."]


def test_one_line_of_candidates_gives_many_pairs():
    items = read(json.dumps({"id": 1, "prompt": "p", "responses": ["x", "y", "z"]}).encode())
    assert ids(items) == ["1#0-1", "1#0-2", "1#1-2"]


def test_a_line_that_only_exact_json_can_write_again_is_marked():
    pair, ordinary = read(line(extra=2**70) + b"\n" + line())
    assert isinstance(pair, Pair)
    assert isinstance(ordinary, Pair)
    assert (pair.exact, ordinary.exact) == (True, False)
    assert pair.meta == {"extra": 2**70}


def test_a_byte_order_mark_is_dropped_at_the_head_alone():
    assert len(ids(read(b"\xef\xbb\xbf" + line()))) == 1
    assert len(reasons(read(line() + b"\n\xef\xbb\xbf" + line()))) == 1


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_one_clear_refusal(encoding: str, file: WriteFile):
    content = ("\ufeff" + "\n".join([line().decode()] * 5000)).encode(encoding)
    assert reasons(read(content)) == ["the file is UTF-16. Save it as UTF-8."]
    path = file(content)
    with pytest.raises(InputError, match="UTF-16"):
        Reader([path], InputSettings()).check()
    reader = Reader([path], InputSettings())
    list(reader.chunks())
    assert reader.hashes == {path: hashlib.sha256(content).hexdigest()}


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (json.dumps([PAIR, PAIR]).encode(), "jq -c '.[]'"),
        (json.dumps([PAIR, PAIR], indent=2).encode(), "jq -c '.[]'"),
        (b"\n[" + line() + b",\n" + line() + b"]", "jq -c '.[]'"),
        (json.dumps(PAIR, indent=2).encode(), "jq -c ."),
    ],
    ids=["one line", "pretty", "object a line", "one object over lines"],
)
def test_a_file_that_is_no_json_lines_says_how_to_convert_it(content: bytes, hint: str):
    assert hint in reasons(read(content))[0]


def test_gzip_is_told_by_its_first_bytes_and_not_by_the_name(file: WriteFile):
    packed = file(gzip.compress(line(id="packed")), "named.jsonl")
    plain = file(line(id="plain"), "named.jsonl.gz")
    reader = Reader([packed, plain], InputSettings())
    reader.check()
    assert ids([item for chunk in reader.chunks() for item in chunk]) == ["packed", "plain"]
    assert reader.hashes == {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in (packed, plain)}


def test_gzip_of_several_members_with_padding_is_one_file():
    parts = gzip.compress(line(id=1) + b"\n") + gzip.compress(b"") + gzip.compress(line(id=2)) + b"\0" * 600_000
    assert ids(read(parts)) == ["1", "2"]


def test_gzip_may_hold_much_more_than_itself():
    items = read(gzip.compress(b"\n".join([line(id=1), b" " * 3_000_000, line(id=2, prompt="long " * 200_000)])))
    assert ids(items) == ["1", "2"]


def test_a_member_may_begin_where_a_block_does():
    first = gzip.compress(line(id=1) + b"\n", compresslevel=0)
    noise = os.urandom(100_000).hex().encode()
    packed = gzip.compress(noise + b"\n", compresslevel=0)
    stream = Trickle([first, packed, gzip.compress(line(id=2))])
    items = [item for chunk in Reader(["-"], InputSettings(), stdin=stream).chunks() for item in chunk]
    assert ids(items) == ["1", "2"]


@pytest.mark.parametrize("damage", ["truncated", "checksum", "garbage", "trailing"])
def test_rows_before_the_break_of_a_compressed_stream_are_delivered(damage: str, file: WriteFile):
    lines = [line(id=number, prompt=os.urandom(30).hex()) for number in range(2000)]
    packed = bytearray(gzip.compress(b"\n".join(lines)))
    if damage == "truncated":
        packed = packed[: len(packed) // 2]
    elif damage == "checksum":
        packed[-6] ^= 255
    elif damage == "garbage":
        packed[len(packed) // 2 :] = b"\xff" * 1000
    else:
        packed += b"not gzip"
    items = read(bytes(packed))
    good = [item for item in items if isinstance(item, Pair)]
    assert [item.id for item in good] == [str(number) for number in range(len(good))]
    assert len(good) >= (1999 if damage in {"checksum", "trailing"} else 900)
    assert "breaks off here" in reasons(items)[-1]
    assert isinstance(items[-1], Invalid)
    assert (items[-1].line, damage == "garbage" or len(reasons(items)) == 1) == (len(items), True)
    Reader([file(bytes(packed))], InputSettings()).check()


@pytest.mark.parametrize("size", [0, 1, 2, 5, 11])
def test_a_gzip_cut_in_its_head_is_one_invalid_row_and_an_empty_file_is_none(size: int, file: WriteFile):
    content = gzip.compress(line())[:size]
    Reader([file(content)], InputSettings()).check()
    assert len(reasons(read(content))) == (1 if size else 0)


def test_what_only_begins_like_gzip_is_one_invalid_row(file: WriteFile):
    content = b"\x1f\x8bno gzip at all"
    Reader([file(content)], InputSettings()).check()
    assert "breaks off here" in reasons(read(content))[0]


class Trickle(io.RawIOBase):
    """A pipe that gives its pieces one a read."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


def test_any_way_a_stream_is_cut_into_pieces_gives_the_same():
    content = b"\xef\xbb\xbf" + line(id=1, prompt="é") + b"\n\n" + line(id=2)
    for packed in (content, gzip.compress(content)):
        single = Trickle([packed[at : at + 1] for at in range(len(packed))])
        assert ids([item for chunk in Reader(["-"], InputSettings(), stdin=single).chunks() for item in chunk]) == [
            "1",
            "2",
        ]


def test_a_slow_pipe_is_not_held_back(tmp_path: Path):
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source:
        os.write(writing, line(id=1) + b"\n" + line(id=2)[:10])
        chunks = Reader(["-"], InputSettings(), stdin=source).chunks()
        assert ids(next(chunks)) == ["1"]
        os.write(writing, line(id=2)[10:])
        os.close(writing)
        assert ids(next(chunks)) == ["2"]
        assert next(chunks, None) is None


def test_a_pipe_that_does_not_block_is_waited_for():
    reading, writing = os.pipe()
    os.set_blocking(reading, False)

    def write_late() -> None:
        time.sleep(0.1)
        os.write(writing, line(id="late"))
        os.close(writing)

    thread = threading.Thread(target=write_late)
    with open(reading, "rb", buffering=0) as source:
        thread.start()
        chunks = list(Reader(["-"], InputSettings(), stdin=source).chunks())
        thread.join()
    assert ids(chunks[0]) == ["late"]


def test_a_chunk_holds_at_most_256_lines():
    content = b"\n".join([line()] * 1000)
    chunks = list(Reader(["-"], InputSettings(), stdin=io.BytesIO(content)).chunks())
    assert sum(map(len, chunks)) == 1000
    assert max(map(len, chunks)) <= 256


def test_standard_input_is_the_default_for_a_dash(file: WriteFile, monkeypatch: pytest.MonkeyPatch):
    with open(file(line(id="in"))) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        reader = Reader(["-"], InputSettings())
        reader.check()
        assert ids(next(reader.chunks())) == ["in"]
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(InputError, match="stdin: it is closed"):
        next(Reader(["-"], InputSettings()).chunks())


def test_a_long_line_costs_a_small_multiple_of_itself(file: WriteFile, monkeypatch: pytest.MonkeyPatch):
    size = 20_000_000
    path = file(line(prompt="x" * size) + b"\n" + line(id="next"))
    # orjson reserves much more than it touches, which would hide what the reader itself holds
    monkeypatch.setattr("aifeedback.files.loads", lambda _line: (PAIR, False))
    tracemalloc.start()
    chunks = Reader([path], InputSettings()).chunks()
    assert [item.line for chunk in chunks for item in chunk] == [1, 2]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * size


def test_a_long_line_is_read_whole(file: WriteFile):
    content = line(prompt="x" * 20_000_000) + b"\n"
    pair = next(Reader([file(content)], InputSettings()).chunks())[0]
    assert isinstance(pair, Pair)
    assert len(pair.prompt) == 20_000_000


def test_memory_does_not_grow_with_the_file(file: WriteFile):
    path = file(b"\n".join([line(prompt="x" * 1000)] * 20_000))
    tracemalloc.start()
    assert sum(len(chunk) for chunk in Reader([path], InputSettings()).chunks()) == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6_000_000


@pytest.mark.parametrize(
    ("name", "says"),
    [("absent.jsonl", "no such file"), ("", "folder"), ("bad\0name", "no name of a file")],
    ids=["absent", "folder", "null byte"],
)
def test_what_can_not_be_read_is_refused_before_anything_is_asked(tmp_path: Path, name: str, says: str):
    path = f"{tmp_path}/{name}"
    with pytest.raises(InputError, match=says) as caught:
        Reader([path], InputSettings()).check()
    assert str(caught.value).startswith(path)
    with pytest.raises(InputError):
        list(Reader([path], InputSettings()).chunks())


def test_stdin_can_be_named_once():
    with pytest.raises(InputError, match="named twice"):
        Reader(["-", "-"], InputSettings()).check()


def test_a_named_pipe_is_not_opened_by_the_check(tmp_path: Path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    Reader([str(path)], InputSettings(pairs="best-worst")).check()  # would hang
    thread = threading.Thread(target=lambda: path.write_bytes(line(id="piped")))
    thread.start()
    assert ids(next(Reader([str(path)], InputSettings()).chunks())) == ["piped"]
    thread.join()


def test_a_map_that_names_no_field_of_ours_is_refused():
    with pytest.raises(SettingsError, match='no form has a field "promt"'):
        Reader([], InputSettings(map={"promt": "question"})).check()


def test_best_worst_looks_for_missing_scores_before_anything_is_asked(file: WriteFile):
    scored = {"prompt": "p", "responses": [{"text": "x", "score": 1}, {"text": "y", "score": 2}]}
    unscored = {"prompt": "p", "responses": [{"text": "x", "score": 1}, {"text": "y"}]}
    path = file(b"\n".join([json.dumps(scored).encode(), b"not JSON", json.dumps(unscored).encode()]))
    reader = Reader([path], InputSettings(pairs="best-worst"))
    with pytest.raises(SettingsError) as caught:
        reader.check()
    assert str(caught.value).startswith(f"{path}, line 3: ")
    assert reader.hashes == {}
    fine = Reader([file(json.dumps(scored).encode(), "fine.jsonl")], InputSettings(pairs="best-worst"))
    fine.check()
    assert fine.hashes == {}


class Broken(io.RawIOBase):
    """A disk that fails after the first block."""

    def __init__(self, first: bytes) -> None:
        self.first = first

    def read(self, size: int = -1, /) -> bytes:
        if not self.first:
            raise OSError(5, "Input/output error")
        block, self.first = self.first, b""
        return block


def test_a_disk_that_fails_in_the_middle_stops_the_run_after_what_was_read():
    chunks = Reader(["-"], InputSettings(), stdin=Broken(line(id=1) + b"\n")).chunks()
    assert ids(next(chunks)) == ["1"]
    with pytest.raises(InputError, match="stdin: it can't be read on: Input/output error"):
        next(chunks)


def test_a_disk_that_fails_at_once_is_met_by_the_check(file: WriteFile, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("aifeedback.files.open", lambda *_a, **_k: Broken(b""), raising=False)
    with pytest.raises(InputError, match="input/output error"):
        Reader([file(line())], InputSettings()).check()


VALID = [
    line(id=1, gold="a", votes=["a", "b", "a"], extra={"n": 1}),
    json.dumps(
        {"prompt": [{"role": "user", "content": "é😀"}], "responses": ["x", {"text": "y", "score": 2}]}
    ).encode(),
    json.dumps({"prompt": "p", "chosen": [{"role": "assistant", "content": "c"}], "rejected": "r"}).encode(),
    json.dumps({"chosen": "\n\nHuman: h\n\nAssistant: c", "rejected": "\n\nHuman: h\n\nAssistant: r"}).encode(),
    json.dumps({"instruction": "i", "input": "n", "output_1": "1", "output_2": "2", "preference": 1}).encode(),
    json.dumps(
        {"instruction": "i", "completions": [{"response": "x"}, {"response": "y", "overall_score": 3}]}
    ).encode(),
]
INSERTED = st.binary(max_size=6) | st.sampled_from(
    [b"\\ud800", b"NaN", b"9" * 30, b"\n", b"[[", b'"', b"null", b"{}", b"1e999"]
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    content = bytearray(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        kind = draw(st.sampled_from(["flip", "cut", "insert"]))
        if kind == "insert":
            content[start:start] = draw(INSERTED)
        elif kind == "cut":
            del content[start : start + draw(st.integers(1, 12))]
        elif start < len(content):
            content[start] ^= 1 << draw(st.integers(0, 7))
    return bytes(content)


@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
def test_each_line_is_accounted_for_whatever_happened_to_it(content: bytes):
    items = read(content)
    expected = {number for number, one in enumerate(content.split(b"\n"), 1) if one.strip()}
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        expected = {1}
    assert {item.line for item in items} == expected
    for number in expected:
        of_line = [item for item in items if item.line == number]
        assert all(isinstance(item, Pair) for item in of_line) or len(of_line) == 1
    assert not any("\n" in reason for reason in reasons(items))
