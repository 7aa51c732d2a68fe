"""`aifeedback export`: files and pipes, splits, refusals, the hub, `--check`."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aifeedback.errors import AifeedbackError, InputError, OutputError, SettingsError
from aifeedback.exports.check_file import check
from aifeedback.exports.exporting import export
from aifeedback.exports.settings import Exported, ExportSettings
from tests.conftest import ROOT, Command, clean_environment, read_lines, write_lines


def labels(count: int, **more: Any) -> list[dict[str, Any]]:
    """Labelled pairs of different prompts, each a little surer than the one before."""
    return [
        {
            "id": str(number),
            "prompt": f"What comes after {number}?",
            "chosen": f"{number + 1}.",
            "rejected": f"Nothing comes after {number}.",
            "preference": round(0.501 + 0.499 * number / count, 6),
            "feedback": {"winner": "a", "critic": "builtin"},
            "meta": {"number": number},
            **more,
        }
        for number in range(count)
    ]


def spoken(count: int) -> list[dict[str, Any]]:
    """The same in messages."""
    return [
        row
        | {name: [{"role": role, "content": row[name]}] for name, role in
           (("prompt", "user"), ("chosen", "assistant"), ("rejected", "assistant"))}
        for row in labels(count)
    ]  # fmt: skip


def exported(folder: Path, rows: list[dict[str, Any]], to: str, output: str = "out.jsonl", **more: Any) -> Exported:
    path = write_lines(folder / "labels.jsonl", rows)
    return export(ExportSettings(str(path), to, output=output, **more))


def refused(folder: Path, rows: list[dict[str, Any]], to: str, output: str = "out.jsonl", **more: Any) -> str:
    """What an export says that isn't made; it leaves nothing behind."""
    before = sorted(folder.rglob("*"))
    with pytest.raises((InputError, SettingsError, OutputError)) as caught:
        exported(folder, rows, to, output, **more)
    assert sorted(folder.rglob("*")) in (before, sorted([*before, folder / "labels.jsonl"]))
    return "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])


def test_labels_of_the_examples_go_to_every_trainer_through_the_command(aifeedback: Command, tmp_path: Path) -> None:
    ended = aifeedback("label", ROOT / "examples/pairs.jsonl", "--critic", "builtin", "-o", "labels.jsonl")
    assert ended.code == 0, ended.err
    piped = aifeedback("export", "--to", "trl", stdin=(tmp_path / "labels.jsonl").read_bytes())
    assert piped.code == 0, piped.err
    assert [list(row) for row in piped.rows] == [["prompt", "chosen", "rejected"]] * 31
    assert "31 pairs read: 31 exported to trl." in piped.err
    assert "DPOTrainer" in piped.err
    quiet = aifeedback("export", "labels.jsonl", "--to", "openai", "-q", "--skip-bad", "-o", "openai.jsonl")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    assert len(read_lines(tmp_path / "openai.jsonl")) == 30
    missed = aifeedback("export", "labels.jsonl", "--to", "hh")
    assert (missed.code, missed.out) == (2, "")
    assert "Error: labels.jsonl, line 17: the prompt has a turn of the system" in missed.err
    assert "3 of 31 rows can't be exported to hh, and nothing was written. --skip-bad" in missed.err


def test_check_on_the_command_line_says_0_or_2_and_what_it_saw(aifeedback: Command, tmp_path: Path) -> None:
    write_lines(tmp_path / "good.jsonl", labels(3))
    good = aifeedback("export", "--check", "good.jsonl")
    assert (good.code, good.err) == (0, "")
    assert good.out.startswith("good.jsonl: aifeedback's labels, explicit prompt")
    bad = aifeedback("export", "--check", "-", stdin='{"prompt": "p", "chosen": "x", "rejected": "x"}\n{"a\n')
    assert bad.code == 2
    assert [line.partition(" ")[0] for line in bad.out.splitlines()] == ["stdin:", "stdin:1:", "stdin:2:"]
    assert "2 rows, 2 problems" in bad.err
    assert aifeedback("export", "--check", "good.jsonl", "--to", "trl").code == 0
    other = aifeedback("export", "--check", "good.jsonl", "--to", "hh")
    assert (other.code, other.err) == (2, "Error: good.jsonl is not what --to hh writes.\n")
    assert "Name one with --to" in aifeedback("export", "good.jsonl").err


