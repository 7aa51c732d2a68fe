"""What can be seen wrong or doubtful in the text of all rows together."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field

from aifeedback.records import Content, text_of
from aifeedback.training.examples import Example, PreferencePair, Source, Thumb
from aifeedback.training.findings import Findings
from aifeedback.training.reading import begins_with_prompt, is_empty, may_be_repeated, said_by
from aifeedback.training.settings import Kind

_FEWEST, _LONGER_SHARE = 50, 0.6
# One answer may well take up the question; where every tenth does, it may be how the data are laid out.
_REPEATED_SHARE = 0.1
_HALF = 0.01


@dataclass(slots=True)
class TextChecks:
    """Sees each example once, in order, and keeps hashes of it, not its text. `soft`: soft labels are wanted."""

    kind: Kind
    soft: bool = False
    findings: Findings = field(default_factory=Findings)
    _seen: set[bytes] = field(default_factory=set[bytes])
    _longer: Counter[bool] = field(default_factory=Counter[bool])
    _preferences: Counter[str] = field(default_factory=Counter[str])
    _repeats: Counter[bool] = field(default_factory=Counter[bool])
    _repeating: list[str] = field(default_factory=list[str])
    _thumbs: Counter[bool] = field(default_factory=Counter[bool])
    _sources: Counter[Source] = field(default_factory=Counter[Source])

    def see(self, example: Example) -> None:
        """Take one example in."""
        place = f"{example.file}, line {example.line}"
        self._sources[example.source] += 1
        if isinstance(example, PreferencePair):
            self._see_pair(example, place)
        elif isinstance(example, Thumb):
            self._thumbs[example.up] += 1
            if not example.up and is_empty(example.completion):
                self.findings.add("empty_rejected", place)
            if _hash(example.prompt, example.completion, str(not example.up)) in self._seen:
                self.findings.add("opposite", place)
            self._see_copy(place, example.prompt, example.completion, str(example.up))
            self._see_repeated(place, example.prompt, example.completion)
        else:
            self._see_copy(place, example.prompt, example.completion)
            self._see_repeated(place, example.prompt, example.completion)

    def finish(self) -> None:
        """Say what only all of them together show."""
        self._finish_repeated()
        if self.kind == "kto" and len(self._thumbs) == 1:
            side = "up" if self._thumbs[True] else "down"
            self.findings.say("one_sided", f"{self._thumbs.total()} thumbs {side}")
        if self.soft:
            self._finish_preferences()
        unequal = self._longer.total()
        if unequal >= _FEWEST and self._longer[True] > _LONGER_SHARE * unequal:
            share = self._longer[True] / unequal
            self.findings.say(
                "length", f'{share:.0%} of {unequal} pairs; so "the longer is better" alone is right for {share:.0%}'
            )
        if mixed := [told for name in ("critic", "template", "criteria") if (told := self._mixed(name))]:
            self.findings.say("mixed_sources", "; ".join(mixed))

    def _finish_repeated(self) -> None:
        answers, repeats = self._repeats.total(), self._repeats[True]
        if repeats > 1 and repeats == answers:
            self.findings.say("all_repeat", f"{repeats} answers, the first {self._repeating[0]}")
        elif repeats > max(1, _REPEATED_SHARE * answers):
            self.findings.say("some_repeat", f"{repeats} of {answers} answers, the first {self._repeating[0]}")

    def _finish_preferences(self) -> None:
        whole, half = self._preferences.total(), self._preferences["half"]
        if whole and self._preferences["one"] == whole:
            self.findings.say("plain_dpo", f"{whole} rows")
        elif whole and half == whole:
            self.findings.say("no_doubt_left", f"{whole} rows")
        elif half > whole / 2:
            self.findings.say("mostly_half", f"{half} of {whole}")

    def _mixed(self, what: str) -> str:
        names = {getattr(source, what) for source in self._sources if getattr(source, what)}
        return f"{what}: {', '.join(sorted(names))}" if len(names) > 1 else ""

    def _see_pair(self, pair: PreferencePair, place: str) -> None:
        chosen, rejected = len(text_of(pair.chosen)), len(text_of(pair.rejected))
        if chosen != rejected:
            self._longer[chosen > rejected] += 1
        if pair.preference is not None:
            half = abs(pair.preference - 0.5) < _HALF
            self._preferences["one" if pair.preference == 1.0 else "half" if half else "other"] += 1
            if pair.preference < 0.5:
                self.findings.add("below_half", place, f"{pair.preference:g}")
        elif self.soft:
            self.findings.add("no_preference", place)
        if is_empty(pair.rejected):
            self.findings.add("empty_rejected", place)
        if _hash(pair.prompt, pair.rejected, pair.chosen) in self._seen:
            self.findings.add("opposite", place)
        self._see_copy(place, pair.prompt, pair.chosen, pair.rejected)

    def _see_copy(self, place: str, *contents: Content) -> None:
        key = _hash(*contents)
        if key in self._seen:
            self.findings.add("duplicate", place)
        self._seen.add(key)

    def _see_repeated(self, place: str, prompt: Content, answer: Content) -> None:
        if not may_be_repeated(prompt):
            return
        repeats = begins_with_prompt(prompt, answer)
        self._repeats[repeats] += 1
        if repeats and not self._repeating:
            self._repeating.append(place)


def _hash(*contents: Content) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for content in contents:
        for role, text in said_by(content):
            digest.update(f"{len(role)},{len(text)};{role}{text}".encode())
        digest.update(b"\0end")
    return digest.digest()
