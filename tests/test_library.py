"""Whatever the command does, `import aifeedback` does in as many lines."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import aifeedback as af
from aifeedback.errors import BudgetSpent, CriticGone, GiveUp, SettingsError
from aifeedback.records import Reply, text_of
from aifeedback.testing import AlwaysFirst, FailingCritic, FairCritic, ScriptedCritic, StartServer
from tests.conftest import ROOT, clean_environment, read_lines, some_pairs, write_lines


def test_the_lines_in_the_readme_run(tmp_path: Path) -> None:
    (code,) = re.findall(
        r"<!-- run by tests/test_library.py -->\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=clean_environment(HOME=str(tmp_path)),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "a 1.0"


def test_the_public_names_are_complete_sorted_and_load_on_first_use() -> None:
    assert af.__all__ == sorted(af.__all__)
    assert all(getattr(af, name) is not None for name in af.__all__)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import aifeedback"], capture_output=True, text=True, check=True
    )
    assert not re.search(r"aiohttp|httpx2|orjson|jinja2|sqlite3|typer|aifeedback\.records", done.stderr)


def test_labels_come_in_input_order_with_a_winner_and_its_preference() -> None:
    labels = list(af.label(some_pairs(50), critic=FairCritic(len)))
    assert [label.pair.id for label in labels if isinstance(label, af.Label)] == [str(n) for n in range(50)]
    assert all(label.winner == "b" and label.preference == 1.0 for label in labels if isinstance(label, af.Label))


def test_the_async_twin_gives_the_same() -> None:
    async def gather() -> list[af.Label | af.Invalid]:
        return [label async for label in af.label_async(some_pairs(20), critic=FairCritic(len))]

    assert [label.winner for label in asyncio.run(gather())] == [
        label.winner for label in af.label(some_pairs(20), critic=FairCritic(len))
    ]


def test_the_library_works_inside_a_running_event_loop() -> None:
    async def inside() -> int:
        return len(list(af.label(some_pairs(5), critic=FairCritic(len))))

    assert asyncio.run(inside()) == 5


def test_a_bad_record_comes_out_as_invalid_and_stops_nobody() -> None:
    labels = list(af.label([*some_pairs(1), {"prompt": "only"}, *some_pairs(1)], critic=FairCritic(len)))
    assert [label.status for label in labels] == [None, af.Status.INVALID, None]
    assert isinstance(labels[1], af.Invalid)
    assert "response_a" in labels[1].reason


def test_wrong_options_are_told_before_the_first_label() -> None:
    with pytest.raises(SettingsError, match="pairwise"):
        af.label(some_pairs(1), critic="builtin", template="pairwize")
    with pytest.raises(TypeError, match="templat"):
        af.label(some_pairs(1), critic="builtin", templat="tags")


def test_a_critic_that_fails_gives_no_label() -> None:
    labels = list(af.label(some_pairs(60), critic=FailingCritic(every=3), retries=0))
    failed = [label for label in labels if label.status is af.Status.FAILED]
    assert 0 < len(failed) < 60
    assert all(label.winner is None for label in failed)


def test_a_run_that_must_stop_raises_after_its_last_outcome() -> None:
    run = af.label(some_pairs(10), critic=FairCritic(len), max_requests=7)
    seen = [next(run) for _ in range(10)]
    with pytest.raises(BudgetSpent):
        next(run)
    assert any(label.status is af.Status.UNASKED for label in seen)


def test_a_critic_that_is_gone_at_once_is_an_error() -> None:
    def gone(_: af.Question) -> Reply:
        raise CriticGone("no such thing.")

    with pytest.raises(CriticGone):
        list(af.label(some_pairs(3), critic=ScriptedCritic(gone)))


def test_an_endless_source_is_read_only_as_far_as_it_is_wanted() -> None:
    def endless() -> Iterator[dict[str, object]]:
        number = 0
        while True:
            number += 1
            yield {"prompt": str(number), "response_a": "a", "response_b": "bb"}

    run = af.label(endless(), critic=FairCritic(len))
    assert [next(run).winner for _ in range(3)] == ["b", "b", "b"]
    run.close()  # type: ignore[attr-defined] # a generator


def test_from_file_to_file_is_one_call(tmp_path: Path) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(4))
    summary = af.label_file("pairs.jsonl", "labels.jsonl", critic="builtin")
    assert summary["read"] == summary["labeled"] == 4
    assert len(read_lines(tmp_path / "labels.jsonl")) == 4


def test_an_endpoint_is_asked_through_the_library_too(critic_server: StartServer) -> None:
    server = critic_server()
    labels = list(af.label(some_pairs(5), critic="vllm/m", base_url=server.url, store=None))
    assert all(label.winner for label in labels)
    assert server.stats()["requests"] == 10


TEXT = st.text(max_size=40)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(
    contents=st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=4),
    template=st.sampled_from(["pairwise", "quick", "tags", "arena", "statement"]),
    on_conflict=st.sampled_from(["drop", "tie", "soft"]),
)
def test_a_fair_critic_labels_an_exchanged_file_alike_and_is_asked_nothing_new(
    tmp_path_factory: pytest.TempPathFactory, contents: list[tuple[str, str, str]], template: str, on_conflict: str
) -> None:
    store = tmp_path_factory.mktemp("store") / "replies.sqlite"
    critic = FairCritic(lambda text: float(sum(map(ord, text)) % 97))
    pairs = [{"prompt": prompt, "response_a": a, "response_b": b} for prompt, a, b in contents]
    exchanged = [
        {"prompt": pair["prompt"], "response_a": pair["response_b"], "response_b": pair["response_a"]} for pair in pairs
    ]
    options = {"critic": critic, "template": template, "on_conflict": on_conflict, "store": store}
    first = list(af.label(pairs, **options))
    again = FairCritic(lambda _: pytest.fail("nothing is asked anew"))
    second = list(af.label(exchanged, **(options | {"critic": again})))
    for one, other in zip(first, second, strict=True):
        assert isinstance(one, af.Label)
        assert isinstance(other, af.Label)
        assert (one.chosen, one.rejected, one.preference, one.status, one.agreed) == (
            other.chosen,
            other.rejected,
            other.preference,
            other.status,
            other.agreed,
        )


@pytest.mark.parametrize("template", ["pairwise", "quick", "tags", "arena", "statement"])
@pytest.mark.parametrize("on_conflict", ["drop", "tie", "soft"])
def test_a_critic_that_always_names_the_first_gets_no_label_out(template: str, on_conflict: str) -> None:
    labels = list(af.label(some_pairs(10), critic=AlwaysFirst(), template=template, on_conflict=on_conflict))
    wanted = af.Status.TIE if on_conflict == "tie" else af.Status.CONFLICT
    assert {label.status for label in labels} == {wanted}


def test_a_give_up_says_why_in_the_label() -> None:
    def refuses(_: af.Question) -> Reply:
        raise GiveUp("too long for the critic", status=af.Status.TOO_LONG)

    (label,) = af.label(some_pairs(1), critic=ScriptedCritic(refuses))
    assert isinstance(label, af.Label)
    assert (label.status, label.reason) == (af.Status.TOO_LONG, "too long for the critic")
    assert text_of(label.pair.prompt) == "Tell me about the number 0."
