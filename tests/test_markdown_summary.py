"""The summary as Markdown says what happened, and nobody's words in it become markup."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from aifeedback.biases import find_biases
from aifeedback.ending import Check, MaxFailed, checks
from aifeedback.gates import Gates
from aifeedback.markdown import bullets, code, page, table
from aifeedback.markdown_summary import markdown_summary
from aifeedback.summary import Share, Tally

NASTY = "a|b `c` ``d`` \\| <img src=x onerror=alert(1)> [x](http://evil) http://evil @user a@b.c *d* \x1b[31m\n# e\\"
GATES = Gates(min_consistency=0.8, max_longer_rate=0.6)


def tokens(markdown: str) -> list[Token]:
    """As GitHub reads it: CommonMark with tables, and HTML let through."""
    found = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(markdown)
    return [inner for token in found for inner in (token, *(token.children or []))]


def texts(markdown: str, kind: str) -> list[str]:
    return [token.content for token in tokens(markdown) if token.type == kind]


def kinds(markdown: str) -> list[str]:
    return [token.type for token in tokens(markdown)]


def summary(tally: Tally, gates: Gates = GATES, words: str = "openai/gpt-5-mini", **more: object) -> dict[str, Any]:
    return {
        **tally.counts(),
        "requests": {"sent": 20, "retried": 0, "from_store": 3},
        "cost_usd": 0.0123,
        **tally.rates(),
        "gates": [gate.record() for gate in gates.judge(tally)],
        "biases": [bias.record() for bias in find_biases(tally)],
        "manifest": {"critic": words, "template": words, "criteria": words, "escalate_to": ""},
    } | more


def tally() -> Tally:
    return Tally(
        "c", read=1000, labeled=990, consistent=Share(700, 1000), longer=Share(800, 990), right=Share(600, 900),
        confusion=[300, 100, 100, 300],
    )  # fmt: skip


def run(counted: Tally, words: str = "openai/gpt-5-mini") -> str:
    checked = checks(counted, GATES.judge(counted), None, MaxFailed())
    return markdown_summary(summary(counted, words=words), checked)


def test_it_tells_counts_rates_gates_biases_and_cost() -> None:
    text = run(tally())
    assert text.startswith("### ❌ aifeedback label: 2 of 4 checks missed\n")
    for line in (
        "`openai/gpt-5-mini`, asked by `openai/gpt-5-mini` for `openai/gpt-5-mini`",
        "| read | 1000 |",
        "| labelled | 990 |",
        "| both orders agree | 70.0% | 67.1% to 72.8% |",
        "| agrees with gold (900 pairs) | 66.7% | 63.5% to 69.7% |",
        "| ❌ min-consistency | 0.7 | 0.8 | the estimate |",
        "kappa 0.50; 20 requests sent, 3 from the store; cost $0.0123.",
    ):
        assert line in text.splitlines()
    assert "- ❌ `gate missed: consistency is 0.7 (95% interval" in text
    assert "- ⚠️ length bias: 80.8% of the labels are for the longer response" in text
    assert kinds(text).count("table_open") == 3
    assert len(text) < 4000


def test_a_run_that_passes_says_so_and_leaves_out_what_there_is_not() -> None:
    counted = Tally("c", read=1, labeled=1)
    text = markdown_summary(
        summary(counted, Gates(), cost_usd=None) | {"manifest": {"critic": "a", "template": "b", "criteria": "c", "escalate_to": "d"}},
        checks(counted, [], None, MaxFailed()),
    )  # fmt: skip
    assert text == (
        "### ✅ aifeedback label: passed\n\n`a`, asked by `b` for `c`, in doubt `d`\n\n"
        "| pairs | count |\n|---|---:|\n| read | 1 |\n| labelled | 1 |\n\n20 requests sent, 3 from the store.\n"
    )


def test_a_gate_without_a_figure_has_none() -> None:
    assert "| ❌ min-consistency | none | 0.8 |" in run(Tally("c", read=1))


def test_no_word_of_a_critic_or_a_server_becomes_markup() -> None:
    counted = tally()
    check = Check("max-failed", 1, NASTY, {})
    text = markdown_summary(summary(counted, words=NASTY), [check])
    assert not {"html_inline", "html_block", "link_open", "image", "em_open", "fence"} & set(kinds(text))
    assert kinds(text).count("heading_open") == 1
    assert kinds(text).count("table_open") == 3
    assert len(texts(text, "code_inline")) == 4
    assert "\x1b" not in text


words = st.text(st.sampled_from("ab `|\\<>[]()*_#!@:/.\n\t\x00-~&;") | st.characters(), max_size=60)


@given(words)
@example(NASTY)
@example("`")
@example("``` a")
@example("a\\")
@example("\\|")
def test_others_words_come_out_as_they_were_on_one_line_in_text_lists_and_tables(text: str) -> None:
    said = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    expected = [said] if said else []
    assert texts(page(f"x {code(text)} x"), "code_inline") == expected
    assert texts(page(bullets([code(text)])), "code_inline") == expected
    row = page(table(("a", "b"), [(code(text), "second"), ("third", code(text))]))
    assert kinds(row).count("td_open") == 4
    assert [shown.replace("\u200b", "") for shown in texts(row, "code_inline")] == expected * 2
    assert not {"html_inline", "html_block", "link_open", "image"} & set(kinds(row))


def test_long_words_are_cut() -> None:
    assert code("x" * 1000, most=20) == f"`{'x' * 19}…`"


@pytest.mark.parametrize("rows", [[], iter(())])
def test_a_table_without_rows_is_nothing(rows: Any) -> None:
    assert table(("a",), rows) == ""
    assert page("", table(("a",), []), "x") == "x\n"
    assert not re.search("\n\n\n", page("a", "", "b"))
