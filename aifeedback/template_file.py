"""A template file, parsed and compiled: what it asks for, and the parts that become messages."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from aifeedback.errors import TemplateError
from aifeedback.fences import Shown, fence, fit_for_a_fence, neutralise
from aifeedback.front_matter import near, read_source, verdict_format
from aifeedback.records import VerdictFormat

if TYPE_CHECKING:
    import jinja2
    from jinja2.runtime import Context
    from jinja2.sandbox import SandboxedEnvironment

    from aifeedback.front_matter import Source

FIXED = ("criteria", "fences", "examples")
"""What a template may print that is the same for all pairs of a run."""
OF_THE_PAIR = ("prompt", "first", "second", "reference", "system", "meta")
"""What a template may print that differs from pair to pair."""
_ROLES = {"<!-- system -->": "system", "<!-- user -->": "user"}
_ELSEWHERE = {
    **dict.fromkeys(("response_a", "a", "answer_a", "output_1", "chosen", "response_1"), "first"),
    **dict.fromkeys(("response_b", "b", "answer_b", "output_2", "rejected", "response_2"), "second"),
    **dict.fromkeys(("question", "instruction", "input", "conversation"), "prompt"),
    **dict.fromkeys(("rubric", "criterion", "guidelines"), "criteria"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """One message of a template: its role, its source, which starts on `line` of the file, and the names it uses."""

    role: str
    text: str
    line: int
    names: frozenset[str]
    compiled: jinja2.Template

    @property
    def fixed(self) -> bool:
        """Whether it is the same for all pairs of a run."""
        return self.names.isdisjoint(OF_THE_PAIR)


@dataclass(frozen=True, slots=True)
class Template:
    """A template, parsed and compiled. `digest` is the start of its source's SHA-256; `reply` how a reply looks."""

    name: str
    digest: str
    title: str
    format: VerdictFormat
    parts: tuple[Part, ...]
    reply: str = ""
    path: str = ""

    @property
    def label(self) -> str:
        """Name and digest, as labels carry it: `pairwise@9f31c2`."""
        return f"{self.name}@{self.digest}"


def parse_template(source: str, name: str, path: str = "") -> Template:
    """The template in `source`. Raises TemplateError with `path` and the line of the first thing that is wrong."""
    file = read_source(source, path or name, head_needed=True)
    format_ = verdict_format(file)
    parts = tuple(_compiled(file, *part) for part in _split(file))
    used = frozenset[str]().union(*(part.names for part in parts))
    reply = file.text_value("reply", "{answer}")
    if "{answer}" not in reply:
        raise file.error('"reply" lacks {answer}. Write it where the answer stands in a reply.', file.line_of("reply"))
    for variable in ("first", "second"):
        if variable not in used:
            message = f"the response shown {variable} never appears. Write {{{{ {variable} }}}} where it belongs."
            raise file.error(message, parts[-1].line)
    _try(parts, file.path)
    return Template(
        name=name,
        digest=digest_of(file.text),
        title=file.text_value("title", ""),
        format=format_,
        parts=parts,
        reply=file.text_value("reply", ""),
        path=file.path,
    )


def _try(parts: tuple[Part, ...], path: str) -> None:
    """Renders the parts with and without what a pair may lack, so that mistakes show before a run."""
    for extra in ("text", ""):
        texts = ("prompt", "first", "second", "reference", "system")
        shown = {name: Shown("TEXT", extra or "text" * (name in texts[:3]), "0" * 12) for name in texts}
        for part in parts:
            if "meta" not in part.names:  # which fields a row has is not known here
                rendered(part, {**shown, "criteria": "text", "fences": "text", "examples": 0, "code": "0" * 12}, path)


def rendered(part: Part, variables: Mapping[str, object], path: str, row: str = "the row") -> str:
    """A part with the values put in, each once. `row` names the pair. Raises TemplateError where that goes wrong."""
    try:
        return part.compiled.render(variables).strip("\n")
    except _faults() as error:
        line = part.line + _line_in_template(error) - 1
        raise TemplateError(_complaint(error, row), path=path, line=line) from error


@cache
def _faults() -> tuple[type[Exception], ...]:
    """What a template can raise while it is rendered: its author's mistakes, none of them ours."""
    from jinja2 import TemplateError as JinjaError

    return (JinjaError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)


