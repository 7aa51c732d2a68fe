"""What becomes of rows as tokens: how long they are, what is cut or left out, and what TRL does without a word."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from aifeedback.errors import SettingsError
from aifeedback.records import Content
from aifeedback.training.examples import Example, PreferencePair
from aifeedback.training.findings import Findings
from aifeedback.training.settings import Kind
from aifeedback.training.tokens import Refused, Tokens

Keep = Literal["kept", "error", "too_long"]
"""`too_long`: the prompt alone fills the length, and TRL would leave the row out without counting it."""

_STEP, _COVERED, _MANY = 64, 0.99, 100
_MOST_UNASKED, _MODEST = 4096, 1024
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class TokenRow:
    """An example as ids. `lost`: the prompt's end, if prompt and answer together don't begin with all of the prompt."""

    prompt: Sequence[int]
    answers: Sequence[Sequence[int]]
    lost: Sequence[int] = ()

    @property
    def whole(self) -> int:
        """The length of the prompt with its longest answer."""
        return len(self.prompt) + max(map(len, self.answers))


@dataclass(frozen=True, slots=True)
class LengthStatistics:
    """Lengths in tokens: how many there are, four percentiles (nearest rank) and the longest; all 0 where n is."""

    n: int
    p50: int
    p90: int
    p95: int
    p99: int
    max: int

    @classmethod
    def of(cls, lengths: Iterable[int]) -> LengthStatistics:
        """The statistics of `lengths`."""
        ranked = sorted(lengths)
        return cls(len(ranked), *(_percentile(ranked, share) for share in (0.5, 0.9, 0.95, 0.99, 1.0)))


def _percentile(ranked: Sequence[int], share: float) -> int:
    return ranked[math.ceil(share * len(ranked)) - 1] if ranked else 0


def answers_of(example: Example) -> tuple[Content, ...]:
    """What is learned from: the chosen and the rejected answer, or the one completion."""
    if isinstance(example, PreferencePair):
        return example.chosen, example.rejected
    return (example.completion,)


def tokenize(example: Example, tokens: Tokens) -> TokenRow:
    """The ids that TRL 1.16 makes of an example, before it cuts any.

    Prompt and answer are tokenised together, and the answer begins where that parts from the prompt alone; of a pair,
    where the first of the two does. Raises Refused, and SettingsError for text without an end token to close it.
    """
    prompt = example.prompt
    if isinstance(prompt, str):
        alone = tokens.text_ids(prompt)
        together = [tokens.text_ids(prompt + _ended(str(answer), tokens)) for answer in answers_of(example)]
    else:
        alone = tokens.chat_ids(prompt, add_generation_prompt=True)
        together = [
            tokens.chat_ids([*prompt, *answer]) for answer in answers_of(example) if not isinstance(answer, str)
        ]
    start = min(_common(alone, ids) for ids in together)
    return TokenRow(alone[:start], [ids[start:] for ids in together], alone[start:])


def _ended(answer: str, tokens: Tokens) -> str:
    if tokens.eos_token is None:
        raise SettingsError("the model's tokenizer has no end token to close an answer with. Set eos_token in it.")
    return answer if answer.endswith(tokens.eos_token) else answer + tokens.eos_token


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids both begin with."""
    for number, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return number
    return min(len(one), len(other))


def _lengths() -> array[int]:
    return array("q")


