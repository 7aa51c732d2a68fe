"""Each question is asked once, whatever happens meanwhile; what was answered is kept."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

import aifeedback as af
from aifeedback import asking
from aifeedback.errors import CriticGone, GiveUp, Hiccup, StoreError
from aifeedback.records import Reply
from aifeedback.store import Store
from aifeedback.testing import FairCritic, ScriptedCritic
from aifeedback.verdicts import write_answer
from tests.conftest import some_pairs


class Slow:
    """Answers after a moment, each time with another word, and counts what it was asked."""

    name = "slow"

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    async def ask(self, question: af.Question) -> Reply:
        self.asked[question.messages[-1].content] += 1
        await asyncio.sleep(0.001)
        place = random.choice(["first", "second"])
        return Reply(write_answer(question.format, place, "a reason"), finish_reason="stop")


def test_duplicates_far_apart_are_asked_once_though_the_first_was_stored_meanwhile(tmp_path: Path) -> None:
    pairs = [*some_pairs(250), *some_pairs(40), *some_pairs(600)]
    critic = Slow()
    options = {"critic": critic, "store": tmp_path / "s.sqlite", "concurrency": 4, "on_conflict": "soft"}
    first = list(af.label(pairs, **options))
    assert set(critic.asked.values()) == {1}
    second = list(af.label(pairs, **options))
    assert sum(critic.asked.values()) == 1200
    assert [(one.winner, one.status) for one in first] == [(one.winner, one.status) for one in second]


def test_a_duplicate_of_a_question_that_stopped_the_run_is_no_answer() -> None:
    def gone(_: af.Question) -> Reply:
        raise CriticGone("no such thing.")

    with pytest.raises(CriticGone):
        list(af.label([some_pairs(1)[0]] * 6, critic=ScriptedCritic(gone)))


def test_a_commit_that_fails_loses_no_reply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, failed = Store.put, []

    def put(self: Store, entries: list[object]) -> None:
        if not failed:
            failed.append(True)
            raise StoreError("database is locked.")
        real(self, entries)

    monkeypatch.setattr(Store, "put", put)
    path = tmp_path / "s.sqlite"
    with pytest.raises(StoreError):
        list(af.label(some_pairs(20), critic=FairCritic(len), store=path))
    monkeypatch.setattr(Store, "put", real)
    store = Store(path)
    assert len(list(store.rows())) > 0
    store.close()


def test_critics_wait_for_a_store_that_is_slower_than_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, at_once = Store.put, []

    def put(self: Store, entries: list[object]) -> None:
        at_once.append(len(entries))
        real(self, entries)

    monkeypatch.setattr(Store, "put", put)
    monkeypatch.setattr(asking, "_MOST_FRESH", 50)
    options = {"critic": Slow(), "store": tmp_path / "s.sqlite", "concurrency": 8}
    assert len(list(af.label(some_pairs(100), **options))) == 100
    assert sum(at_once) == 200
    assert max(at_once) <= 50 + 8


def test_a_critic_that_cancels_itself_holds_nobody_up() -> None:
    def cancelled(_: af.Question) -> Reply:
        raise asyncio.CancelledError

    (label,) = af.label(some_pairs(1), critic=ScriptedCritic(cancelled), retries=0)
    assert label.status is af.Status.FAILED


def test_a_critic_that_gives_no_reply_is_an_error_of_its_own() -> None:
    class Careless:
        name = "careless"

        async def ask(self, question: af.Question) -> str:
            del question
            return "A"

    with pytest.raises(TypeError, match="'careless': ask\\(\\) gave str, not a Reply"):
        list(af.label(some_pairs(1), critic=Careless()))


def test_two_critics_of_one_name_are_refused() -> None:
    with pytest.raises(af.AifeedbackError, match="two critics are called fair"):
        list(af.label(some_pairs(1), critic=[FairCritic(len), FairCritic(lambda _: 0.0)]))


def test_a_server_error_that_asks_for_more_patience_than_there_is_stops_the_run() -> None:
    def closed(_: af.Question) -> Reply:
        raise Hiccup("503: back tomorrow", retry_after_s=3600)

    with pytest.raises(CriticGone, match=r"back tomorrow\. It asks for 3600 s\. --patience waits longer\."):
        list(af.label(some_pairs(1), critic=ScriptedCritic(closed), patience_s=1))


def test_a_foreign_status_of_a_critic_is_a_failure() -> None:
    def odd(_: af.Question) -> Reply:
        raise GiveUp("undecided", status=af.Status.TIE)

    (label,) = af.label(some_pairs(1), critic=ScriptedCritic(odd))
    assert label.status is af.Status.FAILED


def test_a_live_source_gets_its_first_label_before_it_gives_the_second_pair() -> None:
    seen: list[str] = []

    def live():  # noqa: ANN202 - a generator of records
        for pair in some_pairs(2):
            yield pair
            seen.append(pair["id"])

    run = af.label(live(), critic=FairCritic(len))
    assert next(run).winner == "b"
    assert len(list(run)) == 1
    assert seen == ["0", "1"]
