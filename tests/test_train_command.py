"""`aifeedback train` from outside: from labels, also through a pipe, to a model that loads; or to exit 2 and no model."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from aifeedback.errors import SettingsError
from aifeedback.training.settings import TrainSettings
from tests.conftest import ROOT, Command, clean_environment, some_pairs, write_lines
from tests.tiny_models import tiny_model

ONE_THREAD = {"OMP_NUM_THREADS": "1"}
# What a shell says with pipefail off: only the trainer's own exit code counts.
PIPE = "{python} -m aifeedback label {label} | {python} -m aifeedback train dpo - {train}"


def some_labels(count: int, *, preference: float = 1.0) -> list[dict[str, Any]]:
    """Labelled pairs in messages, in which the shorter answer is chosen."""
    drawn = random.Random(5)
    return [
        {
            "id": str(number),
            "prompt": [{"role": "user", "content": f"Name a number above {number}."}],
            "chosen": [{"role": "assistant", "content": str(number + drawn.randrange(1, 9))}],
            "rejected": [{"role": "assistant", "content": f"Not {number - 1}, that is below {drawn.randrange(99)}."}],
            "preference": preference,
            "feedback": {"critic": "test/critic", "template": "pairwise@1", "criteria": "helpful"},
        }
        for number in range(count)
    ]


def told(folder: Path) -> Any:
    """What the run says of itself."""
    return json.loads((folder / "training.json").read_text())


def weights(folder: Path) -> dict[str, Any]:
    """All tensors of a saved model or adapter."""
    from safetensors.torch import load_file

    return {name: value for file in sorted(folder.glob("*.safetensors")) for name, value in load_file(file).items()}


def piped(folder: Path, label: str, train: str) -> subprocess.CompletedProcess[str]:
    """Run `label … | train dpo - …` in a shell."""
    return subprocess.run(
        ["bash", "-c", PIPE.format(python=sys.executable, label=label, train=train)],
        cwd=folder,
        env=clean_environment(HOME=str(folder), **ONE_THREAD),
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.slow
def test_labels_through_a_pipe_become_a_model_and_every_row_was_seen(tmp_path: Path, tiny: Path) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(200))
    done = piped(
        tmp_path,
        "pairs.jsonl --critic builtin --no-store --summary summary.json",
        f"--model {tiny} -o policy --lr 1e-3",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    labelled = json.loads((tmp_path / "summary.json").read_text())["labeled"]
    run = told(tmp_path / "policy")
    rows = run["data"]["rows"]
    assert (rows["read"], rows["left_out"]) == (labelled, 0)
    assert rows["train"] + rows["held_out"] == labelled == 200
    assert run["finished"]
    assert run["history"][-1]["epoch"] == 1.0
    assert run["data"]["critics"] == {"builtin": 200}
    assert run["data"]["files"][0]["name"] == "stdin"
    assert run["history"][-1]["loss"] < run["history"][0]["loss"]
    first, last = run["evaluations"][0], run["evaluations"][-1]
    assert last["loss"] < first["loss"]
    assert last["margin"] > first["margin"]
    assert last["accuracy"] > first["accuracy"]
    # the three lines that the docs show
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tmp_path / "policy")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "policy")
    answer = model.generate(**tokenizer("Name one.", return_tensors="pt"), max_new_tokens=2)
    assert answer.shape[1] > 2
    assert (tmp_path / "policy" / "training.html").stat().st_size > 10_000
    assert "builtin" in (tmp_path / "policy" / "README.md").read_text()


@pytest.mark.parametrize(
    ("label", "code"),
    [
        ("nowhere.jsonl --critic builtin", "check the path"),
        ("pairs.jsonl --critic vllm/x --base-url http://127.0.0.1:9/v1 --patience 0s", "127.0.0.1:9"),
        ("pairs.jsonl --critic builtin --no-store --min-accuracy 0.5", "accuracy"),
        ("pairs.jsonl --critic builtin --no-store --max-longer-rate 0.1", "longer"),
    ],
    ids=["no input", "no endpoint", "a gate without a figure", "a missed gate"],
)
def test_labels_that_failed_or_missed_a_gate_train_nothing(tmp_path: Path, tiny: Path, label: str, code: str) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(30))
    done = piped(tmp_path, label, f"--model {tiny} -o policy")
    assert done.returncode == 2
    assert code in done.stderr.lower()
    assert "nothing to train on" in done.stderr
    assert not (tmp_path / "policy").exists()


@pytest.mark.slow
def test_a_killed_run_that_is_resumed_ends_with_the_same_weights(tmp_path: Path, tiny: Path) -> None:
    labels = write_lines(tmp_path / "labels.jsonl", some_labels(120))
    arguments = ["dpo", str(labels), "--model", str(tiny), "--lr", "1e-3", "--batch-size", "2", "--set", "save_steps=5"]

    def command(output: str, *more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "aifeedback", "train", *arguments, "-o", output, *more],
            cwd=tmp_path,
            env=clean_environment(HOME=str(tmp_path), **ONE_THREAD),
            stderr=subprocess.PIPE,
            text=True,
        )

    unkilled = command("unkilled")
    killed = command("killed")
    marks = tmp_path / "killed"
    end = time.monotonic() + 60
    while not list(marks.glob("checkpoint-1[05]/aifeedback.json")) and time.monotonic() < end:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not (marks / "adapter_model.safetensors").exists()
    assert told(marks)["finished"] is False
    resumed = command("killed", "--resume")
    assert resumed.communicate(timeout=90)[0] is None
    assert resumed.returncode == 0
    assert unkilled.wait(90) == 0
    whole, broken = weights(tmp_path / "unkilled"), weights(marks)
    assert whole.keys() == broken.keys()
    assert max(float((whole[name] - broken[name]).abs().max()) for name in whole) <= 1e-6
    assert [point["step"] for point in told(marks)["history"]] == [
        point["step"] for point in told(tmp_path / "unkilled")["history"]
    ]
    assert [s["before"] for s in told(marks)["samples"]] == [
        s["before"] for s in told(tmp_path / "unkilled")["samples"]
    ]


@pytest.mark.slow
def test_an_interrupted_run_says_how_to_go_on_and_a_changed_one_does_not_go_on(tmp_path: Path, tiny: Path) -> None:
    labels = write_lines(tmp_path / "labels.jsonl", some_labels(60))
    arguments = [sys.executable, "-m", "aifeedback", "train", "dpo", str(labels), "--model", str(tiny), "-o", "policy"]
    arguments += ["--lr", "1e-3", "--epochs", "400", "--eval-fraction", "0"]
    environment = clean_environment(HOME=str(tmp_path), **ONE_THREAD)
    run = subprocess.Popen(arguments, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while not (tmp_path / "policy" / "training.json").exists() and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.5)
    run.send_signal(signal.SIGTERM)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 128 + signal.SIGTERM
    assert re.search(r"interrupted after step \d+\. The same command with --resume goes on", said)
    assert not (tmp_path / "policy" / "adapter_model.safetensors").exists()
    changed = subprocess.run(
        [*arguments, "--resume", "--beta", "0.5"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert changed.returncode == 2
    assert "was made with other beta" in changed.stderr


def test_bad_data_are_told_with_counts_and_places_and_train_nothing(
    aifeedback: Command, tmp_path: Path, tiny: Path
) -> None:
    rows = some_labels(12)
    rows[3]["rejected"] = rows[3]["chosen"]
    rows[7]["rejected"] = rows[7]["chosen"]
    rows[5]["chosen"] = [{"role": "assistant", "content": None}]
    write_lines(tmp_path / "labels.jsonl", rows)
    done = aifeedback("train", "dpo", "labels.jsonl", "--model", tiny, "-o", "policy")
    assert done.code == 2
    assert "2 rows: chosen and rejected are the same" in done.err
    assert "[labels.jsonl, line 4; labels.jsonl, line 8]" in done.err
    assert "labels.jsonl, line 6: chosen[0].content is null" in done.err
    assert "3 of 12 rows are bad; --skip-bad leaves them out." in done.err
    assert not (tmp_path / "policy").exists()
    dry = aifeedback("train", "dpo", "labels.jsonl", "--model", tiny, "-o", "policy", "--dry-run", "--skip-bad")
    assert dry.code == 0
    assert "rows: 12 read, 3 left out; examples: 8 to train on, 1 held out" in dry.out


@pytest.fixture
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without a chat template."""
    return tiny_model(tmp_path_factory.mktemp("plain"), chat=False)