@dataclass(slots=True)
class _Measures:
    """Of each row what decides its fate at any length; -1 in `prompt` where it has no tokens at all.

    `needed`: tokens up to and with the last end token. `alike`: ids that both answers of a pair begin with, all of
    them and more where the answers are the same ids.
    """

    prompt: array[int] = field(default_factory=_lengths)
    first: array[int] = field(default_factory=_lengths)
    second: array[int] = field(default_factory=_lengths)
    needed: array[int] = field(default_factory=_lengths)
    alike: array[int] = field(default_factory=_lengths)

    def add(self, prompt: int, first: int = 0, second: int = 0, needed: int = 0, alike: int = -1) -> None:
        """Take one row in."""
        for column, value in zip(self.columns, (prompt, first, second, needed, alike), strict=True):
            column.append(value)

    @property
    def columns(self) -> tuple[array[int], ...]:
        """All of them, in order."""
        return self.prompt, self.first, self.second, self.needed, self.alike

    def of(self, column: array[int]) -> list[int]:
        """A column where the row has tokens."""
        return [value for value, prompt in zip(column, self.prompt, strict=True) if prompt >= 0]

    def whole(self) -> list[int]:
        """Prompt and longest answer together."""
        rows = zip(self.prompt, self.first, self.second, strict=True)
        return [prompt + max(first, second) for prompt, first, second in rows if prompt >= 0]


# More than any length: two answers that are the same ids are the same wherever they are cut.
_ALWAYS = 2**40


