"""Labels in each trainer's shape: nothing is lost, and what a shape can't carry is refused."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aifeedback.cli.export import export as export_command
from aifeedback.errors import SettingsError
from aifeedback.exports.checking import MOST_TOLD, Check
from aifeedback.exports.format import Files, Format, Preference, Thumb
from aifeedback.exports.formats import FORMATS
from aifeedback.exports.llamafactory import entries
from aifeedback.exports.row import Labelled, Unfit, read_row
from aifeedback.exports.shares import part_of, read_shares
from aifeedback.forms import to_pairs
from aifeedback.records import Content, Message, Pair
from aifeedback.rows import as_messages
from aifeedback.settings import InputSettings
from tests import as_trainers_read

ALL = pytest.mark.parametrize("shape", FORMATS.values(), ids=FORMATS)
PAIRED = [each for each in FORMATS.values() if each.name != "trl-kto"]


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


SYSTEM, ASK, SAID, MORE = (
    turn("system", "Be kind."),
    turn("user", "Name a number."),
    turn("assistant", "One."),
    turn("user", "Another one?"),
)
YES, NO = [turn("assistant", "Seven.")], [turn("assistant", "Blue.")]


def labelled(prompt: Any = "Name a number.", chosen: Any = "Seven.", rejected: Any = "Blue.", **more: Any) -> Any:
    return {
        "id": "7",
        "prompt": prompt,
        "chosen": chosen,
        "rejected": rejected,
        "preference": 0.93,
        "feedback": {"winner": "b"},
        "meta": {"topic": "numbers"},
        **more,
    }


DIALOGUE = labelled([SYSTEM, ASK, SAID, MORE], YES, NO)

# One letter at least, so that nothing is empty; all else that text may be.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).map(lambda text: f"{text}x")
ODD = st.sampled_from(["\n\nHuman: ", "\n\nAssistant:", "\n\nHuman", "\n", " ", "Human: ", "<|im_end|>", '"', "\u2028"])
SAYING = st.lists(TEXT | ODD, min_size=1, max_size=3).map(lambda parts: "".join(parts) + "y")


@st.composite
def rows(draw: st.DrawFn, *, dialogue: bool | None = None) -> Labelled:
    """A labelled pair as `aifeedback label` may write it: text, or a dialogue with or without a system prompt."""
    preference = draw(st.integers(501, 1000)) / 1000
    one, other = draw(SAYING), draw(SAYING)
    if draw(st.booleans()) if dialogue is None else dialogue:
        asked = [turn("user", draw(SAYING))]
        for _ in range(draw(st.integers(0, 2))):
            asked += [turn("assistant", draw(SAYING)), turn("user", draw(SAYING))]
        prompt = [turn("system", draw(SAYING))] * draw(st.booleans()) + asked
        record = labelled(prompt, [turn("assistant", one)], [turn("assistant", other)], preference=preference)
    else:
        record = labelled(draw(SAYING), one, other, preference=preference)
    try:
        return read_row(json.loads(json.dumps(record)))
    except Unfit:
        assume(condition=False)
        raise


def written(shape: Format, row: Labelled) -> list[dict[str, Any]]:
    """The rows as they come back from the file."""
    return json.loads(json.dumps(shape.write(row)))


def turns(content: Content, role: str) -> tuple[Message, ...]:
    return as_messages(content, role)


def same(found: Preference, row: Labelled) -> bool:
    assert found.prompt is not None
    return (turns(found.prompt, "user"), turns(found.chosen, "assistant"), turns(found.rejected, "assistant")) == (
        turns(row.prompt, "user"),
        turns(row.chosen, "assistant"),
        turns(row.rejected, "assistant"),
    )


@given(rows())
def test_what_a_shape_takes_it_gives_back_whole(row: Labelled) -> None:
    taken = []
    for shape in FORMATS.values():
        try:
            found = [shape.read(each) for each in written(shape, row)]
        except Unfit:
            continue
        taken.append(shape.name)
        if shape.name == "trl-kto":
            assert found == [Thumb(row.prompt, row.chosen, True), Thumb(row.prompt, row.rejected, False)]
            continue
        (pair,) = found
        assert isinstance(pair, Preference)
        if shape.name == "trl-implicit" and isinstance(row.prompt, str):
            assert pair == Preference(None, f"{row.prompt}{row.chosen}", f"{row.prompt}{row.rejected}")
        else:
            assert same(pair, row)
    assert {"trl", "trl-kto", "trl-reward", "openai", "openrlhf", "halos", "llamafactory", "parquet"} <= set(taken)
    assert "trl-implicit" in taken or not isinstance(row.prompt, str)


def relabelled(record: Mapping[str, object], names: Mapping[str, str] | None = None) -> Pair:
    """What `aifeedback label` makes of a row of another trainer's."""
    (pair,) = to_pairs(record, InputSettings(map=names or {}), file="f", line=1)
    return pair


