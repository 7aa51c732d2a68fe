"""Rows as tokens: the ids are transformers', the rows are TRL's, and what goes wrong in silence is said."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aifeedback.errors import SettingsError
from aifeedback.records import Content, Message
from aifeedback.training.examples import Demonstration, Example, PreferencePair, Thumb
from aifeedback.training.findings import WORDINGS, Findings
from aifeedback.training.fingerprint import different, fingerprint
from aifeedback.training.model_files import ModelFiles
from aifeedback.training.settings import Kind, TrainSettings
from aifeedback.training.token_checks import LengthStatistics, TokenChecks, tokenize
from aifeedback.training.tokens import QuickTokens, Refused, Tokens, quick_tokenizer, slow_tokenizer
from tests import tiny_models
from tests.tiny_models import BEGINNING, CONTEXT, NO_END, SPECIALS, THINKING, VOCABULARY, tiny_model, tiny_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
pytest.importorskip("transformers", reason="transformers is not installed")

TWICE = BEGINNING.replace("{{ bos_token }}", "{{ bos_token + bos_token }}")
DEMANDING = """
    {% if messages[0]['role'] == 'system' %}
        {{ raise_exception('no system turn') }}
    {% endif %}
    {% for m in messages %}
        {# a comment #}
        {% generation %}
            {{ m | tojson }}
        {% endgeneration %}
        {% if loop.last %}
            {% break %}
        {% endif %}
    {% endfor %}
{{ 'true' if tools is none else 'false' }} {{ unheard_of }} {{ pad_token }} {{ strftime_now('%%') }}
"""
VARIANTS: dict[str, dict[str, Any]] = {
    "chatml": {},
    "no template": {"chat": False},
    "begin token added": {"bos": True},
    "begin token in template": {"bos": True, "chat": BEGINNING},
    "begin twice": {"chat": TWICE},
    "no end token": {"chat": NO_END},
    "thinking": {"chat": THINKING},
    "tags of all kinds": {"chat": DEMANDING},
    "template in settings": {"chat": False, "chat_template": tiny_models.CHATML},
    "templates by name": {
        "chat": False,
        "chat_template": [{"name": "tool_use", "template": "x"}, {"name": "default", "template": THINKING}],
    },
    "extra special tokens": {"extra_special_tokens": ["<|new|>", "the"], "sep_token": "<|sep|>"},
    "a token by name": {"image_token": "<|image|>", "pad_token": None},
}


def with_config(folder: Path, **said: object) -> Path:
    """A folder that looks like a model, without weights."""
    config = {"model_type": "llama", "vocab_size": VOCABULARY, "max_position_embeddings": CONTEXT} | said
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a variant, made once."""
    root, done = tmp_path_factory.mktemp("tokenizers"), dict[str, Path]()

    def make(name: str) -> Path:
        if name not in done:
            done[name] = with_config(tiny_tokenizer(root / name.replace(" ", "-"), **VARIANTS[name]))
        return done[name]

    return make


@pytest.fixture(scope="session")
def both(made: Callable[[str], Path]) -> Callable[[str], tuple[Tokens, Any]]:
    """A variant's tokenizer, ours and transformers'."""
    done = dict[str, tuple[Tokens, Any]]()

    def make(name: str) -> tuple[Tokens, Any]:
        from transformers import AutoTokenizer

        if name not in done:
            ours = quick_tokenizer(ModelFiles.find(str(made(name))))
            assert isinstance(ours, QuickTokens)
            done[name] = ours, AutoTokenizer.from_pretrained(made(name))
        return done[name]

    return make


pieces = st.one_of(st.text(max_size=20), st.sampled_from([*SPECIALS, " ", "\n", "the answer", "<|new|>", "<|sep|>"]))
texts = st.lists(pieces, max_size=6).map("".join)
turns = st.builds(Message, st.sampled_from(["system", "user", "assistant", "tool"]), texts)


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=texts, dialogue=st.lists(turns, min_size=1, max_size=4), opening=st.booleans())
def test_ids_are_those_that_transformers_gives(
    both: Callable[[str], tuple[Tokens, Any]], variant: str, text: str, dialogue: list[Message], opening: bool
) -> None:
    ours, theirs = both(variant)
    assert ours.text_ids(text) == theirs(text)["input_ids"]
    assert ours.decode(ours.text_ids(text)) == theirs.decode(theirs(text)["input_ids"])
    if not ours.has_chat_template:
        return
    plain = [{"role": turn.role, "content": turn.content} for turn in dialogue]
    try:
        wanted = theirs.apply_chat_template(plain, add_generation_prompt=opening, return_dict=True)["input_ids"]
    except Exception as error:  # noqa: BLE001 - jinja2's
        with pytest.raises(Refused, match=str(error)):
            ours.chat_ids(dialogue, add_generation_prompt=opening)
    else:
        assert ours.chat_ids(dialogue, add_generation_prompt=opening) == wanted


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_quick_and_the_slow_way_say_the_same_of_a_tokenizer(made: Callable[[str], Path], variant: str) -> None:
    name = str(made(variant))
    quick, slow = quick_tokenizer(ModelFiles.find(name)), slow_tokenizer(ModelFiles.find(name))
    assert quick
    for what in ("eos_token", "eos_id", "bos_id", "special_tokens", "has_chat_template", "vocabulary", "context"):
        assert getattr(quick, what) == getattr(slow, what), what
    question = [Message("user", "Name a number.")]
    assert quick.text_ids("One <|pad|>") == slow.text_ids("One <|pad|>")
    if quick.has_chat_template:
        assert quick.chat_ids(question, add_generation_prompt=True) == slow.chat_ids(
            question, add_generation_prompt=True
        )