def some_strings(count: int) -> list[dict[str, Any]]:
    return [{"prompt": f"Name {n}.\n", "chosen": f"{n}", "rejected": "No."} for n in range(count)]


def test_messages_that_are_left_out_do_not_stand_against_strings(
    aifeedback: Command, tmp_path: Path, plain: Path
) -> None:
    write_lines(tmp_path / "labels.jsonl", some_strings(30) + some_labels(1))
    line = ["train", "dpo", "labels.jsonl", "--model", plain, "-o", "policy", "--dry-run"]
    done = aifeedback(*line)
    assert done.code == 2
    assert "1 of 31 rows are bad; --skip-bad leaves them out." in done.out
    assert "strings in a file of messages" not in done.out
    skipped = aifeedback(*line, "--skip-bad")
    assert skipped.code == 0, skipped.out
    assert "rows: 31 read, 1 left out" in skipped.out


def test_strings_among_messages_are_an_error_that_names_the_first_and_that_no_flag_mends(
    aifeedback: Command, tmp_path: Path, tiny: Path
) -> None:
    bad = {"prompt": "p", "chosen": "c"}
    write_lines(tmp_path / "labels.jsonl", [*some_labels(20), *some_strings(2), bad])
    line = ["train", "dpo", "labels.jsonl", "--model", tiny, "-o", "policy", "--dry-run"]
    done = aifeedback(*line)
    assert done.code == 2
    assert "(2 of strings, the first labels.jsonl, line 21; 20 of messages)" in done.out
    assert "1 of 23 rows are bad." in done.out, "leaving it out would not be enough"
    assert aifeedback(*line, "--skip-bad").code == 2


