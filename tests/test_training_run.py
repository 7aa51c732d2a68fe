"""What a run leaves: models that load and say what they learnt, each kind of training, and a record that adds up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aifeedback.errors import InputError, SettingsError
from tests.test_train_command import some_labels, told, weights

pytestmark = [pytest.mark.filterwarnings("ignore")]  # what TRL, transformers and peft warn each other of


def thumbs(count: int) -> list[dict[str, Any]]:
    return [
        {
            "prompt": f"Is {n} a number?",
            "completion": "Yes." if n % 3 else f"No, {n} is none.",
            "thumb": 1 if n % 3 else -1,
        }
        for n in range(count)
    ]


def test_the_loss_falls_and_held_out_margin_and_accuracy_rise(trained: Any) -> None:
    _, folder = trained("dpo", some_labels(120), lora=False, epochs=2)
    run = told(folder)
    first, last = run["evaluations"][0], run["evaluations"][-1]
    assert run["history"][-1]["loss"] < run["history"][0]["loss"]
    assert last["loss"] < first["loss"]
    assert last["margin"] > first["margin"]
    assert last["accuracy"] > first["accuracy"]
    assert first["step"] == 0
    assert last["step"] == run["history"][-1]["step"] == 30


def test_an_adapter_is_small_names_its_base_and_loads_by_itself(trained: Any, tiny: Path) -> None:
    from transformers import AutoModelForCausalLM

    _, folder = trained("dpo", some_labels(40))
    run = told(folder)
    assert run["model"]["kind"] == "adapter"
    assert 0 < run["model"]["trainable"] < run["model"]["parameters"]
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tiny.resolve())
    assert (config["r"], config["lora_alpha"]) == (16, 32)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert any("lora" in name for name, _ in model.named_parameters())
    assert not (folder / "training_args.bin").exists()
    for name, digest in run["result_files"].items():
        import hashlib

        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_merged_weights_answer_as_the_adapter_does_and_are_not_merged_twice(trained: Any) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    rows = some_labels(40)
    _, adapter = trained("dpo", rows, output="adapter")
    _, merged = trained("dpo", rows, output="merged", merge=True)
    ids = torch.tensor([[5, 9, 70, 33]])
    with torch.no_grad():
        one, other = (AutoModelForCausalLM.from_pretrained(folder)(ids).logits for folder in (adapter, merged))
    assert torch.allclose(one, other, atol=1e-5)
    assert (merged / "adapter" / "adapter_model.safetensors").is_file()
    assert not (merged / "adapter_config.json").exists()
    assert told(merged)["model"]["kind"] == "weights"


def test_sft_makes_the_chosen_answers_likelier(trained: Any) -> None:
    _, folder = trained("sft", some_labels(80), lora=False, epochs=2)
    run = told(folder)
    assert run["evaluations"][-1]["loss"] < run["evaluations"][0]["loss"]
    assert run["evaluations"][-1]["accuracy"] > run["evaluations"][0]["accuracy"]


def test_sft_learns_from_a_teachers_answers_and_dpo_goes_on_from_its_adapter(trained: Any, tiny: Path) -> None:
    from transformers import AutoModelForCausalLM

    rows = [{"prompt": f"Name a number above {n}.", "completion": str(n + 1)} for n in range(40)]
    _, first = trained("sft", rows, output="sft")
    strings = [
        {"prompt": row["prompt"], "chosen": row["completion"], "rejected": "No.", "preference": 0.8} for row in rows
    ]
    _, second = trained("dpo", strings, output="dpo", model=str(first), soft_labels="cdpo")
    run = told(second)
    assert run["evaluations"][0]["margin"] == 0, "the reference is the adapter that training began with"
    assert run["evaluations"][-1]["margin"] > 0
    config = json.loads((second / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tiny.resolve())
    assert AutoModelForCausalLM.from_pretrained(second) is not None
    assert not (second / "ref").exists()


def test_kto_learns_from_thumbs_with_both_sides_in_every_batch(trained: Any) -> None:
    _, folder = trained("kto", thumbs(90), lora=False, epochs=2, learning_rate=1e-3)
    run = told(folder)
    assert run["data"]["rows"]["read"] == 90
    assert run["trainer"]["desirable_weight"] == 1.0
    assert run["trainer"]["undesirable_weight"] == pytest.approx(2.0, rel=0.1)
    assert run["evaluations"][-1]["margin"] > run["evaluations"][0]["margin"]
    assert all(
        point.get("chosen_reward") is not None and point.get("rejected_reward") is not None for point in run["history"]
    )


def test_kto_takes_labelled_pairs_apart_and_counts_rows_not_halves(trained: Any) -> None:
    _, folder = trained("kto", some_labels(30))
    rows = told(folder)["data"]["rows"]
    assert rows["read"] == rows["train"] + rows["held_out"] + rows["left_out"] == 30


def test_the_record_names_labels_critic_settings_and_versions(trained: Any) -> None:
    import hashlib

    _, folder = trained("dpo", some_labels(40, preference=0.75), beta=0.2, steps=3, trainer={"weight_decay": 0.01})
    run = told(folder)
    data = (folder.parent / "data.jsonl").read_bytes()
    assert run["data"]["files"] == [
        {"name": str(folder.parent / "data.jsonl"), "sha256": hashlib.sha256(data).hexdigest(), "rows": 40}
    ]
    assert run["data"]["critics"] == {"test/critic": 40}
    lines = run["data"]["held_out"][str(folder.parent / "data.jsonl")]
    assert len(lines) == run["data"]["rows"]["held_out"] > 0
    assert all(1 <= line <= 40 for line in lines)
    assert run["data"]["preference"]["mean"] == 0.75
    assert (run["trainer"]["beta"], run["trainer"]["max_steps"], run["trainer"]["weight_decay"]) == (0.2, 3, 0.01)
    assert run["versions"]["trl"]
    assert len(run["samples"]) == min(10, run["data"]["rows"]["held_out"])
    assert "test/critic" in (folder / "README.md").read_text()


def test_the_same_seed_gives_the_same_weights_and_another_one_others(trained: Any) -> None:
    rows = some_labels(40)
    one, again, other = (
        weights(trained("dpo", rows, output=name, steps=4, seed=seed)[1])
        for name, seed in (("one", 1), ("again", 1), ("other", 2))
    )
    assert all((one[name] == again[name]).all() for name in one)
    assert any((one[name] != other[name]).any() for name in one)


def test_a_second_run_replaces_the_first_and_leaves_what_is_not_its_own(trained: Any) -> None:
    _, folder = trained("dpo", some_labels(30), steps=4)
    (folder / "notes.txt").write_text("mine")
    trained("dpo", some_labels(30), steps=2, lora=False)
    assert (folder / "notes.txt").read_text() == "mine"
    assert not (folder / "adapter_config.json").exists()
    assert not (folder / "checkpoint-4").exists()
    assert told(folder)["history"][-1]["step"] == 2


@pytest.mark.parametrize(
    ("more", "error", "says"),
    [
        ({"trainer": {"max_length": 4}}, InputError, "can't be trained on"),
        ({"lora_more": {"target_modules": ["no_such_layer"]}}, SettingsError, "no_such_layer"),
        ({"four_bit": True}, SettingsError, "CUDA GPU"),
        ({"loss": "no_such_loss"}, SettingsError, "no_such_loss"),
    ],
)
def test_what_can_not_be_done_is_one_error_and_leaves_no_model(
    trained: Any, tmp_path: Path, more: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        trained("dpo", some_labels(20), **more)
    assert not list(tmp_path.glob("policy/*.safetensors"))


def test_losses_can_be_joined(trained: Any) -> None:
    _, folder = trained("dpo", some_labels(20), loss="sigmoid+sft", steps=2)
    assert told(folder)["trainer"]["loss_type"] == ["sigmoid", "sft"]


def test_a_half_that_is_unfit_takes_the_other_half_of_its_row_along(trained: Any, tmp_path: Path, tiny: Path) -> None:
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    rare = "Say it plainly and briefly"
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    rows = [
        {
            "prompt": f"Name {number}",
            "chosen": rare if number % 4 == 0 else "one two",
            "rejected": f"seven {number}",
        }
        for number in range(40)
    ]
    others = [text for row in rows for text in row.values() if text != rare]
    highest = max(max(tokenizer(text)["input_ids"]) for text in [*others, tokenizer.eos_token])
    assert highest < max(tokenizer(rare)["input_ids"]), "the rare answer has a token of its own"
    small = tmp_path / "small"
    tokenizer.save_pretrained(small)
    config = LlamaConfig.from_pretrained(tiny)
    config.vocab_size = highest + 1
    LlamaForCausalLM(config).save_pretrained(small)
    _, folder = trained("kto", rows, model=str(small), steps=2, skip_bad=True)
    data = told(folder)["data"]
    assert data["rows"]["read"] == 40
    assert data["left_out"] == {"vocabulary": 10}
    assert data["rows"]["train"] + data["rows"]["held_out"] == 30
    assert [finding["count"] for finding in data["findings"] if finding["code"] == "vocabulary"] == [10]
    lines = {line for held in data["held_out"].values() for line in held}
    assert not lines & {number + 1 for number in range(0, 40, 4)}


@pytest.mark.parametrize("again", ["data.jsonl", "./data.jsonl", "link.jsonl", "absolute"])
def test_a_file_is_not_counted_twice_whatever_it_is_called(trained: Any, tmp_path: Path, again: str) -> None:
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "data.jsonl")
    other = str(tmp_path / "data.jsonl") if again == "absolute" else again
    with pytest.raises(InputError, match="given twice"):
        trained("dpo", some_labels(10), data=["data.jsonl", other], steps=1)
    assert not (tmp_path / "policy").exists()


def test_critics_are_counted_by_rows_and_labels_of_nobody_are_no_critics(trained: Any) -> None:
    rows = some_labels(30)
    _, folder = trained("kto", rows, steps=1)
    assert told(folder)["data"]["critics"] == {"test/critic": 30}
    for row in rows[:10]:
        del row["feedback"]
    _, folder = trained("kto", rows, steps=1)
    assert told(folder)["data"]["critics"] == {"test/critic": 20, "unknown": 10}
    assert "Some of the labels are a critic model's judgements" in (folder / "README.md").read_text()
    for row in rows[10:]:
        del row["feedback"]
    _, folder = trained("kto", rows, steps=1)
    assert told(folder)["data"]["critics"] == {}
    assert "critic" not in (folder / "README.md").read_text()


def test_an_adapter_without_a_tokenizer_of_its_own_is_trained_with_its_bases(trained: Any) -> None:
    _, adapter = trained("sft", some_labels(20), output="adapter", steps=1)
    for file in adapter.iterdir():
        if file.is_file() and not file.name.startswith("adapter_"):
            file.unlink()
    _, folder = trained("dpo", some_labels(20), model=str(adapter), steps=1)
    assert (folder / "tokenizer.json").is_file()


def test_an_adapter_that_is_gone_on_with_keeps_its_rank_which_plan_and_report_name(trained: Any) -> None:
    from aifeedback.training.plan import plan
    from aifeedback.training.settings import TrainSettings

    _, adapter = trained("sft", some_labels(20), output="adapter", steps=1, lora_r=4, lora_more={"r": 8})
    assert any("--lora-r 4 goes before lora.r=8" in line for line in trained.said)
    assert json.loads((adapter / "adapter_config.json").read_text())["r"] == 4
    assert told(adapter)["settings"]["lora_r"] == 4
    text, _ = plan(TrainSettings("dpo", ["data.jsonl"], str(adapter), "policy"), note=print)
    assert "trained: the adapter itself, of rank 4" in text
    _, folder = trained("dpo", some_labels(20), model=str(adapter), steps=1)
    assert told(folder)["settings"]["lora_r"] == 4
    for more in ({"lora_r": 4}, {"lora_more": {"lora_dropout": 0.5}}, {"lora": False}):
        with pytest.raises(SettingsError, match=r"is one already|--no-lora"):
            trained("dpo", some_labels(20), model=str(adapter), steps=1, output="other", **more)


def test_a_model_that_ends_with_its_context_is_asked_only_what_leaves_room(
    trained: Any, tmp_path: Path, tiny: Path
) -> None:
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    rows: list[dict[str, Any]] = [
        {
            "prompt": f"{number} is the answer to the question number " * (8 if number % 2 else 1) + "?",
            "chosen": "one two three four five " * 3,
            "rejected": f"bad number nine ten {number}",
        }
        for number in range(40)
    ]
    longest = max(len(tokenizer(row["prompt"])["input_ids"]) for row in rows)
    learned = tmp_path / "learned"
    tokenizer.save_pretrained(learned)
    GPT2LMHeadModel(
        GPT2Config(
            vocab_size=512, n_positions=longest + 8, n_embd=32, n_layer=2, n_head=2, eos_token_id=2, pad_token_id=3
        )
    ).save_pretrained(learned)
    _, folder = trained("dpo", rows, model=str(learned), steps=1, eval_fraction=0.0)
    samples = told(folder)["samples"]
    assert len(samples) == 10
    assert all(len(sample["prompt"]) < 60 for sample in samples)


def test_a_model_that_can_not_be_asked_is_trained_all_the_same(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from aifeedback.training import samples

    def broken(*_: object, **__: object) -> None:
        raise IndexError("index out of range in self")

    monkeypatch.setattr(samples, "answers", broken)
    _, folder = trained("dpo", some_labels(20), steps=1)
    assert told(folder)["finished"]
    assert told(folder)["samples"] == []
    assert any("can't be asked (index out of range in self)" in line for line in trained.said)


def test_the_report_hashes_the_files_of_the_model_and_no_others(trained: Any, tmp_path: Path) -> None:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "notes.txt").write_text("mine")
    _, folder = trained("dpo", some_labels(20), steps=1, merge=True)
    files = told(folder)["result_files"]
    assert {"model.safetensors", "config.json", "tokenizer.json", "adapter/adapter_model.safetensors"} <= files.keys()
    assert not {"notes.txt", "training.json", "README.md"} & files.keys()


def test_a_prompt_with_many_rows_that_is_held_out_is_told(trained: Any) -> None:
    rows = some_labels(80)
    for row in rows[1:]:
        row["prompt"] = rows[1]["prompt"]
    for seed in range(20):
        trained("dpo", rows, steps=1, seed=seed, output=f"policy{seed}")
        said = any("79 of 80 examples are held out" in line for line in trained.said)
        held = told(Path(f"policy{seed}"))["data"]["rows"]["held_out"]
        assert said is (held == 79)
        if said:
            return
    pytest.fail("no seed held the large prompt out")
