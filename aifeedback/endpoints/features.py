"""What an endpoint turned out to accept: one step down the ladder for each thing that it refuses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

RUNGS = ("json_schema", "json_object", "text")
MOST_LOGPROBS = 20
_FEWER_LOGPROBS = 5
_OPTIONAL = ("temperature", "reasoning_effort")
_BY_VALUE = ("temperature", "reasoning_effort", "output_config")
"""What may be refused for its value alone: another temperature or effort is taken."""
_DISPENSABLE = ("logprobs", "response_format", "reasoning_effort", "temperature")
"""What is left out, the first one first, where a router finds nobody who takes all that was sent, and names nothing."""
_ENOUGH_STRAYS = 3
_ALIASES = {
    "response_format": r"response[_ ]format|response_schema|json[_ ]schema|json_object|structured[_ ]outputs?|json[_ ]mode"
    r"|guided\w*|failed to (?:generate|validate) json|structured generation|(?:json )?grammar|xgrammar",
    "reasoning_effort": r"reasoning[_ ]?effort|reasoning\.effort|(?:not support|without) thinking|thinking[_ ]?(?:budget|level|config|mode)|budget \d+ is invalid",
}
"""What servers call a parameter in their own words, in lower case."""
_NO_ROUTE = re.compile(
    r"no endpoints found that (?:support|can handle)|no (?:allowed )?providers.{0,40}support", re.IGNORECASE
)
_ONE_ANSWER = re.compile(r"json_validate_failed|failed_generation|failed to (?:generate|validate) json", re.IGNORECASE)
_NO_SYSTEM = re.compile(
    r"(?:system|developer)[\"'` ]{0,3}(?:role|message|prompt|instruction)s?\b.{0,40}(?:n.t|not|un)[ -]?(?:be )?(?:supported|allowed|enabled|permitted|accepted)"
    r"|\brole\b.{0,60}(?:not support|unsupported|unexpected|invalid|unknown).{0,20}[\"'`]?system"
    r"|(?:not support|unsupported|unexpected|invalid|unknown).{0,30}(?:system[\"'`]? role|role.{0,20}system)"
    r"|roles must alternate|only user.{0,40}roles? (?:is|are) (?:supported|allowed)"
    r"|\bmessages?\W{1,4}\d+\W{1,4}role\b.{0,60}input should be(?![^\"]{0,80}system)",
    re.IGNORECASE | re.DOTALL,
)
_NO_GRAMMAR = re.compile(r"(?:failed to|unable to|can(?:no|')t)\b.{0,30}\bgrammar", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Features:
    """How this endpoint wants to be asked. `rung` indexes RUNGS; `dropped` names what it refuses.

    That may be a parameter, one with its value (`temperature=1.5`), a rung further down, or `system`: messages of that
    role. `top_logprobs`: how many
    alternatives to each token are asked for; 0: it gives no log probabilities.
    """

    rung: int = 0
    max_tokens_name: str = "max_tokens"
    dropped: tuple[str, ...] = ()
    top_logprobs: int = MOST_LOGPROBS

    def as_dict(self) -> dict[str, object]:
        """As JSON values, for the store."""
        return asdict(self)


@dataclass(slots=True)
class Footing:
    """How replies keep to the form that is asked for at the rung on which an endpoint stands."""

    kept: int = 0
    strayed: int = 0

    @property
    def gives_way(self) -> bool:
        """Whether it is worth asking one rung down from now on."""
        return self.strayed >= _ENOUGH_STRAYS and self.strayed > self.kept


def rung_at(features: Features, down: int = 0) -> str:
    """The rung on which a question is asked that stands so many further down."""
    rung = RUNGS[min(features.rung + down, len(RUNGS) - 1)]
    return RUNGS[-1] if rung in features.dropped else rung


def without_rung(features: Features, rung: int) -> Features:
    """For an endpoint that takes the rung it stands on, and refuses that one below it."""
    return replace(features, dropped=(*features.dropped, RUNGS[min(rung, len(RUNGS) - 1)]))


def by_value(before: Features, after: Features, sent: Mapping[str, object]) -> Features:
    """`after`, where what was refused just now may be taken with another value than was `sent`."""
    dropped = tuple(
        f"{name}={sent[name]}" if name in _BY_VALUE and name in sent and name not in before.dropped else name
        for name in after.dropped
    )
    return after if dropped == after.dropped else replace(after, dropped=dropped)


def left_out(features: Features, name: str, value: object) -> bool:
    """Whether the endpoint refused a parameter, with this value or with any."""
    return name in features.dropped or f"{name}={value}" in features.dropped


def about_parameters(status: int, message: str) -> bool:
    """Whether an error may be about what a request carries.

    OpenRouter says with a 404 that no provider takes it, OpenAI with a 403 what is not allowed, llama.cpp with a 500
    that a model's template knows no system or that it can make no grammar.
    """
    if status == 404:
        return _NO_ROUTE.search(message) is not None
    if status == 500:
        return bool(_NO_SYSTEM.search(message) or _NO_GRAMMAR.search(message))
    return status in {400, 403, 422, 501}


def about_one_answer(code: str, message: str) -> bool:
    """Whether an error says that the model failed to keep to the form this once, as Groq's 400 does."""
    return _ONE_ANSWER.search(f"{code} {message}") is not None