class TokenChecks:
    """Sees each example once, in order, and keeps lengths, not ids. `model_vocabulary`: rows of the embedding.

    `reasons`, once it is finished: the finding for which an example (by its number, from 0) is not kept.
    """

    def __init__(self, tokens: Tokens, kind: Kind, *, model_vocabulary: int | None = None) -> None:
        self._tokens = tokens
        self._kind = kind
        self._rows = model_vocabulary
        self._measures = _Measures()
        self._places: list[tuple[str, int]] = []
        self._noted: list[tuple[str, int, str]] = []
        self._unfit: dict[int, str] = {}
        self.reasons: dict[int, str] = {}
        self._blank: dict[int, bool] = {}
        self._ends = {*tokens.special_tokens.values(), *([] if tokens.eos_id is None else [tokens.eos_id])}
        # The longest first, so that what is told is all of a token that another one begins.
        spellings = sorted(filter(None, tokens.special_tokens), key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, spellings))) if spellings else None

    def see(self, example: Example) -> None:
        """Take one example in. Raises SettingsError where the tokenizer can't do for any row."""
        self._places.append((example.file, example.line))
        self._see_text(example)
        chat = not isinstance(example.prompt, str)
        if chat and not self._tokens.has_chat_template:
            self._give_up("no_chat_template", "")
            return
        if not chat and self._tokens.has_chat_template:
            self._note("plain_text")
        try:
            row = tokenize(example, self._tokens)
        except Refused as refused:
            self._give_up("roles", f"the chat template refuses it: {_short(str(refused), 120)}")
            return
        if not all(row.answers):
            self._give_up("empty", "the chat template leaves nothing of an answer")
            return
        trailing = [self._after_the_end(answer) for answer in row.answers]
        if chat and None in trailing:
            self._note("no_end_token")
        self._see_ids(row)
        lengths = [len(answer) for answer in row.answers]
        needed = max(length - (after or 0) for length, after in zip(lengths, trailing, strict=True))
        first, second, alike = lengths[0], 0, -1
        if len(row.answers) > 1:
            second, alike = lengths[1], _common(row.answers[0], row.answers[1])
            alike = _ALWAYS if alike == first == second else alike
        self._measures.add(len(row.prompt), first, second, len(row.prompt) + needed, alike)

    def suggest_max_length(self) -> int:
        """A length that cuts next to nothing: the next multiple of 64, at most what the model can see.

        Where nobody says what it can see, more than 4096 is asked for rather than taken.
        """
        ranked = sorted(self._measures.whole())
        wanted = _percentile(ranked, 1.0 if len(ranked) < _MANY else _COVERED)
        length = max(1, math.ceil(wanted / _STEP)) * _STEP
        if self._tokens.context is not None:
            return min(length, self._tokens.context)
        return length if length <= _MOST_UNASKED else _MODEST

    def finish(self, max_length: int, findings: Findings) -> list[Keep]:
        """What becomes of each row that was seen, and all that was found. `max_length`: where TRL cuts, in tokens."""
        for code, row, detail in self._noted:
            findings.add(code, self._place(row), detail)
        self.reasons = dict(self._unfit)
        keep = [
            self._fate(row, values, max_length, findings)
            for row, values in enumerate(zip(*self._measures.columns, strict=True))
        ]
        if keep and set(keep) == {"too_long"}:
            rows = len(set(self._places))
            findings.say("nothing_left", f"of {rows} at --max-length {max_length}", rows)
        return keep

    def statistics(self) -> Mapping[str, LengthStatistics]:
        """The lengths of all rows before any is cut: `prompt`, each answer, and `whole` (with the longer answer)."""
        measures = self._measures
        columns = {"prompt": measures.of(measures.prompt)}
        if self._kind == "dpo":
            columns |= {"chosen": measures.of(measures.first), "rejected": measures.of(measures.second)}
        else:
            columns["completion"] = measures.of(measures.first)
        return {name: LengthStatistics.of(column) for name, column in (columns | {"whole": measures.whole()}).items()}

    def _fate(self, row: int, values: Sequence[int], max_length: int, findings: Findings) -> Keep:
        prompt, _, _, needed, alike = values
        if row in self._unfit:
            return "error"
        if prompt >= max_length:
            self.reasons[row] = "prompt_too_long"
            findings.add("prompt_too_long", self._place(row), f"{prompt} tokens")
            return "too_long"
        if prompt + alike >= max_length or alike == _ALWAYS:
            self.reasons[row] = "same_after_cut"
            findings.add("same_after_cut", self._place(row))
            return "error"
        if needed > max_length:
            findings.add("completion_cut", self._place(row), f"{needed} tokens")
        return "kept"

    def _see_text(self, example: Example) -> None:
        """Look for text that the tokenizer takes for a special token. The end token may close a text, as TRL adds it."""
        if self._special is None:
            return
        eos = self._tokens.eos_token or ""
        found: dict[str, None] = {}
        for number, content in enumerate((example.prompt, *answers_of(example))):
            closed = content.removesuffix(eos) if number and isinstance(content, str) else content
            for text in [closed] if isinstance(closed, str) else [message.content for message in closed]:
                found |= dict.fromkeys(self._special.findall(text))
        if found:
            self._note("special_tokens", _short(", ".join(found), 80))

    def _see_ids(self, row: TokenRow) -> None:
        tokens = self._tokens
        if row.lost:
            self._note("not_a_prefix", repr(_short(tokens.decode(row.lost))))
        # Where the prompt is lost to its first token, the beginning is in the answer.
        start = [*row.prompt[:2], *row.answers[0][:2]][:2]
        if tokens.bos_id is not None and start == [tokens.bos_id, tokens.bos_id]:
            self._note("double_bos")
        highest = max(max(ids, default=0) for ids in (row.prompt, *row.answers))
        if self._rows is not None and highest >= self._rows:
            self._note("vocabulary", f"{tokens.decode([highest])!r} is {highest}, the model has {self._rows}")
            self._unfit[len(self._places) - 1] = "vocabulary"

    def _after_the_end(self, answer: Sequence[int]) -> int | None:
        """How many tokens of white space follow the end token; None where the answer doesn't end in one."""
        for after, token in enumerate(reversed(answer)):
            if token in self._ends:
                return after
            if token not in self._blank:
                self._blank[token] = not self._tokens.decode([token]).strip()
            if not self._blank[token]:
                return None
        return None

    def _give_up(self, code: str, detail: str) -> None:
        self._note(code, detail)
        self._unfit[len(self._places) - 1] = code
        self._measures.add(-1)

    def _note(self, code: str, detail: str = "") -> None:
        self._noted.append((code, len(self._places) - 1, detail))

    def _place(self, row: int) -> str:
        file, line = self._places[row]
        return f"{file}, line {line}"


def _short(text: str, most: int = _SHOWN) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
