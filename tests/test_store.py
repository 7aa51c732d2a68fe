"""Replies in a real file: paid once, found again, and shared by processes that may be killed."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from string import ascii_letters

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.endpoints.chat import read_reply
from aifeedback.errors import StoreError
from aifeedback.jsontext import dumps
from aifeedback.keys import Asked, Key, Keys, pair_hash
from aifeedback.records import Message, Order, Pair, PFirst, Question, Reply, Token, Usage, VerdictFormat
from aifeedback.store import Store, _pack, _unpack

ASKED = Asked(
    "http://localhost:8000/v1", "m-1", {"temperature": 0.0, "extra_body": {"a": 1, "b": 2}}, {"template": "t"}
)
PAIR = Pair("1", "prompt", "one", "two", meta={"topic": "x"}, file="pairs.jsonl", line=1)
MESSAGES = (Message("system", "Judge."), Message("user", "one or two?"))
QUESTION = Question(MESSAGES, VerdictFormat("letter", {"A": PFirst(1.0)}), PAIR, Order.AB)
REPLY = Reply(
    "It is A.",
    reasoning="Hm.",
    refusal="",
    finish_reason="stop",
    model="m-1-2026",
    fingerprint="fp",
    rung="json_schema",
    usage=Usage(100, 64, 20, 5),
)


def key_of(text: str, sample: int = 0) -> Key:
    return Keys(ASKED).key(replace(QUESTION, messages=(Message("user", text),), sample=sample))


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A process of its own that knows `path` and what this file knows."""
    head = f"import sys; sys.path[:0] = {sys.path!r}\n"
    head += "from pathlib import Path\nfrom tests.test_store import *\npath = Path(sys.argv[1])\n"
    command = [sys.executable, "-c", head + code, *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "replies.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with closing(Store(path)) as opened:
        yield opened


def test_what_was_put_is_found_as_it_was(store: Store):
    key = key_of("x")
    assert store.find([key]) == {}
    store.put([(key, ASKED, REPLY)])
    assert store.find([key, key_of("y")]) == {key.digest: REPLY}


@given(
    st.lists(
        st.builds(
            Token,
            st.integers(0, 2**40),
            st.integers(0, 2**40),
            st.lists(st.tuples(st.text(st.characters()), st.floats(-9999.0, 0.0)), max_size=4).map(tuple),
        ),
        max_size=4,
    ).map(tuple)
)
def test_tokens_are_found_as_they_were(tokens: tuple[Token, ...]):
    reply = replace(REPLY, tokens=tokens)
    assert _unpack(_pack(reply)) == reply


def test_the_tokens_of_a_long_reply_take_little_room(store: Store, path: Path):
    draw = random.Random(7)

    def entry(text: str) -> dict[str, object]:
        # Written by servers with all digits of a 32-bit number as a 64-bit one.
        others = [draw.choice(ascii_letters) + draw.choice(ascii_letters) * draw.randrange(9) for _ in range(20)]
        listed = [{"token": text, "logprob": -0.1, "bytes": list(text.encode())}]
        listed += [
            {"token": f" {other}", "logprob": -5.0 - 9 * draw.random(), "bytes": list(f" {other}".encode())}
            for other in others[1:]
        ]
        return {"token": text, "logprob": -0.1, "bytes": list(text.encode()), "top_logprobs": listed}

    words = [f" {draw.choice(ascii_letters)}{draw.randrange(10**4)}" for _ in range(250)]
    choice = {"message": {"content": "".join(words)}, "finish_reason": "stop"}
    body = dumps({"choices": [choice | {"logprobs": {"content": [entry(word) for word in words]}}]})
    assert len(body) > 400_000
    reply = read_reply(body, {})
    assert [len(token.alternatives) for token in reply.tokens] == [20] * 32
    key = key_of("x")
    store.put([(key, ASKED, reply)])
    assert store.find([key]) == {key.digest: reply}
    with closing(sqlite3.connect(path)) as opened:
        assert opened.execute("SELECT length(body) FROM replies").fetchone()[0] < 14_000


def test_a_reply_from_before_tokens_were_kept_is_read():
    assert _unpack(b'["It is A.","","","stop","m-1","fp","text",100,64,20,5]') == Reply(
        "It is A.", finish_reason="stop", model="m-1", fingerprint="fp", usage=Usage(100, 64, 20, 5)
    )


@pytest.mark.parametrize(
    "reply",
    [
        Reply(""),
        Reply("ünï — 😀 \x00 \u2028"),
        Reply("long " * 50_000),
        Reply("half a character: \ud83d", reasoning="\udfff"),
    ],
    ids=["empty", "any character", "long", "lone surrogates"],
)
def test_any_reply_comes_back_as_it_was(store: Store, reply: Reply):
    key = key_of("x")
    store.put([(key, ASKED, reply)])
    assert store.find([key]) == {key.digest: reply}


def test_a_later_reply_takes_the_place_of_an_earlier_one(store: Store):
    key = key_of("x")
    store.put([(key, ASKED, REPLY), (key, ASKED, Reply("second"))])
    store.put([(key, ASKED, Reply("third"))])
    assert store.find([key]) == {key.digest: Reply("third")}
    assert len(list(store.rows())) == 1


def test_any_number_of_keys_is_looked_up(store: Store):
    keys = [key_of(str(number)) for number in range(1000)]
    store.put((key, ASKED, Reply(str(number))) for number, key in enumerate(keys))
    found = store.find([*keys, *keys[:300], *(key_of(f"not {number}") for number in range(300))])
    assert found == {key.digest: Reply(str(number)) for number, key in enumerate(keys)}
    assert store.find([]) == {}


def test_replies_survive_until_the_file_is_opened_again(path: Path):
    with closing(Store(path)) as store:
        store.put([(key_of("x"), ASKED, REPLY)])
    notes: list[str] = []
    with closing(Store(path, note=notes.append)) as store:
        assert store.find([key_of("x")]) == {key_of("x").digest: REPLY}
    assert notes == []


def test_without_a_path_nothing_is_kept():
    store = Store(None)
    store.put([(key_of("x"), ASKED, REPLY)])
    assert store.find([key_of("x")])
    folder = store.path.parent
    store.close()
    assert not folder.exists()


def test_any_thread_may_ask(store: Store):
    def work(number: int) -> None:
        for turn in range(20):
            store.put([(key_of(f"{number} {turn}"), ASKED, Reply(str(number)))])
            assert store.find([key_of(f"{number} {turn}")])

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(store.rows())) == 80