def of_pair(pair: Pair) -> tuple[tuple[Message, ...], ...]:
    better, worse = (pair.response_a, pair.response_b) if pair.gold == "a" else (pair.response_b, pair.response_a)
    system = (Message("system", pair.system),) if pair.system else ()
    return (*system, *turns(pair.prompt, "user")), turns(better, "assistant"), turns(worse, "assistant")


@given(rows())
def test_label_reads_again_what_was_exported(row: Labelled) -> None:
    # label takes a prompt that is a transcript for one that answers may repeat
    assume(not str(row.prompt).startswith("\n\nHuman:"))
    wanted = (turns(row.prompt, "user"), turns(row.chosen, "assistant"), turns(row.rejected, "assistant"))
    for name in ("trl", "trl-reward", "openrlhf", "parquet"):
        assert of_pair(relabelled(written(FORMATS[name], row)[0])) == wanted
    renamed = {"prompt": "input.messages", "chosen": "preferred_output", "rejected": "non_preferred_output"}
    assert of_pair(relabelled(written(FORMATS["openai"], row)[0], renamed)) == wanted
    if not isinstance(row.prompt, str):
        # HH has no system prompt, and an implicit prompt is what both begin with
        with contextlib.suppress(Unfit):  # where it is refused, and only there: the next test
            assert of_pair(relabelled(written(FORMATS["hh"], row)[0])) == wanted
        implicit = written(FORMATS["trl-implicit"], row)[0]
        assert of_pair(relabelled(implicit)) == wanted


@given(rows())
def test_a_transcript_is_refused_where_a_text_would_read_as_another_turn_and_only_there(row: Labelled) -> None:
    texts = [each.content for part in (row.prompt, row.chosen, row.rejected) for each in turns(part, "user")]
    boundary = any(f"\n\n{who}:" in text for text in texts for who in ("Human", "Assistant"))
    system = turns(row.prompt, "user")[0].role == "system"
    try:
        FORMATS["hh"].write(row)
        refused = False
    except Unfit:
        refused = True
    assert refused == (boundary or system)


@given(rows(dialogue=True))
def test_the_trainers_loaders_see_the_same_turns(row: Labelled) -> None:
    wanted = [[(each.role, each.content) for each in part] for part in (row.prompt, row.chosen, row.rejected)]
    for name, read in as_trainers_read.DIALOGUES.items():
        try:
            (one,) = written(FORMATS[name], row)
        except Unfit:
            continue
        assert read(one) == tuple(wanted), name


@given(
    st.sampled_from(["<|im_start|>assistant", "[[dummy_message]]", "seven of nine", " end|>"]),
    st.integers(0, 20),
    st.integers(1, 9),
)
def test_axolotl_finds_every_short_answer_where_it_stands_or_it_is_refused(words: str, start: int, length: int) -> None:
    try:
        row = read_row(labelled(chosen=words[start : start + length], rejected="I do not know that."))
        (one,) = written(FORMATS["axolotl"], row)
    except Unfit:
        return
    assert as_trainers_read.axolotl(one)[1] == [("assistant", row.chosen)]


