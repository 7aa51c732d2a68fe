"""The head of a template or criteria file: TOML between `+++` lines, and the verdict it describes."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from aifeedback.errors import TemplateError
from aifeedback.records import PFirst, VerdictFormat

Kind = Literal["json", "letter", "tags", "claim", "pattern"]
Which = Literal["last", "first", "agreeing"]
_MEANINGS = {"first": 1.0, "tie": 0.5, "second": 0.0}
_ONLY_WITH = {"reasoning": "json", "answer": "json", "pattern": "pattern", "reply": "pattern"}
_KEYS = ("title", "verdict", "answers", "which", "soft", *_ONLY_WITH)
_CRITERIA_KEYS = ("title", "source")


@dataclass(frozen=True, slots=True)
class Source:
    """A file split in two: the TOML head, parsed, and the body, which begins on line `body_line` (from 1)."""

    path: str
    text: str
    head: Mapping[str, object]
    body: str
    body_line: int

    def error(self, message: str, line: int = 0) -> TemplateError:
        """A complaint about this file."""
        return TemplateError(message, path=self.path, line=line)

    def line_of(self, key: str) -> int:
        """The line of the head on which `key` is set; 1 where it is not."""
        wanted = re.compile(rf"\s*\[?\s*['\"]?{re.escape(key)}['\"]?\s*[\]=.]")
        lines = self.text.split("\n")[: self.body_line - 1]
        return next((number for number, line in enumerate(lines, 1) if wanted.match(line)), 1)

    def text_value(self, key: str, default: str) -> str:
        """The text that `key` is set to. Raises TemplateError where it is no text."""
        value = self.head.get(key, default)
        if not isinstance(value, str):
            raise self.error(f'"{key}" must be a text in quotes, not {value!r}.', self.line_of(key))
        return value

    def switch(self, key: str, *, default: bool) -> bool:
        """Whether `key` is on. Raises TemplateError where it is neither true nor false."""
        value = self.head.get(key, default)
        if not isinstance(value, bool):
            raise self.error(f'"{key}" must be true or false, not {value!r}.', self.line_of(key))
        return value

    def refuse_unknown(self, keys: Iterable[str]) -> None:
        """Raises TemplateError for the first key that is none of `keys`, with the nearest of them."""
        for key in self.head:
            if key not in keys:
                raise self.error(
                    f'unknown key "{key}".{near(key, keys)} Known are {", ".join(keys)}.', self.line_of(key)
                )


def read_source(text: str, path: str, *, head_needed: bool) -> Source:
    """A file's text as a Source. Raises TemplateError where the head is missing, not closed or no TOML."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    if lines[0].rstrip() != "+++":
        if head_needed:
            message = 'a template starts with a line "+++". Put title, verdict and [answers] between two such lines.'
            raise TemplateError(message, path=path, line=1)
        return Source(path, text, {}, text, 1)
    end = next((number for number, line in enumerate(lines[1:], 1) if line.rstrip() == "+++"), 0)
    if not end:
        raise TemplateError('the head has no end. Close it with a second line "+++".', path=path, line=1)
    try:
        head = tomllib.loads("\n".join(lines[1:end]))
    except tomllib.TOMLDecodeError as error:
        what, _, place = str(error).partition(" (at ")
        at = re.match(r"line (\d+)", place)
        raise TemplateError(f"{what}. The head is TOML.", path=path, line=int(at[1]) + 1 if at else end) from None
    return Source(path, text, head, "\n".join(lines[end + 1 :]), end + 2)


def criteria_head(source: Source) -> tuple[str, str]:
    """Title and source of a criteria file, each of which may be missing."""
    source.refuse_unknown(_CRITERIA_KEYS)
    return source.text_value("title", ""), source.text_value("source", "")


def verdict_format(source: Source) -> VerdictFormat:
    """What the head says about the verdict. Raises TemplateError with the line of the first thing that is wrong."""
    source.refuse_unknown(_KEYS)
    kind = _one_of(source, "verdict", get_args(Kind), "")
    for key, needed in _ONLY_WITH.items():
        if key in source.head and kind != needed:
            raise source.error(f'"{key}" goes with verdict = "{needed}" only. Remove it.', source.line_of(key))
    reasoning, answer = source.text_value("reasoning", "analysis"), source.text_value("answer", "verdict")
    if not reasoning or not answer or reasoning == answer:
        message = '"reasoning" and "answer" name two fields of the JSON answer. Give them two names.'
        raise source.error(message, source.line_of("answer"))
    return VerdictFormat(
        kind=cast("Kind", kind),
        which=cast("Which", _one_of(source, "which", get_args(Which), "last")),
        reasoning_field=reasoning,
        answer_field=answer,
        pattern=_pattern(source) if kind == "pattern" else "",
        soft=source.switch("soft", default=True),
        answers=_answers(source),
    )


def near(word: str, known: Iterable[str]) -> str:
    """` Did you mean "…"?` where one of the known words is close, else nothing."""
    from difflib import get_close_matches

    found = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{found[0]}"?' if found else ""


def _one_of(source: Source, key: str, choices: tuple[str, ...], default: str) -> str:
    value = source.text_value(key, default)
    if value not in choices:
        said = f'"{key}" is "{value}"' if key in source.head else f'"{key}" is missing'
        raise source.error(f"{said}.{near(value, choices)} It is one of {', '.join(choices)}.", source.line_of(key))
    return value


def _answers(source: Source) -> dict[str, PFirst]:
    table = source.head.get("answers")
    if not isinstance(table, dict) or not table:
        message = 'no answers are offered. Add a table [answers] with lines such as A = "first".'
        raise source.error(message, source.line_of("answers"))
    answers = {answer: _p_first(source, answer, meaning) for answer, meaning in table.items()}
    for side, found in (("first", max(answers.values()) > 0.5), ("second", min(answers.values()) < 0.5)):
        if not found:
            message = f'no answer says that the {side} response is better. Add one that means "{side}" to [answers].'
            raise source.error(message, source.line_of("answers"))
    return answers


def _p_first(source: Source, answer: str, meaning: object) -> PFirst:
    if not answer.strip() or answer != answer.strip():
        message = f"the answer {answer!r} is blank or has spaces around it. Spell it as the critic writes it."
        raise source.error(message, source.line_of(answer))
    if isinstance(meaning, str) and meaning in _MEANINGS:
        return PFirst(_MEANINGS[meaning])
    if isinstance(meaning, int | float) and not isinstance(meaning, bool) and 0 <= meaning <= 1:
        return PFirst(float(meaning))
    message = f'answer "{answer}" means {meaning!r}. It is "first", "second", "tie" or a number from 0 to 1.'
    raise source.error(message, source.line_of(answer))


def _pattern(source: Source) -> str:
    pattern = source.text_value("pattern", "")
    if not pattern:
        message = "verdict = \"pattern\" needs a regular expression. Add pattern = 'Verdict: (\\w+)'."
        raise source.error(message, source.line_of("verdict"))
    try:
        re.compile(pattern)
    except re.error as error:
        message = f'"pattern" is no regular expression: {error}. In TOML, write it between single quotes.'
        raise source.error(message, source.line_of("pattern")) from None
    return pattern