def digest(asked: Asked = ASKED, question: Question = QUESTION) -> bytes:
    return Keys(asked).key(question).digest


@pytest.mark.parametrize(
    "asked",
    [
        replace(ASKED, endpoint="http://localhost:8001/v1"),
        replace(ASKED, model="m-2"),
        replace(ASKED, parameters={}),
        replace(ASKED, parameters={**ASKED.parameters, "temperature": 1.0}),
        replace(ASKED, parameters={**ASKED.parameters, "extra_body": {"a": 1, "b": 3}}),
    ],
    ids=["endpoint", "model", "no parameters", "temperature", "extra body"],
)
def test_the_key_depends_on_whom_we_ask_and_with_what(asked: Asked):
    assert digest(asked) != digest()


@pytest.mark.parametrize(
    "question",
    [
        replace(QUESTION, sample=1),
        replace(QUESTION, messages=MESSAGES[:1]),
        replace(QUESTION, messages=(*MESSAGES, Message("user", ""))),
        replace(QUESTION, messages=MESSAGES[::-1]),
        replace(QUESTION, messages=(Message("user", "Judge."), MESSAGES[1])),
        replace(QUESTION, messages=(MESSAGES[0], Message("user", "one or two? "))),
        replace(QUESTION, messages=(Message("system", "Judge.one or two?"), Message("user", ""))),
    ],
    ids=["sample", "fewer", "one more", "turned round", "role", "content", "content moved between messages"],
)
def test_the_key_depends_on_what_is_asked(question: Question):
    assert digest(question=question) != digest()


