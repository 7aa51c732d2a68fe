"""Odd bytes through the whole command: what comes in comes out as it was, and every line is accounted for."""

from __future__ import annotations

import gzip
import json
import math
import os
import time
from pathlib import Path
from typing import Any

import pytest

from aifeedback.testing import StartServer
from tests.conftest import Command, read_lines, some_pairs, write_lines
from tests.test_label_command import adds_up

BUILTIN = ("--critic", "builtin", "-o", "out.jsonl", "--summary", "s.json", "--max-failed", "100%")
SEPARATORS = "one\u2028two\u2029three\x85four\x0bfive\x0csix\x1cseven\x00end"


def line(**more: object) -> bytes:
    pair = {"id": "x", "prompt": "Say it.", "response_a": "It is said, and well said, at length.", "response_b": "No."}
    return json.dumps(pair | more, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def everything(folder: Path) -> list[dict[str, Any]]:
    """Labels and rest, by line."""
    rows = read_lines(folder / "out.jsonl") + read_lines(folder / "out.rest.jsonl")
    assert adds_up(json.loads((folder / "s.json").read_text()))
    return sorted(rows, key=lambda row: row.get("line") or row["feedback"]["line"])


@pytest.mark.parametrize(
    ("spelled", "value"),
    [
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("-9223372036854775809", -9223372036854775809),
        ("1e400", math.inf),
        ("Infinity", math.inf),
        (r'"\ud83d"', "\ud83d"),
        (r'"\u0000"', "\0"),
        ('"' + "a\u2028b\x85c" + '"', "a\u2028b\x85c"),
        ('{"\u2028": [[], {}, null, true, -0.0, 1e-7]}', {"\u2028": [[], {}, None, True, -0.0, 1e-7]}),
    ],
)
@pytest.mark.parametrize("labelled", [True, False])
def test_what_is_not_ours_comes_back_as_it_was(
    aifeedback: Command, tmp_path: Path, spelled: str, value: object, labelled: bool
) -> None:
    more = {} if labelled else {"response_b": "same", "response_a": "same"}
    (tmp_path / "pairs.jsonl").write_bytes(line(**more, odd="HERE").replace(b'"HERE"', spelled.encode()) + line(id="y"))
    ended = aifeedback("label", "pairs.jsonl", *BUILTIN)
    assert ended.code == 0, ended.err
    row = everything(tmp_path)[0]
    assert (row["meta"] if labelled else row["pair"])["odd"] == value
    written = (tmp_path / ("out.jsonl" if labelled else "out.rest.jsonl")).read_bytes()
    assert spelled.encode() in written or isinstance(value, str | dict)


def test_a_value_that_is_no_number_stays_one(aifeedback: Command, tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_bytes(line(odd=math.nan))
    assert aifeedback("label", "pairs.jsonl", *BUILTIN).code == 0
    assert math.isnan(read_lines(tmp_path / "out.jsonl")[0]["meta"]["odd"])


@pytest.mark.parametrize(
    "text",
    [SEPARATORS, "lone \ud83d half", "\ufeff inside", "\r\n", "  spaces  ", "\U0001f600" * 3, "{{ prompt }} {% raw %}"],
    ids=range(7),
)
def test_responses_come_back_verbatim(
    aifeedback: Command, tmp_path: Path, critic_server: StartServer, text: str
) -> None:
    write_lines(tmp_path / "pairs.jsonl", [{"prompt": text, "response_a": text, "response_b": "other"}])
    server = critic_server()
    ended = aifeedback("label", "pairs.jsonl", "--critic", "vllm/m", "--base-url", server.url, "-o", "out.jsonl")
    assert ended.code == 0, ended.err
    (row,) = read_lines(tmp_path / "out.jsonl")
    assert (row["prompt"], {row["chosen"], row["rejected"]}) == (text, {text, "other"})
    assert server.stats()["blind"] == 0


def test_bytes_are_split_at_newlines_alone_and_lines_keep_their_numbers(aifeedback: Command, tmp_path: Path) -> None:
    content = (
        b"\xef\xbb\xbf"
        + line(id="1")
        + b"\n \t\r\n"
        + line(id="4", note=SEPARATORS).replace(b"\n", b"\r\n")
        + b'{"prompt": "raw \x00 byte"}\n'
        + b"\xff\xfe\n"
        + line(id="7")[:-1]
    )
    (tmp_path / "pairs.jsonl").write_bytes(content)
    ended = aifeedback("label", "pairs.jsonl", *BUILTIN)
    assert ended.code == 0, ended.err
    rows = everything(tmp_path)
    assert [row.get("line") or row["feedback"]["line"] for row in rows] == [1, 4, 5, 6, 7]
    assert [row.get("status") for row in rows] == [None, None, "invalid", "invalid", None]
    assert rows[1]["meta"] == {"note": SEPARATORS}
    assert rows[2]["raw"] == '{"prompt": "raw \0 byte"}'


@pytest.mark.parametrize("way", ["file", "stdin", "members", "other name"])
def test_gzip_is_read_wherever_it_comes_from(aifeedback: Command, tmp_path: Path, way: str) -> None:
    lines = [line(id=str(number)) for number in range(5)]
    packed = b"".join(gzip.compress(one) for one in lines) if way == "members" else gzip.compress(b"".join(lines))
    name = "pairs.txt" if way == "other name" else "pairs.jsonl.gz"
    (tmp_path / name).write_bytes(packed)
    ended = aifeedback("label", "-", *BUILTIN, stdin=packed) if way == "stdin" else aifeedback("label", name, *BUILTIN)
    assert ended.code == 0, ended.err
    assert [row["id"] for row in everything(tmp_path)] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("way", ["file", "stdin"])
def test_a_truncated_gzip_gives_its_rows_and_one_invalid(aifeedback: Command, tmp_path: Path, way: str) -> None:
    packed = gzip.compress(b"".join(line(id=str(number), note=os.urandom(200).hex()) for number in range(200)))[:-2000]
    (tmp_path / "pairs.jsonl").write_bytes(packed)
    ended = aifeedback("label", *([] if way == "stdin" else ["pairs.jsonl"]), *BUILTIN, stdin=packed)
    rows = everything(tmp_path)
    assert ended.code == 0, ended.err
    assert len(rows) > 150
    assert [row.get("status") for row in rows] == [None] * (len(rows) - 1) + ["invalid"]
    assert "breaks off" in rows[-1]["reason"]


def test_a_line_of_20_megabytes_is_labelled_in_bounded_time(aifeedback: Command, tmp_path: Path) -> None:
    words = "word [brace] {and} 12345 " * 800_000
    (tmp_path / "pairs.jsonl").write_bytes(
        line(response_a=words) + line(id="y") + b"{" * 20_000_000 + b"\n" + line(id="z", note=words)
    )
    started = time.monotonic()
    ended = aifeedback("label", "pairs.jsonl", *BUILTIN)
    assert ended.code == 0, ended.err
    assert time.monotonic() - started < 40
    rows = everything(tmp_path)
    assert [row.get("status") for row in rows] == [None, None, "invalid", None]
    assert words in (rows[0]["chosen"], rows[0]["rejected"])


def test_several_files_are_one_input(aifeedback: Command, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.jsonl").write_bytes(b"\n" + line(id=name)[:-1])
    ended = aifeedback("label", "one.jsonl", "-", "two.jsonl", "--critic", "builtin", stdin=line(id="piped"))
    assert ended.code == 0, ended.err
    assert [(row["id"], row["feedback"]["file"], row["feedback"]["line"]) for row in ended.rows] == [
        ("one", "one.jsonl", 2),
        ("piped", "stdin", 1),
        ("two", "two.jsonl", 2),
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-", "-"), "twice"),
        (("folder",), "folder"),
        (("missing.jsonl",), "missing.jsonl"),
        (("utf16.jsonl",), "UTF-16"),
        (("array.jsonl",), "JSON array"),
        (("rows.jsonl", "missing.jsonl"), "missing.jsonl"),
        (("rows.jsonl", "--map", "promt=question"), "promt"),
        (("candidates.jsonl", "--pairs", "best-worst"), "candidates.jsonl, line 2"),
    ],
    ids=["stdin twice", "folder", "missing", "UTF-16", "array", "second missing", "map", "no score"],
)
def test_an_input_that_can_not_be_used_is_exit_2_before_anything_is_asked(
    aifeedback: Command, tmp_path: Path, critic_server: StartServer, arguments: tuple[str, ...], says: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "rows.jsonl").write_bytes(line())
    (tmp_path / "utf16.jsonl").write_bytes(line().decode().encode("utf-16"))
    (tmp_path / "array.jsonl").write_text(json.dumps(some_pairs(2)))
    scored = {"prompt": "p", "responses": [{"text": "a", "score": 1}, {"text": "b", "score": 2}]}
    write_lines(tmp_path / "candidates.jsonl", [scored, {"prompt": "p", "responses": ["a", "b"]}])
    server = critic_server()
    ended = aifeedback(
        "label", *arguments, "--critic", "vllm/m", "--base-url", server.url, "-o", "out.jsonl", stdin=line()
    )
    assert ended.code == 2, ended.err
    assert says in ended.err
    assert len(ended.err.strip().splitlines()) == 1
    assert server.stats()["requests"] == 0
    assert not (tmp_path / "out.jsonl").exists()


def test_all_forms_may_stand_in_one_input(aifeedback: Command, tmp_path: Path) -> None:
    rows = [
        {"id": 1, "prompt": "p", "response_a": "yes, yes", "response_b": "n"},
        {"id": 2, "prompt": "p", "responses": ["one", {"text": "two two", "model": "m"}, "three three three"]},
        {"id": 3, "prompt": "p", "chosen": "good answer", "rejected": "bad"},
        {"id": 4, "chosen": "\n\nHuman: hi\n\nAssistant: hello there", "rejected": "\n\nHuman: hi\n\nAssistant: no"},
        {"id": 5, "instruction": "i", "input": "j", "output_1": "x", "output_2": "y y", "preference": 2},
        {"id": 6, "instruction": "i", "completions": [{"response": "x"}, {"response": "y y"}]},
        {"id": 7, "nothing": "of that"},
    ]
    write_lines(tmp_path / "pairs.jsonl", rows)
    ended = aifeedback("label", "pairs.jsonl", *BUILTIN, "--shape", "messages")
    assert ended.code == 0, ended.err
    found = everything(tmp_path)
    assert [row["id"] for row in found] == ["1", "2#0-1", "2#0-2", "2#1-2", "3", "4", "5", "6#0-1", "7"]
    assert found[-1]["status"] == "invalid"
