"""The API that an endpoint speaks: how a question is put to it, and how what comes back is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from aifeedback.endpoints.features import Features
from aifeedback.errors import AifeedbackError
from aifeedback.prices import Most
from aifeedback.records import Question, Reply

if TYPE_CHECKING:
    from aifeedback.endpoints.chat import ChatParameters, Refusal


class Dialect(Protocol):
    """What a module that speaks an API offers; all of it is pure."""

    def body(self, question: Question, parameters: ChatParameters, features: Features, /) -> dict[str, object]:
        """The fields of the request for `question`."""
        ...

    def most(self, question: Question, parameters: ChatParameters, features: Features, /) -> Most:
        """The most tokens that the request for `question` can be billed for."""
        ...

    def most_output(self, fields: Mapping[str, object], /) -> int:
        """The most tokens that a reply to a request with these fields can have; 0 where nothing bounds it."""
        ...

    def adapt(self, features: Features, /, *, sent: frozenset[str], parameter: str, message: str) -> Features | None:
        """How to ask instead after a 400 that names something we sent; None where it names nothing that we can do without."""
        ...

    def further(
        self, question: Question, reply: Reply, parameters: ChatParameters, features: Features, /
    ) -> Question | None:
        """The question one rung below the one on which `reply` came; None where there is none."""
        ...

    def read_reply(self, payload: bytes, sent: Mapping[str, object], /) -> Reply:
        """The reply in the body of a 200 that came for `sent`. Raises what an error inside it means."""
        ...

    def read_refusal(self, status: int, payload: bytes, retry_after_s: float = 0.0, /) -> Refusal:
        """What an error response says."""
        ...

    def meaning(self, refusal: Refusal, /) -> AifeedbackError:
        """What to do about an error response."""
        ...
