"""What can be seen wrong or doubtful in the text of all rows together."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field

from aifeedback.records import Content, text_of
from aifeedback.training.examples import Example, PreferencePair, Source, Thumb
from aifeedback.training.findings import Findings
from aifeedback.training.settings import Kind

_FEWEST, _LONGER_SHARE = 50, 0.6


@dataclass(slots=True)
class TextChecks:
    """Sees each example once, in order, and keeps hashes of it, not its text. `soft`: soft labels are wanted."""

    kind: Kind
    soft: bool = False
    findings: Findings = field(default_factory=Findings)
    _shapes: Counter[bool] = field(default_factory=Counter[bool])
    _first: dict[bool, str] = field(default_factory=dict[bool, str])
    _seen: set[bytes] = field(default_factory=set[bytes])
    _longer: Counter[bool] = field(default_factory=Counter[bool])
    _preferences: Counter[bool] = field(default_factory=Counter[bool])
    _thumbs: Counter[bool] = field(default_factory=Counter[bool])
    _sources: Counter[Source] = field(default_factory=Counter[Source])

    def see(self, example: Example) -> None:
        """Take one example in."""
        place = f"{example.file}, line {example.line}"
        strings = isinstance(example.prompt, str)
        self._shapes[strings] += 1
        self._first.setdefault(strings, place)
        self._sources[example.source] += 1
        if isinstance(example, PreferencePair):
            self._see_pair(example, place)
        elif isinstance(example, Thumb):
            self._thumbs[example.up] += 1
            self._see_copy(place, example.prompt, example.completion, str(example.up))
        else:
            self._see_copy(place, example.prompt, example.completion)

    def finish(self) -> None:
        """Say what only all of them together show."""
        if len(self._shapes) > 1:
            rarer = min(self._shapes, key=lambda strings: (self._shapes[strings], not strings))
            kind, other = ("strings", "messages") if rarer else ("messages", "strings")
            count, rest = self._shapes[rarer], self._shapes[not rarer]
            self.findings.say(
                "mixed_file", f"{count} rows of {kind}, the first {self._first[rarer]}; {rest} of {other}"
            )
        if self.kind == "kto" and len(self._thumbs) == 1:
            side = "up" if self._thumbs[True] else "down"
            self.findings.say("one_sided", f"{self._thumbs.total()} thumbs {side}")
        if self.soft and self._preferences and not self._preferences[False]:
            self.findings.say("plain_dpo", f"{self._preferences[True]} rows")
        unequal = self._longer.total()
        if unequal >= _FEWEST and self._longer[True] > _LONGER_SHARE * unequal:
            share = self._longer[True] / unequal
            self.findings.say(
                "length", f'{share:.0%} of {unequal} pairs; so "the longer is better" alone is right for {share:.0%}'
            )
        if mixed := [told for name in ("critic", "template", "criteria") if (told := self._mixed(name))]:
            self.findings.say("mixed_sources", "; ".join(mixed))

    def _mixed(self, what: str) -> str:
        names = {getattr(source, what) for source in self._sources if getattr(source, what)}
        return f"{what}: {', '.join(sorted(names))}" if len(names) > 1 else ""

    def _see_pair(self, pair: PreferencePair, place: str) -> None:
        chosen, rejected = len(text_of(pair.chosen)), len(text_of(pair.rejected))
        if chosen != rejected:
            self._longer[chosen > rejected] += 1
        if pair.preference is not None:
            self._preferences[pair.preference == 1.0] += 1
            if pair.preference < 0.5:
                self.findings.add("below_half", place, f"{pair.preference:g}")
        elif self.soft:
            self.findings.add("no_preference", place)
        if _hash(pair.prompt, pair.rejected, pair.chosen) in self._seen:
            self.findings.add("opposite", place)
        self._see_copy(place, pair.prompt, pair.chosen, pair.rejected)

    def _see_copy(self, place: str, *contents: Content) -> None:
        key = _hash(*contents)
        if key in self._seen:
            self.findings.add("duplicate", place)
        self._seen.add(key)


def _hash(*contents: Content) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for content in contents:
        turns = [("", content)] if isinstance(content, str) else [(turn.role, turn.content) for turn in content]
        for role, text in turns:
            digest.update(f"{len(role)},{len(text)};{role}{text}".encode())
        digest.update(b"\0end")
    return digest.digest()