SAMPLE = "Don't  say 1234 é Ａ\u0301 <|im_end|>\n\n\tthe answer"


@pytest.mark.parametrize(
    "said",
    [
        {"tokenizer_class": "Qwen2Tokenizer", "unk_token": None},
        {"tokenizer_class": "GPT2TokenizerFast", "unk_token": None},
        {"tokenizer_class": "LlamaTokenizerFast"},
        {"tokenizer_class": "LlamaTokenizer", "model_type": "mistral"},
        {"tokenizer_class": "GemmaTokenizer"},
        {"tokenizer_class": "PreTrainedTokenizerFast", "model_type": "qwen2"},
        {"tokenizer_class": "Qwen2Tokenizer", "model_type": "qwen2", "as": "qwen2"},
        {"tokenizer_class": "Qwen2Tokenizer", "model_type": "qwen3", "as": "qwen2", "unk_token": None},
        {"tokenizer_class": "Qwen2Tokenizer", "as": "qwen2", "add_prefix_space": True},
        {"split_special_tokens": True},
        {"add_bos_token": True},
    ],
    ids=lambda said: " ".join(str(value) for value in said.values()),
)
def test_a_class_that_transformers_builds_anew_gives_the_same_ids_or_none(tmp_path: Path, said: dict[str, Any]) -> None:
    from transformers import AutoTokenizer

    said = dict(said)
    model, family = said.pop("model_type", "llama"), said.pop("as", "")
    tiny_tokenizer(tmp_path, **said)
    if family:
        like_qwen2(tmp_path / "tokenizer.json")
    with_config(tmp_path, model_type=model)
    quick = quick_tokenizer(ModelFiles.find(str(tmp_path)))
    assert (quick is not None) == (
        (bool(family) and not said.get("add_prefix_space") and "unk_token" in said)
        or (said.get("tokenizer_class", "").startswith(("GPT2", "Llama")) and model != "mistral")
        or "tokenizer_class" not in said
    )
    if quick is not None:
        theirs = AutoTokenizer.from_pretrained(tmp_path)
        assert quick.text_ids(SAMPLE) == theirs(SAMPLE)["input_ids"]
        question = [Message("user", SAMPLE)]
        plain = [{"role": "user", "content": SAMPLE}]
        assert quick.chat_ids(question) == theirs.apply_chat_template(plain, return_dict=True)["input_ids"]


def like_qwen2(path: Path) -> None:
    """Give a byte-level tokenizer the parts that Qwen's has."""
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated", invert=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.save(str(path))


