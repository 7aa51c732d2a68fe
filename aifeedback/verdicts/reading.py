"""From a reply to a reading: what ended it, what it thought, what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from aifeedback.records import BROKEN_ENDINGS, CUT_OFF_ENDINGS, FILTERED_ENDINGS, Reading, Reply, Status, VerdictFormat
from aifeedback.verdicts.json_answers import read_direct, read_json, read_json_at_end
from aifeedback.verdicts.letters import read_letter
from aifeedback.verdicts.patterns import read_pattern
from aifeedback.verdicts.reasons import (
    CUT_OFF,
    EMPTY,
    FAILED,
    FILTERED,
    INSIDE_THINKING,
    ONLY_THINKING,
    REFUSED,
    unparsed,
    without_verdict,
)
from aifeedback.verdicts.refusals import refusal_in
from aifeedback.verdicts.statements import read_claim
from aifeedback.verdicts.tags import read_tag
from aifeedback.verdicts.thinking import without_thinking

_READERS: Mapping[str, Callable[[str, VerdictFormat], Reading]] = MappingProxyType(
    {"json": read_json, "letter": read_letter, "tags": read_tag, "claim": read_claim, "pattern": read_pattern}
)


def read_verdict(reply: Reply, format: VerdictFormat) -> Reading:  # noqa: A002 - the users' word for it
    """P(the first shown is better) as `reply` says it, or the status and the reason why there is none.

    Any text is read, none raises; time is linear in its length. What a critic thought, mentioned, denied or supposed
    is no verdict, and none is completed or guessed.
    """
    return _encodable(_unfinished(reply) or _read(reply, format))


def _unfinished(reply: Reply) -> Reading | None:
    """The reading of a reply that ended before its verdict: such a one is not read even if a verdict stands in it."""
    ending = reply.ending
    if ending in CUT_OFF_ENDINGS:
        return unparsed(CUT_OFF, f"after {reply.usage.output} tokens" if reply.usage.output else "")
    if ending in FILTERED_ENDINGS:
        return without_verdict(Status.REFUSED, FILTERED)
    if reply.refusal.strip() or ending == "refusal":
        return without_verdict(Status.REFUSED, REFUSED, reply.refusal.strip() or reply.content.strip())
    if ending in BROKEN_ENDINGS:
        return without_verdict(Status.FAILED, FAILED, ending)
    return None


def _read(reply: Reply, asked: VerdictFormat) -> Reading:
    content = reply.content.strip().removeprefix("\ufeff")
    if not content:
        return _read_reasoning(reply.reasoning, asked)
    if asked.kind == "json" and (direct := read_direct(content, asked)):
        # Before thinking is looked for: in a string of the object such a tag is data.
        return _or_refusal(_with_rung(direct, reply.rung), direct.reason)
    spoken = without_thinking(content)
    if spoken.unclosed or not spoken.text.strip():
        return unparsed(INSIDE_THINKING if spoken.unclosed else ONLY_THINKING)
    said = spoken.text.strip()
    reading = _with_rung(_READERS[asked.kind](said, asked), reply.rung)
    return _or_refusal(reading, reading.reason or said)


def _or_refusal(reading: Reading, said: str) -> Reading:
    """The reading, or where it found no verdict the refusal that `said` is."""
    refusal = refusal_in(said) if reading.p_first is None else ""
    return without_verdict(Status.REFUSED, REFUSED, refusal) if refusal else reading


def _with_rung(reading: Reading, rung: str) -> Reading:
    """The reading with its method named after how the critic was asked, where the reply kept to that form."""
    if reading.method != "json" or rung not in {"json_schema", "json_object"}:
        return reading
    return Reading(reading.p_first, rung, reading.reason, reading.status, reading.why)


def _read_reasoning(reasoning: str, asked: VerdictFormat) -> Reading:
    """Some servers put the answer beside the empty content. It counts only at the very end, as thinking also stands there."""
    spoken = without_thinking(reasoning.strip())
    said = spoken.text.strip()
    if not said or spoken.unclosed:
        return unparsed(EMPTY)
    if asked.kind == "json":
        reading = read_json_at_end(said, asked)
    else:
        reading = _READERS[asked.kind](said if spoken.thought else said.rpartition("\n")[2], asked)
    if reading is None or reading.p_first is None:
        return unparsed(EMPTY)
    return replace(reading, method=f"reasoning:{reading.method}")


def _encodable(reading: Reading) -> Reading:
    """The reading without lone surrogates, which a critic can write as an escape and no file can hold."""
    if reading.reason.isascii() and reading.why.isascii():
        return reading
    reason, why = (text.encode("utf-8", "replace").decode() for text in (reading.reason, reading.why))
    return replace(reading, reason=reason, why=why)