def _complaint(error: Exception, row: str) -> str:
    missing = re.fullmatch(r"'dict object' has no attribute '(.*)'", str(error))
    if missing:
        name = missing[1]
        return f'{row} has no field "{name}". Add it, or write {{{{ meta.{name} | default("") | fence("NAME") }}}}.'
    return f"{str(error).rstrip('.')}. Correct the expression on this line."


def _line_in_template(error: Exception) -> int:
    """The line of the part (from 1) in which rendering stopped: Jinja puts it into the traceback."""
    line, frame = 1, error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == "<template>":
            line = frame.tb_lineno
        frame = frame.tb_next
    return line


@cache
def environment() -> SandboxedEnvironment:
    """Jinja's sandbox: strict about undefined variables, without loader, clock or chance."""
    from jinja2 import StrictUndefined, pass_context
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    found = ImmutableSandboxedEnvironment(
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Chance would make two runs ask different questions.
    del found.globals["lipsum"], found.filters["random"]
    found.filters["fence"] = pass_context(_fence_filter)
    return found


def _fence_filter(context: Context, value: object, name: str) -> str:
    """`{{ meta.ticket | fence("TICKET") }}`: a value between two lines that its author can't write."""
    from jinja2 import Undefined

    code: str = context["code"]
    name = fit_for_a_fence(name)
    if isinstance(value, Shown):
        return fence(name, value.text, code)
    if isinstance(value, str | Undefined):  # printing an undefined value raises what it should
        return fence(name, neutralise(str(value)), code)
    import json

    return fence(name, neutralise(json.dumps(value, ensure_ascii=False, default=str)), code)


def _split(file: Source) -> list[tuple[str, str, int]]:
    """The parts of a body as role, text and first line; without any marker all of it is the user's message."""
    found: list[tuple[str, list[str], int]] = []
    for number, line in enumerate(file.body.split("\n"), file.body_line):
        mark = line.strip()
        if mark in _ROLES:
            found.append((_ROLES[mark], [], number + 1))
            continue
        if mark.lower().replace(" ", "") in {"<!--system-->", "<!--user-->", "<!--assistant-->"}:
            raise file.error(f"{mark} starts no part. Write <!-- system --> or <!-- user -->, alone on a line.", number)
        if not found and mark:
            found.append(("", [], number))
        if found:
            found[-1][1].append(line)
    roles = [role for role, _, _ in found]
    if roles == [""]:
        roles = ["user"]
    if roles not in (["user"], ["system", "user"]):
        parts = ", ".join(role or "text" for role in roles) or "none"
        message = "the body is one <!-- user --> part, or a <!-- system --> part before it, with no text above them."
        raise file.error(f"{message} Parts found: {parts}.", file.body_line)
    return [(role, "\n".join(lines), line) for role, (_, lines, line) in zip(roles, found, strict=True)]


def _compiled(file: Source, role: str, text: str, line: int) -> Part:
    from jinja2 import TemplateSyntaxError, meta, nodes

    body = text.lstrip("\n")
    line += len(text) - len(body)
    body = body.rstrip()
    jinja = environment()
    try:
        tree = jinja.parse(body)
        compiled = jinja.from_string(body)
        # Jinja chains its globals, and copies that chain, slowly, for each rendering: a plain dict is the same.
        compiled.globals = dict(compiled.globals)
    except TemplateSyntaxError as error:
        message = f"{(error.message or 'syntax').rstrip('.')}. See the syntax of Jinja templates."
        raise file.error(message, line + error.lineno - 1) from None
    except (RecursionError, SyntaxError, ValueError) as error:  # nested too deep, or a number without end
        raise file.error(f"Jinja can't compile this part: {error}. Write it more simply.", line) from None
    if any(True for _ in meta.find_referenced_templates(tree)):
        raise file.error("a template is one file: include, import and extends don't work here. Copy the text.", line)
    names = meta.find_undeclared_variables(tree) - jinja.globals.keys()
    for node in tree.find_all(nodes.Name):
        if node.name in names and node.name not in (*FIXED, *OF_THE_PAIR):
            raise file.error(_unknown(node.name), line + node.lineno - 1)
    return Part(role, body, line, frozenset(names), compiled)


def _unknown(name: str) -> str:
    known = (*FIXED, *OF_THE_PAIR)
    hint = f' Did you mean "{_ELSEWHERE[name]}"?' if name in _ELSEWHERE else near(name, known)
    return f'undefined variable "{name}".{hint} Known are {", ".join(known)}; a field of the row is meta.{name}.'


def digest_of(text: str) -> str:
    """The first six hexadecimal digits of a text's SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]