def test_a_tokenizer_is_read_in_a_fraction_of_the_time_that_transformers_takes(made: Callable[[str], Path]) -> None:
    code = (
        "import sys; from aifeedback.training.model_files import ModelFiles;"
        "from aifeedback.training.tokens import quick_tokenizer;"
        f"quick_tokenizer(ModelFiles.find({str(made('chatml'))!r})).text_ids('a');"
        "print(sorted({'torch', 'transformers', 'numpy', 'huggingface_hub'} & set(sys.modules)))"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert time.monotonic() - began < 2


def test_a_folder_with_no_tokenizer_json_needs_the_slow_way(made: Callable[[str], Path], tmp_path: Path) -> None:
    assert quick_tokenizer(ModelFiles.find(str(with_config(tmp_path)))) is None


def test_an_adapter_has_the_config_of_its_base_and_its_own_tokenizer(tmp_path: Path) -> None:
    base = with_config(tiny_tokenizer(tmp_path / "base"))
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    assert ModelFiles.find(str(adapter)).tokenizer_at == str(base)
    tiny_tokenizer(adapter, chat=THINKING)
    files = ModelFiles.find(str(adapter))
    assert (files.tokenizer_at, files.vocabulary, files.context) == (str(adapter), VOCABULARY, CONTEXT)
    ours = quick_tokenizer(files)
    assert ours
    assert ours.chat_ids([Message("user", "a")], add_generation_prompt=True) == slow_tokenizer(files).chat_ids(
        [Message("user", "a")], add_generation_prompt=True
    )


def test_what_the_model_says_within_its_text_config_counts(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"text_config": {"vocab_size": 7, "max_position_embeddings": 9}}))
    files = ModelFiles.find(str(tmp_path))
    assert (files.vocabulary, files.context) == (7, 9)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("{}/none", "no such folder"),
        ("{}/a-file", "a file"),
        ("{}/empty", "no config.json"),
        ("{}/adapter", "base_model_name_or_path"),
        ("{}/broken", "can't be read"),
        ("{}/of-nothing", "is an adapter of"),
    ],
)
def test_what_is_no_model_is_told_in_one_line(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "a-file").write_text("")
    for folder, file, text in (
        ("empty", "x", ""),
        ("adapter", "adapter_config.json", "{}"),
        ("broken", "config.json", "{"),
        ("of-nothing", "adapter_config.json", json.dumps({"base_model_name_or_path": f"{tmp_path}/nowhere/at all"})),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).write_text(text)
    with pytest.raises(SettingsError, match=said) as caught:
        ModelFiles.find(name.format(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("GatedRepoError", "access must be asked for"),
        ("RepositoryNotFoundError", "no such model on the hub"),
        ("LocalEntryNotFoundError", "can't be reached"),
        ("HFValidationError", "can't be fetched"),
    ],
)
def test_a_model_that_the_hub_does_not_give_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, raised: str, said: str
) -> None:
    import huggingface_hub
    from huggingface_hub import errors

    error = getattr(errors, raised)
    made = error.__new__(error)
    made.args = ("first line\nsecond line",)

    def refuse(*_: object, **__: object) -> str:
        raise made

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(SettingsError, match=said) as caught:
        ModelFiles.find("someone/model")
    assert "\n" not in str(caught.value)