@pytest.mark.parametrize(
    ("asked", "question"),
    [
        (replace(ASKED, context={"template": "other", "criteria": "x"}), QUESTION),
        (replace(ASKED, parameters={"extra_body": {"b": 2, "a": 1}, "temperature": 0.0}), QUESTION),
        (ASKED, replace(QUESTION, pair=replace(PAIR, id="2", meta={}, file="other.jsonl", line=9))),
        (ASKED, replace(QUESTION, pair=replace(PAIR, gold="a", votes=("a",), model_a="m", model_b="n"))),
        (ASKED, replace(QUESTION, pair=replace(PAIR, response_a="two", response_b="one"), order=Order.BA)),
        (ASKED, replace(QUESTION, format=VerdictFormat("tags", {}))),
    ],
    ids=["template", "order of the parameters", "id and place", "gold and models", "exchanged responses", "format"],
)
def test_the_key_depends_on_nothing_else(asked: Asked, question: Question):
    assert digest(asked, question) == digest()


def test_the_pair_hash_speaks_of_the_content_alone():
    assert pair_hash(replace(PAIR, response_a="two", response_b="one", id="2")) == pair_hash(PAIR)
    assert pair_hash(replace(PAIR, response_a="three")) != pair_hash(PAIR)
    assert pair_hash(replace(PAIR, prompt="\ud800")) != pair_hash(PAIR)


def test_the_rows_say_what_was_asked_and_deleting_removes_them(store: Store):
    other = replace(ASKED, model="m-2")
    keys = [key_of("x"), key_of("x", sample=1), Keys(other).key(QUESTION)]
    store.put([(keys[0], ASKED, REPLY), (keys[1], ASKED, REPLY), (keys[2], other, REPLY)])
    rows = {row.key: row for row in store.rows()}
    assert set(rows) == {key.digest for key in keys}
    for key, asked in zip(keys, (ASKED, ASKED, other), strict=True):
        row = rows[key.digest]
        assert (row.messages, row.pair, row.sample) == (key.messages, key.pair, key.sample)
        assert row.facets == {
            "endpoint": asked.endpoint,
            "model": asked.model,
            "parameters": asked.parameters,
            "context": asked.context,
        }
        assert row.stored > 1_700_000_000

    store.delete([keys[0].digest, keys[2].digest, b"no such key"])
    assert [row.key for row in store.rows()] == [keys[1].digest]
    assert list(store.find(keys)) == [keys[1].digest]


def test_what_another_process_deleted_can_be_put_again(store: Store, path: Path):
    store.put([(key_of("x"), ASKED, REPLY)])
    with closing(Store(path)) as other:
        other.delete([key_of("x").digest])
        other.put([(key_of("z"), replace(ASKED, model="m-2"), REPLY)])
    store.put([(key_of("y"), ASKED, REPLY)])
    assert {row.key: row.facets["model"] for row in store.rows()} == {
        key_of("y").digest: "m-1",
        key_of("z").digest: "m-2",
    }


def test_what_was_learnt_about_an_endpoint_is_remembered(path: Path):
    with closing(Store(path)) as store:
        assert store.learnt("http://here", "m") == {}
        store.learn("http://here", "m", {"rung": "text", "refused": ["logprobs"]})
        store.learn("http://here", "m", {"rung": "json_object", "refused": []})
    with closing(Store(path)) as store:
        assert store.learnt("http://here", "m") == {"rung": "json_object", "refused": []}
        assert store.learnt("http://here", "n") == {}
        assert store.learnt("http://there", "m") == {}


def test_what_was_learnt_about_a_model_can_be_forgotten(store: Store):
    for endpoint, model in (("http://here", "m"), ("http://there", "m"), ("http://here", "n")):
        store.learn(endpoint, model, {"rung": "text"})
    store.forget("m")
    assert store.learnt("http://here", "m") == store.learnt("http://there", "m") == {}
    assert store.learnt("http://here", "n") == {"rung": "text"}


