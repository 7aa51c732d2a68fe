"""The pair form, our own: `prompt`, `response_a`, `response_b`."""

from __future__ import annotations

from aifeedback.forms.contents import read_content, read_response
from aifeedback.forms.fields import ABOUT, SHARED, make_pair, read_about, read_head
from aifeedback.forms.row import Form, Row
from aifeedback.records import Pair
from aifeedback.settings import InputSettings

_REQUIRED = ("prompt", "response_a", "response_b")
_KNOWN = SHARED | ABOUT | frozenset(_REQUIRED)


def _read(row: Row, _settings: InputSettings) -> list[Pair]:
    fields = row.fields
    prompt = read_content(fields["prompt"], "prompt")
    response_a = read_response(fields["response_a"], "response_a")
    response_b = read_response(fields["response_b"], "response_b")
    head = read_head(row, _KNOWN, prompt, (response_a, response_b))
    return [make_pair(row, head, response_a, response_b, read_about(row))]


FORM = Form(_REQUIRED, _KNOWN, _read)