def test_a_model_on_the_hub_is_read_without_the_files_it_lacks(
    monkeypatch: pytest.MonkeyPatch, made: Callable[[str], Path]
) -> None:
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError

    asked: set[str | None] = set()

    def give(_: str, file: str, *, revision: str | None, **__: object) -> str:
        asked.add(revision)
        path = made("chatml") / file
        if not path.is_file():
            raise EntryNotFoundError(file)
        return str(path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", give)
    files = ModelFiles.find("someone/model", "v2")
    assert asked == {"v2"}
    assert set(files.tokenizer) == {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    assert quick_tokenizer(files)


def test_a_model_on_the_hub_is_told_from_another_by_its_commit(tmp_path: Path) -> None:
    settings = TrainSettings("dpo", ["labels.jsonl"], "someone/model", "policy")

    def of(commit: str) -> Mapping[str, str]:
        found = tmp_path / "models--someone--model" / "snapshots" / commit / "config.json"
        files = ModelFiles("someone/model", {}, {}, "someone/model", found=(found,))
        return fingerprint(settings, files, labels="", processes=1)

    assert different(of("9f31c2"), of("9f31c2")) == []
    assert different(of("9f31c2"), of("77aa01")) == ["weights of the model"]


# Rows and what TRL makes of them.

LONG = "and so on, " * 30


def said(role: str, text: str) -> tuple[Message, ...]:
    return (Message(role, text),)


def pair(prompt: Content, chosen: Content, rejected: Content, line: int = 1) -> PreferencePair:
    return PreferencePair(prompt, chosen, rejected, None, "labels.jsonl", line)


STRINGS = [
    pair("Name a number.", " One.", " Another one."),
    pair("A prompt that ends in a space: ", "One.", "the answer<|im_end|>"),
    pair("Half a word: num", "bers are good", "ber"),
    pair("Half a word with one of them: num", "ber", "! One"),
    pair("Equal to its last word: " + LONG, "One", "Two"),
    pair(LONG * 3, "The prompt is too long", "for anything"),
    pair("<|begin|>Begun twice", " é\u0301 Ａ", "<|im_end|>"),
    pair("Long answers", LONG + "one", LONG + "two"),
]
DIALOGUES = [
    pair(
        (Message("system", "Be brief."), *said("user", row.prompt)),
        said("assistant", row.chosen),
        (*said("assistant", row.rejected), *said("user", "And?"), *said("assistant", "Nothing.")),
    )
    for row in STRINGS
    if isinstance(row.prompt, str) and isinstance(row.chosen, str) and isinstance(row.rejected, str)
]


def as_kind(kind: Kind, row: PreferencePair, number: int) -> Example:
    if kind == "dpo":
        return row
    if kind == "sft":
        return Demonstration(row.prompt, row.rejected, row.file, row.line)
    return Thumb(row.prompt, row.rejected, number % 2 == 0, row.file, row.line)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny-model"), hidden=16, layers=1)


def trained_on(kind: Kind, model: Path, tokenizer: Any, rows: Sequence[Example], max_length: int, out: Path) -> Any:
    """The rows of TRL's own trainer, as it has prepared them, and its collator."""
    import trl
    from datasets import Dataset, disable_progress_bars

    from aifeedback.training.trainers import rows_of

    disable_progress_bars()
    config, trainer = {
        "dpo": (trl.DPOConfig, trl.DPOTrainer),
        "sft": (trl.SFTConfig, trl.SFTTrainer),
        "kto": (trl.KTOConfig, trl.KTOTrainer),
    }[kind]
    arguments = config(
        str(out), use_cpu=True, bf16=False, report_to="none", max_length=max_length, gradient_checkpointing=False
    )
    data = Dataset.from_list(rows_of(rows, soft=False))
    built = trainer(model=str(model), args=arguments, train_dataset=data, processing_class=tokenizer)
    return built.train_dataset, built.data_collator


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("variant", "rows"),
    [("chatml", STRINGS), ("chatml", DIALOGUES), ("begin token added", STRINGS), ("thinking", DIALOGUES)],
    ids=["strings", "messages", "begin token", "thinking"],
)
@pytest.mark.parametrize("kind", ["dpo", "sft", "kto"])
def test_rows_become_the_ids_that_trl_makes_of_them_and_the_same_are_left_out(
    both: Callable[[str], tuple[Tokens, Any]],
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: Kind,
    variant: str,
    rows: Sequence[PreferencePair],
) -> None:
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    ours, theirs = both(variant)
    max_length = 190
    examples = [as_kind(kind, row, number) for number, row in enumerate(rows)]
    checks = TokenChecks(ours, kind)
    for example in examples:
        checks.see(example)
    fate = checks.finish(max_length, Findings())
    made = [tokenize(example, ours) for example, keep in zip(examples, fate, strict=True) if keep != "too_long"]
    trained, collate = trained_on(kind, model, theirs, examples, max_length, tmp_path)
    assert 0 < len(trained) == len(made) < len(examples)
    for row, their in zip(made, trained, strict=True):
        if kind == "sft":
            whole = [*row.prompt, *row.answers[0]]
            assert their["input_ids"] == whole[:max_length]
            assert their["labels"] == ([-100] * len(row.prompt) + [*row.answers[0]])[:max_length]
        elif kind == "kto":
            assert (their["prompt_ids"], [their["completion_ids"]]) == (row.prompt, row.answers)
        else:
            assert their["prompt_ids"] == row.prompt
            assert [their["chosen_ids"], their["rejected_ids"]] == row.answers
    if kind == "dpo":
        cut = [collate([row])["input_ids"].tolist() for row in trained]
        same = [len(lines[0]) == max_length and lines[0] == lines[1] for lines in cut]
        assert any(same)
        assert same == [keep == "error" for keep in fate if keep != "too_long"]


@dataclass
class Spelling:
    """A tokenizer with one id a letter, so that lengths can be counted by eye. `$` is its end token, `^` its begin."""

    eos_token: str | None = "$"
    eos_id: int | None = ord("$")
    bos_id: int | None = ord("^")
    special_tokens: dict[str, int] = field(default_factory=lambda: {"$": ord("$"), "^": ord("^")})
    has_chat_template: bool = True
    vocabulary: int = 1000
    context: int | None = None
    end: str = "$\n"

    def text_ids(self, text: str) -> list[int]:
        return [*map(ord, text)]

    def chat_ids(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> list[int]:
        if any(message.role == "tool" for message in messages):
            raise Refused("no tools")
        text = "".join(f"{message.role[0]}:{message.content}{self.end}" for message in messages if message.content)
        return self.text_ids(text + ("a:" if add_generation_prompt else ""))

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))


