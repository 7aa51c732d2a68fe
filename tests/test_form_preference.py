"""Chosen and rejected, with the prompt beside them, at their head or inside a transcript."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.errors import InputError
from aifeedback.forms import to_pairs
from aifeedback.records import Content, Message, Pair
from aifeedback.settings import InputSettings


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


ASK, ANSWER, MORE = turn("user", "ask"), turn("assistant", "answer"), turn("user", "more")
YES, NO = turn("assistant", "yes"), turn("assistant", "no")
SYSTEM, OTHER_SYSTEM = turn("system", "be kind"), turn("system", "be blunt")


def messages(*turns: dict[str, str]) -> tuple[Message, ...]:
    return tuple(Message(**one) for one in turns)


def pair(record: Mapping[str, object], seed: int = 0) -> Pair:
    (only,) = to_pairs(record, InputSettings(seed=seed), file="f", line=1)
    return only


def by_gold(found: Pair) -> tuple[Content, Content]:
    """Chosen, rejected."""
    return (found.response_a, found.response_b) if found.gold == "a" else (found.response_b, found.response_a)


def refusal(record: Mapping[str, object]) -> str:
    with pytest.raises(InputError) as caught:
        pair(record)
    return str(caught.value.args[0])


def test_chosen_is_the_gold_on_the_side_that_seed_and_id_draw():
    sides = {}
    for seed in (0, 1):
        for number in range(200):
            found = pair({"id": number, "prompt": "p", "chosen": "good", "rejected": "bad"}, seed)
            assert by_gold(found) == ("good", "bad")
            sides[seed, number] = found.gold
    assert 150 < sum(side == "a" for side in sides.values()) < 250
    assert 50 < sum(sides[0, number] == sides[1, number] for number in range(200)) < 150


def test_the_draw_is_the_same_in_every_process():
    code = (
        "from aifeedback.forms import to_pairs\n"
        "from aifeedback.settings import InputSettings\n"
        "for n in range(30):\n"
        "    print(to_pairs({'id': n, 'prompt': 'p', 'chosen': 'x', 'rejected': 'y'}, InputSettings(), file='', line=0)[0].gold)"
    )
    root = Path(__file__).parents[1]
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


def test_what_a_preference_says_of_a_and_b_stays_in_meta():
    record = {"prompt": "p", "chosen": "x", "rejected": "y", "gold": "b", "model_a": "m", "score_chosen": 9}
    assert pair(record).meta == {"gold": "b", "model_a": "m", "score_chosen": 9}
    assert by_gold(pair(record)) == ("x", "y")


@pytest.mark.parametrize(
    ("prompt", "chosen", "rejected", "left"),
    [
        ("ask", [ASK, YES], [ASK, NO], ("ask", "", (YES,), (NO,))),
        (" ask\n", [ASK, YES], [ASK, NO], (" ask\n", "", (YES,), (NO,))),
        ("ask", [YES], [NO], ("ask", "", (YES,), (NO,))),
        ("ask", [SYSTEM, ASK, YES], [SYSTEM, ASK, NO], ((ASK,), "be kind", (YES,), (NO,))),
        ("ask", [ASK, ANSWER, MORE, YES], [ASK, NO], ("ask", "", (ANSWER, MORE, YES), (NO,))),
        ([ASK, ANSWER, MORE], [ASK, ANSWER, MORE, YES], [ASK, ANSWER, MORE, NO], ((ASK, ANSWER, MORE), "", (YES,), (NO,))),
        ([SYSTEM, ASK], [ASK, YES], [ASK, NO], ((ASK,), "be kind", (YES,), (NO,))),
        ([ASK], [SYSTEM, ASK, YES], [SYSTEM, ASK, NO], ((ASK,), "be kind", (YES,), (NO,))),
        ([SYSTEM, ASK], [SYSTEM, ASK, YES], [SYSTEM, ASK, NO], ((ASK,), "be kind", (YES,), (NO,))),
        (None, [ASK, ANSWER, MORE, YES], [ASK, ANSWER, MORE, NO], ((ASK, ANSWER, MORE), "", (YES,), (NO,))),
        (None, [SYSTEM, ASK, YES], [SYSTEM, ASK, NO], ((ASK,), "be kind", (YES,), (NO,))),
        (None, [ASK, ANSWER, MORE, YES], [ASK, ANSWER, ASK, NO], ((ASK,), "", (ANSWER, MORE, YES), (ANSWER, ASK, NO))),
        (None, [ASK, YES], [ASK, YES], ((ASK,), "", (YES,), (YES,))),
        (None, [ASK, YES], [ASK, YES, MORE, NO], ((ASK,), "", (YES,), (YES, MORE, NO))),
    ],
    ids=str,
)  # fmt: skip
def test_a_prompt_at_the_head_of_both_conversations_is_taken_from_there(
    prompt: object,
    chosen: object,
    rejected: object,
    left: tuple[object, str, tuple[dict[str, str]], tuple[dict[str, str]]],
):
    found = pair({"prompt": prompt, "chosen": chosen, "rejected": rejected})
    asked, system, *answers = left
    assert found.prompt == (asked if isinstance(asked, str) else messages(*asked))  # type: ignore[arg-type,misc]
    assert found.system == system
    assert by_gold(found) == (messages(*answers[0]), messages(*answers[1]))


@pytest.mark.parametrize(
    ("chosen", "rejected", "left"),
    [
        ("The sky is blue.", "The sky is green.", ("The sky is", " blue.", " green.")),
        ("Q: hi\nA: yes", "Q: hi\nA: yes sure", ("Q: hi\nA:", " yes", " yes sure")),
        ("Q: hi\n\nprecise", "Q: hi\n\nprevious", ("Q: hi", "\n\nprecise", "\n\nprevious")),
    ],
)  # fmt: skip
def test_the_common_words_of_two_texts_are_their_prompt(chosen: str, rejected: str, left: tuple[str, str, str]):
    found = pair({"chosen": chosen, "rejected": rejected})
    assert (found.prompt, *by_gold(found)) == left


def test_one_answer_may_be_text_and_the_other_messages():
    assert by_gold(pair({"prompt": "p", "chosen": [YES], "rejected": "no"})) == (messages(YES), "no")


def test_an_answer_that_begins_like_its_prompt_is_left_alone():
    assert by_gold(pair({"prompt": "Hi", "chosen": "Hi there", "rejected": "Hi!"})) == ("Hi there", "Hi!")


def test_a_transcript_given_as_prompt_is_removed_from_the_answers():
    prompt = "\n\nHuman: h\n\nAssistant:"
    assert by_gold(pair({"prompt": prompt, "chosen": prompt + " x", "rejected": prompt + " y"})) == (" x", " y")


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"chosen": "yes", "rejected": "no"}, 'none at the head of both "chosen" and "rejected"'),
        ({"chosen": "same words", "rejected": "same words"}, "none at the head"),
        ({"chosen": "", "rejected": ""}, "none at the head"),
        ({"chosen": "x", "rejected": [ASK, NO]}, "only one of"),
        ({"chosen": [ASK, YES], "rejected": "x"}, "only one of"),
        ({"chosen": [ASK, YES], "rejected": [MORE, NO]}, "do not begin with the same turn"),
        ({"chosen": [YES], "rejected": [NO]}, "do not begin with the same turn"),
        ({"chosen": [SYSTEM, ASK, YES], "rejected": [SYSTEM, MORE, NO]}, "nothing but a system message"),
        ({"prompt": "ask", "chosen": [ASK, YES], "rejected": [NO]}, "only one of"),
        ({"prompt": "ask", "chosen": [ASK], "rejected": [ASK]}, '"chosen" holds no turn after the prompt'),
        ({"prompt": "ask", "chosen": [SYSTEM, ASK, YES], "rejected": [ASK, NO]}, "in different ways"),
        ({"prompt": "ask", "chosen": [SYSTEM, ASK, YES], "rejected": [OTHER_SYSTEM, ASK, NO]}, "in different ways"),
        ({"prompt": [OTHER_SYSTEM, ASK], "chosen": [SYSTEM, ASK, YES], "rejected": [SYSTEM, ASK, NO]}, "system message"),
        ({"prompt": [SYSTEM], "chosen": [SYSTEM, YES], "rejected": [SYSTEM, NO]}, "system message"),
        ({"prompt": "ask", "system": "other", "chosen": [SYSTEM, ASK, YES], "rejected": [SYSTEM, ASK, NO]}, "differs"),
        ({"prompt": "p", "chosen": 1, "rejected": "x"}, '"chosen" must be text or a list of messages'),
        ({"prompt": "p", "chosen": [ASK], "rejected": "x"}, '"chosen" ends with a turn of the user'),
    ],
    ids=str,
)  # fmt: skip
def test_where_prompt_and_answers_can_not_be_told_apart_the_row_is_refused(record: dict[str, object], says: str):
    assert says in refusal(record)


def transcript(*turns: str) -> str:
    return "".join(f"\n\n{('Human', 'Assistant')[number % 2]}: {text}" for number, text in enumerate(turns))


TEXT = st.text("aé \n:", max_size=12).map(lambda text: text + ".")


@given(st.lists(TEXT, min_size=1, max_size=5).filter(lambda texts: len(texts) % 2 == 1), TEXT, TEXT)
def test_a_transcript_gives_back_its_text_byte_for_byte(head: list[str], chosen: str, rejected: str):
    record = {"chosen": transcript(*head, chosen + "1"), "rejected": transcript(*head, rejected + "2")}
    found = pair(record)
    assert isinstance(found.prompt, tuple)
    for answer, raw in zip(by_gold(found), record.values(), strict=True):
        assert isinstance(answer, tuple)
        assert len(answer) == 1
        names = {"user": "Human", "assistant": "Assistant"}
        assert "".join(f"\n\n{names[one.role]}: {one.content}" for one in found.prompt + answer) == raw


@pytest.mark.parametrize(
    ("chosen", "rejected", "says"),
    [
        (transcript("h", ""), transcript("h", "y"), '"chosen" does not end with an answer'),
        (transcript("h", "x"), transcript("h", " \n"), '"rejected" does not end with an answer'),
        (transcript("h"), transcript("g"), '"chosen" does not end with an answer'),
        (transcript("h", "x", "more"), transcript("h", "x", "less"), '"chosen" does not end with an answer'),
        (transcript("h", "x"), transcript("h", "x"), "the transcripts are the same"),
        (transcript("h", "x"), transcript("g", "x"), "part before their last turn"),
        (transcript("h", "x"), transcript("h", "x", "m", "y"), "part before their last turn"),
        (transcript("h", "x") + "\n\nAssistant: y", transcript("h", "x") + "\n\nAssistant: z", "two turns of one speaker"),
        ("\n\nHuman: g" + transcript("h", "x"), "\n\nHuman: g" + transcript("h", "y"), "two turns of one speaker"),
        ("\n\nHuman:h\n\nAssistant: x", "\n\nHuman:h\n\nAssistant: y", "does not start with"),
        ("\n\nHuman: h\n\nAssistant:", "\n\nHuman: h\n\nAssistant: y", "part before their last turn"),
    ],
    ids=repr,
)  # fmt: skip
def test_a_transcript_without_one_answer_on_each_side_is_refused(chosen: str, rejected: str, says: str):
    assert says in refusal({"chosen": chosen, "rejected": rejected})


@pytest.mark.parametrize("chosen", ["plain", "\n\nAssistant: x", 5])
def test_a_forced_transcript_must_be_one(chosen: object):
    with pytest.raises(InputError, match='"chosen" '):
        to_pairs(
            {"chosen": chosen, "rejected": transcript("h", "x")}, InputSettings(format="transcript"), file="f", line=1
        )


def test_real_transcripts_come_out_as_their_known_turns(data: Path):
    def rows(name: str) -> list[dict[str, object]]:
        return [json.loads(line) for line in (data / name).read_bytes().split(b"\n") if line]

    known = {row["index"]: row for row in rows("hh_harmless_test_500.jsonl")}
    regular = 0
    for row in rows("hh_harmless_raw_200.jsonl"):
        if not row["regular"]:
            refusal(row)
            continue
        regular += 1
        found, wanted = pair(row), known[row["index"]]
        assert [{"role": one.role, "content": one.content} for one in found.prompt] == wanted["prompt"]  # type: ignore[union-attr]
        sides = ("response_a", "response_b") if wanted["gold"] == "a" else ("response_b", "response_a")
        assert by_gold(found) == tuple(messages(turn("assistant", str(wanted[side]))) for side in sides)
        assert found.meta == {"index": row["index"], "regular": True}
    assert regular == 187
