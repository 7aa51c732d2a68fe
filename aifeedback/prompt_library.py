"""Finds and reads templates, criteria and examples: ours by name, the user's by path."""

from __future__ import annotations

import codecs
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from aifeedback.errors import TemplateError
from aifeedback.front_matter import criteria_head, near, read_source
from aifeedback.jsontext import loads, scrub
from aifeedback.records import Content, Message, Pair
from aifeedback.templates import Criteria, Example, Template, parse_template

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

_LONGEST_NAME = 40
_WINNERS = ("a", "b", "tie")
_FIELDS = {"prompt", "response_a", "response_b", "system", "reference", "winner", "reasoning"}


def names() -> tuple[str, ...]:
    """The templates that come with us, by name, the default first."""
    found = _names_in(_prompts())
    return tuple(sorted(found, key=lambda name: (name != "pairwise", name)))


def criteria_names() -> tuple[str, ...]:
    """The criteria that come with us, by name, the default first."""
    found = _names_in(_prompts().joinpath("criteria"))
    return tuple(sorted(found, key=lambda name: (name != "helpful", name)))


def find_template(name_or_path: str) -> Template:
    """One of our templates by its name, or the user's by its path. Raises TemplateError where there is none."""
    if name_or_path in names():
        file = _prompts().joinpath(f"{name_or_path}.md")
        return parse_template(file.read_text("utf-8"), name_or_path, str(file))
    path = Path(name_or_path)
    if not _is_file(path):
        hint = near(name_or_path, names())
        message = f'no template "{name_or_path}".{hint} Ours are {", ".join(names())}; or give the path of your own.'
        raise TemplateError(message)
    return parse_template(_read(path), path.stem, name_or_path)


def find_criteria(spec: str) -> Criteria:
    """Criteria from the name of ours, from `@FILE`, or from the text itself.

    A single short word that names none of ours is a slip of the pen and no criterion: raises TemplateError.
    """
    text = spec.strip()
    if text in criteria_names():
        file = _prompts().joinpath("criteria", f"{text}.md")
        return _criteria(file.read_text("utf-8"), text, str(file))
    if text.startswith("@"):
        path = Path(text[1:])
        return _criteria(_read(path), path.stem, str(path))
    if not _is_a_name(text):
        text = scrub(text)
        title = " ".join(text.split())
        return Criteria(title if len(title) <= _LONGEST_NAME else f"{title[: _LONGEST_NAME - 1].rstrip()}…", text)
    hint = f' For a file, write "@{text}".' if _is_file(Path(text)) else near(text, criteria_names())
    ours = ", ".join(criteria_names())
    raise TemplateError(f'no criteria "{text}".{hint} Ours are {ours}; or give @FILE, or a sentence in quotes.')


def _is_a_name(text: str) -> bool:
    """Whether a text is so short, or so much like a path, that nobody means it as criteria."""
    if _is_file(Path(text)):
        return True
    if len(text.split()) > 1:
        return False
    return "/" in text or text.endswith((".md", ".txt")) or (text.isascii() and len(text) <= _LONGEST_NAME)


def read_examples(path: str) -> tuple[Example, ...]:
    """The few-shot examples of a JSON Lines file. Raises TemplateError with the line of the first that can't be used.

    Each line: `prompt`, `response_a`, `response_b`, `winner` (a, b or tie) and, if wanted, `reasoning`, `system`,
    `reference`; all else counts as `meta`.
    """
    try:
        with Path(path).open("rb") as file:
            lines = file.readlines()
    except OSError as error:
        raise _unreadable(path, error) from None
    found = tuple(_example(line, path, number) for number, line in enumerate(lines, 1) if line.strip())
    if not found:
        raise TemplateError(
            "no example in this file. Leave --examples out, or write one JSON object a line.", path=path
        )
    return found


def _example(line: bytes, path: str, number: int) -> Example:
    try:
        return _example_of(loads(line.removeprefix(codecs.BOM_UTF8))[0], path, number)
    except (ValueError, TypeError) as error:
        raise TemplateError(str(error), path=path, line=number) from None


def _example_of(row: object, path: str, line: int) -> Example:
    """Raises ValueError or TypeError with what is wrong."""
    if not isinstance(row, dict):
        raise TypeError("no JSON object. Each line is one.")
    prompt, a, b = (_content(row, field) for field in ("prompt", "response_a", "response_b"))
    system, reference, reasoning = (_text(row, field) for field in ("system", "reference", "reasoning"))
    winner = row.get("winner")
    if winner not in _WINNERS:
        raise ValueError(f'"winner" is {winner!r}. It is "a", "b" or "tie".' if "winner" in row else _lacking("winner"))
    meta: Mapping[str, object] = {key: value for key, value in row.items() if key not in _FIELDS}
    pair = Pair("", prompt, a, b, system=system, reference=reference, meta=meta, file=path, line=line)
    return Example(pair, winner, reasoning)


def _content(row: Mapping[str, object], field: str) -> Content:
    value = row.get(field)
    if isinstance(value, str):
        return value
    if value is None:
        raise ValueError(_lacking(field))
    turns = value if isinstance(value, list) else [value]
    found = [_turn(turn) for turn in turns]
    if not found or None in found:
        raise TypeError(f'"{field}" is no text. It is a string, or a list of objects with "role" and "content".')
    return tuple(turn for turn in found if turn is not None)


def _turn(turn: object) -> Message | None:
    if not isinstance(turn, dict):
        return None
    role, content = turn.get("role"), turn.get("content")
    return Message(role, content) if isinstance(role, str) and isinstance(content, str) else None


def _text(row: Mapping[str, object], field: str) -> str:
    value = row.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f'"{field}" is no text. Put it in quotes.')
    return value


def _lacking(field: str) -> str:
    return f'no "{field}". An example needs prompt, response_a, response_b and winner.'


def _criteria(text: str, name: str, path: str) -> Criteria:
    file = read_source(text, path, head_needed=False)
    title, source = criteria_head(file)
    body = file.body.strip()
    if not body:
        raise file.error("no criteria in this file. Say below the head what makes a response better.", file.body_line)
    return Criteria(name, body, title, source)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a text too long, or with characters that no path has
        return False


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise TemplateError(f"byte {error.start} is not UTF-8. Save the file as UTF-8.", path=str(path)) from None
    except OSError as error:
        raise _unreadable(str(path), error) from None


def _unreadable(path: str, error: OSError) -> TemplateError:
    return TemplateError(f"{error.strerror or error}. Check the path.", path=path)


def _names_in(folder: Traversable) -> list[str]:
    return [file.name.removesuffix(".md") for file in folder.iterdir() if file.name.endswith(".md")]


@cache
def _prompts() -> Traversable:
    """Our prompts: inside the installed package, or beside it in a checkout."""
    from importlib.resources import files

    package = files("aifeedback")
    installed = package.joinpath("prompts")
    return installed if installed.is_dir() else Path(__file__).parents[1] / "prompts"