@given(st.lists(rows(), min_size=1, max_size=6))
def test_halos_find_every_comparison_under_its_own_prompt(found: Sequence[Labelled]) -> None:
    array = [each for row in found for each in written(FORMATS["halos"], row)]
    gathered = as_trainers_read.halos(array)
    for row in found:
        prompt = [{"role": each.role, "content": each.content} for each in turns(row.prompt, "user")]
        said = [turns(answer, "assistant")[0].content for answer in (row.chosen, row.rejected)]
        assert tuple(said) in gathered[json.dumps(prompt)]


@pytest.mark.parametrize(
    ("record", "what"),
    [
        ([1], "no JSON object"),
        ({"status": "tie", "pair": {}, "id": "1"}, "a pair without a label (tie)"),
        ({"prompt": "p", "response_a": "x", "response_b": "y"}, "not labelled yet"),
        ({"prompt": "p", "chosen": "x", "rejected": "y"}, 'no "preference"'),
        ({"chosen": "x", "preference": 1.0}, 'no "prompt" and no "rejected"'),
        (labelled(preference=0.5), "a tie"),
        (labelled(preference=0.2), "rejected is the better"),
        (labelled(preference="0.9"), "no number from 0 to 1"),
        (labelled(preference=True), "no number from 0 to 1"),
        (labelled(rejected="Seven. "), "say the same"),
        (labelled(chosen=" "), '"chosen" is empty'),
        (labelled(prompt="\u200b"), "the prompt is empty"),
        (labelled(prompt=3), '"prompt" must be text'),
        (labelled(chosen=[]), "an empty list"),
        (labelled(chosen="half \ud83d"), "lone surrogate"),
        (labelled(chosen=YES), 'the prompt is text, "chosen" messages'),
        (labelled([SYSTEM], YES, NO), "the prompt is empty"),
        (labelled([ASK, SAID], YES, NO), "ends with a turn of the assistant"),
        (labelled([ASK], [ASK, *YES], [ASK, *NO]), "begins with the prompt"),
        (labelled([ASK], [*YES, MORE], NO), "ends with a turn of the user"),
        (labelled([ASK], [*YES, MORE, *YES], NO), "has a turn of the user"),
        (labelled([ASK], [turn("pirate", "Arr")], NO), "is none of"),
        (labelled([ASK], [{**YES[0], "tool_calls": [1]}], NO), "which would be lost"),
        (labelled("Name a prime number.", "Name a prime number. 7", "Name a prime number. 8"), "repeat the prompt"),
    ],
)  # fmt: skip
def test_a_row_that_is_no_label_is_refused_with_what_to_do(record: Any, what: str) -> None:
    with pytest.raises(Unfit) as caught:
        read_row(record)
    assert what in str(caught.value)


TWO_TURNS = labelled([ASK], [*NO, *YES], [*NO, *NO])
TOOL = labelled([ASK, SAID, turn("tool", "7")], YES, NO)
LATE_SYSTEM = labelled([ASK, SYSTEM, MORE], YES, NO)
DOUBLE = labelled([ASK, MORE], YES, NO)
NOTHING = labelled([ASK], YES, [turn("assistant", "")])


