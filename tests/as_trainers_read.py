"""Other trainers' loaders, as their sources and documentation describe them: what each makes of a row.

Written for the tests from LLaMA-Factory 0.9.5 (data/converter.py), Axolotl 0.19.0 (prompt_strategies/dpo/chat_template.py),
OpenRLHF 0.11.2 (datasets/reward_dataset.py), HALOs (train/data.py), OpenAI's, Together's and Fireworks' pages on
preference fine-tuning. docs/exports.md says how the loaders themselves were run.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

Turns = list[tuple[str, str]]
Read = tuple[Turns, Turns, Turns]


def openai(row: dict[str, Any]) -> Read:
    assert set(row) == {"input", "preferred_output", "non_preferred_output"}
    messages = row["input"]["messages"]
    assert all(set(each) == {"role", "content"} for each in messages)
    assert all(
        each["role"] in {"system", "user", "assistant"} and isinstance(each["content"], str) for each in messages
    )
    # Together's client: nobody twice in a row, and no field beside these
    assert all(one["role"] != other["role"] for one, other in pairwise(messages))
    for name in ("preferred_output", "non_preferred_output"):
        (answer,) = row[name]  # Together and Fireworks: exactly one message
        assert answer["role"] == "assistant"
        assert answer["content"].strip()
    return tuple(_pairs(each) for each in (messages, row["preferred_output"], row["non_preferred_output"]))  # type: ignore[return-value]


def axolotl(row: dict[str, Any]) -> Read:
    known = {"user", "assistant", "system", "tool"}  # any other role is a KeyError there
    answers = []
    for name in ("chosen", "rejected"):
        answer = row[name]
        assert answer["role"] in known
        # it renders a dummy turn and the answer, and cuts at the answer's first occurrence
        for around in ("<|im_start|>{0}\n{1}<|im_end|>\n", "<|start_header_id|>{0}<|end_header_id|>\n\n{1}<|eot_id|>"):
            shown = "".join(
                around.format(role, text)
                for role, text in (("user", "[[dummy_message]]"), ("assistant", answer["content"].strip()))
            )
            assert shown[shown.find(answer["content"]) :].startswith(
                answer["content"] + around[around.index("{1}") + 3 :].rstrip()
            )
        answers.append([(answer["role"], answer["content"])])
    assert all(each["role"] in known for each in row["messages"])
    return (_pairs(row["messages"]), *answers)  # type: ignore[return-value]


def llamafactory(row: dict[str, Any]) -> Read:
    roles = {"human": "user", "gpt": "assistant", "observation": "tool"}
    turns = row["conversations"]
    # people at odd places, the model at even ones, and the last word is not the model's; others are skipped without a word
    assert len(turns) % 2 == 1
    assert all(
        each["from"] in (("human", "observation"), ("gpt", "function_call"))[at % 2] for at, each in enumerate(turns)
    )
    for name in ("chosen", "rejected"):
        assert isinstance(row[name], dict)
        assert row[name]["from"] == "gpt"
    system = [("system", row["system"])] if row["system"] else []
    asked = [(roles[each["from"]], each["value"]) for each in turns]
    return (system + asked, [("assistant", row["chosen"]["value"])], [("assistant", row["rejected"]["value"])])


def openrlhf(row: dict[str, Any]) -> Read:
    assert row["margin"] >= 0
    whole = [row["prompt"] + row[name] for name in ("chosen", "rejected")]  # lists, rendered by the chat template
    answers = [each[len(row["prompt"]) :] for each in whole]
    return (_pairs(row["prompt"]), _pairs(answers[0]), _pairs(answers[1]))


def trl(row: dict[str, Any]) -> Read:
    return tuple(_pairs(row[name]) for name in ("prompt", "chosen", "rejected"))  # type: ignore[return-value]


def trl_implicit(row: dict[str, Any]) -> Read:
    common = next(
        at for at, (one, other) in enumerate(zip(row["chosen"], row["rejected"], strict=False)) if one != other
    )
    return (_pairs(row["chosen"][:common]), _pairs(row["chosen"][common:]), _pairs(row["rejected"][common:]))


def halos(array: Sequence[dict[str, Any]]) -> dict[str, list[tuple[str, str]]]:
    """Pairs of texts (better, worse) by the prompt under which they are gathered."""
    by_id = defaultdict(list)
    for item in array:
        assert item["type"] == "pairwise_feedback"
        by_id[item["prompt_id"]].append(item)
    found: dict[str, list[tuple[str, str]]] = {}
    for items in by_id.values():
        generations: dict[str, int] = {}
        texts = []
        pairs = []
        for item in items:
            for name in ("output_A", "output_B"):
                text = item[name][0]["content"]  # two answers with the same first turn are one to it
                if text not in generations:
                    generations[text] = len(texts)
                    texts.append(text)
                assert len(item[name]) == 1
            one, other = (generations[item[name][0]["content"]] for name in ("output_A", "output_B"))
            pairs.append((one, other) if item["label"] == 1 else (other, one))
        prompt = json.dumps(items[-1]["prompt"])  # the last one's counts for all
        assert prompt not in found
        found[prompt] = [(texts[one], texts[other]) for one, other in pairs]
    return found


def _pairs(messages: Sequence[dict[str, str]]) -> Turns:
    return [(each["role"], each["content"]) for each in messages]


DIALOGUES: dict[str, Callable[[dict[str, Any]], Read]] = {
    "openai": openai,
    "axolotl": axolotl,
    "llamafactory": llamafactory,
    "openrlhf": openrlhf,
    "trl": trl,
    "trl-reward": trl,
    "trl-implicit": trl_implicit,
}