def test_where_all_rows_are_bad_none_is_said_to_be_left(aifeedback: Command, tmp_path: Path, plain: Path) -> None:
    write_lines(tmp_path / "labels.jsonl", some_labels(5))
    done = aifeedback("train", "dpo", "labels.jsonl", "--model", plain, "-o", "policy")
    assert done.code == 2
    assert "5 of 5 rows are bad." in done.err
    assert "--skip-bad" not in done.err


def test_kto_counts_rows_not_the_halves_of_pairs(aifeedback: Command, tmp_path: Path, tiny: Path) -> None:
    write_lines(tmp_path / "labels.jsonl", some_labels(20))
    done = aifeedback("train", "kto", "labels.jsonl", "--model", tiny, "-o", "policy", "--dry-run", "--max-length", 24)
    assert re.search(r"Warning: (\d+) rows: an answer is cut", done.out)[1] == "20", done.out  # type: ignore[index]
    assert "[labels.jsonl, line 1: " in done.out
    assert done.out.count("labels.jsonl, line 1:") == 1


@pytest.mark.slow
def test_the_example_pairs_become_a_model(tmp_path: Path, tiny: Path) -> None:
    pairs = ROOT / "examples" / "pairs.jsonl"
    done = piped(
        tmp_path, f"{pairs} --critic builtin --shape messages --no-store", f"--model {tiny} -o policy --steps 2"
    )
    assert done.returncode == 0, done.stderr
    assert "1 row: a disliked answer in which nothing can be seen" in done.stderr
    assert "Error" not in done.stderr
    assert (tmp_path / "policy" / "adapter_model.safetensors").is_file()
    rows = told(tmp_path / "policy")["data"]["rows"]
    assert rows["left_out"] == 0
    assert rows["read"] > 20


def test_the_plan_shows_lengths_and_needs_no_weights(aifeedback: Command, tmp_path: Path, tiny: Path) -> None:
    rows = some_labels(40)
    rows[0]["prompt"][0]["content"] = "Why? " * 200
    write_lines(tmp_path / "labels.jsonl", rows)
    without = tmp_path / "no-weights"
    without.mkdir()
    for file in tiny.iterdir():
        if file.suffix != ".safetensors":
            (without / file.name).write_bytes(file.read_bytes())
    done = aifeedback(
        "train", "dpo", "labels.jsonl", "--model", without, "-o", "policy", "--dry-run", "--max-length", 64
    )
    assert done.code == 0, done.err
    assert re.search(r"tokens +p50 +p90 +p95 +p99 +max", done.out)
    assert "1 rows left out" in done.out
    assert "the prompt alone fills --max-length" in done.out
    assert not (tmp_path / "policy").exists()


