"""Which fault strikes which request: drawn from a hash, so that a run with the same seed meets the same faults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from aifeedback.errors import SettingsError

KINDS = {
    "429": "rate limited; VALUE is the Retry-After header as it is sent, `date` for one second ahead, `none` for no header",
    "500": "server error with an HTML page",
    "502": "bad gateway with an HTML page",
    "503": "unavailable with an HTML page",
    "529": "overloaded with an HTML page",
    "401": "the key is wrong",
    "403": "the key may not do this",
    "404-model": "no such model",
    "quota": "429 `insufficient_quota`: the account is empty",
    "400": "a bad request, without a word on what is bad about it",
    "400-schema": "refuses a `response_format` of type `json_schema`",
    "400-large": "refuses a `max_tokens` above VALUE",
    "400-object": "refuses a `response_format` of type `json_object`",
    "400-format": "refuses any `response_format`",
    "400-failed": "the model did not keep to the `response_format`, as Groq says with a 400",
    "400-system": "refuses messages of role `system`",
    "400-max-tokens": "refuses `max_tokens`, wants `max_completion_tokens`",
    "400-temperature": "refuses any `temperature` but 1",
    "400-adaptive": "the Messages API refuses `thinking` of type `adaptive`, as models before Claude 4.6 do",
    "400-budget": "the Messages API refuses `thinking` of type `enabled`, as models since Claude 4.7 do",
    "400-param": "refuses the parameter that VALUE names",
    "400-logprobs": "refuses `logprobs`",
    "403-logprobs": "refuses `logprobs` as what this key may not ask for, as OpenAI does",
    "400-top-logprobs": "refuses a `top_logprobs` above VALUE, and says so",
    "400-context": "`context_length_exceeded`",
    "400-filter": "`content_filter`: the prompt itself is refused, as Azure does",
    "redirect": "307 to VALUE",
    "error200": "200 whose body is an error",
    "html200": "200 with an HTML page",
    "bad-json": "200 whose JSON breaks off",
    "empty-body": "200 with no body at all",
    "empty": "content is the empty string; with a VALUE only where a `response_format` of that type was sent",
    "null-content": "content is null",
    "length": "content cut in half, `finish_reason` is `length`",
    "filter": "content cut off, `finish_reason` is `content_filter`",
    "refusal": "content is null, `refusal` says why",
    "long": "the answer takes VALUE tokens: cut in half, `finish_reason` is `length`, where the limit is lower",
    "ignore-schema": "answers in prose with a tag, whatever form was asked for; VALUE as for `empty`",
    "embedded": "prose around the answer although a `response_format` was sent; VALUE as for `empty`",
    "parts": "content is a list of parts",
    "think": "a `<think>` block with the opposite verdict precedes the content",
    "reasoning-content": "content is null, the answer stands in `reasoning_content`; VALUE as for `empty`",
    "reasoned": "`reasoning_content` holds thinking beside the answer, and `reasoning_tokens` are counted",
    "no-logprobs": "takes `logprobs`, and gives none",
    "legacy-logprobs": "log probabilities as the completions API lists them",
    "logprobs-elsewhere": "log probabilities stand in the message, not beside it",
    "reset-before": "the connection is reset before any answer",
    "reset-inside": "half a body, then a reset",
    "reset-after": "the whole answer, then a reset of the connection",
    "half-chunk": "a chunked body ends in the middle of a chunk",
    "trickle": "the answer comes in small pieces over VALUE seconds",
    "stall": "no answer for VALUE seconds",
    "close-after": "the whole answer, then the connection is closed though it was to be kept",
    "stale": "a connection that has brought one answer is closed when the next question comes on it",
    "http10": "HTTP/1.0 without a Content-Length: the body ends with the connection",
    "gzip": "the body is compressed, asked for or not",
    "deflate": "the same as `deflate`",
    "broken-gzip": "a compressed body of which the second half is damaged",
    "content-type": "the right body, called VALUE",
    "event-stream": "the answer in pieces, as if `stream` had been asked for",
    "cut-stream": "the same, cut off in the middle",
    "many-headers": "VALUE kilobytes of headers, one kilobyte each",
    "long-header": "one header of VALUE kilobytes",
    "odd-header": "a header with bytes beyond ASCII",
    "no-colon": "a header line without a colon",
    "bad-status": "a status line without a number",
    "negative-length": "a Content-Length below 0",
    "two-lengths": "two Content-Lengths that differ",
    "larger-length": "a Content-Length beyond the end of the body",
    "smaller-length": "a Content-Length before the end of the body",
    "twice": "the whole answer, and then once more, unasked",
    "huge": "the content starts with VALUE megabytes of words",
    "latency": "every answer waits VALUE seconds",
    "jitter": "every answer waits up to VALUE seconds, drawn from the hash",
}
"""Each kind of fault and what it does."""

VALUES = {
    "429": "1", "400-param": None, "400-top-logprobs": None, "redirect": None,
    "trickle": "1", "stall": "600", "huge": "100", "latency": None, "jitter": None,
    "content-type": "text/plain", "many-headers": "100", "long-header": "1000",
    "400-large": None, "long": None, "empty": "", "ignore-schema": "", "embedded": "", "reasoning-content": "",
}  # fmt: skip
"""The kinds that take a value, and what it is where none is given; None: it must be given, "": it may be left out."""

_NUMBERS = frozenset(
    {
        "400-large",
        "400-top-logprobs",
        "long",
        "trickle",
        "stall",
        "huge",
        "latency",
        "jitter",
        "many-headers",
        "long-header",
    }
)
_STANDING = frozenset({"latency", "jitter", "redirect", "400-param", "400-top-logprobs", "400-large", "long"})
FORMS = frozenset({"json_schema", "json_object"})
SCOPED = frozenset({"empty", "ignore-schema", "embedded", "reasoning-content"})
"""Kinds that may strike only answers to requests with a `response_format` of the type that the value names."""
"""Kinds whose rate may be left out in front of the value: `latency:0.2` is `latency:1:0.2`."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault, the share of attempts that it strikes (0 to 1) and its value."""

    kind: str
    rate: float = 1.0
    value: str = ""

    @property
    def number(self) -> float:
        """The value as a number: seconds, megabytes or a count."""
        return float(self.value)