def test_a_reader_that_closes_the_pipe_ends_the_export_quietly(tmp_path: Path) -> None:
    write_lines(tmp_path / "labels.jsonl", labels(20_000))
    process = subprocess.Popen(
        [sys.executable, "-m", "aifeedback", "export", "labels.jsonl", "--to", "trl", "-q"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env=clean_environment(HOME=str(tmp_path)),
    )  # fmt: skip
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline().startswith(b'{"prompt"')
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(60) == 0


def test_the_counts_add_up_and_a_split_has_no_prompt_twice(tmp_path: Path) -> None:
    rows = labels(200) + [row | {"chosen": "Another one."} for row in labels(200)]
    done = exported(tmp_path, rows, "trl-kto", "out.jsonl.gz", split="train=0.75,test=0.25", min_preference=0.7, seed=3)
    parts = {
        name: [json.loads(line) for line in gzip.decompress(Path(path).read_bytes()).splitlines()]
        for name, path in done.places.items()
    }
    assert {name: len(found) // 2 for name, found in parts.items()} == dict(done.parts)
    assert done.read == done.weak + done.pairs == 400
    assert done.weak == sum(row["preference"] < 0.7 for row in rows)
    assert done.rows == 2 * done.pairs
    asked = {name: {row["prompt"] for row in found} for name, found in parts.items()}
    assert not asked["train"] & asked["test"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "labels.jsonl",
        "out.test.jsonl.gz",
        "out.train.jsonl.gz",
    ]
    again = exported(
        tmp_path, rows[::-1], "trl", "again.jsonl", split="train=0.75,test=0.25", seed=3, min_preference=0.7
    )
    assert {row["prompt"] for row in read_lines(Path(again.places["test"]))} == asked["test"]
    assert done.as_line("trl-kto").startswith(
        f"400 pairs read: {done.pairs} exported to trl-kto as {done.rows} rows (train"
    )
    assert f"{done.weak} below --min-preference" in done.as_line("trl-kto")


def test_one_bad_row_and_nothing_is_written_where_something_stood(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text("what was there\n")
    rows = labels(600)
    rows[500] |= {"preference": 0.5}
    rows[599] = {"status": "tie", "pair": {}}
    said = refused(tmp_path, rows, "trl")
    assert "labels.jsonl, line 501: a tie" in said
    assert "labels.jsonl, line 600: a pair without a label" in said
    assert "2 of 600 rows can't be exported to trl, and nothing was written" in said
    assert (tmp_path / "out.jsonl").read_text() == "what was there\n"
    done = exported(tmp_path, rows, "trl", skip_bad=True)
    assert (done.read, done.pairs, done.bad, done.weak) == (600, 598, 2, 0)
    assert "2 bad ones skipped" in done.as_line("trl")


def test_what_leaves_nothing_to_export_is_refused(tmp_path: Path) -> None:
    assert "no rows in it" in refused(tmp_path, [], "trl")
    assert "none of its 3 pairs" in refused(tmp_path, labels(3), "trl", min_preference=1.0)
    assert "no prompt came to test" in refused(tmp_path, labels(1), "trl", split="train=0.999999,test=0.000001")
    assert "messages in a file of text" in refused(tmp_path, labels(1) + spoken(1), "trl")
    assert exported(tmp_path, labels(1) + spoken(1), "openai").pairs == 2, "where all become messages they may be mixed"


@pytest.mark.parametrize(
    ("to", "more", "what"),
    [
        ("toml", {}, "no format 'toml'"),
        ("trl", {"min_preference": 0.4}, "between 0.5 and 1"),
        ("trl", {"output": "labels.jsonl"}, "is also the input"),
        ("trl", {"output": "-", "split": "a=1"}, "--split needs a name"),
        ("trl", {"output": "no/out.jsonl"}, "its folder is not there"),
        ("openai", {"keep_feedback": True}, "has no room for it"),
        ("trl", {"repo": "me/x"}, "belong to --to hub"),
        ("hub", {"repo": "me/x"}, "no -o"),
        ("halos", {"output": "x.json.gz"}, "not read compressed"),
        ("halos", {"split": "a=0.5,b=0.5"}, "parts called train and test"),
        ("llamafactory", {"output": "x.txt"}, "End it in .jsonl"),
    ],
)
def test_options_that_do_not_go_together_are_told_apart(
    tmp_path: Path, to: str, more: dict[str, Any], what: str
) -> None:
    write_lines(tmp_path / "labels.jsonl", labels(5))
    assert what in refused(tmp_path, labels(5), to, **{"output": "out.jsonl", **more})


def test_the_critic_s_evidence_goes_along_where_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "labels.jsonl").write_text(
        json.dumps(labels(1)[0])[:-1] + ', "meta": {"big": 1e400, "id": 123456789012345678901}}\n'
    )
    export(ExportSettings(str(tmp_path / "labels.jsonl"), "trl", output="out.jsonl", keep_feedback=True))
    assert '"meta":{"big":1e400,"id":123456789012345678901}' in (tmp_path / "out.jsonl").read_text()
    (row,) = read_lines(tmp_path / "out.jsonl")
    assert list(row) == ["prompt", "chosen", "rejected", "id", "preference", "feedback", "meta"]


def test_halos_get_one_array_that_says_which_part_it_is(tmp_path: Path) -> None:
    done = exported(tmp_path, labels(30), "halos", "x.json", split="train=0.5,test=0.5")
    for name, path in done.places.items():
        array = json.loads(Path(path).read_text())
        assert len(array) == done.parts[name]
        assert {each["split"] for each in array} == {name}
        assert not check(path).problems
    assert done.paste == "loss=dpo datasets=[x.train.json,x.test.json]"


def test_dataset_info_keeps_what_others_wrote_into_it(tmp_path: Path) -> None:
    info = tmp_path / "dataset_info.json"
    others = {"alpaca": {"file_name": "ä.json", "columns": {"prompt": "p"}}, "out": {"file_name": "out.jsonl"}}
    info.write_text(json.dumps(others))
    done = exported(tmp_path, spoken(3), "llamafactory", str(tmp_path / "out.jsonl"))
    found = json.loads(info.read_text())
    assert found["alpaca"] == others["alpaca"]
    assert (found["out"]["file_name"], found["out"]["formatting"], found["out"]["ranking"]) == (
        "out.jsonl",
        "sharegpt",
        True,
    )
    assert done.paste.splitlines() == ["stage: dpo", f"dataset_dir: {tmp_path}", "dataset: out"]
    before = info.read_text()
    assert "a tie" in refused(
        tmp_path, [*spoken(2), *labels(1, preference=0.5)], "llamafactory", str(tmp_path / "o.jsonl")
    )
    assert info.read_text() == before
    info.write_text(json.dumps({"new": {"file_name": "elsewhere.json"}}))
    assert "another dataset called new" in refused(tmp_path, spoken(3), "llamafactory", str(tmp_path / "new.jsonl"))
    assert '"ranking":true' in exported(tmp_path, spoken(1), "llamafactory", "-").paste, (
        "on stdout the entry is printed"
    )
    info.write_text("[1]")
    assert "no JSON object" in refused(tmp_path, spoken(3), "llamafactory", str(tmp_path / "new.jsonl"))
    info.write_text("{")
    assert "no JSON (" in refused(tmp_path, spoken(3), "llamafactory", str(tmp_path / "new.jsonl"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_written_into_dataset_info_meanwhile_is_kept(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    info = tmp_path / "dataset_info.json"

    def come_in() -> None:
        with (tmp_path / "pipe").open("w") as pipe:
            while not (tmp_path / ".out.jsonl.partial").exists():
                time.sleep(0.01)
            info.write_text('{"theirs": {"file_name": "x.json"}}')
            pipe.writelines(json.dumps(row) + "\n" for row in spoken(2))

    writer = threading.Thread(target=come_in)
    writer.start()
    export(ExportSettings(str(tmp_path / "pipe"), "llamafactory", output=str(tmp_path / "out.jsonl")))
    writer.join()
    assert list(json.loads(info.read_text())) == ["theirs", "out"]


def test_check_reads_arrays_gzip_and_what_is_broken(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"prompt": "p", "chosen": "x", "rejected": "y"}] * 2, indent=2))
    assert (check(str(tmp_path / "a.json")).rows, check(str(tmp_path / "a.json")).problems) == (2, 0)
    whole = gzip.compress(b"".join(json.dumps(row).encode() + b"\n" for row in labels(400)))
    (tmp_path / "b.gz").write_bytes(whole[: len(whole) // 2])
    assert "breaks off" in check(str(tmp_path / "b.gz")).told[0][1]
    (tmp_path / "c.json").write_text("[1,")
    (tmp_path / "d.json").write_text("\n")
    (tmp_path / "e.parquet").write_bytes(b"PAR1 and no more")
    for name in ("c.json", "d.json", "e.parquet", "missing"):
        with pytest.raises(AifeedbackError):
            check(str(tmp_path / name))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read the peak from")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    filler = "All of this is one long answer. " * 60
    peaks = []
    for count in (1_000, 12_000):
        write_lines(tmp_path / "labels.jsonl", labels(count, rejected=filler))
        script = (
            "from pathlib import Path; from aifeedback.cli.main import run;"
            "code = run(['export', 'labels.jsonl', '--to', 'halos', '-q', '-o', 'out.json']);"
            "print(code, Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, env=clean_environment(), check=True
        )  # fmt: skip
        code, peak = done.stdout.split()
        assert code == "0"
        peaks.append(int(peak))
    assert (tmp_path / "labels.jsonl").stat().st_size > 24_000_000
    assert peaks[1] < peaks[0] + 8_000, "in kB"


def test_a_missing_extra_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("pyarrow.parquet", "datasets"):
        monkeypatch.setitem(sys.modules, module, None)
    assert refused(tmp_path, labels(2), "parquet", "x.parquet").endswith("Install it: pip install 'aifeedback[export]'")
    assert refused(tmp_path, labels(2), "hub", "-", repo="me/x").endswith(
        "Install it: pip install 'aifeedback[export]'"
    )


def test_without_a_token_or_offline_nothing_is_pushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub, constants = pytest.importorskip("huggingface_hub"), pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(hub, "get_token", lambda: None)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert "no token for the hub. Set HF_TOKEN" in refused(tmp_path, labels(2), "hub", "-", repo="me/x")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE keeps everything" in refused(tmp_path, labels(2), "hub", "-", repo="me/x")
    assert "--to hub takes --repo" in refused(tmp_path, labels(2), "hub", "-")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A stand-in for the hub: its address, and the folder of what is pushed to it."""
    pytest.importorskip("datasets")
    folder = tmp_path / "pushed"
    folder.mkdir()
    script = Path(__file__).with_name("hub_stand_in.py")
    with subprocess.Popen([sys.executable, script, folder], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}", folder
        process.terminate()


def test_the_hub_gets_the_whole_dataset_by_its_parts(
    aifeedback: Command, tmp_path: Path, hub: tuple[str, Path]
) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    address, pushed = hub
    write_lines(tmp_path / "labels.jsonl", spoken(40))
    # the hub's other way of uploading is no HTTP that a stand-in can speak
    env = {"HF_ENDPOINT": address, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    push = ("export", "labels.jsonl", "--to", "hub", "--repo", "me/x", "--private", "--split", "train=0.5,test=0.5")
    refused = aifeedback(*push, env={**env, "HF_TOKEN": "hf_another"})
    assert refused.code == 2
    assert refused.err.startswith("Error: me/x can't be pushed: Client error '401 Unauthorized'")
    assert refused.err.endswith("Check --repo and what the token may do, or use --to parquet.\n")
    assert not list(pushed.iterdir())
    done = aifeedback(*push, env={**env, "HF_TOKEN": "hf_made_up"})
    assert (done.code, done.out) == (0, ""), done.err
    assert done.err.splitlines()[0].startswith("40 pairs read: 40 exported to hub (train ")
    assert "it/s" not in done.err
    assert json.loads((pushed / "created.json").read_text())["visibility"] == "private"
    parts = {
        name: pq.read_table(pushed / f"data/{name}-00000-of-00001.parquet").to_pylist() for name in ("train", "test")
    }
    assert not {row["prompt"][0]["content"] for row in parts["train"]} & {
        row["prompt"][0]["content"] for row in parts["test"]
    }
    rows = {row["id"]: row for part in parts.values() for row in part}
    kept = ("id", "prompt", "chosen", "rejected", "preference")
    assert [rows[row["id"]] for row in spoken(40)] == [{name: row[name] for name in kept} for row in spoken(40)]


def test_a_hub_that_is_gone_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets, client = pytest.importorskip("datasets"), pytest.importorskip("httpx2")
    monkeypatch.setattr(pytest.importorskip("huggingface_hub.constants"), "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(pytest.importorskip("huggingface_hub"), "get_token", lambda: "hf_made_up")

    def push(*_: Any, **__: Any) -> None:
        raise client.ConnectError("Connection refused")

    monkeypatch.setattr(datasets.DatasetDict, "push_to_hub", push)
    said = refused(tmp_path, labels(2), "hub", "-", repo="me/x")
    assert (
        said == "me/x can't be pushed: Connection refused. Check --repo and what the token may do, or use --to parquet."
    )


def test_a_table_is_typed_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    for name, rows in (("text", labels(2500)), ("messages", spoken(40))):
        done = exported(tmp_path, rows, "parquet", f"{name}.parquet", keep_feedback=True)
        exported(tmp_path, rows, "parquet", "again.parquet", keep_feedback=True)
        assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / f"{name}.parquet").read_bytes()
        table = pq.read_table(f"{name}.parquet")
        assert table.num_rows == done.pairs == len(rows)
        back = table.to_pylist()
        assert [json.loads(row["meta"]) for row in back] == [row["meta"] for row in rows]
        kept = ("id", "prompt", "chosen", "rejected", "preference")
        assert [[row[field] for field in kept] for row in back] == [[row[field] for field in kept] for row in rows]
        assert str(table.schema.field("preference").type) == "double"
        kind = "string" if name == "text" else "list<element: struct<role: string, content: string>>"
        assert str(table.schema.field("chosen").type) == kind
        assert not check(f"{name}.parquet").problems


def test_a_table_goes_through_a_pipe_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    read, write = os.pipe()
    with os.fdopen(write, "wb") as writer:
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(writer))
        exported(tmp_path, labels(5), "parquet", "-")
        monkeypatch.undo()
    with os.fdopen(read, "rb") as reader:
        assert pq.read_table(io.BytesIO(reader.read())).num_rows == 5