def test_a_damaged_reply_is_none(store: Store, path: Path):
    damaged = [b"garbage", b"", *(zlib.compress(text) for text in (b"{}", b"[]", b'["too", "few"]', b"not JSON"))]
    keys = [key_of(str(number)) for number in range(len(damaged) + 1)]
    store.put([(key, ASKED, REPLY) for key in keys])
    with closing(sqlite3.connect(path)) as raw:
        for key, body in zip(keys[1:], damaged, strict=True):
            raw.execute("UPDATE replies SET body = ? WHERE key = ?", (body, key.digest))
        raw.commit()
    assert store.find(keys) == {keys[0].digest: REPLY}


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE customers (name TEXT)")
        raw.commit()


def of_another_version(path: Path) -> None:
    Store(path).close()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize(
    "spoil",
    [
        foreign,
        of_another_version,
        lambda path: path.write_bytes(b"hello"),
        lambda path: path.write_bytes(b'{"prompt": "x"}\n' * 1000),
        lambda path: path.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000),
    ],
    ids=["a foreign database", "another version", "a few bytes", "a text file", "a broken database"],
)
def test_a_file_that_is_no_store_is_set_aside_with_a_note_and_never_deleted(path: Path, spoil: object):
    path.parent.mkdir()
    spoil(path)  # type: ignore[operator]
    content = path.read_bytes()
    notes: list[str] = []
    with closing(Store(path, note=notes.append)) as store:
        store.put([(key_of("x"), ASKED, REPLY)])
        assert store.find([key_of("x")])
    (note,) = notes
    assert str(path) in note
    assert "replies.sqlite.aside-1" in note
    assert "\n" not in note
    assert (path.parent / "replies.sqlite.aside-1").read_bytes() == content
    Store(path, note=notes.append).close()
    assert len(notes) == 1


def test_what_was_set_aside_before_stays(path: Path):
    path.parent.mkdir()
    for text in ("first", "second"):
        path.write_text(text)
        Store(path).close()
    assert (path.parent / "replies.sqlite.aside-1").read_text() == "first"
    assert (path.parent / "replies.sqlite.aside-2").read_text() == "second"


def test_what_a_file_has_not_yet_taken_in_is_set_aside_with_it(path: Path):
    of_another_version(path)
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE later (x TEXT)")
        raw.commit()
        Store(path).close()
    with closing(sqlite3.connect(path.with_name("replies.sqlite.aside-1"))) as raw:
        assert raw.execute("SELECT count(*) FROM later").fetchone() == (0,)


def test_who_only_wants_to_look_sets_nothing_aside(path: Path):
    of_another_version(path)
    with pytest.raises(StoreError, match="version 99") as caught:
        Store(path, begin=False)
    assert "\n" not in str(caught.value)
    assert not list(path.parent.glob("*aside*"))


def test_an_empty_file_becomes_a_store(path: Path):
    path.parent.mkdir()
    path.touch()
    with closing(Store(path, note=pytest.fail)) as store:
        store.put([(key_of("x"), ASKED, REPLY)])
        assert store.find([key_of("x")])


@pytest.mark.parametrize("below", ["replies.sqlite", "folder/replies.sqlite"])
def test_a_place_where_nothing_can_be_written_is_an_error_of_one_line(tmp_path: Path, below: str):
    file = tmp_path / "file"
    file.write_text("a regular file is no folder")
    with pytest.raises(StoreError, match="--store") as caught:
        Store(file / below)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_folder_is_no_store(tmp_path: Path):
    with pytest.raises(StoreError, match="unable to open"):
        Store(tmp_path)
    assert tmp_path.is_dir()


def use(store: Store, how: str) -> None:
    if how == "find":
        store.find([key_of(str(number)) for number in range(500)])
    elif how == "put":
        store.put([(key_of("new"), ASKED, REPLY)])
    else:
        list(store.rows())


