"""`aifeedback label` from outside: a real process, a real endpoint, real files."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from aifeedback.cli.screen import Screen
from aifeedback.testing import StartServer
from tests.conftest import ROOT, Command, clean_environment, read_lines, some_pairs, write_lines

STATUSES = ("tie", "conflict", "weak", "length", "unparsed", "refused", "too_long", "failed", "unasked", "invalid")
KEYS = ["id", "prompt", "chosen", "rejected", "preference", "feedback", "meta"]


def adds_up(summary: dict[str, int]) -> bool:
    return summary["read"] == summary["labeled"] + sum(summary[status] for status in STATUSES)


def test_pairs_from_a_pipe_become_labels_on_stdout(aifeedback: Command) -> None:
    pairs = "".join(json.dumps(pair) + "\n" for pair in some_pairs(3))
    ended = aifeedback("label", "--critic", "builtin", stdin=pairs)
    assert ended.code == 0, ended.err
    assert [row["id"] for row in ended.rows] == ["0", "1", "2"]
    assert all(list(row) == KEYS for row in ended.rows)
    assert "surface features" in ended.rows[0]["feedback"]["verdicts"][0]["reason"].lower()


def test_a_second_run_asks_nothing_and_writes_the_same_bytes(
    aifeedback: Command, tmp_path: Path, critic_server: StartServer
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(40))
    server = critic_server()
    arguments = (
        "label",
        "pairs.jsonl",
        "--critic",
        "vllm/m",
        "--base-url",
        server.url,
        "-o",
        "labels.jsonl",
        "--summary",
        "s.json",
    )
    first = aifeedback(*arguments)
    assert first.code == 0, first.err
    written, rest = (tmp_path / "labels.jsonl").read_bytes(), (tmp_path / "labels.rest.jsonl").read_bytes()
    asked = server.stats()["requests"]
    assert asked == 80
    second = aifeedback(*arguments)
    assert second.code == 0
    assert server.stats()["requests"] == asked
    assert (tmp_path / "labels.jsonl").read_bytes() == written
    assert (tmp_path / "labels.rest.jsonl").read_bytes() == rest
    summary = json.loads((tmp_path / "s.json").read_text())
    assert summary["requests"] == {"sent": 0, "retried": 0, "from_store": 80}
    assert adds_up(summary)


@pytest.mark.parametrize("template", ["pairwise", "quick", "tags", "arena", "statement"])
def test_a_critic_that_always_picks_the_first_labels_nothing(
    aifeedback: Command, tmp_path: Path, critic_server: StartServer, template: str
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(10))
    server = critic_server(answer="first")
    ended = aifeedback(
        "label", "pairs.jsonl", "--critic", "vllm/m", "--base-url", server.url, "--template", template, "-o", "out.jsonl", "--summary", "s.json"
    )  # fmt: skip
    assert ended.code == 0, ended.err
    summary = json.loads((tmp_path / "s.json").read_text())
    assert (summary["labeled"], summary["conflict"], summary["first_shown_rate"], summary["consistency"]) == (
        0,
        10,
        1.0,
        0.0,
    )
    assert [row["status"] for row in read_lines(tmp_path / "out.rest.jsonl")] == ["conflict"] * 10


def test_an_exchanged_file_asks_nothing_new_and_gets_the_same_labels(
    aifeedback: Command, tmp_path: Path, critic_server: StartServer
) -> None:
    pairs = some_pairs(20)
    write_lines(tmp_path / "pairs.jsonl", pairs)
    write_lines(
        tmp_path / "exchanged.jsonl",
        [pair | {"response_a": pair["response_b"], "response_b": pair["response_a"]} for pair in pairs],
    )
    server = critic_server()
    common = ("--critic", "vllm/m", "--base-url", server.url)
    first = aifeedback("label", "pairs.jsonl", *common)
    asked = server.stats()["requests"]
    second = aifeedback("label", "exchanged.jsonl", *common)
    assert server.stats()["requests"] == asked == 40
    assert server.stats()["blind"] == 0
    for one, other in zip(first.rows, second.rows, strict=True):
        assert (one["id"], one["chosen"], one["rejected"], one["preference"]) == (
            other["id"],
            other["chosen"],
            other["rejected"],
            other["preference"],
        )
        assert one["feedback"]["winner"] != other["feedback"]["winner"]


def test_identical_content_is_asked_once(aifeedback: Command, tmp_path: Path, critic_server: StartServer) -> None:
    pair = some_pairs(1)[0]
    write_lines(tmp_path / "pairs.jsonl", [pair | {"id": str(n), "source": n} for n in range(300)])
    server = critic_server(faults=["latency:1:0.2"])
    ended = aifeedback("label", "pairs.jsonl", "--critic", "vllm/m", "--base-url", server.url)
    assert server.stats()["requests"] == 2
    assert len(ended.rows) == 300


def test_identical_responses_are_a_tie_that_nobody_is_asked_about(aifeedback: Command, tmp_path: Path) -> None:
    write_lines(tmp_path / "pairs.jsonl", [*some_pairs(1), {"prompt": "p", "response_a": "same", "response_b": "same"}])
    ended = aifeedback("label", "pairs.jsonl", "--critic", "builtin", "-o", "out.jsonl", "--summary", "s.json")
    assert ended.code == 0, ended.err
    (row,) = read_lines(tmp_path / "out.rest.jsonl")
    assert (row["status"], row["reason"]) == ("tie", "identical responses")
    assert json.loads((tmp_path / "s.json").read_text())["requests"]["sent"] == 2


def test_bad_lines_stop_nobody_and_are_kept_with_their_place(aifeedback: Command, tmp_path: Path) -> None:
    good = [json.dumps(pair) for pair in some_pairs(200)]
    lines = [good[0], "{broken", *good[1:], '{"prompt": "x"}', "[1, 2]"]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    ended = aifeedback("label", "pairs.jsonl", "--critic", "builtin", "-o", "out.jsonl", "--max-failed", "3")
    assert ended.code == 0, ended.err
    rest = [row for row in read_lines(tmp_path / "out.rest.jsonl") if row["status"] == "invalid"]
    assert [(row["line"], row["raw"]) for row in rest] == [(2, "{broken"), (202, '{"prompt": "x"}'), (203, "[1, 2]")]
    assert all(row["reason"] and row["file"] == "pairs.jsonl" for row in rest)


def test_more_trouble_than_allowed_is_exit_1_with_the_others_labelled(aifeedback: Command, tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text(json.dumps(some_pairs(1)[0]) + "\nnonsense\n")
    ended = aifeedback("label", "pairs.jsonl", "--critic", "builtin", "-o", "out.jsonl")
    assert ended.code == 1
    assert "1 of 2" in ended.err
    assert len(read_lines(tmp_path / "out.jsonl")) == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "nothing.jsonl"),
        (b"", "no pairs"),
        (b"\n\n", "no pairs"),
        (b"nonsense\nmore\n", "none of the 2 lines"),
        (b"{}\n", "none of the 1 line"),
    ],
    ids=["missing", "empty", "blank", "no JSON", "no fields"],
)
def test_an_input_without_anything_usable_is_exit_2_and_leaves_no_output(
    aifeedback: Command, tmp_path: Path, content: bytes | None, says: str
) -> None:
    if content is not None:
        (tmp_path / "nothing.jsonl").write_bytes(content)
    (tmp_path / "out.jsonl").write_text("what stood there\n")
    ended = aifeedback("label", "nothing.jsonl", "--critic", "builtin", "-o", "out.jsonl")
    assert ended.code == 2
    assert says in ended.err
    assert len(ended.err.strip().splitlines()) == 1
    assert (tmp_path / "out.jsonl").read_text() == "what stood there\n"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith((".out", "out"))) == ["out.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("pairs.jsonl",), "--critic openai/"),
        (("pairs.jsonl", "--critic", "opnai/gpt"), "openai/gpt"),
        (("pairs.jsonl", "--critic", "openai/gpt-5-mini"), "OPENAI_API_KEY"),
        (("pairs.jsonl", "--critic", "buildin"), "builtin"),
        (("pairs.jsonl", "--critic", "builtin", "-o", "pairs.jsonl"), "also the input"),
        (("pairs.jsonl", "--critic", "builtin", "-o", "x.jsonl", "--rest", "x.jsonl"), "also -o"),
        (("pairs.jsonl", "--critic", "builtin", "-o", "no/such/folder/x.jsonl"), "can't be written"),
        (("pairs.jsonl", "--critic", "builtin", "--template", "pairwize"), "pairwise"),
        (("pairs.jsonl", "--critic", "builtin", "--criteria", "helpfull"), "helpful"),
        (("pairs.jsonl", "--critic", "builtin", "--min-preference", "2"), "--min-preference"),
        (("pairs.jsonl", "--critic", "builtin", "--no-such-flag"), "--no-such-flag"),
        (("pairs.jsonl", "--critic", "builtin", "--map", "prompt"), "--map"),
        (("pairs.jsonl", "--critic", "vllm/m", "--base-url", "localhost:8000"), "--base-url"),
        (("pairs.jsonl", "--critic", "vllm/m", "--timeout", "soon"), "--timeout"),
    ],
    ids=lambda value: " ".join(value[1:]) if isinstance(value, tuple) else None,
)
def test_a_wrong_command_is_exit_2_with_one_line_that_helps(
    aifeedback: Command, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(1))
    before = (tmp_path / "pairs.jsonl").read_bytes()
    ended = aifeedback("label", *arguments)
    assert ended.code == 2
    assert says in ended.err
    assert "Traceback" not in ended.err
    assert ended.out == ""
    assert (tmp_path / "pairs.jsonl").read_bytes() == before


def test_a_reader_that_closes_the_pipe_early_ends_the_run_quietly(tmp_path: Path) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(3000))
    command = (
        f"{sys.executable} -m aifeedback label pairs.jsonl --critic builtin -q | head -n 1; echo ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env=clean_environment(HOME=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    first, code = done.stdout.splitlines()
    assert json.loads(first)["id"] == "0"
    assert code == "0"
    assert done.stderr == ""


def test_what_a_server_says_does_not_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().note("refused (\x1b[31mred\x9b)\nand \udc80 more")
    assert capsys.readouterr().err == "Note: refused ( [31mred )\nand   more\n"


def test_a_terminal_without_input_is_told_what_to_do_and_does_not_hang(tmp_path: Path) -> None:
    command = f"{sys.executable} -m aifeedback label --critic builtin"
    done = subprocess.run(
        ["script", "-qec", command, "/dev/null"],
        cwd=tmp_path,
        env=clean_environment(HOME=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "Name a file" in done.stdout


def test_a_slow_pipe_is_labelled_as_it_comes(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "aifeedback", "label", "--critic", "builtin", "-q"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path, env=clean_environment(HOME=str(tmp_path)),
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    for pair in some_pairs(3):
        process.stdin.write(json.dumps(pair).encode() + b"\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["id"] == pair["id"]
    process.stdin.close()
    assert process.wait(30) == 0
    process.stdout.close()


def test_a_limit_reads_only_so_many_pairs_even_from_an_endless_pipe(tmp_path: Path) -> None:
    line = json.dumps(some_pairs(1)[0])
    command = f"yes '{line}' | {sys.executable} -m aifeedback label --critic builtin --limit 5 -q; echo done"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env=clean_environment(HOME=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert len(done.stdout.splitlines()) == 6
    assert "Traceback" not in done.stderr
    assert "Fatal" not in done.stderr


def test_a_dry_run_asks_nobody_and_shows_a_prompt(
    aifeedback: Command, tmp_path: Path, critic_server: StartServer
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(5))
    server = critic_server()
    ended = aifeedback("label", "pairs.jsonl", "--critic", "vllm/m", "--base-url", server.url, "--dry-run")
    assert ended.code == 0, ended.err
    assert "requests    10" in ended.out
    assert "Tell me about the number 0." in ended.out
    assert server.stats()["requests"] == 0
    assert not (tmp_path / ".aifeedback").exists()


def test_spending_stops_hard_at_max_requests_and_the_same_command_goes_on(
    aifeedback: Command, tmp_path: Path, critic_server: StartServer
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(60))
    server = critic_server()
    arguments = (
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
    )
    ended = aifeedback(*arguments, "--max-requests", 51)
    assert ended.code == 4
    assert "--max-requests 51" in ended.err
    assert server.stats()["requests"] == 51
    summary = json.loads((tmp_path / "s.json").read_text())
    assert adds_up(summary)
    assert summary["unasked"] > 0
    ended = aifeedback(*arguments)
    assert ended.code == 0
    assert server.stats()["requests"] == 120
    assert json.loads((tmp_path / "s.json").read_text())["unasked"] == 0


def test_refused_credentials_are_exit_2_before_any_answer(
    aifeedback: Command, tmp_path: Path, critic_server: StartServer
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(30))
    server = critic_server(faults=["401"])
    ended = aifeedback("label", "pairs.jsonl", "--critic", "vllm/m", "--base-url", server.url, "-o", "out.jsonl")
    assert ended.code == 2
    assert "credentials" in ended.err
    assert "--api-key-env" in ended.err
    assert not (tmp_path / "out.jsonl").exists()


def test_an_endpoint_that_is_not_there_is_exit_2_and_says_so(aifeedback: Command, tmp_path: Path) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(3))
    ended = aifeedback(
        "label", "pairs.jsonl", "--critic", "vllm/m", "--base-url", "http://127.0.0.1:9", "--patience", "1s"
    )
    assert ended.code == 2
    assert "nobody answers" in ended.err
    assert len(ended.err.strip().splitlines()) == 1


def test_an_output_is_replaced_as_a_whole_and_keeps_normal_permissions(aifeedback: Command, tmp_path: Path) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(2))
    (tmp_path / "out.jsonl").write_text("old\n" * 100)
    ended = aifeedback("label", "pairs.jsonl", "--critic", "builtin", "-o", "out.jsonl")
    assert ended.code == 0, ended.err
    assert len(read_lines(tmp_path / "out.jsonl")) == 2
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "out.jsonl").stat().st_mode) == 0o666 & ~umask


def test_settings_come_from_flags_before_the_environment_before_the_file(aifeedback: Command, tmp_path: Path) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(5))
    (tmp_path / "aifeedback.toml").write_text('critic = "builtin"\n[label]\nlimit = 3\n')
    assert len(aifeedback("label", "pairs.jsonl").rows) == 3
    assert len(aifeedback("label", "pairs.jsonl", env={"AIFEEDBACK_LIMIT": "2"}).rows) == 2
    assert len(aifeedback("label", "pairs.jsonl", "--limit", 1, env={"AIFEEDBACK_LIMIT": "2"}).rows) == 1
    (tmp_path / "aifeedback.toml").write_text('critik = "builtin"\n')
    ended = aifeedback("label", "pairs.jsonl")
    assert ended.code == 2
    assert "critic?" in ended.err


def test_log_json_makes_every_line_on_stderr_json(aifeedback: Command, tmp_path: Path) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(2))
    ended = aifeedback("label", "pairs.jsonl", "--critic", "builtin", "--log-json")
    events = [json.loads(line) for line in ended.err.splitlines()]
    assert events[-1]["event"] == "summary"
    assert events[-1]["read"] == 2


def test_quiet_says_nothing_at_all(aifeedback: Command, tmp_path: Path) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(2))
    assert aifeedback("-q", "label", "pairs.jsonl", "--critic", "builtin").err == ""


def test_help_and_version_are_there(aifeedback: Command) -> None:
    assert aifeedback("--version").out.startswith("aifeedback 0.")
    assert "label" in aifeedback("-h").out
    assert aifeedback("label", "-h").out.count("  aifeedback label ") >= 1


def test_the_command_reference_is_current() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "write_commands.py", "--check"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_refused_credentials_leave_an_output_alone_though_the_input_repeats_itself(
    aifeedback: Command, tmp_path: Path, critic_server: StartServer
) -> None:
    write_lines(tmp_path / "pairs.jsonl", [*some_pairs(3), *some_pairs(3)])
    (tmp_path / "out.jsonl").write_text("precious\n")
    server = critic_server(faults=["401"])
    ended = aifeedback("label", "pairs.jsonl", "--critic", "vllm/m", "--base-url", server.url, "-o", "out.jsonl")
    assert ended.code == 2
    assert (tmp_path / "out.jsonl").read_text() == "precious\n"