@pytest.mark.parametrize(
    ("name", "record", "what"),
    [
        ("trl-implicit", TWO_TURNS, "both answers begin with the same turn"),
        *[(name, TWO_TURNS, '"chosen" has 2 turns') for name in ("openai", "axolotl", "llamafactory", "halos", "hh")],
        *[(name, TOOL, "a turn of the tool") for name in ("openai", "halos", "hh")],
        *[(name, LATE_SYSTEM, "inside the prompt") for name in ("openai", "axolotl", "llamafactory", "halos")],
        *[(name, DOUBLE, "do not take turns") for name in ("llamafactory", "hh")],
        *[(name, NOTHING, '"rejected" is empty') for name in ("openai", "axolotl")],
        ("hh", DIALOGUE, "a turn of the system"),
        ("hh", labelled(chosen="x\n\nHuman: y"), "the begin of another turn"),
        ("llamafactory", labelled([turn("system", ""), ASK], YES, NO), "an empty system message"),
        *[("axolotl", labelled(chosen=text), "in the wrong place") for text in ("user", "e", "end", "[dummy", "s>")],
        ("axolotl", labelled(rejected="Blue. "), "white space"),
        ("parquet", labelled(id="half \ud83d"), '"id" holds half a character'),
        ("openai", DOUBLE, "two turns of the user stand in a row"),
        ("openai", labelled([turn("developer", "Be kind."), ASK], YES, NO), "a turn of the developer"),
    ],
)  # fmt: skip
def test_what_a_shape_cannot_carry_is_refused_with_advice(name: str, record: Any, what: str) -> None:
    row = read_row(record)
    with pytest.raises(Unfit) as caught:
        FORMATS[name].write(row)
    assert what in str(caught.value)
    assert str(caught.value).count(". ") >= 1
    assert FORMATS["trl"].write(row), "what is sent to trl can go there"


def test_a_tool_s_turn_goes_where_trainers_know_it() -> None:
    row = read_row(TOOL)
    assert FORMATS["llamafactory"].write(row)[0]["conversations"][-1] == {"from": "observation", "value": "7"}
    assert FORMATS["axolotl"].write(row)[0]["messages"][-1] == turn("tool", "7")


def test_a_preference_becomes_margins_and_rewards() -> None:
    row = read_row(DIALOGUE)
    assert FORMATS["trl-reward"].write(row)[0]["margin"] == FORMATS["openrlhf"].write(row)[0]["margin"] == 0.86
    (halo,) = FORMATS["halos"].write(row)
    assert (halo["label"], halo["reward_A"], halo["reward_B"], halo["reward_difference"]) == (1, 0.93, 0.07, 0.86)
    assert FORMATS["parquet"].write(row)[0]["preference"] == 0.93
    assert [each["label"] for each in FORMATS["trl-kto"].write(row)] == [True, False]


def test_the_command_offers_every_format() -> None:
    literal, _ = get_args(get_type_hints(export_command)["to"])
    assert get_args(literal) == tuple(FORMATS)


@ALL
def test_each_format_says_in_a_line_whose_it_is_and_what_to_paste(shape: Format) -> None:
    assert "\n" not in shape.purpose
    pasted = shape.paste(Files("a/train.jsonl", "a/test.jsonl"), True)
    assert "train" in pasted
    if shape.name not in {"hub", "parquet", "hh"}:
        assert "test" in pasted, "what is held out is never trained on"


def test_llama_factory_knows_files_by_their_ending_and_splits_names_at_commas() -> None:
    assert entries(["x/a.b.jsonl"])["a.b"]["file_name"] == "a.b.jsonl"  # type: ignore[index]
    for name in ("labels", "labels.txt", "a,b.jsonl"):
        with pytest.raises(ValueError, match="LLaMA-Factory"):
            entries([name])


SHARES = read_shares("train=0.9,test=0.1")


@given(st.lists(st.text(max_size=8), max_size=30, unique=True), st.integers(), st.randoms(use_true_random=False))
def test_a_prompt_s_part_depends_on_it_and_the_seed_alone(prompts: list[str], seed: int, order: Any) -> None:
    parts = {prompt: part_of(prompt, SHARES, seed) for prompt in prompts}
    order.shuffle(prompts)
    assert all(part_of(prompt, SHARES, seed) == parts[prompt] for prompt in prompts)
    assert all(part_of(f" {prompt}\n", SHARES, seed) == part for prompt, part in parts.items())
    assert all(part_of((Message("user", prompt),), SHARES, seed) == part for prompt, part in parts.items())


