"""Which module speaks which API."""

from __future__ import annotations

from collections.abc import Mapping

from aifeedback.endpoints import chat, messages
from aifeedback.endpoints.address import DialectName
from aifeedback.endpoints.dialect import Dialect

DIALECTS: Mapping[DialectName, Dialect] = {"chat": chat, "messages": messages}