def parse_fault(text: str) -> Fault:
    """Read `KIND`, `KIND:RATE` or `KIND:RATE:VALUE`. Raises SettingsError where that is not possible."""
    kind, _, rest = text.partition(":")
    if kind not in KINDS:
        raise SettingsError(f"--fault {text}: there is no fault {kind!r}. Take one of {', '.join(KINDS)}.")
    rate_text, _, value = rest.partition(":")
    rate = _number(rate_text or "1")
    if kind in _STANDING and (not value or rate is None):
        rate, value = 1.0, rest
    if rate is None or not 0 <= rate <= 1:
        raise SettingsError(f"--fault {text}: the rate {rate_text!r} is not between 0 and 1. Write {kind}:0.1.")
    return Fault(kind, rate, _checked_value(text, kind, value))


def _checked_value(text: str, kind: str, value: str) -> str:
    if kind not in VALUES:
        if value:
            raise SettingsError(f"--fault {text}: {kind} takes no value. Write {kind}:RATE.")
        return ""
    value = value or VALUES[kind] or ""
    if kind in SCOPED and value not in {"", *FORMS}:
        raise SettingsError(
            f"--fault {text}: {value!r} is none of {', '.join(sorted(FORMS))}. Write {kind}:RATE:json_schema."
        )
    if not value and VALUES[kind] is None:
        raise SettingsError(f"--fault {text}: {kind} needs a value. Write {kind}:RATE:VALUE.")
    number = _number(value)
    if kind in _NUMBERS and (number is None or number < 0):
        raise SettingsError(f"--fault {text}: the value {value!r} is no number from 0 up. Write {kind}:RATE:VALUE.")
    return value


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


@dataclass(frozen=True, slots=True)
class Conditions:
    """Everything that goes wrong at the server, and may be changed while it runs.

    `attempts`: faults strike only the first so many attempts of a question (0: all). `max_in_flight` and `rpm`: more
    are answered 429 (0: no limit). After `down_after` answers (0: never) nobody listens for `down_for` seconds
    (0: for good). After `slower_after` answers (0: never) latency and jitter are `slower_by` times as long.
    `by_model`: models that have faults of their own instead of `faults`.
    """

    faults: tuple[Fault, ...] = ()
    attempts: int = 0
    seed: int = 0
    max_in_flight: int = 0
    rpm: float = 0.0
    down_after: int = 0
    down_for: float = 0.0
    slower_after: int = 0
    slower_by: float = 10.0
    by_model: Mapping[str, tuple[Fault, ...]] = field(default_factory=dict[str, tuple[Fault, ...]])

    def striking(self, question: str, attempt: int, model: object = "") -> list[Fault]:
        """The faults that strike this attempt (from 1) of a question to a model, each drawn by itself."""
        faults = self.by_model.get(model, self.faults) if isinstance(model, str) else self.faults
        if self.attempts and attempt > self.attempts:
            return [fault for fault in faults if fault.kind in {"latency", "jitter"}]
        return [fault for fault in faults if draw(self.seed, fault.kind, question, attempt) < fault.rate]


def conditions_from(values: object, now: Conditions) -> Conditions:
    """`now` with what `values`, an object, changes; `faults` are texts. Raises SettingsError for what is no condition."""
    if not isinstance(values, dict):
        raise SettingsError(f'{values!r}: an object is needed. Write {{"faults": ["429:0.1"]}}.')
    changed: dict[str, object] = {name: getattr(now, name) for name in Conditions.__slots__}
    for name, value in values.items():
        if name not in changed:
            raise SettingsError(f"There is no condition {name!r}. Take one of {', '.join(changed)}.")
        changed[name] = _condition(name, value, changed[name])
    return Conditions(**changed)  # type: ignore[arg-type]  # each was checked against the type it replaces


def _condition(name: str, value: object, before: object) -> object:
    if name == "by_model":
        if not isinstance(value, Mapping):
            raise SettingsError(f'by_model {value!r}: an object is needed. Write {{"m": ["429:0.1"]}}.')
        return {str(model): _condition("faults", faults, ()) for model, faults in value.items()}
    if name == "faults":
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise SettingsError(f'faults {value!r}: a list of texts is needed. Write ["429:0.1"].')
        return tuple(parse_fault(str(fault)) for fault in value)
    if isinstance(value, bool) or not isinstance(value, int | float) or (value < 0 and name != "seed"):
        raise SettingsError(f"{name} {value!r}: a number from 0 up is needed.")
    if isinstance(before, int) and value != int(value):
        raise SettingsError(f"{name} {value!r}: a whole number is needed.")
    return type(before)(value)  # type: ignore[call-arg]  # int or float, from a number


def draw(seed: int, kind: str, question: str, attempt: int) -> float:
    """A number in [0, 1) that depends on nothing but its arguments."""
    digest = blake2b(f"{seed}/{kind}/{question}/{attempt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