def test_shares_are_kept_and_change_with_the_seed() -> None:
    thirds = read_shares("a=1/3, b=1/3, c=1/3")
    drawn = [part_of(f"prompt {number}", thirds, 0) for number in range(3000)]
    assert all(900 < drawn.count(name) < 1100 for name in "abc")
    assert drawn != [part_of(f"prompt {number}", thirds, 1) for number in range(3000)]
    tests = sum(part_of(f"prompt {number}", SHARES, 0) == "test" for number in range(3000))
    assert 250 < tests < 350
    assert part_of("p", (), 0) == ""


@pytest.mark.parametrize(
    "text", ["train", "train=0.9", "train=0.9,test=0.2", "a=0.5,a=0.5", "a=x", "../a=1", "a=0,b=1", "a=1/0"]
)
def test_a_split_that_does_not_add_up_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--split"):
        read_shares(text)


def looked_at(*values: object) -> Check:
    check = Check()
    for number, value in enumerate(values, 1):
        check.see(number, value)
    check.finish()
    return check


@given(rows())
def test_what_was_exported_is_recognised_and_found_good(row: Labelled) -> None:
    for shape in FORMATS.values():
        try:
            found = looked_at(*written(shape, row))
        except Unfit:
            continue
        # a transcript is told by how its texts begin
        if shape.name == "trl-implicit" and str(row.prompt).startswith("\n\nHuman:"):
            continue
        assert found.shape
        assert shape.name in found.shape.formats
        assert not found.problems, (shape.name, found.told)