def remembered(facts: Mapping[str, object]) -> Features:
    """Features as the store keeps them; what is missing or odd there is found out anew."""
    rung, name, dropped = facts.get("rung"), facts.get("max_tokens_name"), facts.get("dropped")
    alternatives = facts.get("top_logprobs")
    return Features(
        rung=rung if isinstance(rung, int) and 0 <= rung < len(RUNGS) else 0,
        max_tokens_name=name if name in {"max_tokens", "max_completion_tokens"} else "max_tokens",
        dropped=tuple(str(item) for item in dropped) if isinstance(dropped, list | tuple) else (),
        top_logprobs=alternatives
        if type(alternatives) is int and 0 <= alternatives <= MOST_LOGPROBS
        else MOST_LOGPROBS,
    )


def adapt(features: Features, *, sent: frozenset[str], parameter: str, message: str) -> Features | None:
    """What to try after a 400 that names something we sent; None where it names nothing that we can do without.

    `sent`: the parameters in the refused body. `parameter`: the one that the error names, if it does so by field.
    No list of model names can keep up with what each accepts: the error's own words decide.
    """
    if "system" in sent and _NO_SYSTEM.search(f"{parameter} {message}"):
        return replace(features, dropped=(*features.dropped, "system"))
    named = _named(sent - {"system"}, parameter, message)
    if not named and _NO_ROUTE.search(message):
        named = next((name for name in _DISPENSABLE if name in sent), "")
    if named in {"max_tokens", "max_completion_tokens"}:
        other = "max_completion_tokens" if named == "max_tokens" else "max_tokens"
        # A number that is too large is refused under either name.
        return replace(features, max_tokens_name=other) if other in message or _refused(message) else None
    if named == "response_format" and features.rung + 1 < len(RUNGS):
        return replace(features, rung=features.rung + 1)
    if named in {"logprobs", "top_logprobs"} and features.top_logprobs:
        return replace(features, top_logprobs=_fewer(features.top_logprobs, named, message))
    if named in _OPTIONAL:
        return replace(features, dropped=(*features.dropped, named))
    return None


_MOST = re.compile(
    r"(?:at most|no more than|up to|less than or equal to|<=|≤|(?:can|must |may )not exceed"
    r"|max(?:imum)?(?: allowed)?(?: value| number)?(?: allowed)?(?: is| of|:)?"
    r"|(?:between|from) '?\d+'? (?:and|to)|[\[(] ?\d+ ?(?:,|-|to|\.\.+))\s*'?(\d+)(?!\.?\d)",
    re.IGNORECASE,
)
"""The most that a server says it takes, in the words that servers have for it."""


def _fewer(now: int, named: str, message: str) -> int:
    """How many alternatives to ask for after `now` were refused: as many as the message grants, or far fewer, or none."""
    granted = next((int(found[1]) for found in _MOST.finditer(message) if int(found[1]) < now), None)
    if granted is not None:
        return granted if granted > 1 else 0  # beside the token itself there would be none
    return _FEWER_LOGPROBS if named == "top_logprobs" and now > _FEWER_LOGPROBS else 0


def names_logprobs(error: bytes) -> bool:
    """Whether an error response may be about log probabilities, whatever its status."""
    return b"logprobs" in error.lower()


def without_limit(features: Features) -> Features:
    """For an endpoint that takes the limit on a reply's length under neither name."""
    return replace(features, dropped=(*features.dropped, "max_tokens", "max_completion_tokens"))


def _named(sent: frozenset[str], parameter: str, message: str) -> str:
    """The sent parameter that the error is about: its own field first, then the first one that the text names."""
    root = re.split(r"[.\[]", parameter.removeprefix("body.").removeprefix("body,"))[0].strip()
    if root in sent:
        return root
    text = message.lower()
    found = [
        (match.start(), name)
        for name in sent
        if (match := re.search(rf"(?<![a-z_])(?:{_ALIASES.get(name, re.escape(name))})(?![a-z_])", text))
    ]
    return min(found)[1] if found else ""


def _refused(message: str) -> bool:
    return bool(
        re.search(
            r"unsupported|not supported|unknown|unrecogni[sz]ed|unexpected|not (permitted|allowed)|extra (inputs|fields)"
            r"|invalid (parameter|argument|field)",
            message.lower(),
        )
    )
