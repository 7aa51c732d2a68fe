"""`--max-requests` and `--max-cost` against a real endpoint: never overrun, used to the end, and gone on from."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import aifeedback as af
from aifeedback.api import Options
from aifeedback.cli import screen
from aifeedback.endpoints.address import EndpointSettings
from aifeedback.errors import BudgetSpent, SettingsError
from aifeedback.files import Reader
from aifeedback.job import run_job
from aifeedback.labeling import Progress
from aifeedback.lanes import CriticSettings
from aifeedback.plan import plan
from aifeedback.records import Reply, Usage
from aifeedback.settings import InputSettings
from aifeedback.summary import Tally
from aifeedback.testing import FairCritic, ScriptedCritic, StartServer
from aifeedback.testing.server import Server
from tests.conftest import Command, read_lines, some_pairs, write_lines

PRICE = (2.0, 10.0)


def billed(server: Server, price: tuple[float, float] = PRICE) -> float:
    """What a provider would charge for every answer that it made, in USD."""
    tokens = server.stats()["tokens"]
    return (tokens["input"] * price[0] + tokens["output"] * price[1]) / 1e6


def label(folder: Path, server: Server, **options: Any) -> tuple[Mapping[str, Any], BudgetSpent | None]:
    """Label pairs.jsonl; the summary, and what stopped the run."""
    given = {"critic": "vllm/m", "base_url": server.url, "store": folder / "s.sqlite", "patience_s": 5.0, **options}
    job = Options(**given).job([str(folder / "pairs.jsonl")], str(folder / "out.jsonl"))
    result = asyncio.run(run_job(job, environment={}))
    assert result.stopped is None or isinstance(result.stopped, BudgetSpent)
    return result.summary, result.stopped


def rows(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return read_lines(folder / "out.jsonl"), read_lines(folder / "out.rest.jsonl")


@pytest.mark.slow
def test_a_thousand_requests_are_a_thousand_with_256_in_flight_and_retries(
    tmp_path: Path, critic_server: StartServer
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(900))
    server = critic_server(faults=["latency:0.15", "500:0.02", "reset-before:0.01"], keep=1)
    summary, stopped = label(tmp_path, server, max_requests=1000)
    stats = server.stats()
    assert isinstance(stopped, BudgetSpent)
    assert stats["requests"] == summary["requests"]["sent"] == 1000
    assert stats["max_in_flight"] > 100
    assert summary["requests"]["retried"] > 0
    labelled, rest = rows(tmp_path)
    assert len(labelled) + len(rest) == 900
    assert {row["status"] for row in rest} <= {"unasked", "failed"}
    assert len(labelled) > 300, "what was paid for is there"
    server.faults()
    summary, stopped = label(tmp_path, server)
    assert stopped is None
    assert len(rows(tmp_path)[0]) == 900
    assert summary["requests"]["from_store"] >= 2 * len(labelled)


def test_learning_how_to_ask_counts_as_requests_too(tmp_path: Path, critic_server: StartServer) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(100))
    server = critic_server(faults=["400-temperature", "400-schema"])
    _, stopped = label(tmp_path, server, max_requests=50)
    assert stopped is not None
    assert server.stats()["requests"] == 50


@pytest.mark.slow
def test_a_budget_is_never_overrun_with_256_in_flight_and_spent_to_its_end(
    tmp_path: Path, critic_server: StartServer
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(2000))
    server = critic_server(faults=["latency:0.2"], keep=1)
    summary, stopped = label(tmp_path, server, price=PRICE, max_cost=3.0, max_tokens=300)
    assert stopped is not None
    assert "--max-cost $3.00 is used up" in str(stopped)
    assert billed(server) == pytest.approx(summary["cost_usd"], abs=1e-9)
    assert 2.97 < summary["cost_usd"] <= 3.0
    assert summary["cost_unsure_usd"] == 0
    assert server.stats()["max_in_flight"] > 100
    labelled, rest = rows(tmp_path)
    assert {row["status"] for row in rest} == {"unasked"}
    assert len(labelled) + len(rest) == 2000


LOSING = [
    "latency:0.05", "500:0.05", "503:0.03", "reset-before:0.03", "reset-inside:0.05", "reset-after:0.05",
    "half-chunk:0.03", "stall:0.03:30", "bad-json:0.03", "length:0.05", "429:0.05:0.05", "529:0.03", "error200:0.03",
]  # fmt: skip


@pytest.mark.slow
def test_a_budget_holds_in_the_worst_case_where_answers_are_lost(tmp_path: Path, critic_server: StartServer) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(1500))
    server = critic_server(faults=LOSING, seed=3, keep=1)
    summary, stopped = label(tmp_path, server, price=PRICE, max_cost=1.5, max_tokens=200, timeout_s=1.5)
    assert stopped is not None
    assert summary["cost_unsure_usd"] > 0
    spent = summary["cost_usd"] + summary["cost_unsure_usd"]
    assert 1.4 < spent <= 1.5
    assert summary["cost_usd"] <= billed(server) <= spent
    assert sum(map(len, rows(tmp_path))) == 1500


def test_what_costs_nothing_for_certain_is_not_counted(tmp_path: Path, critic_server: StartServer) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(40))
    server = critic_server(faults=["429:0.2:0.05", "400-temperature", "400-filter:0.1"])
    summary, stopped = label(tmp_path, server, price=PRICE, max_cost=20)
    assert stopped is None
    assert summary["refused"] > 0
    assert summary["cost_unsure_usd"] == 0
    assert summary["cost_usd"] == pytest.approx(billed(server))


def test_a_run_whose_money_allows_few_requests_at_a_time_still_ends(tmp_path: Path, critic_server: StartServer) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(30))
    server = critic_server(faults=["latency:0.02", "500:0.1"], attempts=2)
    # A request may come to about 3 cents, and comes to less than a tenth of that.
    summary, stopped = label(tmp_path, server, price=PRICE, max_cost=0.9)
    assert stopped is None
    assert summary["labeled"] == 30
    assert server.stats()["max_in_flight"] < 40


def test_the_same_command_goes_on_with_as_much_again(
    aifeedback: Command, tmp_path: Path, critic_server: StartServer
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(60))
    server = critic_server()
    endpoint = ("--critic", "vllm/m", "--base-url", server.url, "--price", "2,10", "--max-tokens", 100)
    arguments = ("label", "pairs.jsonl", *endpoint, "-o", "out.jsonl", "--summary", "s.json", "--max-cost", "0.1")
    for _ in range(20):
        before = server.stats()["answered"]
        ended = aifeedback(*arguments)
        summary = json.loads((tmp_path / "s.json").read_text())
        assert summary["cost_usd"] <= 0.1
        if ended.code == 0:
            break
        assert ended.code == 4
        assert "--max-cost $0.10 is used up" in ended.err
        assert summary["unasked"] > 0
        assert server.stats()["answered"] > before
    assert ended.code == 0
    assert server.stats()["answered"] == 120
    assert summary["labeled"] == 60


def test_both_limits_hold_together(tmp_path: Path, critic_server: StartServer) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(60))
    server = critic_server(faults=["500:0.2"])
    summary, stopped = label(tmp_path, server, price=PRICE, max_cost=50, max_requests=33)
    assert "--max-requests 33" in str(stopped)
    assert server.stats()["requests"] == 33
    assert summary["cost_usd"] == pytest.approx(billed(server))


def test_a_panel_shares_one_budget_each_at_its_own_price(
    aifeedback: Command, tmp_path: Path, critic_server: StartServer
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(100))
    cheap, dear = critic_server(faults=["latency:0.02"]), critic_server(faults=["latency:0.2"])
    (tmp_path / "aifeedback.toml").write_text(
        f"""
        [critics.cheap]
        critic = "vllm/a"
        base_url = "{cheap.url}"
        price = [1, 2]
        [critics.dear]
        critic = "vllm/b"
        base_url = "{dear.url}"
        price = "10,20"
        """
    )
    panel = ("--critic", "cheap", "--critic", "dear", "--max-tokens", 200)
    ended = aifeedback("label", "pairs.jsonl", *panel, "-o", "o.jsonl", "--summary", "s.json", "--max-cost", 0.9)
    assert ended.code == 4, ended.err
    summary = json.loads((tmp_path / "s.json").read_text())
    spent = billed(cheap, (1, 2)) + billed(dear, (10, 20))
    assert summary["cost_usd"] == pytest.approx(spent)
    assert 0.8 < spent <= 0.9
    assert [critic["price"].partition(" out")[0] for critic in summary["manifest"]["critics"]] == [
        "$1 in, $2",
        "$10 in, $20",
    ]


def test_the_flag_beats_the_price_of_a_named_critic(
    aifeedback: Command, tmp_path: Path, critic_server: StartServer
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(2))
    server = critic_server()
    (tmp_path / "aifeedback.toml").write_text(
        f'[critics.j]\ncritic = "vllm/a"\nbase_url = "{server.url}"\nprice = "1,2"'
    )
    arguments = ("label", "pairs.jsonl", "--critic", "j", "-o", "o.jsonl", "--summary", "s.json", "--no-store")
    for flags, price in (((), (1, 2)), (("--price", "5,6"), (5, 6))):
        server.reset()
        assert aifeedback(*arguments, *flags).code == 0
        assert json.loads((tmp_path / "s.json").read_text())["cost_usd"] == pytest.approx(billed(server, price))


def test_the_listed_price_counts_without_a_word_and_is_shown(
    aifeedback: Command, tmp_path: Path, critic_server: StartServer
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(5))
    server = critic_server()
    ended = aifeedback(
        "label",
        "pairs.jsonl",
        "--critic",
        "openai/gpt-5-mini",
        "--base-url",
        server.url,
        "-o",
        "o.jsonl",
        "--summary",
        "s.json",
    )
    assert ended.code == 0, ended.err
    summary = json.loads((tmp_path / "s.json").read_text())
    assert summary["cost_usd"] == pytest.approx(billed(server, (0.25, 2)))
    assert "genai-prices" in summary["manifest"]["critics"][0]["price"]
    assert "cost " in ended.err


def test_lost_answers_are_shown_as_money_that_may_have_been_spent(
    aifeedback: Command, tmp_path: Path, critic_server: StartServer
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(5))
    server = critic_server(faults=["500"], attempts=1)
    ended = aifeedback(
        "label", "pairs.jsonl", "--critic", "vllm/m", "--base-url", server.url, "--price", "1,1", "-o", "o.jsonl"
    )
    assert ended.code == 0, ended.err
    assert " for requests that may have been billed" in ended.err


def test_without_a_known_price_there_is_no_cost(
    aifeedback: Command, tmp_path: Path, critic_server: StartServer
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(2))
    server = critic_server()
    ended = aifeedback(
        "label", "pairs.jsonl", "--critic", "vllm/m", "--base-url", server.url, "-o", "o.jsonl", "--summary", "s.json"
    )
    assert ended.code == 0
    summary = json.loads((tmp_path / "s.json").read_text())
    assert (summary["cost_usd"], summary["cost_unsure_usd"]) == (None, None)
    assert summary["tokens"]["input"] > 0
    assert "cost" not in ended.err


def test_builtin_costs_nothing_whatever_the_limit(aifeedback: Command, tmp_path: Path) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(3))
    ended = aifeedback(
        "label",
        "pairs.jsonl",
        "--critic",
        "builtin",
        "--max-cost",
        "0.01",
        "--price",
        "9,9",
        "-o",
        "o.jsonl",
        "--summary",
        "s.json",
    )
    assert ended.code == 0, ended.err
    assert json.loads((tmp_path / "s.json").read_text())["cost_usd"] == 0.0


@pytest.mark.parametrize(
    ("critic", "says"),
    [
        (("vllm/m", "--base-url", "http://127.0.0.1:1/v1"), "the price of vllm/m is not known. Name it in USD"),
        (("vllm/m", "--base-url", "https://judge.example.org/v1"), "the price of vllm/m is not known. Name it in USD"),
        (("openai/gpt-5-miny", "--base-url", "http://127.0.0.1:1/v1"), "Known are openai/gpt-5-mini, "),
        (("azure/my-deployment", "--base-url", "http://127.0.0.1:1/v1"), "--price INPUT,OUTPUT"),
    ],
    ids=["local", "elsewhere", "near", "deployment"],
)
def test_an_unknown_price_under_a_limit_is_exit_2_at_the_start(
    aifeedback: Command, tmp_path: Path, critic: tuple[str, ...], says: str
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(2))
    for more in ((), ("--dry-run",)):
        ended = aifeedback("label", "pairs.jsonl", "--critic", *critic, "--max-cost", 1, "-o", "o.jsonl", *more)
        assert ended.code == 2
        assert says in ended.err
        assert ended.err.count("\n") == 1
    assert not (tmp_path / "o.jsonl").exists()
    assert not (tmp_path / ".aifeedback").exists()


@pytest.mark.parametrize("flags", [("--max-cost", "0"), ("--max-cost", "-1"), ("--max-cost", "nan"), ("--price", "1")])
def test_a_limit_or_a_price_that_is_none_is_exit_2(aifeedback: Command, tmp_path: Path, flags: tuple[str, str]) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(2))
    ended = aifeedback("label", "pairs.jsonl", "--critic", "builtin", *flags)
    assert ended.code == 2
    assert flags[0] in ended.err


def test_a_request_dearer_than_the_whole_limit_is_not_sent(
    aifeedback: Command, tmp_path: Path, critic_server: StartServer
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(2))
    server = critic_server()
    ended = aifeedback(
        "label", "pairs.jsonl", "--critic", "vllm/m", "--base-url", server.url, "--price", "1,10", "--max-cost", "0.001"
    )
    assert ended.code == 4
    assert "the next request may cost up to $0.02" in ended.err
    assert server.stats()["requests"] == 0


def test_an_endpoint_that_takes_no_limit_on_its_replies_is_not_asked_under_one(
    aifeedback: Command, tmp_path: Path, critic_server: StartServer
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(2))
    server = critic_server(faults=["400-param:max_tokens", "400-param:max_completion_tokens"])
    arguments = (
        "label",
        "pairs.jsonl",
        "--critic",
        "vllm/m",
        "--base-url",
        server.url,
        "--price",
        "1,1",
        "-o",
        "o.jsonl",
    )
    ended = aifeedback(*arguments, "--max-cost", 1)
    assert ended.code == 2
    assert "takes no limit on the length of a reply" in ended.err
    assert server.stats()["answered"] == 0
    assert aifeedback(*arguments).code == 0


def test_the_plan_says_what_it_will_cost_and_by_whose_price(aifeedback: Command, tmp_path: Path) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(100))
    ended = aifeedback(
        "label", "pairs.jsonl", "--critic", "openai/gpt-5-mini", "--max-tokens", 1000, "--dry-run", "--max-cost", 5
    )
    assert ended.code == 0, ended.err
    (cost,) = [line for line in ended.out.splitlines() if line.startswith("cost ")]
    (price,) = [line for line in ended.out.splitlines() if line.startswith("price ")]
    about, most = (float(amount) for amount in re.findall(r"\$(\d+\.\d+)", cost)[:2])
    # 200 replies of 250 and of 1000 tokens; what is sent comes on top, at an eighth of the price.
    assert 200 * 250 * 2e-6 < about < 0.15
    assert 200 * 1000 * 2e-6 < most < 0.7
    assert "--max-cost ends the run before it can pass $5.00" in cost
    assert "openai/gpt-5-mini: $0.25 in, $0.025 cached, $2 out a million tokens (genai-prices " in price


def test_the_plans_worst_case_is_what_a_run_sets_aside(
    aifeedback: Command, tmp_path: Path, critic_server: StartServer
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(3))
    server = critic_server(faults=["500"])
    arguments = (
        "label",
        "pairs.jsonl",
        "--critic",
        "vllm/m",
        "--base-url",
        server.url,
        "--price",
        "1,1",
        "-o",
        "o.jsonl",
        "--summary",
        "s.json",
        "--retries",
        0,
    )
    planned = aifeedback(*arguments, "--dry-run").out
    assert aifeedback(*arguments).code == 1
    unsure = json.loads((tmp_path / "s.json").read_text())["cost_unsure_usd"]
    assert f"at most ${unsure:.4f} without failures" in planned


def test_a_plan_counts_the_longest_replies_that_each_critic_may_give(tmp_path: Path) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(3))
    critics = [
        CriticSettings(EndpointSettings("openai/gpt-4o-mini"), max_tokens=500),
        CriticSettings(EndpointSettings("anthropic/claude-sonnet-4-5"), reasoning_effort="high"),
    ]
    job = replace(Options("builtin", store=None).job([str(tmp_path / "pairs.jsonl")]), critics=critics)
    assert f", at most {6 * 500 + 6 * (2048 + 8192)} out\n" in plan(job, environment={})


def test_a_critic_of_ones_own_is_kept_within_a_budget(tmp_path: Path) -> None:
    del tmp_path
    run = af.label(some_pairs(50), critic=FairCritic(len), price=(1.0, 1.0), max_cost=0.05, max_tokens=100)
    seen = []
    with pytest.raises(BudgetSpent):
        seen.extend(run)  # what came before the error stays
    with pytest.raises(SettingsError, match="the price of fair is not known"):
        list(af.label(some_pairs(1), critic=FairCritic(len), max_cost=1.0))


def test_a_cost_that_the_server_names_counts_instead_of_our_own(tmp_path: Path) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(3))

    def answer(asked: af.Question) -> Reply:
        return Reply(asked.format.answer("first"), finish_reason="stop", usage=Usage(10, 0, 10, cost_usd=0.125))

    summary = af.label_file(
        str(tmp_path / "pairs.jsonl"), str(tmp_path / "o.jsonl"), critic=ScriptedCritic(answer), template="quick"
    )
    assert summary["cost_usd"] == 0.75


def test_what_a_run_will_come_to_follows_from_what_its_questions_cost_so_far() -> None:
    progress = Progress(read=10, settled=5, questions=2)
    progress.spending.billed, progress.spending.replies = 10 * 10**10, 10
    assert progress.projected_usd() is None
    progress.all_pairs = lambda: 40
    assert progress.projected_usd() == pytest.approx(0.8)
    progress.limit = 20
    assert progress.projected_usd() == pytest.approx(0.4)
    progress.input_done = True
    assert progress.projected_usd() == pytest.approx(0.2)
    progress.spending.from_store = 10
    assert progress.projected_usd() == pytest.approx(0.1)


@pytest.mark.parametrize("log_json", [False, True], ids=["a line", "json"])
def test_the_progress_shows_the_cost_so_far_and_the_projected_total(
    log_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(screen, "_PLAIN_EVERY_S", 0.01)
    progress = Progress(read=40, settled=5, input_done=True, questions=2)
    progress.spending.billed, progress.spending.replies = 123 * 10**10, 10
    with screen.Screen(log_json=log_json).progress(progress, Tally("m")):
        time.sleep(0.2)
    first = capsys.readouterr().err.splitlines()[0]
    if log_json:
        assert (json.loads(first)["cost_usd"], json.loads(first)["projected_usd"]) == (1.23, 9.84)
    else:
        assert first.endswith("requests, $1.23 of about $9.84")


def test_a_reader_tells_about_how_many_pairs_there_are(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "pairs.jsonl", some_pairs(4000))
    (tmp_path / "pairs.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    reader = Reader([str(path)], InputSettings())
    assert reader.expected() is None
    next(chunks := reader.chunks())
    assert reader.expected() == pytest.approx(4000, rel=0.2)
    for _ in chunks:
        pass
    assert reader.expected() == 4000
    zipped = Reader([str(tmp_path / "pairs.jsonl.gz")], InputSettings())
    for _ in zipped.chunks():
        pass
    assert zipped.expected() == 4000
    assert Reader(["-"], InputSettings()).expected() is None
