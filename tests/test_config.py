"""Defaults come from aifeedback.toml, then the environment, then the flags; critics may be named in the file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aifeedback.cli.config import Config, Flag, defaults, find, given_in, load
from aifeedback.cli.critic_options import HINT, EndpointFlags, critics
from aifeedback.cli.main import run
from aifeedback.errors import SettingsError
from aifeedback.lanes import CriticSettings

LABEL = {
    "critic": Flag("critic", multiple=True),
    "header": Flag("header", multiple=True),
    "map": Flag("map", multiple=True),
    "output": Flag("output", multiple=False),
    "rest": Flag("rest", multiple=False),
    "template": Flag("template", multiple=False),
    "criteria": Flag("criteria", multiple=False),
    "min-preference": Flag("min_preference", multiple=False),
    "extra-body": Flag("extra_body", multiple=False),
    "no-store": Flag("no_store", multiple=False),
    "store": Flag("store", multiple=False),
    "samples": Flag("samples", multiple=False),
}
FLAGS: Mapping[str, Mapping[str, Flag]] = {
    "": {"quiet": Flag("quiet", multiple=False)},
    "label": LABEL,
    "store": {"store": Flag("store", multiple=False), "older-than": Flag("older_than", multiple=False)},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, far below which and above which no aifeedback.toml lies."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(folder: Path, text: str) -> Config:
    path = folder / "aifeedback.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, FLAGS)


def label_defaults(folder: Path, text: str, **environment: str) -> dict[str, object]:
    return defaults(read(folder, text), "label", LABEL, environment)


def test_the_nearest_file_upward_counts(folder: Path):
    below = folder / "a" / "b"
    below.mkdir(parents=True)
    assert find(below) != folder / "aifeedback.toml"
    (folder / "aifeedback.toml").touch()
    assert find(below) == folder / "aifeedback.toml"
    (folder / "a" / "aifeedback.toml").touch()
    assert find(below) == folder / "a" / "aifeedback.toml"
    (folder / "a" / "b" / "aifeedback.toml").mkdir()
    assert find(below) == folder / "a" / "aifeedback.toml"


def test_without_a_file_there_are_no_defaults():
    assert load(None, FLAGS) == Config()
    assert defaults(Config(), "label", LABEL, {}) == {}


def test_a_key_is_a_flag_with_dashes_or_underscores(folder: Path):
    assert label_defaults(folder, "min-preference = 0.7\nno_store = true") == {"min_preference": 0.7, "no_store": True}


def test_a_commands_own_table_beats_what_holds_for_all(folder: Path):
    text = "samples = 2\ntemplate = 'tags'\nolder-than = 9\n[label]\nsamples = 3\n[store]\nolder-than = 30"
    assert label_defaults(folder, text) == {"samples": 3, "template": "tags"}
    assert defaults(read(folder, text), "store", FLAGS["store"], {}) == {"older_than": 30}


def test_the_environment_beats_the_file(folder: Path):
    found = label_defaults(
        folder,
        "samples = 2\ntemplate = 'tags'",
        AIFEEDBACK_SAMPLES="5",
        AIFEEDBACK_TEMPLATE="",
        AIFEEDBACK_MIN_PREFERENCE="0.9",
        AIFEEDBACK_UNKNOWN="1",
        SAMPLES="7",
    )
    assert found == {"samples": "5", "template": "tags", "min_preference": "0.9"}
    assert given_in({"AIFEEDBACK_SAMPLES": "5", "AIFEEDBACK_TEMPLATE": ""}, LABEL) == {"samples"}


def test_several_values_stand_in_a_list_or_a_table_or_one_variable(folder: Path):
    text = "critic = ['builtin', 'mine']\n[label]\nmap = {prompt = 'question', response_a = 'one'}\nheader = 'X: y'"
    assert label_defaults(folder, text) == {
        "critic": ["builtin", "mine"],
        "map": ["prompt=question", "response_a=one"],
        "header": ["X: y"],
    }
    assert label_defaults(folder, "critic = 'builtin'", AIFEEDBACK_CRITIC="a/b  c/d") == {"critic": ["a/b", "c/d"]}
    assert label_defaults(folder, "", AIFEEDBACK_HEADER="X-Title: my labels\n\nX-Team: a") == {
        "header": ["X-Title: my labels", "X-Team: a"]
    }


@pytest.mark.parametrize("place", ["", "[label]\n"], ids=["for all", "for label"])
def test_a_table_for_a_flag_that_takes_one_value_is_json(folder: Path, place: str):
    found = label_defaults(folder, f"{place}extra-body = {{top_p = 0.9, stop = ['x'], since = 2026-01-01}}")
    assert json.loads(str(found["extra_body"])) == {"top_p": 0.9, "stop": ["x"], "since": "2026-01-01"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("output = 'labels.jsonl'", "../labels.jsonl"),
        ("output = 'out/labels.jsonl'", "../out/labels.jsonl"),
        ("output = '../labels.jsonl'", "../../labels.jsonl"),
        ("output = '-'", "-"),
        ("rest = ''", ""),
        ("store = 'replies.sqlite'", "../replies.sqlite"),
        ("template = 'tags'", "tags"),
        ("template = 'mine.md'", "../mine.md"),
        ("template = './mine'", "../mine"),
        ("criteria = '@mine.md'", "@../mine.md"),
        ("criteria = 'helpful'", "helpful"),
        ("criteria = 'Which is shorter and/or clearer?'", "Which is shorter and/or clearer?"),
    ],
)
def test_a_path_counts_from_the_files_own_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, line: str, expected: str
):
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    assert list(label_defaults(folder, line).values()) == [expected]


def test_a_path_from_the_root_or_from_home_stays_where_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(folder / "home"))
    found = label_defaults(folder, f"output = '{folder}/x/labels.jsonl'\nstore = '~/replies.sqlite'")
    assert found == {"output": "x/labels.jsonl", "store": "home/replies.sqlite"}


def test_a_path_in_the_environment_counts_from_here(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    assert label_defaults(folder, "output = 'x'", AIFEEDBACK_OUTPUT="y") == {"output": "y"}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("min-prefrence = 0.7", "Did you mean min-preference?"),
        ("[label]\nmin_prefrence = 0.7", "Did you mean min-preference?"),
        ("older-then = 9", "Did you mean older-than?"),
        ("[lable]\nsamples = 3", "Did you mean label?"),
        ("[store]\nsamples = 3", "[store]"),
        ("nothing-like-it-at-all = 1", "Each key is a flag"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_the_nearest(folder: Path, text: str, meant: str):
    with pytest.raises(SettingsError) as caught:
        read(folder, text)
    message = str(caught.value)
    assert message.startswith(str(folder / "aifeedback.toml"))
    assert meant in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("samples = ", "Invalid value"),
        ("critics = 3", "critics are tables"),
        ("[critics]\nmine = 'openai/x'", "critics are tables"),
    ],
)
def test_a_file_that_can_not_be_used_is_an_error_of_one_line(folder: Path, text: str, reason: str):
    with pytest.raises(SettingsError, match=reason) as caught:
        read(folder, text)
    assert "\n" not in str(caught.value)


def test_a_file_that_can_not_be_read_is_one_too(folder: Path):
    with pytest.raises(SettingsError, match="No such file or directory"):
        load(folder / "other.toml", FLAGS)
    with pytest.raises(SettingsError, match="Is a directory"):
        load(folder, FLAGS)
    (folder / "latin.toml").write_bytes(b"template = '\xe4'")
    with pytest.raises(SettingsError, match=r"latin\.toml"):
        load(folder / "latin.toml", FLAGS)


NO_FLAGS = EndpointFlags("", "", [], [], "")


def one(name: str, named: Mapping[str, object] | None = None, **flags: object) -> CriticSettings:
    """The critic `name`, with `named` under [critics.name]."""
    given = replace(NO_FLAGS, **flags)  # type: ignore[arg-type]
    (critic,) = critics([name], given, {} if named is None else {name: named})
    return critic


def test_without_a_critic_three_lines_show_how_to_name_one():
    with pytest.raises(SettingsError) as caught:
        critics([], NO_FLAGS, {})
    assert str(caught.value) == HINT.format(command="label pairs.jsonl")
    assert sum("--critic" in line for line in HINT.splitlines()) == 3


def test_critics_keep_their_order():
    found = critics(["b/c", "builtin", "a/b"], NO_FLAGS, {})
    assert [critic.endpoint.critic for critic in found] == ["b/c", "builtin", "a/b"]


def test_the_same_critic_twice_is_refused():
    with pytest.raises(SettingsError, match="--samples"):
        critics(["a/b", "c/d", "a/b"], NO_FLAGS, {})


def test_a_named_critic_is_what_its_table_says():
    critic = one(
        "judge",
        {
            "critic": "vllm/judge-32b",
            "base-url": "https://judge.example.org/v1",
            "api_key_env": "JUDGE_KEY",
            "headers": {"X-Title": "labels"},
            "query": {"api-version": "2024-10-21"},
            "extra_body": {"top_p": 0.9},
            "id": "judge",
            "temperature": 1,
            "max_tokens": 512,
            "reasoning_effort": "low",
        },
    )
    endpoint = critic.endpoint
    assert (endpoint.critic, endpoint.base_url) == ("vllm/judge-32b", "https://judge.example.org/v1")
    assert (endpoint.api_key_env, endpoint.id) == ("JUDGE_KEY", "judge")
    assert (endpoint.headers, endpoint.query) == ({"X-Title": "labels"}, {"api-version": "2024-10-21"})
    assert endpoint.extra_body == {"top_p": 0.9}
    assert (critic.temperature, critic.max_tokens, critic.reasoning_effort) == (1.0, 512, "low")


def test_what_a_named_critic_does_not_say_the_flags_do():
    critic = one("judge", {"critic": "vllm/m"}, base_url="http://x/v1", api_key_env="K", extra_body='{"a": 1}')
    assert (critic.endpoint.base_url, critic.endpoint.api_key_env) == ("http://x/v1", "K")
    assert critic.endpoint.extra_body == {"a": 1}
    assert (critic.temperature, critic.max_tokens, critic.reasoning_effort) == (None, None, None)


def test_a_flag_that_was_given_beats_the_table():
    table = {
        "critic": "vllm/m",
        "base_url": "http://table/v1",
        "temperature": 0.5,
        "headers": {"A": "table", "B": "table"},
    }
    given = frozenset({"critic", "base_url", "temperature", "header"})
    critic = one("judge", table, base_url="http://flag/v1", headers=["A: flag"], given=given)
    assert (critic.endpoint.critic, critic.endpoint.base_url) == ("vllm/m", "http://flag/v1")
    assert critic.endpoint.headers == {"A": "flag", "B": "table"}
    assert critic.temperature is None


def test_a_default_for_all_critics_does_not_beat_the_table():
    critic = one("judge", {"critic": "vllm/m", "headers": {"A": "table"}}, headers=["A: default", "B: default"])
    assert critic.endpoint.headers == {"A": "table", "B": "default"}


def test_the_key_of_a_named_critic_does_not_follow_another_base_url():
    table = {"critic": "vllm/m", "base_url": "http://table/v1", "api_key_env": "TABLE_KEY"}
    assert one("judge", table).endpoint.api_key_env == "TABLE_KEY"
    moved = one("judge", table, base_url="http://flag/v1", given=frozenset({"base_url"}))
    assert (moved.endpoint.base_url, moved.endpoint.api_key_env) == ("http://flag/v1", "")


def test_a_provider_and_model_may_be_a_name_of_its_own():
    critic = one("openai/gpt-5-mini", {"temperature": 0.5})
    assert (critic.endpoint.critic, critic.temperature) == ("openai/gpt-5-mini", 0.5)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("jugde", "Did you mean judge?"), ("bultin", "Did you mean builtin?"), ("gpt", "Write PROVIDER/MODEL")],
)
def test_a_critic_that_nobody_knows_is_an_error_that_names_the_nearest(name: str, reason: str):
    with pytest.raises(SettingsError) as caught:
        critics([name], NO_FLAGS, {"judge": {"critic": "a/b"}})
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"temprature": 1.0}, "Did you mean temperature?"),
        ({"panel": "majority"}, "Known: api_key_env"),
        ({"temperature": "0.5"}, "temperature is not a number"),
        ({"temperature": True}, "temperature is not a number"),
        ({"max_tokens": 0.5}, "max_tokens is not a whole number"),
        ({"headers": "X: y"}, "headers is not a table"),
        ({"base_url": 5}, "base_url is not a text"),
        ({"weight": "2"}, "weight is not a number"),
        ({"weight": -1}, "weight -1 is no number above 0"),
        ({"weight": float("nan")}, "no number above 0"),
    ],
    ids=str,
)
def test_a_table_that_says_what_it_can_not_is_an_error(table: Mapping[str, object], reason: str):
    with pytest.raises(SettingsError) as caught:
        one("judge", {"critic": "a/b", **table})
    assert str(caught.value).startswith("[critics.judge]: ")
    assert reason in str(caught.value)


def test_a_named_critic_must_say_whom_it_means():
    with pytest.raises(SettingsError, match=r"\[critics\.judge\]: no critic is named"):
        one("judge", {"temperature": 0.5})


@pytest.mark.parametrize("key", ["api_key", "api-key", "key", "token", "password", "secret", "authorization"])
def test_a_key_in_the_file_is_refused_and_not_shown(key: str):
    with pytest.raises(SettingsError, match="api_key_env") as caught:
        one("judge", {"critic": "a/b", key: "sk-very-secret"})
    assert "sk-very-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (["X-Title: labels", "X-Team:a"], {"X-Title": "labels", "X-Team": "a"}),
        (["Referer: https://example.org/?a=b"], {"Referer": "https://example.org/?a=b"}),
        (["Referer=https://example.org"], {"Referer": "https://example.org"}),
        (["  X : a = b  "], {"X": "a = b"}),
        (["X:"], {"X": ""}),
        (["X: a", "X: b"], {"X": "b"}),
    ],
    ids=str,
)
def test_a_header_is_a_name_and_a_value(headers: Sequence[str], expected: Mapping[str, str]):
    assert one("a/b", headers=headers).endpoint.headers == expected


def test_a_query_parameter_is_a_name_and_a_value():
    found = one("a/b", query=["api-version=2024-10-21", "x=a=b:c", "empty="]).endpoint.query
    assert found == {"api-version": "2024-10-21", "x": "a=b:c", "empty": ""}


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ({"headers": ["Authorization sk-very-secret"]}, "--header: one is not NAME:VALUE"),
        ({"headers": [": sk-very-secret"]}, "--header: one is not NAME:VALUE"),
        ({"query": ["sk-very-secret"]}, "--query: one is not NAME=VALUE"),
        ({"query": [" =sk-very-secret"]}, "--query: one is not NAME=VALUE"),
        ({"extra_body": "{sk-very-secret"}, "--extra-body is no JSON"),
        ({"extra_body": '["sk-very-secret"]'}, "--extra-body is no JSON object"),
    ],
    ids=str,
)
def test_what_is_no_pair_is_an_error_that_shows_no_key(flags: Mapping[str, Any], reason: str):
    with pytest.raises(SettingsError) as caught:
        one("a/b", **flags)
    assert reason in str(caught.value)
    assert "sk-very-secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


PAIR = {"prompt": "p", "response_a": "Yes, and here is why.", "response_b": "No."}


@pytest.fixture
def pairs(folder: Path) -> Path:
    path = folder / "pairs.jsonl"
    path.write_text(json.dumps(PAIR) + "\n")
    return path


def label(pairs: Path, *flags: str) -> dict[str, Any]:
    """Run the command, and return the manifest of its summary."""
    summary = pairs.parent / "summary.json"
    assert run(["label", str(pairs), "-q", "--summary", str(summary), *flags]) == 0
    manifest: dict[str, Any] = json.loads(summary.read_text())["manifest"]
    return manifest


def test_a_flag_beats_the_environment_and_the_environment_the_file(pairs: Path, monkeypatch: pytest.MonkeyPatch):
    (pairs.parent / "aifeedback.toml").write_text("critic = 'builtin'\nno-store = true\ntemplate = 'tags'\nseed = 1\n")
    assert label(pairs, "-o", "x.jsonl")["template"].startswith("tags@")
    monkeypatch.setenv("AIFEEDBACK_TEMPLATE", "quick")
    monkeypatch.setenv("AIFEEDBACK_MIN_PREFERENCE", "0.75")
    manifest = label(pairs, "-o", "x.jsonl")
    assert manifest["template"].startswith("quick@")
    assert (manifest["seed"], manifest["parameters"]["min_preference"]) == (1, 0.75)
    manifest = label(pairs, "-o", "x.jsonl", "--template", "pairwise", "--seed", "2")
    assert manifest["template"].startswith("pairwise@")
    assert (manifest["seed"], manifest["parameters"]["min_preference"]) == (2, 0.75)


def test_an_output_named_in_the_file_lies_beside_the_file(pairs: Path, monkeypatch: pytest.MonkeyPatch):
    (pairs.parent / "aifeedback.toml").write_text("critic = 'builtin'\nno-store = true\noutput = 'labels.jsonl'\n")
    (pairs.parent / "below").mkdir()
    monkeypatch.chdir(pairs.parent / "below")
    label(pairs)
    assert (pairs.parent / "labels.jsonl").is_file()
    assert list((pairs.parent / "below").iterdir()) == []


def test_a_critic_named_in_the_file_may_be_named_by_a_flag(pairs: Path):
    (pairs.parent / "aifeedback.toml").write_text("no-store = true\n[critics.mine]\ncritic = 'builtin'\n")
    assert label(pairs, "-o", "x.jsonl", "--critic", "mine")["critic"] == "builtin"


@pytest.mark.parametrize("given", ["flag", "variable"])
def test_another_file_is_named_by_a_flag_or_a_variable(pairs: Path, monkeypatch: pytest.MonkeyPatch, given: str):
    (pairs.parent / "aifeedback.toml").write_text("critic = 'nobody/knows'\n")
    (pairs.parent / "other.toml").write_text("critic = 'builtin'\nno-store = true\n")
    flags = ["-o", "x.jsonl"]
    if given == "flag":
        flags += ["--config", "other.toml"]
    else:
        monkeypatch.setenv("AIFEEDBACK_CONFIG", "other.toml")
    assert label(pairs, *flags)["critic"] == "builtin"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("critc = 'builtin'", "Did you mean critic?"),
        ("[label]\nmin-prefrence = 0.6", "Did you mean min-preference?"),
        ("critic = 'mine'\n[critics.mine]\ncritic = 'openai/x'\napi_key = 'sk-very-secret'", "api_key_env"),
        ("samples = 'many'\ncritic = 'builtin'", "--samples"),
        ("min-preference = 0.2\ncritic = 'builtin'", "not between 0.5 and 1"),
    ],
)
def test_a_mistake_in_the_file_is_exit_2_before_anything_is_asked(
    pairs: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
):
    (pairs.parent / "aifeedback.toml").write_text(text)
    assert run(["label", str(pairs), "-o", "x.jsonl"]) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert said in errors
    assert "sk-very-secret" not in errors
    assert "Traceback" not in errors
    assert len(errors.splitlines()) <= 2
    assert sorted(path.name for path in pairs.parent.iterdir()) == ["aifeedback.toml", "pairs.jsonl"]
