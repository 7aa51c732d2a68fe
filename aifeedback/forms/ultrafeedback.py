"""The ultrafeedback form: an instruction and rated completions."""

from __future__ import annotations

import math
from collections.abc import Mapping

from aifeedback.errors import InputError
from aifeedback.forms.contents import read_content, read_response
from aifeedback.forms.fields import SHARED, read_text
from aifeedback.forms.pairing import Candidate, pair_up
from aifeedback.forms.row import Form, Row
from aifeedback.forms.wording import kind
from aifeedback.records import Pair
from aifeedback.settings import InputSettings

_REQUIRED = ("instruction", "completions")
_KNOWN = SHARED | frozenset(_REQUIRED)


def _read(row: Row, settings: InputSettings) -> list[Pair]:
    prompt = read_content(row.fields["instruction"], "instruction")
    completions = row.fields["completions"]
    if not isinstance(completions, list):
        raise InputError(f'"completions" must be a list, not {kind(completions)}.')
    if len(completions) < 2:
        raise InputError(f'"completions" holds {len(completions)} of the 2 or more that a pair needs.')
    candidates = [_candidate(value, f"completions[{number}]") for number, value in enumerate(completions)]
    return pair_up(row, settings, _KNOWN, prompt, candidates)


def _candidate(value: object, name: str) -> Candidate:
    if not isinstance(value, dict) or value.get("response") is None:
        raise InputError(f'"{name}" has no "response".')
    content = read_response(value["response"], f"{name}.response")
    return Candidate(content, read_text(value, "model", f"{name}.model"), _score(value), {})


def _score(completion: Mapping[str, object]) -> float | None:
    """Take the overall score, else the fine-grained one, else the mean of the ratings; `N/A` is none."""
    for name in ("overall_score", "fine-grained_score"):
        score = _number(completion.get(name))
        if score is not None:
            return score
    annotations = completion.get("annotations")
    aspects = annotations.values() if isinstance(annotations, dict) else ()
    ratings = [_number(aspect.get("Rating")) for aspect in aspects if isinstance(aspect, dict)]
    numbers = [rating for rating in ratings if rating is not None]
    return math.fsum(numbers) / len(numbers) if numbers else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


FORM = Form(_REQUIRED, _KNOWN, _read)
