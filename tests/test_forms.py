"""Which form a record has, what all forms share, and what a refusal says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback import jsontext
from aifeedback.errors import InputError, SettingsError
from aifeedback.forms import check_names, given_id, recognise, to_pairs
from aifeedback.records import Content, Message, Pair
from aifeedback.settings import FormName, InputSettings

PAIR = {"prompt": "p", "response_a": "x", "response_b": "y"}
ALPACA = {"instruction": "i", "output_1": "x", "output_2": "y"}
USER = {"role": "user", "content": "u"}
ASSISTANT = {"role": "assistant", "content": "s"}
SYSTEM = {"role": "system", "content": "be kind"}


def pairs(record: Mapping[str, object], settings: InputSettings | None = None) -> list[Pair]:
    return to_pairs(record, settings or InputSettings(), file="f.jsonl", line=3)


def pair(record: Mapping[str, object], settings: InputSettings | None = None) -> Pair:
    (only,) = pairs(record, settings)
    return only


def refusal(record: Mapping[str, object], settings: InputSettings | None = None) -> str:
    with pytest.raises(InputError) as caught:
        pairs(record, settings)
    assert (caught.value.file, caught.value.line) == ("f.jsonl", 3)
    assert "\n" not in str(caught.value)
    return str(caught.value.args[0])


HH = "\n\nHuman: h\n\nAssistant: "


@pytest.mark.parametrize(
    ("record", "form"),
    [
        (PAIR, "pair"),
        ({**PAIR, "responses": ["x", "y"], "chosen": "x", "rejected": "y"}, "pair"),
        ({"prompt": "p", "responses": ["x", "y"]}, "candidates"),
        ({"prompt": "p", "responses": None, "response_a": None, "chosen": "x", "rejected": "y"}, "preference"),
        ({"prompt": "p", "chosen": HH + "x", "rejected": HH + "y"}, "preference"),
        ({"chosen": HH + "x", "rejected": HH + "y"}, "transcript"),
        ({"prompt": None, "chosen": HH + "x", "rejected": HH + "y"}, "transcript"),
        ({"chosen": HH + "x", "rejected": "y"}, "preference"),
        ({"chosen": [USER], "rejected": [USER]}, "preference"),
        (ALPACA, "alpaca"),
        ({"instruction": "i", "completions": []}, "ultrafeedback"),
        ({"prompt": "p", "response_a": "x", "response_b": None}, None),
        ({}, None),
    ],
)
def test_the_form_is_recognised_from_the_fields(record: dict[str, object], form: FormName | None):
    assert recognise(record) == form


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (
            {"instruction": "i", "response_a": "x", "response_b": "y"},
            'no "prompt" among "instruction". Name your field with --map prompt=instruction.',
        ),
        (
            {"question": "q", "answer1": "x", "answer2": "y"},
            'no "prompt" and no "response_a" and no "response_b" among "question", "answer1", "answer2". Name your field with --map prompt=question.',
        ),
        ({}, 'no "prompt" and no "response_a" and no "response_b". Name your field with --map prompt=instruction.'),
        ({"prompt": "p", "chosen": "x"}, 'no "rejected". Name your field with --map rejected=instruction.'),
        ({"prompt": "p", "answers": []}, 'no "response_a" and no "response_b" among "answers".'),
        ({"instruction": "i", "output": "x"}, 'no "output_1" and no "output_2" among "output".'),
        ({"completions": []}, 'no "instruction".'),
        ({"responses": ["x", "y"]}, 'no "prompt".'),
        ({"bad\nname\ud800": 1}, 'among "bad\\nname\ufffd".'),
        ({"x" * 50: 1}, f'among "{"x" * 40}…".'),
        ({f"f{n}": 1 for n in range(20)}, '"f7", ….'),
    ],
)  # fmt: skip
def test_a_record_of_no_form_is_told_what_the_nearest_lacks(record: dict[str, object], says: str):
    assert says in refusal(record)


def test_a_forced_form_is_taken_whatever_the_record_looks_like():
    both = {**PAIR, **ALPACA, "output_1": "o"}
    assert pair(both).response_a == "x"
    assert pair(both, InputSettings(format="alpaca")).response_a == "o"
    assert 'no "responses"' in refusal(both, InputSettings(format="candidates"))


def test_all_that_a_pair_can_say():
    record = {
        **PAIR, "id": 7, "system": "s", "reference": "r", "gold": "TIE", "votes": ["A", "b"], "model_a": "m", "model_b": "n",
        "topic": {"deep": [1]}, "meta": None,
    }  # fmt: skip
    assert to_pairs(record, InputSettings(), file="f", line=2, exact=True) == [
        Pair(
            id="7", prompt="p", response_a="x", response_b="y", system="s", reference="r", gold="tie", votes=("a", "b"),
            model_a="m", model_b="n", meta={"topic": {"deep": [1]}, "meta": None}, file="f", line=2, exact=True,
        )
    ]  # fmt: skip


def test_null_is_the_same_as_absent_for_optional_fields():
    names = ("id", "system", "reference", "gold", "votes", "model_a", "model_b")
    assert pair({**PAIR, **dict.fromkeys(names)}) == pair(PAIR)


def test_without_an_id_the_content_names_the_pair():
    one = pair(PAIR).id
    assert len(one) == 16
    assert int(one, 16) >= 0
    assert pair({**PAIR, "topic": 1, "id": ""}).id == one
    others = [{"prompt": "q"}, {"response_a": "z"}, {"response_b": "z"}, {"system": "z"}, {"reference": "z"}]
    exchanged = {"response_a": "y", "response_b": "x"}
    moved = {"response_a": "x1:y", "response_b": ""}
    messages = {"prompt": [{"role": "user", "content": "p"}]}
    assert len({one, *(pair({**PAIR, **other}).id for other in [*others, exchanged, moved, messages])}) == 9
    assert pair({**PAIR, "prompt": "\ud800"}).id


@pytest.mark.parametrize(
    ("votes", "gold"),
    [
        (["a", "a", "b"], "a"),
        (["B", "b", "TIE"], "b"),
        (["tie"], "tie"),
        (["a", "b"], ""),
        (["a", "a", "b", "tie"], ""),
        ([], ""),
    ],
)
def test_a_strict_majority_of_all_votes_is_the_gold(votes: list[str], gold: str):
    assert pair({**PAIR, "votes": votes}).gold == gold
    assert pair({**PAIR, "votes": votes, "gold": ""}).gold == gold
    assert pair({**PAIR, "votes": votes, "gold": "b"}).gold == "b"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"id": 1.5}, '"id" must be text or a whole number, not a number'),
        ({"id": True}, '"id" must be text or a whole number, not true or false'),
        ({"system": 1}, '"system" must be text, not a number'),
        ({"reference": ["r"]}, '"reference" must be text, not a list'),
        ({"model_a": {}}, '"model_a" must be text, not an object'),
        ({"gold": "c"}, '"gold" must be "a", "b" or "tie"'),
        ({"gold": 0}, '"gold" must be'),
        ({"gold": False}, '"gold" must be'),
        ({"gold": []}, '"gold" must be'),
        ({"votes": "a"}, '"votes" must be a list, not text'),
        ({"votes": 0}, '"votes" must be a list'),
        ({"votes": ["a", None]}, '"votes[1]" must be'),
        ({"votes": [""]}, '"votes[0]" must be'),
        ({"prompt": 1}, '"prompt" must be text or a list of messages, not a number'),
        ({"prompt": []}, '"prompt" is an empty list of messages'),
        ({"prompt": ["hi"]}, '"prompt[0]" must be a message with "role" and "content", not text'),
        ({"prompt": [USER, {"role": "user"}]}, '"prompt[1]" has no "content"'),
        ({"prompt": [{"content": "x"}]}, '"prompt[0]" has no "role"'),
        ({"prompt": [{"role": "user", "content": None}]}, '"prompt[0].content" must be text, not null'),
        ({"prompt": [{"role": "user", "content": [{"text": "x"}]}]}, '"prompt[0].content" must be text, not a list'),
        ({"prompt": [{"role": "human", "content": "x"}]}, '"prompt[0].role" is none of'),
        ({"prompt": [{**USER, "name": "Ann"}]}, '"prompt[0]" has "name", which would be lost'),
        ({"prompt": [{**USER, "a\nb": 0}]}, '"prompt[0]" has "a\\nb", which'),
        ({"prompt": [USER, ASSISTANT]}, '"prompt" ends with a turn of the assistant'),
        ({"prompt": [SYSTEM]}, "nothing but a system message"),
        ({"prompt": [SYSTEM, SYSTEM]}, "nothing but a system message"),
        ({"prompt": [SYSTEM, USER], "system": "other"}, '"system" differs from the system message'),
        ({"response_a": []}, '"response_a" is an empty list'),
        ({"response_a": {}}, '"response_a" must be text or a list of messages, not an object'),
        ({"response_b": [USER]}, '"response_b" ends with a turn of the user, not of the assistant'),
        ({"response_b": [SYSTEM, ASSISTANT]}, '"response_b" holds a system message'),
    ],
    ids=str,
)  # fmt: skip
def test_a_field_that_can_not_be_what_it_should_be_is_named(fields: dict[str, object], says: str):
    assert says in refusal({**PAIR, **fields})


@pytest.mark.parametrize("text", ["", " ", "\n x \n", "\ud800", "a\u2028b"])
def test_text_is_verbatim_also_where_it_is_blank(text: str):
    found = pair({"prompt": text, "response_a": text, "response_b": text})
    assert (found.prompt, found.response_a, found.response_b) == (text, text, text)


def test_messages_come_as_turns_and_the_leading_system_message_as_system():
    found = pair({**PAIR, "prompt": [{**SYSTEM, "name": None}, USER, SYSTEM], "response_a": [USER, ASSISTANT]})
    assert found.system == "be kind"
    assert found.prompt == (Message("user", "u"), Message("system", "be kind"))
    assert found.response_a == (Message("user", "u"), Message("assistant", "s"))
    assert pair({**PAIR, "prompt": [SYSTEM, USER], "system": "be kind"}).prompt == (Message("user", "u"),)


def test_a_map_takes_fields_by_key_or_path_and_leaves_the_rest_in_meta():
    record = {"q": {"text": "p", "lang": "en"}, "a.b": "x", "alt": {"b": {"c": "y"}}, "prompt": "not this", "n": 1}
    names = {"prompt": "q.text", "response_a": "a.b", "response_b": "alt.b.c", "gold": "label", "reference": "n.o"}
    found = pair(record, InputSettings(map=names))
    assert (found.prompt, found.response_a, found.response_b, found.gold) == ("p", "x", "y", "")
    assert found.meta == {"q": {"lang": "en"}, "prompt": "not this", "n": 1}
    assert record["q"] == {"text": "p", "lang": "en"}


def test_a_map_may_exchange_fields_and_use_one_twice():
    swapped = pair(PAIR, InputSettings(map={"response_a": "response_b", "response_b": "response_a"}))
    assert (swapped.response_a, swapped.response_b, swapped.meta) == ("y", "x", {})
    twice = pair({**PAIR, "best": "z"}, InputSettings(map={"reference": "best", "response_a": "best"}))
    assert (twice.reference, twice.response_a, twice.meta) == ("z", "z", {"response_a": "x"})


def test_a_mapped_field_that_the_form_does_not_read_stays_in_meta_under_its_own_name():
    record = {"prompt": "p", "responses": ["x", "y"], "label": "good", "reference": "kept"}
    found = pair(record, InputSettings(map={"gold": "label", "model_a": "reference"}))
    assert found.meta == {"label": "good", "reference": "kept"}
    assert found.gold == ""


def test_what_a_map_does_not_find_is_asked_for_by_its_name():
    settings = InputSettings(format="pair", map={"prompt": "question"})
    assert refusal({**PAIR, "ask": 1}, settings).startswith(
        'no "question" for prompt among "ask". Name your field with'
    )
    nested = InputSettings(format="pair", map={"prompt": "ask.it"})
    assert 'no "ask.it" for prompt' in refusal({**PAIR, "ask": 1}, nested)


def test_names_on_the_left_of_a_map_must_be_ours():
    check_names(InputSettings(map={"prompt": "x", "output_1": "y", "completions": "z", "votes": "v"}))
    with pytest.raises(SettingsError, match='--map promt=x: no form has a field "promt"'):
        check_names(InputSettings(map={"promt": "x"}))


def test_the_id_of_a_bad_record_is_given_where_it_can_be_read():
    assert given_id({"id": 5}, InputSettings()) == "5"
    assert given_id({"id": {}}, InputSettings()) == ""
    assert given_id({"key": {"uid": "u"}}, InputSettings(map={"id": "key.uid"})) == "u"


@pytest.mark.parametrize(
    ("fields", "prompt"),
    [
        ({}, "i"),
        ({"input": None}, "i"),
        ({"input": " \n"}, "i"),
        ({"input": " n "}, "i\n\n n "),
        ({"instruction": "", "input": "n"}, "\n\nn"),
        ({"instruction": [USER], "input": ""}, (Message("user", "u"),)),
    ],
)
def test_an_alpaca_prompt_is_the_instruction_and_its_input(fields: dict[str, object], prompt: Content):
    assert pair({**ALPACA, **fields}).prompt == prompt


@pytest.mark.parametrize(
    ("fields", "gold"),
    [
        ({}, ""),
        ({"preference": 1}, "a"),
        ({"preference": 2.0}, "b"),
        ({"preference": None, "votes": ["b"]}, "b"),
        ({"preference": 1, "votes": ["b"]}, "a"),
        ({"preference": 1, "gold": "b"}, "b"),
    ],
)
def test_an_alpaca_preference_is_gold(fields: dict[str, object], gold: str):
    found = pair({**ALPACA, **fields, "generator": "g"})
    assert found.gold == gold
    assert found.meta == {"generator": "g"}


@pytest.mark.parametrize("preference", [0, 1.5, 3, True, "1", [], float("nan")])
def test_another_alpaca_preference_is_refused(preference: object):
    assert refusal({**ALPACA, "preference": preference}) == '"preference" must be 1 or 2.'


def test_an_alpaca_input_can_not_be_added_to_messages():
    assert '"input" can\'t be added' in refusal({**ALPACA, "instruction": [USER], "input": "n"})


@pytest.mark.parametrize("name", ["llmbar_natural", "pandalm_test", "hh_harmless_test_500"])
def test_real_pairs_come_as_they_are(data: Path, name: str):
    for line in (data / f"{name}.jsonl").read_bytes().splitlines():
        record, _ = jsontext.loads(line)
        assert isinstance(record, dict)
        found = pair(record)
        assert (found.id, found.response_a, found.response_b) == (
            record["id"],
            record["response_a"],
            record["response_b"],
        )
        assert (found.gold, list(found.votes)) == (record["gold"] or "", record.get("votes", []))
        assert found.meta["source"] == record["source"]
        if isinstance(found.prompt, str):
            assert found.prompt == record["prompt"]
        else:
            assert [{"role": turn.role, "content": turn.content} for turn in found.prompt] == record["prompt"]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "a", "x", HH + "x", "user", "assistant"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "text", "score", "response", "annotations"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)
NAMES = ["id", "prompt", "response_a", "response_b", "responses", "chosen", "rejected", "instruction", "input", "output_1",
         "output_2", "preference", "completions", "gold", "votes", "system", "reference", "model_a", "other"]  # fmt: skip
FORMS: list[FormName] = ["pair", "candidates", "preference", "transcript", "alpaca", "ultrafeedback"]


@given(st.dictionaries(st.sampled_from(NAMES), JSON), st.none() | st.sampled_from(FORMS))
def test_any_record_becomes_pairs_or_is_refused_in_one_line(record: dict[str, object], form: FormName | None):
    reason, found = "", list[Pair]()
    try:
        found = pairs(record, InputSettings(format=form))
    except InputError as error:
        reason = str(error)
    assert bool(found) != bool(reason)
    assert "\n" not in reason
    assert all("other" in one.meta for one in found if "other" in record)
