"""Where templates, criteria and examples come from, and the commands that show them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from aifeedback import prompt_library
from aifeedback.cli.prompts import app
from aifeedback.errors import InputError, TemplateError
from aifeedback.prompt_library import criteria_names, find_criteria, find_template, names, read_examples
from aifeedback.records import Message

OURS = ("pairwise", "arena", "quick", "statement", "tags")
MINE = '+++\nverdict = "letter"\n[answers]\nA = 1\nB = 0\n+++\n{{ criteria }} {{ first }} {{ second }}\n'


def test_there_are_five_templates_and_seven_criteria():
    assert names() == OURS
    assert criteria_names() == ("helpful", "clinical", "code", "harmless", "honest", "instruction-following", "summary")


@pytest.mark.parametrize(
    ("name", "kind", "answers", "which", "soft"),
    [
        ("pairwise", "json", {"A": 1.0, "B": 0.0, "tie": 0.5}, "last", True),
        ("quick", "letter", {"A": 1.0, "B": 0.0, "C": 0.5}, "last", True),
        ("tags", "tags", {"[[A]]": 1.0, "[[B]]": 0.0, "[[C]]": 0.5}, "last", True),
        (
            "arena",
            "tags",
            {"[[A>>B]]": 1.0, "[[A>B]]": 0.75, "[[A=B]]": 0.5, "[[B>A]]": 0.25, "[[B>>A]]": 0.0},
            "agreeing",
            False,
        ),
        ("statement", "claim", {"Output (a)": 1.0, "Output (b)": 0.0}, "last", True),
    ],
)
def test_our_templates_ask_for_what_the_contract_says(
    name: str, kind: str, answers: dict[str, float], which: str, soft: bool
):
    form = find_template(name).format
    assert (form.kind, dict(form.answers), form.which, form.soft) == (kind, answers, which, soft)
    assert (form.reasoning_field, form.answer_field) == ("analysis", "verdict")


@pytest.mark.parametrize("name", criteria_names())
def test_our_criteria_have_a_title_and_cite_their_source(name: str):
    criteria = find_criteria(name)
    assert criteria.name == name
    assert criteria.title
    assert "20" in criteria.source
    assert len(criteria.text) > 300
    assert "+++" not in criteria.text
    assert len(criteria.digest) == 6


def test_the_users_template_is_a_path_and_named_after_its_file(tmp_path: Path):
    file = tmp_path / "mine.v2.md"
    file.write_text(MINE)
    assert find_template(str(file)).label.startswith("mine.v2@")
    assert find_template(str(file)).path == str(file)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x" * 5000, 'no template "xxx'),
        ("a\0b", "no template"),
        ("pairwize", 'no template "pairwize". Did you mean "pairwise"? Ours are pairwise,'),
        ("", 'no template ""'),
    ],
)
def test_an_unknown_template_is_refused_with_the_names_of_ours(name: str, text: str):
    with pytest.raises(TemplateError, match=text.replace("?", r"\?")):
        find_template(name)


def test_a_folder_or_a_file_that_is_no_text_is_no_template(tmp_path: Path):
    with pytest.raises(TemplateError, match="no template"):
        find_template(str(tmp_path))
    (tmp_path / "latin.md").write_bytes(b"abc\xff")
    with pytest.raises(TemplateError, match=r"latin.md: byte 3 is not UTF-8. Save the file as UTF-8."):
        find_template(str(tmp_path / "latin.md"))


@pytest.mark.parametrize(
    ("spec", "name", "text"),
    [
        ("Prefer the shorter one.", "Prefer the shorter one.", "Prefer the shorter one."),
        (" short and\nsweet ", "short and sweet", "short and\nsweet"),
        ("x" * 50, "x" * 39 + "…", "x" * 50),
        ("a rubric " * 20, "a rubric a rubric a rubric a rubric a r…", ("a rubric " * 20).strip()),
        ("更短的回答更好", "更短的回答更好", "更短的回答更好"),
        ("be brief \udcff", "be brief \ufffd", "be brief \ufffd"),
        ("x y" * 5000, "x yx yx yx yx yx yx yx yx yx yx yx yx y…", "x y" * 5000),
    ],
)
def test_criteria_can_be_the_text_itself(spec: str, name: str, text: str):
    criteria = find_criteria(spec)
    assert (criteria.name, criteria.text) == (name, text)


def test_criteria_can_be_a_file_with_or_without_a_head(tmp_path: Path):
    plain, headed = tmp_path / "plain.md", tmp_path / "headed.md"
    plain.write_text("\nBe brief.\n")
    headed.write_text('+++\ntitle = "T"\nsource = "S"\n+++\nBe brief.\n')
    assert find_criteria(f"@{plain}").text == find_criteria(f"@{headed}").text == "Be brief."
    assert (find_criteria(f"@{headed}").title, find_criteria(f"@{headed}").source) == ("T", "S")
    assert find_criteria(f"@{plain}").name == "plain"


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("helpfull", 'no criteria "helpfull". Did you mean "helpful"?'),
        ("zzz", 'no criteria "zzz". Ours are helpful, clinical,'),
        ("", 'no criteria "". Ours'),
        ("rubrics/of/mine/and/a/very/long/path/to/it.yaml", 'no criteria "rubrics'),
        ("x" * 50 + ".md", 'no criteria "xxx'),
        ("@nowhere.md", "nowhere.md: No such file or directory"),
        ("@", ": .* Check the path."),
    ],
)
def test_criteria_that_are_nowhere_are_refused(spec: str, text: str):
    with pytest.raises(TemplateError, match=text.replace("?", r"\?")):
        find_criteria(spec)


@pytest.mark.parametrize(
    ("content", "line", "text"),
    [
        ("", 1, "no criteria in this file"),
        ('+++\ntitle = "x"\n+++\n\n', 4, "no criteria in this file"),
        ('+++\ntitel = "x"\n+++\nx', 2, 'unknown key "titel". Did you mean "title"?'),
        ("+++\nx", 1, "no end"),
    ],
)
def test_a_broken_criteria_file_is_refused_with_the_line(tmp_path: Path, content: str, line: int, text: str):
    file = tmp_path / "c.md"
    file.write_text(content)
    with pytest.raises(TemplateError) as refused:
        find_criteria(f"@{file}")
    assert (refused.value.path, refused.value.line) == (str(file), line)
    assert text in str(refused.value)


def test_a_file_given_without_the_at_sign_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in ("rubric", "my own rubric.md"):
        Path(name).write_text("Be brief.")
        with pytest.raises(TemplateError, match=f'For a file, write "@{name}"'):
            find_criteria(name)


SHOT = {"prompt": "1 + 1?", "response_a": "2", "response_b": "3", "winner": "a"}


def shots(tmp_path: Path, *lines: str | bytes) -> str:
    file = tmp_path / "shots.jsonl"
    file.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines))
    return str(file)


def test_examples_are_read_with_all_their_fields(tmp_path: Path):
    turns = [{"role": "user", "content": "Hi"}]
    full = {**SHOT, "prompt": turns, "reasoning": "r", "system": "s", "reference": "ref", "ticket": 7}
    bom = b"\xef\xbb\xbf" + json.dumps(SHOT).encode()
    one, two = read_examples(shots(tmp_path, bom, "", " \r", json.dumps(full), ""))
    assert (one.winner, one.reasoning, one.pair.prompt, one.pair.line) == ("a", "", "1 + 1?", 1)
    assert two.pair.prompt == (Message("user", "Hi"),)
    assert (two.reasoning, two.pair.system, two.pair.reference, two.pair.meta) == ("r", "s", "ref", {"ticket": 7})
    assert (two.pair.file, two.pair.line) == (str(tmp_path / "shots.jsonl"), 4)


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        ("{", "JSON"),
        (b"\xff", "UTF-8"),
        ("[1]", "no JSON object"),
        ({**SHOT, "winner": "c"}, "\"winner\" is 'c'. It is"),
        ({**SHOT, "winner": ["a"]}, '"winner" is'),
        ({key: SHOT[key] for key in SHOT if key != "winner"}, 'no "winner"'),
        ({**SHOT, "prompt": None}, 'no "prompt"'),
        ({**SHOT, "response_b": 3}, '"response_b" is no text'),
        ({**SHOT, "response_b": []}, '"response_b" is no text'),
        ({**SHOT, "response_b": ["x"]}, '"response_b" is no text'),
        ({**SHOT, "response_b": [{"role": "user"}]}, '"response_b" is no text'),
        ({**SHOT, "reasoning": 1}, '"reasoning" is no text'),
    ],
    ids=str,
)
def test_an_example_that_cant_be_used_is_refused_with_the_line(tmp_path: Path, bad: object, text: str):
    line = bad if isinstance(bad, str | bytes) else json.dumps(bad)
    with pytest.raises(TemplateError) as refused:
        read_examples(shots(tmp_path, json.dumps(SHOT), line))
    assert refused.value.line == 2
    assert text in str(refused.value)


def test_a_file_without_examples_or_no_file_is_refused(tmp_path: Path):
    with pytest.raises(TemplateError, match="no example in this file"):
        read_examples(shots(tmp_path, "", ""))
    with pytest.raises(TemplateError, match="No such file"):
        read_examples(str(tmp_path / "nowhere.jsonl"))


def test_the_installed_package_is_looked_into_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "prompts" / "criteria").mkdir(parents=True)
    (tmp_path / "prompts" / "only.md").write_text(MINE)
    monkeypatch.setattr("importlib.resources.files", lambda _package: tmp_path)
    prompt_library._prompts.cache_clear()
    try:
        assert names() == ("only",)
        assert find_template("only").format.kind == "letter"
    finally:
        prompt_library._prompts.cache_clear()


# The commands


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=True)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_list_names_everything_with_its_title():
    code, out, _ = run("list")
    assert code == 0
    assert all(f"  {name} " in out for name in (*names(), *criteria_names()))
    assert "Reasoning, then a verdict, as JSON" in out


@pytest.mark.parametrize("name", OURS)
def test_show_prints_the_messages_in_both_orders(name: str):
    code, out, _ = run("show", name)
    assert code == 0
    assert [line for line in out.split("\n") if line.startswith(("=====", "-----"))] == [
        "===== order ab =====",
        "----- system -----",
        "----- user -----",
        "===== order ba =====",
        "----- system -----",
        "----- user -----",
    ]
    assert "<<<CONVERSATION " in out


def test_show_takes_criteria_examples_a_seed_and_a_template_of_ones_own(tmp_path: Path):
    mine = tmp_path / "mine.md"
    mine.write_text(MINE)
    options = ("--criteria", "Be brief, please.", "--examples", shots(tmp_path, json.dumps(SHOT)))
    code, out, _ = run("show", str(mine), *options)
    assert code == 0
    assert "Be brief, please." in out
    assert "----- assistant -----\n\nA\n" in out
    assert run("show", str(mine), *options, "--seed", "1")[1] != out


def test_show_takes_the_first_pair_of_a_file(tmp_path: Path):
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"prompt": "p1", "response_a": "a1", "response_b": "b1"}\n{"prompt": "p2"}\n')
    assert "\np1\n" in run("show", "tags", "--pair", str(pairs))[1]
    pairs.write_text('{"prompt": "p2"}\n')
    with pytest.raises(InputError, match="line 1"):
        run("show", "tags", "--pair", str(pairs))
    pairs.write_text("")
    with pytest.raises(InputError, match="no pairs"):
        run("show", "tags", "--pair", str(pairs))


def test_check_says_where_the_error_is_and_exits_with_2(tmp_path: Path):
    mine = tmp_path / "mine.md"
    mine.write_text(MINE + "{{ verdict }}\n")
    code, out, _ = run("check", str(mine))
    assert code == 2
    assert out.startswith(f'{mine}:8: error: undefined variable "verdict".')


def test_check_warns_and_exits_with_0(tmp_path: Path):
    mine = tmp_path / "mine.md"
    mine.write_text(MINE.replace("letter", "tags") + "Say A or B, your answer, then explain it.\n")
    code, out, _ = run("check", str(mine))
    assert code == 0
    assert f"{mine}:8: warning: the verdict is asked for before the reasoning." in out
    assert all(": warning: " in line for line in out.splitlines())


def test_check_has_nothing_to_say_about_ours():
    code, out, err = run("check", "pairwise")
    assert (code, out) == (0, "")
    assert "nothing to complain about" in err


def test_check_of_nothing_is_an_error():
    with pytest.raises(TemplateError, match="no template"):
        run("check", "nowhere.md")


@pytest.mark.parametrize("command", ["list", "show", "check"])
def test_the_help_of_each_command_has_two_examples(command: str):
    out = run(command, "--help")[1]
    examples = out.partition("Examples:\n")[2].partition("\n\n")[0]
    assert len(examples.splitlines()) == 2
    assert all(line.strip().startswith(f"aifeedback prompts {command}") for line in examples.splitlines())


def test_the_help_imports_no_template_engine():
    import subprocess

    code = (
        "import sys; from aifeedback.cli.prompts import app; import aifeedback.templates\n"
        "print('jinja2' in sys.modules, 'aifeedback.store' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