def test_help_and_errors_before_training_never_load_tensors(tmp_path: Path, tiny: Path) -> None:
    write_lines(tmp_path / "bad.jsonl", [{"prompt": "p", "chosen": "c"}])
    write_lines(tmp_path / "texts.jsonl", [{"prompt": "p" * 9000, "chosen": "c", "rejected": "d"}])
    lines = [
        ["train", "--help"],
        ["train", "dpo", "--help"],
        ["train", "dpo", "bad.jsonl", "--model", str(tiny), "-o", "policy"],
        ["train", "dpo", "texts.jsonl", "--model", str(tiny), "-o", "policy", "--max-length", "64"],
        ["train", "dpo", "bad.jsonl", "--model", "no/such/folder", "-o", "policy"],
        ["train", "dpo", "bad.jsonl", "--model", str(tiny), "-o", "policy", "--set", "learning_rat=1"],
        ["train", "dpo", "bad.jsonl", "--model", str(tiny)],
        ["train", "kto", "bad.jsonl", "--model", str(tiny), "-o", "policy", "--batch-size", "1"],
    ]
    script = (
        "import sys, json\nfrom aifeedback.cli.main import run\n"
        f"codes = [run(line) for line in json.loads({json.dumps(json.dumps(lines))})]\n"
        "print(json.dumps([codes, [name for name in ('torch', 'transformers', 'trl') if name in sys.modules]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    codes, loaded = json.loads(done.stdout.splitlines()[-1])
    assert loaded == []
    assert codes == [0, 0, 2, 2, 2, 2, 2, 2]


def test_without_the_extra_one_line_says_what_to_install(tmp_path: Path, tiny: Path) -> None:
    write_lines(tmp_path / "labels.jsonl", some_labels(4))
    script = (
        "import importlib.util as u, sys\nfound = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name in ('trl', 'torch') else found(name, *a)\n"
        "from aifeedback.cli.main import run\n"
        f"sys.exit(run(['train', 'dpo', 'labels.jsonl', '--model', {str(tiny)!r}, '-o', 'policy']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'aifeedback[train]'" in done.stderr


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--soft-labels", "cdpo", "--loss", "ipo"], "has no meaning with ipo"),
        (["--soft-labels", "gdpo", "--set", "loss_type=robust"], "has no meaning with robust"),
        (["--merge", "--no-lora"], "--merge"),
        (["--4bit", "--no-lora"], "--4bit"),
        (["--epochs", "2", "--steps", "5"], "Give one of them"),
        (["--set", "warmup_ratio=0.1"], "warmup_steps"),
        (["--epochs", "0"], "--epochs: 0.0 can't be meant"),
        (["--epochs", "inf"], "--epochs: inf can't be meant"),
        (["--lr", "-1"], "--lr: -1.0 can't be meant"),
        (["--lr", "nan"], "--lr: nan can't be meant"),
        (["--eval-fraction", "nan"], "--eval-fraction"),
        (["--no-lora", "--set", "lora.r=8"], "lora.r is about an adapter"),
        (["--soft-labels", "cdpo", "--set", "loss_weights=0.5"], "loss_weights"),
        (["--soft-labels", "cdpo", "--set", "label_smoothing=0.1"], "label_smoothing"),
        (["--resume", "--set", "save_only_model=true"], "save_only_model"),
        (["--set", "learning_rate=fast"], "learning_rate"),
        (["--beta", "0"], "--beta: 0.0 can't be meant. Give a number above 0."),
        (["--set", "beta=0"], "beta: 0.0 can't be meant"),
        (["--loss", "sigmod"], "--loss takes one or more of sigmoid,"),
        (["--loss", "sigmod"], "not sigmod. Did you mean sigmoid?"),
        (["--learning-rate", "1e-3"], "Use --lr."),
        (["--weight-decay", "0.1"], "It is the trainer's own: --set weight_decay=VALUE."),
        (["--set", "warmup_ratoi=0.1"], "If warmup_ratio is meant, that is gone from the trainer. Use warmup_steps"),
        (["--set", "metric_for_best_model=x"], "metric_for_best_model: x is no held-out figure of DPO."),
        (["--set", "metric_for_best_model=eval_rewards/margin"], "Did you mean rewards/margins?"),
        (["--set", "metric_for_best_model=loss", "--eval-fraction", "0"], "needs rows that are held out"),
        (["-o", "labels.jsonl"], "is a file. Name a folder."),
        (["-o", "labels.jsonl/x"], "-o labels.jsonl/x can't be written: Not a directory. Choose another -o."),
        (["-o", "/proc/x"], "-o /proc/x can't be written: No such file or directory. Choose another -o."),
    ],
)
def test_flags_that_contradict_each_other_are_refused(
    aifeedback: Command, tmp_path: Path, tiny: Path, flags: list[str], says: str
) -> None:
    write_lines(tmp_path / "labels.jsonl", some_labels(4))
    done = aifeedback("train", "dpo", "labels.jsonl", "--model", tiny, "-o", "policy", *flags)
    assert done.code == 2
    assert says in done.err
    assert done.err.count("\n") == 1