def damage(path: Path, first: int, last: int) -> None:
    """Make garbage of some pages, the first being page 0."""
    content = bytearray(path.read_bytes())
    content[first * 4096 : last * 4096] = b"\xff" * (len(content[first * 4096 : last * 4096]))
    path.write_bytes(content)


def filled(path: Path, count: int) -> list[Key]:
    keys = [key_of(str(number)) for number in range(count)]
    with closing(Store(path)) as store:
        store.put([(key, ASKED, REPLY) for key in keys])
        store.learn("http://here", "m", {"rung": "text"})
    return keys


@pytest.mark.parametrize("how", ["find", "put", "rows"])
def test_a_store_of_which_nothing_can_be_read_is_set_aside_and_used_on(path: Path, how: str):
    filled(path, 500)
    damage(path, 2, 10_000)
    content = path.read_bytes()
    notes: list[str] = []
    with closing(Store(path, note=notes.append)) as store:
        use(store, how)
        store.put([(key_of("new"), ASKED, REPLY)])
        assert store.find([key_of("new")])
    (note,) = notes
    assert "is damaged (database disk image is malformed); it was set aside as replies.sqlite.aside-1" in note
    assert path.with_name("replies.sqlite.aside-1").read_bytes()[8192:] == content[8192:]
    assert not list(path.parent.glob("*.anew*"))


@pytest.mark.parametrize(("first", "last"), [(20, 21), (20, 25), (40, 41), (7, 8)])
def test_only_what_lies_in_damaged_pages_is_lost(path: Path, first: int, last: int):
    keys = filled(path, 3000)
    pages = path.stat().st_size // 4096
    damage(path, first, last)
    notes: list[str] = []
    with closing(Store(path, note=notes.append)) as store:
        found = store.find(keys)
        assert all(reply == REPLY for reply in found.values())
        assert len(found) >= 3000 * (1 - 3 * (last - first) / pages)
        assert len(found) < 3000
        assert f"the {len(found)} replies that could be read" in notes[0]
        rows = list(store.rows())
        assert len(rows) == len(found)
        assert {row.facets["model"] for row in rows} == {"m-1"}
        assert store.learnt("http://here", "m") == {"rung": "text"}
    assert len(notes) == 1


def test_who_only_wants_to_look_leaves_a_damaged_store_as_it_is(path: Path):
    filled(path, 500)
    damage(path, 2, 10_000)
    content = path.read_bytes()
    with closing(Store(path, begin=False)) as store, pytest.raises(StoreError, match="Move the file away") as caught:
        list(store.rows())
    assert "\n" not in str(caught.value)
    assert path.read_bytes()[8192:] == content[8192:]
    assert not list(path.parent.glob("*aside*"))


def test_a_damaged_store_whose_copy_finds_no_room_stays_in_its_place(path: Path):
    filled(path, 3000)
    damage(path, 20, 21)
    content = path.read_bytes()
    process = python(
        """
import resource
with closing(Store(path)) as store:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    try:
        store.find([key_of(str(number)) for number in range(3000)])
    except StoreError as error:
        print(error)
""",
        path,
    )
    said, _ = process.communicate(timeout=60)
    assert "run the same command again" in said
    assert len(said.splitlines()) == 1
    assert path.read_bytes()[8192:] == content[8192:]
    assert not [file.name for file in path.parent.iterdir() if "aside" in file.name or "anew" in file.name]


def test_a_removed_store_is_begun_anew_with_all_that_it_held(path: Path):
    notes: list[str] = []
    with closing(Store(path, note=notes.append)) as store, closing(Store(path)) as other:
        store.put([(key_of("x"), ASKED, REPLY)])
        shutil.rmtree(path.parent)
        store.put([(key_of("y"), ASKED, REPLY)])
        other.put([(key_of("z"), ASKED, REPLY)])
        assert len(store.find([key_of("x"), key_of("y"), key_of("z")])) == 3
    (note,) = notes
    assert "was removed during the run; the 1 replies that could be read are in a new store at its place" in note
    with closing(Store(path, note=pytest.fail)) as store:
        assert len(store.find([key_of("x"), key_of("y"), key_of("z")])) == 3


