"""What was found out about one critic, as values that print and serialise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

Outcome = Literal["yes", "no", "refused", "ignored", "misplaced", "empty", "unknown", "not part of this API"]
"""`refused`: said so. `ignored`: accepted without effect. `misplaced`: it works, but lands in the reasoning."""

_FACTS = {"reach", "key", "latency", "usage", "served", "limits", "price", "spent"}
"""What says enough without a yes before it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `data` is what a program may want of it, as JSON values."""

    name: str
    outcome: Outcome
    detail: str = ""
    data: Mapping[str, object] = field(default_factory=dict[str, object])

    @property
    def shown(self) -> str:
        """As one line."""
        if self.name in _FACTS and self.outcome == "yes":
            return self.detail
        return f"{self.outcome}: {self.detail}" if self.detail else self.outcome


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an endpoint can't be used: a word for programs (`dns`, `refused`, `tls`, `key`, …), what it is, what to do."""

    kind: str
    what: str
    advice: str = ""

    def __str__(self) -> str:
        return " ".join(part if part[-1] in ".?!" else f"{part}." for part in (self.what, self.advice) if part)


@dataclass(frozen=True, slots=True)
class Report:
    """All about one critic. `cause` is None where it can be used; `toml` are lines for aifeedback.toml."""

    critic: str
    base_url: str = ""
    api: str = ""
    cause: Cause | None = None
    findings: tuple[Finding, ...] = ()
    verdict: str = ""
    toml: tuple[str, ...] = ()

    def outcome(self, name: str) -> Outcome:
        """What became of one thing; `unknown` where it was not looked at."""
        return next((each.outcome for each in self.findings if each.name == name), "unknown")

    def data(self, name: str) -> Mapping[str, object]:
        """What a program may want of one thing."""
        return next((each.data for each in self.findings if each.name == name), {})

    def as_json(self) -> dict[str, object]:
        """As JSON values."""
        cause = self.cause
        return {
            "critic": self.critic,
            "base_url": self.base_url,
            "api": self.api,
            "usable": cause is None,
            "cause": None if cause is None else {"kind": cause.kind, "what": cause.what, "advice": cause.advice},
            "findings": {
                each.name: {"outcome": each.outcome, "detail": each.detail, **each.data} for each in self.findings
            },
            "verdict": self.verdict,
            "toml": list(self.toml),
        }

    def redacted(self, redact: Callable[[str], str]) -> Report:
        """The same with each of its texts through `redact`."""

        def clean(value: object) -> object:
            if isinstance(value, str):
                return redact(value)
            if isinstance(value, Mapping):
                return {redact(str(name)): clean(item) for name, item in value.items()}
            return [clean(item) for item in value] if isinstance(value, list | tuple) else value

        found = (
            Finding(
                each.name, each.outcome, redact(each.detail), {name: clean(item) for name, item in each.data.items()}
            )
            for each in self.findings
        )
        cause = self.cause and Cause(self.cause.kind, redact(self.cause.what), redact(self.cause.advice))
        return replace(
            self,
            critic=redact(self.critic),
            cause=cause,
            findings=tuple(found),
            verdict=redact(self.verdict),
            toml=tuple(map(redact, self.toml)),
        )