@pytest.mark.parametrize(
    ("values", "title", "problems"),
    [
        ([labelled(), labelled()], "aifeedback's labels, explicit prompt (trl), text", []),
        ([labelled(), {**labelled(), "prompt": None}], "aifeedback's labels", ['no "prompt"']),
        ([{"prompt": "p", "chosen": "x", "rejected": "x"}], "(trl), neither", ["say the same"]),
        ([{"prompt": "p", "chosen": "x", "rejected": "y"}, DIALOGUE], "(trl), text", ["Keep one shape"]),
        (
            [{"prompt": "p", "chosen": "x", "rejected": "y"}, {"prompt": [ASK], "chosen": YES, "rejected": NO}],
            "(trl), text",
            ["messages in a file of text"],
        ),
        ([{"prompt": [ASK], "chosen": [ASK, *YES], "rejected": [ASK, *NO]}], "(trl)", ["begins with the prompt"]),
        ([{"chosen": YES, "rejected": NO}], "(trl-implicit)", ["do not begin with the same turn"]),
        ([{"chosen": "x", "rejected": ""}], "(trl-implicit)", ["is empty"]),
        ([{"chosen": "\n\nHuman: x\n\nAssistant: y", "rejected": "\n\nHuman: z\n\nAssistant: w"}], "(hh)", ["part before"]),
        ([{"chosen": "\n\nHuman: x", "rejected": "\n\nHuman: x"}], "(hh)", ["does not end with an answer"]),
        ([{"prompt": "p", "completion": "x", "label": 1}], "(trl-kto)", ["neither true nor false"]),
        ([{"prompt": "p", "completion": "x", "label": True}], "(trl-kto)", ["true on every row"]),
        ([{"prompt": "p", "chosen": "x", "rejected": "y", "margin": "1"}], "(trl-reward", ['"margin" is no number']),
        ([{"input": {}, "preferred_output": YES, "non_preferred_output": NO}], "(openai)", ['"messages" must be']),
        ([{"input": 3, "preferred_output": YES, "non_preferred_output": NO}], "(openai)", ['"input" is no object']),
        ([{"messages": [turn("pirate", "x")], "chosen": YES[0], "rejected": NO[0]}], "(axolotl)", ["is none of"]),
        ([{"messages": "x", "chosen": turn("user", "a b"), "rejected": NO[0]}], "(axolotl)", ["said by the user"]),
        ([{"conversations": [{"from": "user", "value": "x"}], "chosen": {}, "rejected": {}}], "(llamafactory)", ["is none of"]),
        ([{"conversations": [], "chosen": {}, "rejected": {}}], "(llamafactory)", ["no list of turns"]),
        ([{"output_A": YES, "output_B": NO, "label": 2, "type": "pairwise_feedback", "prompt": [ASK]}], "(halos)", ["neither 1"]),
        ([{"output_A": YES, "output_B": NO, "label": 1, "type": "sample", "prompt": [ASK]}], "(halos)", ['"type"']),
        ([{"conversations": [{"from": "human", "value": "x"}], "system": 3, "chosen": {}, "rejected": {}}], "(llamafactory)", ["is no text"]),
        ([{"conversations": [{"from": "system", "value": "x"}], "chosen": {}, "rejected": {}}], "(llamafactory)", ["nothing is asked"]),
        ([{"conversations": [{"from": "human", "value": "x"}], "chosen": "y", "rejected": {}}], "(llamafactory)", ["is no turn"]),
        ([{"conversations": [{"from": "human", "value": [ASK]}], "chosen": {}, "rejected": {}}], "(llamafactory)", ["value"]),
        ([{"output_A": YES, "output_B": NO, "label": 1, "type": "pairwise_feedback", "prompt": "p"}], "(halos)", ["is text"]),
        ([{"output_A": YES, "output_B": NO, "label": 1, "type": "pairwise_feedback", "prompt": [ASK]}], "(halos)", ["reward_A"]),
        (
            [{"output_A": YES, "output_B": NO, "label": 1, "type": "pairwise_feedback", "prompt": [ASK], "reward_A": 1, "reward_B": 0}],
            "(halos)",
            ["prompt_id"],
        ),
        ([{"chosen": "\n\nHuman: x", "rejected": YES}], "(hh)", ["does not end with an answer"]),
        ([{"chosen": "x\n\nHuman: x", "rejected": "\n\nHuman: x"}], "(hh)", ["does not start with"]),
        ([{"chosen": YES, "rejected": "x"}], "(trl-implicit)", ["only one of"]),
        ([{"chosen": "x", "rejected": "x "}], "(trl-implicit)", ["say the same"]),
        ([{"prompt": "p", "completion": " ", "label": True}], "(trl-kto)", ["is empty and labelled good"]),
        ([{"status": "tie", "pair": {}}, 3], "no rows that a trainer reads", ["from the rest", "no JSON object"]),
        ([{"prompt": "p", "response_a": "x", "response_b": "y"}], "no rows", ["Label it first"]),
    ],
)  # fmt: skip
def test_check_names_the_shape_and_what_is_wrong(values: list[object], title: str, problems: list[str]) -> None:
    found = looked_at(*values)
    assert title in found.title
    assert len(found.told) == found.problems == len(problems), found.told
    assert all(what in told for what, (_, told) in zip(problems, found.told, strict=True)), found.told


def test_the_list_of_problems_is_bounded_and_their_count_is_not() -> None:
    found = looked_at(*[{"x": 1}] * 50)
    assert (len(found.told), found.problems, found.rows) == (MOST_TOLD, 50, 50)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content", "from", "value", "messages"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
FIELDS = st.sampled_from(
    ["prompt", "chosen", "rejected", "completion", "label", "margin", "messages", "conversations", "system", "input",
     "preferred_output", "non_preferred_output", "output_A", "output_B", "type", "prompt_id", "feedback", "preference", "id"]
)  # fmt: skip


@settings(max_examples=300)
@given(st.dictionaries(FIELDS, JSON, max_size=6) | JSON)
def test_whatever_stands_in_a_row_is_a_problem_or_none_and_never_a_crash(value: Any) -> None:
    for kind in ("pairwise_feedback", None):
        given_type = {**value, "type": kind} if kind and isinstance(value, dict) else value
        found = looked_at(given_type)
        assert found.rows == 1
        with contextlib.suppress(Unfit):
            read_row(given_type)