def test_something_else_in_the_place_of_a_removed_store_is_left_alone(path: Path):
    with closing(Store(path)) as store:
        store.put([(key_of("x"), ASKED, REPLY)])
        path.unlink()
        path.write_text("dear diary\n" * 1000)
        with pytest.raises(StoreError, match="what is there now is no usable store"):
            store.put([(key_of("y"), ASKED, REPLY)])
    assert path.read_text() == "dear diary\n" * 1000


def test_a_store_that_stays_locked_is_an_error_of_one_line_and_nothing_is_lost_of_it(path: Path):
    with closing(Store(path)) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        store.put([(key_of("x"), ASKED, REPLY)])
        other.execute("BEGIN IMMEDIATE")
        store._connection.execute("PRAGMA busy_timeout = 10")
        with pytest.raises(StoreError, match="Another program keeps it to itself") as caught:
            store.put([(key_of("y"), ASKED, REPLY)])
        assert "\n" not in str(caught.value)
        other.execute("ROLLBACK")
        store.put([(key_of("y"), ASKED, REPLY)])
        assert len(store.find([key_of("x"), key_of("y")])) == 2


def test_a_temporary_store_without_a_temporary_folder_is_an_error_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(StoreError, match="temporary folder") as caught:
        Store(None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("how", ["find", "put", "rows"])
def test_a_store_that_was_closed_says_so(path: Path, how: str):
    store = Store(path)
    store.close()
    with pytest.raises(StoreError, match="closed"):
        use(store, how)


def test_a_transaction_that_fails_leaves_the_store_usable(store: Store, path: Path):
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TRIGGER full BEFORE INSERT ON replies BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
        raw.commit()
        with pytest.raises(StoreError, match="disk is full"):
            store.put([(key_of("x"), ASKED, REPLY)])
        raw.execute("DROP TRIGGER full")
        raw.commit()
    store.put([(key_of("x"), ASKED, REPLY)])
    assert store.find([key_of("x")])


def test_a_reply_that_can_not_be_written_leaves_the_store_usable(store: Store):
    with pytest.raises(TypeError):
        store.put([(key_of("x"), ASKED, Reply(object()))])  # type: ignore[arg-type]
    store.put([(key_of("x"), ASKED, REPLY)])
    assert store.find([key_of("x")])


def test_several_processes_begin_and_write_the_same_file_at_once(path: Path):
    path.parent.mkdir()
    path.write_text("no store, so that they must set it aside first")
    writing = """
with closing(Store(path)) as store:
    for turn in range(25):
        texts = [f"{sys.argv[2]} {turn} {number}" for number in range(20)]
        store.put([(key_of(text), ASKED, Reply(text)) for text in texts])
        assert len(store.find([key_of(text) for text in texts])) == 20
"""
    processes = [python(writing, path, number) for number in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    for process in processes:
        process.communicate()
    with closing(Store(path, note=pytest.fail)) as store:
        found = store.find([key_of(f"{who} {turn} {n}") for who in range(3) for turn in range(25) for n in range(20)])
    assert len(found) == 1500
    assert [file.name for file in path.parent.iterdir() if "aside" in file.name] == ["replies.sqlite.aside-1"]


def test_a_killed_process_loses_only_what_it_had_not_committed(path: Path):
    process = python(
        """
store = Store(path)
store.put([(key_of(f"done {number}"), ASKED, REPLY) for number in range(100)])
store._connection.execute("BEGIN IMMEDIATE")
store._connection.execute("INSERT INTO asked (facets) VALUES ('half done')")
print("ready", flush=True)
sys.stdin.read()
""",
        path,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.kill()
    process.communicate()
    with closing(Store(path, note=pytest.fail)) as store:
        assert len(store.find([key_of(f"done {number}") for number in range(100)])) == 100
        store.put([(key_of("later"), ASKED, REPLY)])
        assert len(list(store.rows())) == 101
