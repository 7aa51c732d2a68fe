import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.errors import InputError
from aifeedback.jsontext import loads
from aifeedback.labelled_files import labels_in, rest_of
from aifeedback.reconcile import reconcile
from aifeedback.records import PA, Invalid, Label, Message, Order, Pair, Reply, Status, Verdict
from aifeedback.rereading import reread
from aifeedback.rows import Shaper, labelled_row, rest_row
from aifeedback.settings import OutputSettings, ReconcileSettings

_TEXTS = st.text(min_size=1, max_size=8)
_SETTINGS = OutputSettings()


@st.composite
def _labels(draw: st.DrawFn) -> tuple[Label, str]:
    critics = draw(st.sampled_from([["a/x"], ["a/x", "b/y"]]))
    a = draw(_TEXTS)
    pair = Pair(
        draw(_TEXTS), draw(_TEXTS), a, draw(_TEXTS.filter(lambda b: b != a)),
        gold=draw(st.sampled_from(["", "a", "b", "tie"])), reference=draw(st.sampled_from(["", "r"])),
        model_a=draw(st.sampled_from(["", "m"])), meta={"kind": draw(_TEXTS)}, file="in.jsonl", line=draw(st.integers(1, 9)),
    )  # fmt: skip
    verdicts = [
        Verdict(critic, order, 0, None, status=Status.UNPARSED, why="no verdict", reply=Reply("x", model="m-1"))
        if p is None
        else Verdict(critic, order, 0, PA(p), "json", "since", reply=Reply("{}", model="m-1"))
        for critic in critics
        for order in Order
        for p in [draw(st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0, None]))]
    ]
    # A sole critic's vote by one order alone can't be told from its mean once the other order could not be read.
    rule = draw(st.sampled_from(["mean", "majority"])) if len(critics) > 1 else "mean"
    return reconcile(pair, verdicts, ReconcileSettings(panel=rule)), "+".join(critics)


@given(_labels())
def test_a_line_that_is_read_again_gives_the_same_label_and_the_same_line(made: tuple[Label, str]) -> None:
    label, critic = made
    names = (critic, "pairwise@1", "helpful")

    def line(label: Label) -> bytes:
        if label.status is None:
            shaper = Shaper(_SETTINGS)
            shaper.refuse(label.pair)
            return labelled_row(label, *names, shaper, _SETTINGS)
        return rest_row(label, *names, _SETTINGS)

    again = reread(loads(line(label))[0])

    assert isinstance(again, Label)
    assert again.pair == label.pair
    assert (again.status, again.reason, again.p_a, again.agreed) == (
        label.status,
        label.reason,
        label.p_a,
        label.agreed,
    )
    assert again.winner == label.winner
    assert line(again) == line(label)
    if label.p_a is not None or len(critic) == 3:
        assert again.order_p_a == label.order_p_a


def test_a_system_prompt_and_turns_come_back_as_they_were() -> None:
    turns = (Message("user", "q"), Message("assistant", "r"), Message("user", "s"))
    pair = Pair("1", turns, "x", (Message("assistant", "y"),), system="be brief")
    verdict = Verdict("c/d", Order.AB, 0, PA(1.0))
    shaper = Shaper(_SETTINGS)
    shaper.refuse(pair)
    row = labelled_row(reconcile(pair, [verdict], ReconcileSettings()), "c/d", "t", "c", shaper, _SETTINGS)
    again = reread(loads(row)[0])
    assert isinstance(again, Label)
    assert again.pair == replace(pair, response_a=(Message("assistant", "x"),))


def test_verdicts_of_an_escalated_pair_count_only_where_they_did() -> None:
    weak = [Verdict("w/w", order, 0, PA(p)) for order, p in ((Order.AB, 1.0), (Order.BA, 0.0))]
    strong = [Verdict("s/s", order, 0, PA(1.0)) for order in Order]
    pair = Pair("1", "q", "x", "y")
    label = replace(reconcile(pair, strong, ReconcileSettings()), verdicts=(*weak, *strong), decided_by="s/s")
    shaper = Shaper(_SETTINGS)
    shaper.refuse(pair)
    again = reread(loads(labelled_row(label, "w/w", "t", "c", shaper, _SETTINGS))[0])
    assert isinstance(again, Label)
    assert again.decided_by == "s/s"
    assert again.order_p_a == {Order.AB: 1.0, Order.BA: 1.0}


def test_a_bad_line_of_the_input_stays_one() -> None:
    bad = Invalid("in.jsonl", 3, "{oops", "it is no JSON", "7")
    assert reread(loads(rest_row(bad, "c", "t", "c", _SETTINGS))[0]) == bad


_GOOD = {
    "id": "1", "prompt": "q", "chosen": "x", "rejected": "y", "preference": 1.0,
    "feedback": {"winner": "a", "p_a": 1.0, "verdicts": []}, "meta": {},
}  # fmt: skip


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "a list"),
        ({"prompt": "q", "response_a": "x", "response_b": "y"}, "not labelled yet"),
        ({"prompt": "q", "chosen": "x", "rejected": "y"}, 'no "feedback"'),
        (_GOOD | {"feedback": {"winner": ""}}, "feedback.winner"),
        (_GOOD | {"feedback": {"winner": "b", "p_a": 1.0}}, "side of the winner"),
        (_GOOD | {"feedback": {"winner": "a", "p_a": 1.5}}, "from 0 to 1"),
        (_GOOD | {"feedback": {"winner": "a", "verdicts": {}}}, "must be a list"),
        (_GOOD | {"feedback": {"winner": "a", "verdicts": [{"order": "cd"}]}}, "order"),
        (_GOOD | {"feedback": []}, "must be an object"),
        ({"status": "good", "pair": {}}, "status"),
        ({"status": "tie", "pair": {"prompt": "q"}}, 'no "response_a"'),
    ],
)
def test_what_is_no_labelled_line_is_told_with_its_place(value: object, said: str, tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text(json.dumps(_GOOD) + "\n" + json.dumps(value) + "\n")
    with pytest.raises(InputError, match=said) as caught:
        list(labels_in(str(file)))
    assert (caught.value.file, caught.value.line) == (str(file), 2)


def test_a_label_that_says_little_is_taken_at_its_word() -> None:
    bare = reread({"prompt": "q", "chosen": "x", "rejected": "y", "preference": 0.8, "feedback": {"winner": "b", "votes": ["b", "b", "a"]}, "meta": '{"k": 1}'})  # fmt: skip
    assert isinstance(bare, Label)
    assert (bare.p_a, bare.pair.gold, bare.pair.response_a, bare.pair.meta) == (0.2, "b", "y", {"k": 1})
    assert bare.pair.id


def test_the_rest_is_found_beside_the_labels_and_an_empty_file_is_told(tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    labels.write_text("")
    assert rest_of(str(labels)) == ""
    (tmp_path / "labels.rest.jsonl").write_text("")
    assert rest_of(str(labels)) == str(tmp_path / "labels.rest.jsonl")
    assert rest_of("-") == ""
    with pytest.raises(InputError, match="no labelled pair"):
        list(labels_in(str(labels), rest_of(str(labels))))
    labels.write_text("{oops\n")
    with pytest.raises(InputError, match="line 1"):
        list(labels_in(str(labels)))
