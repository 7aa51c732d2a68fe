"""The whole command against an endpoint that fails: every pair ends with the right status, and no failure is a label."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from aifeedback.testing import StartServer, key_mark
from aifeedback.testing.server import Server
from tests.conftest import Command, clean_environment, read_lines, some_pairs, write_lines
from tests.test_label_command import STATUSES, adds_up

PAIRS = some_pairs(5)
QUESTIONS = 2 * len(PAIRS)


@dataclass
class Run:
    """What one run came to."""

    code: int
    err: str
    summary: dict[str, Any]
    labels: list[tuple[str, object, object]]
    rest: list[dict[str, Any]]
    requests: int

    @property
    def statuses(self) -> dict[str, int]:
        """How often each status was given."""
        return {status: self.summary[status] for status in STATUSES if self.summary[status]}


class Label:
    """The same labelling run, again and again."""

    def __init__(self, command: Command, folder: Path) -> None:
        self._command, self._folder = command, folder
        write_lines(folder / "pairs.jsonl", PAIRS)

    def __call__(
        self, server: Server, *more: object, counted: bool = True, env: Mapping[str, str] | None = None
    ) -> Run:
        """One run. `counted`: whether every request that was sent has arrived."""
        before = server.stats()["requests"]
        ended = self._command(
            "label",
            "pairs.jsonl",
            "--critic",
            "vllm/m",
            "--base-url",
            server.url,
            "-o",
            "out.jsonl",
            "--summary",
            "s.json",
            *more,
            env=env,
        )
        assert "Traceback" not in ended.err
        assert not list(self._folder.glob(".*.partial"))
        summary = json.loads((self._folder / "s.json").read_text())
        assert adds_up(summary)
        labels = [(row["id"], row["chosen"], row["preference"]) for row in read_lines(self._folder / "out.jsonl")]
        requests = server.stats()["requests"] - before
        assert not counted or summary["requests"]["sent"] == requests
        return Run(ended.code, ended.err, summary, labels, read_lines(self._folder / "out.rest.jsonl"), requests)

    def stored(self) -> int:
        """How many replies the store holds."""
        with sqlite3.connect(self._folder / ".aifeedback" / "replies.sqlite") as store:
            return int(store.execute("SELECT count(*) FROM replies").fetchone()[0])


@pytest.fixture
def label(aifeedback: Command, tmp_path: Path) -> Label:
    return Label(aifeedback, tmp_path)


@pytest.fixture(scope="session")
def faultless(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, object, object]]:
    """The labels of a run without faults."""
    folder = tmp_path_factory.mktemp("faultless")
    write_lines(folder / "pairs.jsonl", PAIRS)
    with Server() as server:
        command = [
            sys.executable,
            "-m",
            "aifeedback",
            "label",
            "pairs.jsonl",
            "--critic",
            "vllm/m",
            "--base-url",
            server.url,
            "-q",
        ]
        done = subprocess.run(
            command, capture_output=True, check=True, cwd=folder, env=clean_environment(HOME=str(folder))
        )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(PAIRS)
    return [(row["id"], row["chosen"], row["preference"]) for row in rows]


@pytest.mark.parametrize(
    ("fault", "repeated"),
    [
        ("429:1:0.1", True), ("429:1:date", True), ("429:1:none", True), ("500", True), ("502", True), ("503", True), ("529", True),
        ("reset-before", True), ("reset-inside", True), ("reset-after", False), ("half-chunk", True),
        ("error200", True), ("html200", True), ("bad-json", True), ("empty-body", True), ("huge:1:40", True), ("trickle:1:0.3", False),
        ("broken-gzip", True), ("cut-stream", True), ("many-headers:1:400", True), ("long-header", True), ("no-colon", True),
        ("bad-status", True), ("negative-length", True), ("two-lengths", True), ("larger-length", True), ("smaller-length", True),
    ],
)  # fmt: skip
def test_a_fault_that_passes_changes_no_label(
    label: Label, critic_server: StartServer, faultless: object, fault: str, repeated: bool
) -> None:
    # A request on a connection that was reset a moment ago never arrives.
    run = label(critic_server(faults=[fault], attempts=1), counted=fault != "reset-after")
    assert (run.code, run.statuses) == (0, {}), run.err
    assert run.labels == faultless
    assert run.requests == (2 * QUESTIONS if repeated else QUESTIONS)
    sent = run.summary["requests"]
    assert sent["retried"] == sent["sent"] - QUESTIONS
    assert label.stored() == QUESTIONS


def test_an_answer_that_does_not_come_in_time_is_asked_for_again(
    label: Label, critic_server: StartServer, faultless: object
) -> None:
    run = label(critic_server(faults=["stall:1:5"], attempts=1), "--timeout", "1s")
    assert (run.code, run.labels) == (0, faultless), run.err


@pytest.mark.parametrize(
    "fault",
    [
        "gzip", "deflate", "think", "reasoning-content", "jitter:0.1", "http10", "content-type:1:text/html", "content-type:1:application/octet-stream",
        "event-stream", "many-headers", "long-header:1:60", "odd-header", "twice",
    ],
)  # fmt: skip
def test_an_answer_in_an_unusual_coat_is_read_all_the_same(
    label: Label, critic_server: StartServer, faultless: object, fault: str
) -> None:
    # Behind an odd header the server hangs up unannounced: what was sent in that moment has not arrived.
    run = label(critic_server(faults=[fault]), counted=fault != "odd-header")
    assert (run.code, run.labels, run.requests) == (0, faultless, QUESTIONS), run.err


@pytest.mark.parametrize(
    ("fault", "steps"),
    [
        ("400-schema", 1),
        ("400-format", 2),
        ("400-max-tokens", 1),
        ("400-temperature", 1),
        ("400-param:temperature", 1),
        ("400-logprobs", 1),
        ("403-logprobs", 1),
    ],
)
def test_a_parameter_that_is_refused_is_found_out_once_and_remembered(
    label: Label, critic_server: StartServer, faultless: object, fault: str, steps: int
) -> None:
    server = critic_server(faults=[fault])
    run = label(server)
    assert (run.code, run.labels) == (0, faultless), run.err
    assert QUESTIONS < run.requests <= QUESTIONS * (1 + steps)
    assert run.err.count("refused a parameter") == 1
    server.reset()
    write_lines(label._folder / "pairs.jsonl", some_pairs(8))
    again = label(server)
    assert again.requests == 2 * 3, "what was learnt is kept in the store"


def test_log_probabilities_that_never_come_are_not_asked_for_any_more(
    label: Label, critic_server: StartServer, faultless: object
) -> None:
    server = critic_server(logprobs="A:0.6,B:0.4", faults=["no-logprobs"])
    run = label(server)
    assert (run.code, run.labels, run.requests) == (0, faultless, QUESTIONS), run.err
    assert run.err.count("gives no log probabilities") == 1
    assert label(server).requests == 0
    write_lines(label._folder / "pairs.jsonl", some_pairs(8))
    again = label(server)
    assert (again.requests, again.err.count("log probabilities")) == (2 * 3, 0)
    bodies = [request["body"] for request in server.requests()]
    assert all("logprobs" in body for body in bodies[:3])
    assert not any("logprobs" in body for body in bodies[QUESTIONS:])


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("500", "failed", 1), ("reset-before", "failed", 1), ("reset-inside", "failed", 1), ("half-chunk", "failed", 1), ("error200", "failed", 1),
        ("html200", "failed", 1), ("bad-json", "failed", 1), ("empty-body", "failed", 1),
        ("broken-gzip", "failed", 1), ("cut-stream", "failed", 1), ("long-header", "failed", 1), ("no-colon", "failed", 1), ("bad-status", "failed", 1),
        ("negative-length", "failed", 1), ("two-lengths", "failed", 1), ("larger-length", "failed", 1), ("smaller-length", "failed", 1),
        ("empty", "unparsed", 1), ("null-content", "unparsed", 1), ("length", "unparsed", 1), ("filter", "refused", 0),
        ("400-context", "too_long", 1), ("400-filter", "refused", 0),
    ],
)  # fmt: skip
def test_what_does_not_pass_is_a_status_is_not_stored_and_is_asked_again(
    label: Label, critic_server: StartServer, faultless: object, fault: str, status: str, code: int
) -> None:
    server = critic_server(faults=[fault])
    run = label(server, "--retries", 1)
    assert (run.code, run.labels, run.statuses) == (code, [], {status: len(PAIRS)}), run.err
    assert [(row["id"], row["line"], row["status"]) for row in run.rest] == [
        (pair["id"], n + 1, status) for n, pair in enumerate(PAIRS)
    ]
    assert all(row["reason"] and len(row["reason"].splitlines()) == 1 for row in run.rest)
    assert label.stored() == 0
    server.faults()
    healed = label(server)
    assert (healed.code, healed.labels, healed.requests) == (0, faultless, QUESTIONS), healed.err


def test_an_answer_without_the_form_that_was_asked_for_is_asked_for_in_another_and_kept(
    label: Label, critic_server: StartServer, faultless: object
) -> None:
    server = critic_server(faults=["ignore-schema"])
    run = label(server)
    assert (run.code, run.labels) == (0, faultless), run.err
    assert run.err.count("did not keep to json_schema") == 1
    assert QUESTIONS < run.requests <= 3 * QUESTIONS
    assert (label(server).requests, label.stored()) == (0, QUESTIONS)


def test_a_refusal_is_a_finished_answer_and_is_kept(label: Label, critic_server: StartServer) -> None:
    server = critic_server(faults=["refusal"])
    assert label(server).statuses == {"refused": len(PAIRS)}
    assert (label(server).requests, label.stored()) == (0, QUESTIONS)


@pytest.mark.parametrize("fault", ["401", "403", "404-model", "quota", "redirect:http://127.0.0.1:9/"])
def test_what_nobody_can_get_past_stops_the_run_and_the_same_command_goes_on(
    label: Label, aifeedback: Command, critic_server: StartServer, faultless: object, tmp_path: Path, fault: str
) -> None:
    server = critic_server(faults=[fault])
    ended = aifeedback("label", "pairs.jsonl", "--critic", "vllm/m", "--base-url", server.url, "-o", "out.jsonl")
    assert ended.code == 2
    assert len(ended.err.strip().splitlines()) == 1
    assert not (tmp_path / "out.jsonl").exists()
    server.faults()
    assert label(server, "--limit", 2).labels == faultless[:2]  # type: ignore[index]
    server.faults(fault)
    stopped = label(server)
    assert (stopped.labels, stopped.code) == (faultless[:2], 5), stopped.err  # type: ignore[index]
    server.faults()
    assert label(server).labels == faultless


def test_some_of_everything_at_once_still_labels_every_pair(
    label: Label, critic_server: StartServer, faultless: object
) -> None:
    kinds = [
        "429:0.3:0.1",
        "500:0.2",
        "503:0.2",
        "reset-before:0.2",
        "reset-inside:0.2",
        "half-chunk:0.2",
        "error200:0.2",
        "html200:0.2",
        "bad-json:0.2",
        "gzip:0.3",
        "think:0.5",
    ]
    run = label(critic_server(faults=kinds, attempts=2))
    assert (run.code, run.labels) == (0, faultless), run.err


@pytest.mark.parametrize("fault", ["400", "400-context", "400-filter"])
def test_a_request_that_is_refused_as_it_is_is_never_sent_again(
    label: Label, critic_server: StartServer, fault: str
) -> None:
    server = critic_server(faults=[fault])
    run = label(server, "--retries", 8)
    assert (run.labels, run.requests) == ([], QUESTIONS)
    assert set(server.stats()["questions"].values()) == {1}


def test_a_storm_of_429_uses_up_no_attempt_and_changes_no_label(
    label: Label, critic_server: StartServer, faultless: object
) -> None:
    run = label(critic_server(faults=["429:1:0.02"], attempts=6), "--retries", 0)
    assert (run.code, run.labels, run.requests) == (0, faultless, 7 * QUESTIONS), run.err


def test_more_at_once_than_the_endpoint_bears_costs_time_and_no_label(
    label: Label, critic_server: StartServer, faultless: object
) -> None:
    run = label(critic_server(faults=["latency:0.02"], max_in_flight=2), "--retries", 0)
    assert (run.code, run.labels) == (0, faultless), run.err


@pytest.mark.parametrize("fault", ["close-after", "close-after:0.5", "stale"])
def test_connections_that_the_server_closes_between_requests_cost_no_label(
    label: Label, critic_server: StartServer, faultless: object, fault: str
) -> None:
    # A question that was sent in the moment when the server hung up has not arrived.
    run = label(critic_server(faults=[fault]), "--concurrency", 2, counted=False)
    assert (run.code, run.labels, label.stored()) == (0, faultless, QUESTIONS), run.err


def test_answers_that_take_ten_times_as_long_from_the_middle_on_change_no_label(
    label: Label, critic_server: StartServer, faultless: object
) -> None:
    server = critic_server(faults=["latency:0.02", "jitter:0.02"], slower_after=4, slower_by=10)
    run = label(server, "--concurrency", 4)
    assert (run.code, run.labels, run.requests) == (0, faultless, QUESTIONS), run.err


def test_an_endpoint_that_goes_away_and_comes_back_is_waited_for_and_every_pair_is_labelled(
    label: Label, critic_server: StartServer, faultless: object
) -> None:
    server = critic_server(faults=["latency:0.05"], down_after=4, down_for=2)
    run = label(server, "--concurrency", 2, "--retries", 0, counted=False)
    # What was on its way when the connections were reset has used its only attempt; the refused ones have not.
    assert run.code in {0, 1}, run.err
    assert {row["status"] for row in run.rest} <= {"failed"}
    assert all("connection" in row["reason"] for row in run.rest)
    again = label(server, counted=False)
    assert (again.code, again.labels) == (0, faultless), again.err


def test_with_the_usual_retries_nobody_notices_that_the_endpoint_was_away(
    label: Label, critic_server: StartServer, faultless: object
) -> None:
    server = critic_server(faults=["latency:0.05"], down_after=4, down_for=2)
    run = label(server, "--concurrency", 2, counted=False)
    assert (run.code, run.labels, run.statuses) == (0, faultless, {}), run.err
    assert label.stored() == QUESTIONS


def test_an_endpoint_that_goes_for_good_leaves_what_was_labelled_and_the_same_command_goes_on(
    label: Label, critic_server: StartServer, faultless: list[object]
) -> None:
    server = critic_server(faults=["latency:0.05"], down_after=4)
    run = label(server, "--concurrency", 2, "--patience", "1s", counted=False)
    assert run.code == 5, run.err
    assert "nobody answers" in run.err
    assert set(run.labels) < set(faultless)
    assert set(run.statuses) <= {"unasked", "failed"}
    assert len(run.labels) + len(run.rest) == len(PAIRS)
    kept = label.stored()
    assert 0 < kept <= server.stats()["answered"] < QUESTIONS
    port = urlsplit(server.url).port
    assert port is not None
    server.stop()
    again = label(critic_server(port=port))
    assert (again.code, again.labels, again.requests) == (0, faultless, QUESTIONS - kept), again.err


@pytest.mark.parametrize("fault", ["redirect:", "redirect:0.5:"])
def test_a_redirect_is_not_followed_and_the_key_stays_where_it_was_sent(
    label: Label, aifeedback: Command, critic_server: StartServer, fault: str
) -> None:
    other = critic_server()
    server = critic_server(faults=[f"{fault}{other.url}/chat/completions"])
    key = {"MY_KEY": "sk-0123456789"}
    ended = aifeedback(
        "label", "pairs.jsonl", "--critic", "vllm/m", "--base-url", server.url, "--api-key-env", "MY_KEY",
        "-o", "out.jsonl", "--retries", 1, env=key,
    )  # fmt: skip
    assert ended.code != 0
    assert "redirect" in ended.err
    assert key["MY_KEY"] not in ended.err
    assert server.stats()["authorization"] == {key_mark("Bearer sk-0123456789"): server.stats()["requests"]}
    assert (other.stats()["requests"], other.stats()["authorization"]) == (0, {})


def test_half_an_answer_that_reads_like_a_whole_one_is_no_label(
    label: Label, critic_server: StartServer, tmp_path: Path
) -> None:
    # The first half of what is streamed already holds a verdict; the second takes it back.
    content = "[[A]]" + " and then again, who knows." * 20 + "[[B]]"
    (tmp_path / "script.jsonl").write_text(json.dumps({"match": "", "content": content}) + "\n")
    server = critic_server(script=tmp_path / "script.jsonl", faults=["cut-stream"])
    run = label(server, "--retries", 0, "--template", "tags")
    assert (run.labels, run.statuses) == ([], {"failed": len(PAIRS)})


def test_fewer_open_files_than_requests_at_a_time_cost_time_and_no_label(
    label: Label, critic_server: StartServer, tmp_path: Path
) -> None:
    if not shutil.which("prlimit"):
        pytest.skip("prlimit, which makes open files scarce, is not here")
    server = critic_server(faults=["latency:0.1"])
    write_lines(tmp_path / "pairs.jsonl", some_pairs(100))
    ended = subprocess.run(
        ["prlimit", "--nofile=40", sys.executable, "-m", "aifeedback", "label", "pairs.jsonl", "--critic", "vllm/m", "--base-url", server.url, "-q"],
        cwd=tmp_path, env=clean_environment(HOME=str(tmp_path)), capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr, ended.stdout.count(b"\n")) == (0, b"", 100)