def found(
    *rows: Example,
    kind: Kind = "dpo",
    max_length: int = 100,
    tokens: Tokens | None = None,
    vocabulary: int | None = None,
) -> tuple[list[str], dict[str, tuple[int, str]]]:
    """What becomes of rows, and each finding's count and first place."""
    checks = TokenChecks(tokens or Spelling(), kind, model_vocabulary=vocabulary)
    for row in rows:
        checks.see(row)
    findings = Findings()
    keep = list(checks.finish(max_length, findings))
    assert [row for row, fate in enumerate(keep) if fate != "kept"] == sorted(checks.reasons)
    assert set(checks.reasons.values()) <= {finding.code for finding in findings.all}
    return keep, {each.code: (each.count, "".join(each.places[:1])) for each in findings.all}


FINE = pair("abc", "one", "two", 9)


def test_rows_with_nothing_wrong_are_kept_without_a_word() -> None:
    turns = pair(said("user", "abc"), said("assistant", "one"), said("assistant", "two"))
    assert found(turns, turns) == (["kept", "kept"], {})
    assert found(FINE, FINE, tokens=Spelling(has_chat_template=False)) == (["kept", "kept"], {})


@pytest.mark.parametrize(
    ("row", "keep", "code", "place"),
    [
        (pair("p" * 100, "one", "two"), "too_long", "prompt_too_long", "labels.jsonl, line 1: 100 tokens"),
        (pair("p" * 99, "one", "two"), "kept", "completion_cut", "labels.jsonl, line 1: 103 tokens"),
        (pair("abc", "x" * 97 + "1", "x" * 97 + "2"), "error", "same_after_cut", "labels.jsonl, line 1"),
        (pair("abc", "say $ now", "two"), "kept", "special_tokens", "labels.jsonl, line 1: $"),
        (pair("a$", "one$", "two$"), "kept", "special_tokens", "labels.jsonl, line 1: $"),
        (pair("^^abc", "one", "two"), "kept", "double_bos", "labels.jsonl, line 1"),
        (pair("abc", "one", "é"), "error", "vocabulary", "labels.jsonl, line 1: 'é' is 233, the model has 200"),
        (
            pair((*said("user", "a"), *said("tool", "b")), said("assistant", "one"), said("assistant", "two")),
            "error",
            "roles",
            "labels.jsonl, line 1: the chat template refuses it: no tools",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_row_that_would_be_trained_on_wrongly_is_found(row: PreferencePair, keep: str, code: str, place: str) -> None:
    fate, codes = found(FINE, row, vocabulary=200)
    assert fate == ["kept", keep]
    assert codes[code] == (1, place)


def test_a_cut_behind_the_end_token_costs_nothing() -> None:
    row = pair(said("user", "abc"), said("assistant", "one"), said("assistant", "two"))
    assert len(tokenize(row, Spelling()).prompt) + 5 == 14
    for max_length, codes in ((14, set[str]()), (13, set[str]()), (12, {"completion_cut"})):
        assert set(found(row, max_length=max_length)[1]) == codes


@pytest.mark.parametrize(("max_length", "keep"), [(7, "error"), (8, "kept"), (9, "kept")])
def test_two_answers_are_the_same_if_they_part_behind_the_cut(max_length: int, keep: str) -> None:
    assert found(pair("abc", "sameX", "sameY"), max_length=max_length)[0] == [keep]


def test_answers_that_differ_only_in_what_the_tokenizer_drops_are_the_same_at_any_length() -> None:
    class Deaf(Spelling):
        def text_ids(self, text: str) -> list[int]:
            return super().text_ids(text.lower())

    assert found(pair("abc", "One", "one"), tokens=Deaf())[0] == ["error"]
    assert found(pair("abc", "one", "one, two"), tokens=Deaf())[0] == ["kept"]


def test_an_answer_of_which_the_template_leaves_nothing_is_an_error() -> None:
    class Leaving(Spelling):
        def chat_ids(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> list[int]:
            return self.text_ids("abc$")

    row = Demonstration(said("user", "a"), said("assistant", "b"), "labels.jsonl", 1)
    keep, codes = found(row, kind="sft", tokens=Leaving())
    assert (keep, set(codes)) == (["error"], {"empty"})


def test_if_every_prompt_is_too_long_nothing_is_left() -> None:
    keep, codes = found(FINE, FINE, max_length=3, tokens=Spelling(has_chat_template=False))
    assert keep == ["too_long", "too_long"]
    assert set(codes) == {"prompt_too_long", "nothing_left"}


def test_messages_need_a_chat_template(made: Callable[[str], Path]) -> None:
    tokens = quick_tokenizer(ModelFiles.find(str(made("no template"))))
    assert found(DIALOGUES[0], tokens=tokens) == (["error"], {"no_chat_template": (1, "labels.jsonl, line 1")})


def test_strings_for_a_model_that_is_talked_to_in_turns_are_told(made: Callable[[str], Path]) -> None:
    chat, plain = (quick_tokenizer(ModelFiles.find(str(made(name)))) for name in ("chatml", "no template"))
    assert found(FINE, pair("abc", "one", "two", 10), tokens=chat)[1]["plain_text"] == (2, "labels.jsonl, line 9")
    assert "plain_text" not in found(DIALOGUES[0], tokens=chat)[1]
    assert "plain_text" not in found(FINE, tokens=plain)[1]


def test_a_template_that_ends_no_answer_is_found(both: Callable[[str], tuple[Tokens, Any]]) -> None:
    _, codes = found(DIALOGUES[0], tokens=both("no end token")[0])
    assert codes["no_end_token"] == (1, "labels.jsonl, line 1")
    assert "no_end_token" not in found(DIALOGUES[0], tokens=both("chatml")[0])[1]


def test_a_prompt_that_is_no_beginning_of_the_whole_is_found_with_its_lost_end(
    both: Callable[[str], tuple[Tokens, Any]],
) -> None:
    _, codes = found(DIALOGUES[0], tokens=both("thinking")[0])
    assert codes["not_a_prefix"] == (1, r"labels.jsonl, line 1: '<think>\n\n</think>\n\n'")
    _, codes = found(pair("Half a word: num", "bers", "ber"), tokens=both("chatml")[0])
    assert codes["not_a_prefix"][0] == 1


@pytest.mark.parametrize(
    ("variant", "row"),
    [("begin token added", pair("<|begin|>a", "b", "c")), ("begin twice", DIALOGUES[0])],
    ids=["in the text", "in the template"],
)
def test_two_begin_tokens_are_found(both: Callable[[str], tuple[Tokens, Any]], variant: str, row: Example) -> None:
    assert "double_bos" in found(row, tokens=both(variant)[0])[1]
    assert "double_bos" not in found(FINE, DIALOGUES[0], tokens=both("begin token in template")[0])[1]


def test_text_that_spells_special_tokens_becomes_them_and_is_found(both: Callable[[str], tuple[Tokens, Any]]) -> None:
    tokens, _ = both("chatml")
    row = pair(said("user", "What is <|im_end|>?"), said("assistant", "one"), said("assistant", "<|pad|>"))
    assert tokens.text_ids("<|im_end|>") == [tokens.eos_id]
    assert found(row, tokens=tokens)[1]["special_tokens"] == (1, "labels.jsonl, line 1: <|im_end|>, <|pad|>")


def test_text_without_an_end_token_to_close_it_is_refused() -> None:
    with pytest.raises(SettingsError, match="no end token"):
        found(FINE, tokens=Spelling(eos_token=None, eos_id=None))


def test_each_code_that_is_told_has_its_wording() -> None:
    told = {"prompt_too_long", "completion_cut", "same_after_cut", "not_a_prefix", "special_tokens", "double_bos"}
    assert told | {"no_chat_template", "no_end_token", "vocabulary", "nothing_left", "roles", "empty"} <= set(WORDINGS)


@pytest.mark.parametrize(
    ("longest", "rows", "context", "suggested"),
    [
        (10, 1, None, 64),
        (64, 1, None, 64),
        (65, 1, None, 128),
        (1000, 99, 2048, 1024),
        (1000, 100, 2048, 64),
        (3000, 1, 2048, 2048),
        (3000, 1, 100, 100),
        (4096, 1, None, 4096),
        (4097, 1, None, 1024),
        (4097, 1, 8192, 4160),
        (0, 0, None, 64),
    ],
)
def test_a_length_is_suggested_that_covers_what_there_is(
    longest: int, rows: int, context: int | None, suggested: int
) -> None:
    checks = TokenChecks(Spelling(context=context), "sft")
    for number in range(rows):
        text = "x" * (10 if number else longest)
        checks.see(Demonstration("p", text[2:], "labels.jsonl", number + 1))
    assert checks.suggest_max_length() == suggested


def test_statistics_tell_the_lengths_of_each_part_by_nearest_rank() -> None:
    assert LengthStatistics.of(range(1, 201)) == LengthStatistics(200, 100, 180, 190, 198, 200)
    assert LengthStatistics.of([]) == LengthStatistics(0, 0, 0, 0, 0, 0)
    for kind, names in (
        ("dpo", ["prompt", "chosen", "rejected", "whole"]),
        ("sft", ["prompt", "completion", "whole"]),
        ("kto", ["prompt", "completion", "whole"]),
    ):
        checks = TokenChecks(Spelling(), kind)  # type: ignore[arg-type] # each is one
        checks.see(as_kind(kind, pair("abc", "four", "three"), 0))  # type: ignore[arg-type]
        lengths = checks.statistics()
        assert list(lengths) == names
        assert [lengths[name].max for name in names] == [3, *([5] if kind == "dpo" else []), 6, 9]


ids = st.text("ab", min_size=1, max_size=6)


@given(rows=st.lists(st.tuples(ids, ids, ids), min_size=1, max_size=8), max_length=st.integers(1, 16))
def test_every_row_has_one_fate_and_it_is_what_a_cut_makes_of_its_ids(
    rows: list[tuple[str, str, str]], max_length: int
) -> None:
    examples = [pair(*row, number) for number, row in enumerate(rows, 1)]
    keep, codes = found(*examples, max_length=max_length)
    for example, fate in zip(examples, keep, strict=True):
        row = tokenize(example, Spelling())
        one, other = ([*row.prompt, *answer][:max_length] for answer in row.answers)
        wanted = "too_long" if len(row.prompt) >= max_length else "error" if one == other else "kept"
        assert fate == wanted
    cut = [row for row, fate in zip(examples, keep, strict=True) if fate == "kept"]
    assert codes.get("completion_cut", (0, ""))[0] == sum(tokenize(row, Spelling()).whole > max_length for row in cut)