def test_a_flag_that_goes_before_a_setting_is_told(aifeedback: Command, tmp_path: Path, tiny: Path) -> None:
    write_lines(tmp_path / "labels.jsonl", some_labels(42))
    line = ["train", "dpo", "labels.jsonl", "--model", tiny, "-o", "policy", "--dry-run", "--epochs", 3]
    done = aifeedback(*line, "--set", "max_steps=2", "--lora-r", 4, "--set", "lora.r=8")
    assert done.code == 0, done.err
    assert "steps: 15 of 8 examples" in done.out
    assert "trained: an adapter of rank 4" in done.out
    assert "--epochs 3.0 goes before max_steps=2." in done.err
    assert "--lora-r 4 goes before lora.r=8." in done.err


def test_a_second_run_into_the_same_folder_is_refused_while_the_first_goes_on(
    aifeedback: Command, tmp_path: Path, tiny: Path
) -> None:
    from aifeedback.training.claiming import claimed

    write_lines(tmp_path / "labels.jsonl", [{"prompt": "p", "chosen": "c"}])
    line = ["train", "dpo", "labels.jsonl", "--model", tiny, "-o", "there/policy"]
    with claimed(tmp_path / "there" / "policy"):
        second = aifeedback(*line)
    assert second.code == 2
    assert second.err == "Error: -o there/policy is being written by another run. Wait for it, or choose another -o.\n"
    assert not (tmp_path / "there").exists(), "what was made for a run that wrote nothing goes with it"
    (tmp_path / "there" / "policy").mkdir(parents=True)
    (tmp_path / "there" / "policy" / ".lock").touch()  # a killed run's
    third = aifeedback(*line)
    assert "another run" not in third.err
    assert "a field is missing" in third.err
    assert not list((tmp_path / "there" / "policy").iterdir())


def test_a_fault_while_training_does_not_speak_of_replies(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from aifeedback.cli.main import run
    from aifeedback.training import run as training

    def faulty(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(training, "prepare", faulty)
    line = ["train", "dpo", "x.jsonl", "--model", str(tiny), "-o", str(tmp_path / "policy")]
    assert run(line) == 70
    assert "ZeroDivisionError: by nothing. --debug shows where; please report it." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"soft_labels": "cpdo"}, "soft_labels: 'cpdo' is none of off, cdpo, gdpo"),
        ({"kind": "pdo"}, "kind: 'pdo' is none of dpo, sft, kto"),
        ({"learning_rate": "fast"}, "learning_rate: 'fast' is no number"),
        ({"steps": "5"}, "steps: '5' is no number"),
        ({"batch_size": 2.5}, "batch_size: 2.5 is no whole number"),
        ({"lora_r": True}, "lora_r: True is no number"),
        ({"data": "soft.jsonl"}, r"data: 'soft.jsonl' is no list of paths. Write data=\['soft.jsonl'\], say"),
        ({"data": Path("soft.jsonl")}, "is no list of paths"),
        ({"data": [3]}, "is no list of paths"),
        ({"beta": 0}, "beta: 0 can't be meant"),
        ({"beta": float("inf")}, "beta: inf can't be meant"),
        ({"beta": float("nan")}, "beta: nan can't be meant"),
    ],
)
def test_settings_made_in_python_are_checked_as_flags_are(said: dict[str, Any], error: str) -> None:
    whole = {"kind": "dpo", "data": ["labels.jsonl"], "model": "model", "output": "policy"} | said
    with pytest.raises(SettingsError, match=error):
        TrainSettings(**whole)


