"""`aifeedback label` with gates: what a pipe gets, which code comes, what is said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from aifeedback.errors import OutputError
from aifeedback.publish import HeldOutput, PipeOutput
from aifeedback.testing import StartServer
from tests.conftest import ROOT, Command, clean_environment, read_lines, some_pairs, write_lines

BUILTIN = ("label", "pairs.jsonl", "--critic", "builtin")


@pytest.fixture(autouse=True)
def _pairs(tmp_path: Path) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(10, gold="b"))


def shell(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    command = command.replace("aifeedback", f"{sys.executable} -m aifeedback")
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=clean_environment(HOME=str(folder)),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_labels_that_pass_come_out_whole_and_the_same_as_without_gates(aifeedback: Command) -> None:
    without = aifeedback(*BUILTIN)
    ended = aifeedback(*BUILTIN, "--min-consistency", "100%", "--max-longer-rate", "1")
    assert ended.code == 0, ended.err
    assert ended.out == without.out
    assert len(ended.rows) == 10


def test_a_missed_gate_is_exit_3_with_one_line_each_and_not_a_byte_on_stdout(
    aifeedback: Command, tmp_path: Path
) -> None:
    ended = aifeedback(
        *BUILTIN, "--max-longer-rate", "0", "--min-kappa", "0.1", "--min-consistency", "0.5", "--summary", "s.json"
    )
    assert ended.code == 3
    assert ended.out == ""
    errors = [line for line in ended.err.splitlines() if line.startswith("Error: ")]
    assert [line.split(" is ")[0] for line in errors] == [
        "Error: gate missed: there",  # all gold is for b: there is no kappa
        "Error: gate missed: longer_chosen_rate",
    ]
    assert "nothing was written to stdout" in ended.err
    gates = json.loads((tmp_path / "s.json").read_text())["gates"]
    assert [(gate["name"], gate["passed"]) for gate in gates] == [
        ("min-consistency", True), ("min-kappa", False), ("max-longer-rate", False),
    ]  # fmt: skip


def test_a_file_is_written_all_the_same_and_the_code_says_it(aifeedback: Command, tmp_path: Path) -> None:
    ended = aifeedback(*BUILTIN, "--max-longer-rate", "0", "-o", "out.jsonl")
    assert ended.code == 3
    assert len(read_lines(tmp_path / "out.jsonl")) == 10
    assert "nothing was written" not in ended.err


def test_the_summary_says_that_there_are_no_gates(aifeedback: Command, tmp_path: Path) -> None:
    assert aifeedback(*BUILTIN, "--summary", "s.json").code == 0
    assert json.loads((tmp_path / "s.json").read_text())["gates"] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--orders", "ab", "--min-consistency", "0"), "there is no consistency"),
        (("--map", "gold=none", "--min-accuracy", "0"), "there is no agreement.accuracy"),
    ],
    ids=["one order", "no gold"],
)
def test_a_figure_that_does_not_exist_misses_even_a_limit_of_nought(
    aifeedback: Command, arguments: tuple[str, ...], says: str
) -> None:
    ended = aifeedback(*BUILTIN, *arguments)
    assert (ended.code, ended.out) == (3, "")
    assert says in ended.err


def test_the_bad_end_of_the_interval_is_held_against_the_limit_on_demand(aifeedback: Command) -> None:
    assert aifeedback(*BUILTIN, "--min-consistency", "0.9").code == 0
    ended = aifeedback(*BUILTIN, "--min-consistency", "0.9", "--gate-on", "lower")
    assert (ended.code, ended.out) == (3, "")
    assert "by the lower end. More pairs" in ended.err


@pytest.mark.parametrize("limit", ["80", "", "nan", "-1", "101%"])
def test_a_limit_that_is_none_is_exit_2_at_once(aifeedback: Command, limit: str) -> None:
    ended = aifeedback(*BUILTIN, "--min-accuracy", limit)
    assert (ended.code, ended.out) == (2, "")
    assert len(ended.err.splitlines()) == 1
    assert "--min-accuracy" in ended.err


def test_gates_stand_in_the_environment_and_in_the_file_too(aifeedback: Command, tmp_path: Path) -> None:
    (tmp_path / "aifeedback.toml").write_text("max-longer-rate = 0.0\n")
    assert aifeedback(*BUILTIN).code == 3
    assert aifeedback(*BUILTIN, env={"AIFEEDBACK_MAX_LONGER_RATE": "100%"}).code == 0
    assert aifeedback(*BUILTIN, "--max-longer-rate", "0", env={"AIFEEDBACK_MAX_LONGER_RATE": "100%"}).code == 3


def test_a_dry_run_shows_the_gates(aifeedback: Command) -> None:
    ended = aifeedback(*BUILTIN, "--min-consistency", "80%", "--max-longer-rate", "0.7", "--dry-run")
    assert ended.code == 0, ended.err
    assert "gates       consistency at least 0.8, longer_chosen_rate at most 0.7, by the estimate" in ended.out
    assert "gates" not in aifeedback(*BUILTIN, "--dry-run").out


def test_a_critic_that_goes_by_position_gets_nothing_past_a_gate(
    aifeedback: Command, critic_server: StartServer
) -> None:
    server = critic_server(answer="first")
    endpoint = ("--critic", "vllm/m", "--base-url", server.url)
    ended = aifeedback("label", "pairs.jsonl", *endpoint, "--on-conflict", "tie", "--min-consistency", "0.8")
    assert (ended.code, ended.out) == (3, "")
    assert "consistency is 0 " in ended.err


def test_a_spent_budget_lets_nothing_through_and_the_same_command_goes_on(
    aifeedback: Command, critic_server: StartServer
) -> None:
    server = critic_server()
    arguments = ("label", "pairs.jsonl", "--critic", "vllm/m", "--base-url", server.url, "--min-consistency", "0.8")
    ended = aifeedback(*arguments, "--max-requests", 13, "--concurrency", 1)
    assert (ended.code, ended.out) == (4, "")
    assert "No label was let through; the same command goes on" in ended.err
    assert "The output holds" not in ended.err
    ended = aifeedback(*arguments)
    assert ended.code == 0, ended.err
    assert len(ended.rows) == 10
    assert server.stats()["requests"] == 20


def test_of_several_codes_the_first_is_given_and_all_are_named(
    aifeedback: Command, tmp_path: Path, critic_server: StartServer
) -> None:
    endpoint = ("--critic", "vllm/m", "--base-url", critic_server(answer="first").url, "-o", "out.jsonl")
    ended = aifeedback("label", "pairs.jsonl", *endpoint, "--max-requests", 13, "--min-consistency", "0.8")
    assert ended.code == 4
    assert "--max-requests 13" in ended.err
    assert "gate missed: consistency" in ended.err
    (tmp_path / "pairs.jsonl").write_text(json.dumps(some_pairs(1)[0]) + "\nnonsense\n")
    ended = aifeedback(*BUILTIN, "--max-longer-rate", "0", "-o", "out.jsonl")
    assert ended.code == 3
    assert "1 of 2 pairs failed" in ended.err


def test_too_many_failures_are_no_gate(aifeedback: Command, tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text(json.dumps(some_pairs(1)[0]) + "\nnonsense\n")
    ended = aifeedback(*BUILTIN, "--min-consistency", "1")
    assert (ended.code, len(ended.rows)) == (1, 1)


def test_a_named_pipe_gets_nothing_past_a_missed_gate(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    command = "cat pipe > got & aifeedback label pairs.jsonl --critic builtin -q -o pipe {}; echo $?; wait"
    assert shell(tmp_path, command.format("--max-longer-rate 0")).stdout == "3\n"
    assert (tmp_path / "got").read_bytes() == b""
    assert shell(tmp_path, command.format("--max-longer-rate 1")).stdout == "0\n"
    assert len(read_lines(tmp_path / "got")) == 10


def test_a_reader_that_closes_early_ends_it_with_0_and_the_other_outputs_are_there(tmp_path: Path) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(2000))
    done = shell(
        tmp_path,
        "aifeedback label pairs.jsonl --critic builtin -q --min-consistency 1 --rest rest.jsonl --summary s.json"
        " | head -n 1; echo ${PIPESTATUS[0]}",
    )
    first, code = done.stdout.splitlines()
    assert (json.loads(first)["id"], code, done.stderr) == ("0", "0", "")
    assert json.loads((tmp_path / "s.json").read_text())["labeled"] == 2000
    assert (tmp_path / "rest.jsonl").exists()


def test_a_reader_that_has_gone_is_noticed_while_labels_still_wait(tmp_path: Path, critic_server: StartServer) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(500))
    server = critic_server(faults=["latency:1:0.05"])
    done = shell(
        tmp_path,
        f"aifeedback label pairs.jsonl --critic vllm/m --base-url {server.url} --concurrency 4 -q --min-consistency 1"
        " | true; echo ${PIPESTATUS[0]}",
    )
    assert (done.stdout, done.stderr) == ("0\n", "")
    assert server.stats()["requests"] < 500


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)], ids=["SIGTERM", "SIGKILL"]
)
def test_a_labeller_that_is_ended_in_mid_run_has_written_not_a_byte(
    tmp_path: Path, critic_server: StartServer, number: signal.Signals, code: int
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(200))
    server = critic_server(faults=["latency:1:0.05"])
    process = subprocess.Popen(
        [sys.executable, "-m", "aifeedback", "label", "pairs.jsonl", "--critic", "vllm/m", "--base-url", server.url,
         "--concurrency", "8", "--min-consistency", "0.1"],
        cwd=tmp_path, env=clean_environment(HOME=str(tmp_path)), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while server.stats()["answered"] < 60 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    out, said = process.communicate(timeout=30)
    assert (process.returncode, out) == (code, b"")
    assert b"Traceback" not in said


def test_a_signal_is_heard_while_a_slow_reader_takes_its_time(tmp_path: Path) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(1000))
    process = subprocess.Popen(
        [sys.executable, "-m", "aifeedback", *BUILTIN, "-q", "--min-consistency", "1"],
        cwd=tmp_path, env=clean_environment(HOME=str(tmp_path)), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.read(1) == b"{"  # they flow, and are more than a pipe takes
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143
    process.communicate()


def pipe_to(taken: list[bytes]) -> tuple[PipeOutput, threading.Thread]:
    ours, theirs = os.pipe()

    def read() -> None:
        with open(ours, "rb") as stream:
            taken.append(stream.read())

    reader = threading.Thread(target=read)
    reader.start()
    return PipeOutput(open(theirs, "wb", buffering=0), "stdout", ours=True), reader


def test_a_summary_that_can_not_be_written_lets_no_label_through(aifeedback: Command, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    write_lines(tmp_path / "pairs.jsonl", some_pairs(3))
    ended = aifeedback(
        "label", "pairs.jsonl", "--critic", "builtin", "--min-consistency", 0, "--rest", "rest.jsonl", "--summary", "/dev/full"
    )  # fmt: skip
    assert (ended.code, ended.out) == (2, "")
    assert "/dev/full can't be written: No space left on device" in ended.err
    assert sorted(path.name for path in tmp_path.iterdir()) == [".aifeedback", "pairs.jsonl"]


@pytest.mark.parametrize("in_memory", [1, 10**9], ids=["on disk", "in memory"])
@pytest.mark.parametrize("released", [True, False], ids=["released", "not released"])
def test_what_is_held_goes_out_whole_or_not_at_all(in_memory: int, released: bool) -> None:
    taken: list[bytes] = []
    pipe, reader = pipe_to(taken)
    held = HeldOutput(pipe, in_memory=in_memory)
    lines = [b"%d" % number * 50 for number in range(20_000)]
    for start in range(0, len(lines), 1000):
        held.write(lines[start : start + 1000])
    if released:
        held.release()
    held.finish()
    held.discard()
    reader.join(10)
    assert taken == [b"".join(line + b"\n" for line in lines) if released else b""]


def test_a_full_disk_under_the_held_labels_is_one_line_and_lets_nothing_out() -> None:
    code = """
import resource, sys
from aifeedback.errors import OutputError
from aifeedback.publish import HeldOutput, open_output
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
held = HeldOutput(open_output("-"), in_memory=10)
try:
    for _ in range(300):
        held.write([b"x" * 1000])
    held.release()
except OutputError as error:
    held.discard()
    sys.exit(str(error))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "can't be kept in /" in done.stderr
    assert "File too large. Set TMPDIR to a folder with room" in done.stderr


def test_a_temporary_folder_that_is_gone_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bytes] = []
    pipe, reader = pipe_to(taken)
    monkeypatch.setattr(tempfile, "tempdir", "/no/such/folder")
    held = HeldOutput(pipe, in_memory=1)
    with pytest.raises(OutputError, match=r"can't be kept in /no/such/folder: .*\. Set TMPDIR"):
        held.write([b"xx"])
    held.discard()
    reader.join(10)
    assert taken == [b""]
