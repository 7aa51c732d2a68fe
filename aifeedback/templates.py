"""Template + criteria + examples + pair + order -> Question: prepared once for a run, then filled in for each pair."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aifeedback.errors import TemplateError
from aifeedback.fences import FENCES, Shown, code_for, inert, inert_value, neutralise
from aifeedback.jsontext import scrub
from aifeedback.records import Content, Message, Order, Pair, Place, Question, Reply, Winner
from aifeedback.template_file import Part, Template, digest_of, parse_template, rendered
from aifeedback.template_lint import Remark, lint_template
from aifeedback.verdicts import read_verdict, write_answer

__all__ = ["Criteria", "Example", "Remark", "Renderer", "Template", "lint_template", "parse_template"]

_SLOT = re.compile(r"\{(answer|reasoning)\}")


@dataclass(frozen=True, slots=True)
class Criteria:
    """What makes one response better, as text for the critic. `source` cites what inspired it."""

    name: str
    text: str
    title: str = ""
    source: str = ""

    @property
    def digest(self) -> str:
        """The start of the text's SHA-256."""
        return digest_of(self.text)


@dataclass(frozen=True, slots=True)
class Example:
    """A pair with the verdict that it ought to get, shown to the critic before the pair it judges."""

    pair: Pair
    winner: Winner
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class _Material:
    """What a pair shows to the critic: its texts inert, behind one code, the responses not yet in any order."""

    a: Content
    b: Content
    code: str
    shared: dict[str, object]

    def shown_in(self, order: Order) -> dict[str, object]:
        """The values of a template's variables."""
        first, second = (self.a, self.b) if order is Order.AB else (self.b, self.a)
        return {
            **self.shared,
            "first": Shown("RESPONSE A", first, self.code),
            "second": Shown("RESPONSE B", second, self.code),
        }


class Renderer:
    """A template with its criteria and examples: `questions` fills in one pair after the other.

    Everything that does not depend on the pair is rendered here, once, so all pairs of a run begin with the same
    messages and a provider's prompt cache serves them. Raises TemplateError where an example does not fit.
    """

    def __init__(
        self, template: Template, criteria: Criteria, examples: Sequence[Example] = (), *, seed: int = 0
    ) -> None:
        self._template = template
        self._seed = seed
        self._uses_meta = any("meta" in part.names for part in template.parts)
        self._fixed = {"criteria": scrub(criteria.text), "fences": FENCES, "examples": len(examples)}
        self._user = template.parts[-1]
        system = template.parts[0] if len(template.parts) > 1 else None
        self._head: tuple[Message, ...] = ()
        self._system: Part | None = None
        if system and system.fixed:
            self._head = (Message("system", rendered(system, self._fixed, template.path)),)
        elif system:
            self._system = system
        self._shots = self._turns(examples)
        self._fixed_messages = 0 if self._system else len(self._head) + len(self._shots)

    def questions(self, pair: Pair, orders: Sequence[Order], samples: int = 1) -> list[Question]:
        """The pair's questions, `samples` for each order, which share their messages.

        Raises TemplateError where the template needs a field of `meta` that the pair lacks.
        """
        material = self._material(pair)
        found: list[Question] = []
        for order in orders:
            variables = material.shown_in(order)
            head = (self._message(self._system, variables, pair),) if self._system else self._head
            messages = (*head, *self._shots, self._message(self._user, variables, pair))
            found += [
                Question(messages, self._template.format, pair, order, sample, fixed=self._fixed_messages)
                for sample in range(samples)
            ]
        return found

    def _message(self, part: Part, variables: Mapping[str, object], pair: Pair) -> Message:
        row = f"{pair.file}, line {pair.line}" if pair.file else f"the pair {pair.id}"
        return Message(part.role, rendered(part, variables, self._template.path, row))

    def _material(self, pair: Pair) -> _Material:
        prompt = inert(pair.prompt, alone="user")
        a, b = inert(pair.response_a, alone="assistant"), inert(pair.response_b, alone="assistant")
        system, reference = neutralise(pair.system), neutralise(pair.reference)
        meta = inert_value(dict(pair.meta)) if self._uses_meta else {}
        code = code_for(self._seed, prompt, (a, b), (system, reference, str(meta)))
        shared: dict[str, object] = {
            **self._fixed,
            "prompt": Shown("PROMPT" if isinstance(prompt, str) else "CONVERSATION", prompt, code),
            "system": Shown("SYSTEM PROMPT", system, code),
            "reference": Shown("REFERENCE ANSWER", reference, code),
            "meta": meta,
            "code": code,
        }
        return _Material(a, b, code, shared)

    def _turns(self, examples: Sequence[Example]) -> tuple[Message, ...]:
        """Each example as the question that would be asked and the answer that is wanted.

        The first is shown a first, the next b first, and so on, so that they teach no position.
        """
        template = self._template
        turns: list[Message] = []
        for index, example in enumerate(examples):
            order = Order.BA if index % 2 else Order.AB
            pair = example.pair
            try:
                answer = _written(template, _place(example.winner, order), scrub(example.reasoning))
            except ValueError as error:
                message = f"{template.name} can't show this example: {error}"
                raise TemplateError(message, path=pair.file, line=pair.line) from None
            variables = self._material(pair).shown_in(order)
            turns += [self._message(self._user, variables, pair), Message("assistant", answer)]
        return tuple(turns)


def _place(winner: Winner, order: Order) -> Place:
    if winner == "tie":
        return "tie"
    return "first" if (winner == "a") == (order is Order.AB) else "second"


def _written(template: Template, place: Place, reasoning: str) -> str:
    """A reply that says `place`, in the template's own form. Raises ValueError where it has none for it."""
    form = template.format
    if not template.reply:
        return write_answer(form, place, reasoning)
    try:
        answer = form.answer(place)
    except KeyError:
        raise ValueError(f"No answer that was offered says {place!r}.") from None
    text = _SLOT.sub(lambda slot: answer if slot[1] == "answer" else reasoning, template.reply).strip()
    if read_verdict(Reply(text), form).p_first != form.answers[answer]:
        raise ValueError(f"{text!r} is not read as {answer!r}. Change the pattern, or reply, in the template's head.")
    return text