def test_a_folder_that_holds_something_else_is_not_overwritten(aifeedback: Command, tmp_path: Path, tiny: Path) -> None:
    write_lines(tmp_path / "labels.jsonl", some_labels(4))
    before = {file.name: file.read_bytes() for file in tiny.iterdir()}
    itself = aifeedback("train", "dpo", "labels.jsonl", "--model", tiny, "-o", tiny)
    assert itself.code == 2
    assert "is the model itself" in itself.err
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "config.json").write_text("{}")
    theirs = aifeedback("train", "dpo", "labels.jsonl", "--model", tiny, "-o", "theirs")
    assert theirs.code == 2
    assert "no run of aifeedback made" in theirs.err
    assert {file.name: file.read_bytes() for file in tiny.iterdir()} == before


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["disable_tqdm=false", "precompute_ref_log_probs=true"])
def test_the_trainers_own_talk_never_reaches_stdout_and_draws_no_bars_into_a_file(
    aifeedback: Command, tmp_path: Path, tiny: Path, setting: str
) -> None:
    write_lines(tmp_path / "labels.jsonl", some_labels(20))
    line = ["train", "dpo", "labels.jsonl", "--model", tiny, "-o", "policy", "--steps", 2, "--set", setting]
    done = aifeedback(*line)
    assert done.code == 0, done.err
    assert done.out == ""
    assert "log probs" not in done.err
    assert told(tmp_path / "policy")["trainer"][setting.partition("=")[0]] is (setting.partition("=")[2] == "true")


@pytest.mark.slow
def test_an_interrupted_run_without_the_optimisers_state_does_not_promise_to_go_on(tmp_path: Path, tiny: Path) -> None:
    labels = write_lines(tmp_path / "labels.jsonl", some_labels(20))
    line = [sys.executable, "-m", "aifeedback", "train", "dpo", str(labels), "--model", str(tiny), "-o", "policy"]
    line += ["--epochs", "4000", "--eval-fraction", "0", "--set", "save_only_model=true", "--set", "save_steps=5"]
    run = subprocess.Popen(
        line, cwd=tmp_path, env=clean_environment(HOME=str(tmp_path), **ONE_THREAD), stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 60
    while not list(tmp_path.glob("policy/checkpoint-*/aifeedback.json")) and time.monotonic() < end:
        time.sleep(0.01)
    run.send_signal(signal.SIGTERM)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 128 + signal.SIGTERM
    assert re.search(r"interrupted after step \d+\. save_only_model=true keeps no state of the optimiser", said)
    assert "goes on from there" not in said


def test_the_trainers_own_config_file_is_no_aifeedback_toml(aifeedback: Command, tmp_path: Path, tiny: Path) -> None:
    write_lines(tmp_path / "labels.jsonl", some_labels(4))
    (tmp_path / "train.yaml").write_text("learning_rate: 5e-6\nnum_train_epochs: 3\nper_device_train_batch_size: 2\n")
    (tmp_path / "other.toml").write_text("[train]\nbeta = 0.2\n")
    line = ["train", "dpo", "labels.jsonl", "--model", tiny, "-o", "policy", "--config", "train.yaml", "--dry-run"]
    done = aifeedback("--config", "other.toml", *line, env={"AIFEEDBACK_CONFIG": str(tmp_path / "nowhere.toml")})
    assert done.code == 0, done.err
    assert "steps: 6 of 2 examples" in done.out


def test_the_table_of_settings_has_every_flag() -> None:
    import typer.main

    from aifeedback.cli.train import app

    page = (ROOT / "docs" / "training.md").read_text()
    table = page.split("## Settings")[1].split("On a GPU that can")[0]
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name, command in commands.items():
        for flag in [each for parameter in command.params for each in (*parameter.opts, *parameter.secondary_opts)]:
            known = flag in {"--model", "--output", "-o", "--help", "data"}  # told before the table
            assert known or f"`{flag}`" in table, (name, flag)


def test_the_extra_names_what_the_trainer_imports() -> None:
    import tomllib

    from aifeedback.training import preparing

    extra = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]["train"]
    named = {re.split(r"[<>=\[ ]", line)[0].lower() for line in extra}
    assert {name.replace("_", "-") for name in preparing.PACKAGES} <= named | {"yaml"}
