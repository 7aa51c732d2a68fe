"""The candidates form: `prompt` and two or more `responses`."""

from __future__ import annotations

from aifeedback.errors import InputError
from aifeedback.forms.contents import read_content, read_response
from aifeedback.forms.fields import SHARED, read_text
from aifeedback.forms.pairing import Candidate, pair_up
from aifeedback.forms.row import Form, Row
from aifeedback.forms.wording import kind
from aifeedback.records import Pair
from aifeedback.settings import InputSettings

_REQUIRED = ("prompt", "responses")
_KNOWN = SHARED | frozenset(_REQUIRED)


def _read(row: Row, settings: InputSettings) -> list[Pair]:
    prompt = read_content(row.fields["prompt"], "prompt")
    responses = row.fields["responses"]
    if not isinstance(responses, list):
        raise InputError(f'"responses" must be a list, not {kind(responses)}.')
    if len(responses) < 2:
        raise InputError(f'"responses" holds {len(responses)} of the 2 or more that a pair needs.')
    candidates = [_candidate(value, f"responses[{number}]") for number, value in enumerate(responses)]
    return pair_up(row, settings, _KNOWN, prompt, candidates)


def _candidate(value: object, name: str) -> Candidate:
    if not isinstance(value, dict):
        return Candidate(read_response(value, name), "", None, {})
    if value.get("text") is None:
        raise InputError(f'"{name}" has no "text".')
    content = read_response(value["text"], f"{name}.text")
    extra = {key: other for key, other in value.items() if key not in {"text", "model", "score"}}
    return Candidate(content, read_text(value, "model", f"{name}.model"), _score(value, f"{name}.score"), extra)


def _score(value: dict[str, object], name: str) -> float | None:
    score = value.get("score")
    if score is None:
        return None
    if isinstance(score, bool) or not isinstance(score, int | float) or score != score:
        raise InputError(f'"{name}" must be a number, not {kind(score)}.')
    return score


FORM = Form(_REQUIRED, _KNOWN, _read)
