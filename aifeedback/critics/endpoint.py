"""A critic behind an endpoint."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from aifeedback.endpoints.address import Address
from aifeedback.endpoints.chat import ChatParameters
from aifeedback.endpoints.dialects import DIALECTS
from aifeedback.endpoints.dropping import Dropping
from aifeedback.endpoints.features import (
    RUNGS,
    Features,
    Footing,
    about_one_answer,
    about_parameters,
    by_value,
    names_logprobs,
    without_limit,
    without_rung,
)
from aifeedback.endpoints.http import Http, HttpResponse
from aifeedback.endpoints.limits import retry_after
from aifeedback.errors import AifeedbackError, CriticGone, GiveUp, Hiccup
from aifeedback.jsontext import dumps
from aifeedback.prices import Most
from aifeedback.records import CONTEXT_FULL, CUT_OFF_ENDINGS, Question, Reply, Status
from aifeedback.verdicts.form import form_of

_log = logging.getLogger(__name__)
_MAY_TEACH = frozenset({400, 403, 404, 422, 500, 501})


@dataclass(frozen=True, slots=True)
class _Lesson:
    """How to ask after a refusal, and its words; `one_answer`: it says something about this one answer only."""

    features: Features
    said: str
    one_answer: bool


class EndpointCritic:
    """Asks one model at one address; learns on the way which parameters the endpoint takes.

    `before_request` is called before each request goes out and may raise BudgetSpent, `after_response` with the headers
    of each response. With `must_bound` no request goes out without a limit on the length of its reply. `on_learnt` hears how
    the endpoint is asked from now on and why, once it got an answer: it refused something, or did not do it.
    """

    def __init__(
        self,
        address: Address,
        parameters: ChatParameters,
        *,
        timeout_s: float,
        connections: int,
        features: Features,
        on_learnt: Callable[[Features, str], None],
    ) -> None:
        self.name = f"{address.provider}/{address.model}"
        self.address = address
        self.parameters = parameters
        self.before_request: Callable[[], None] = lambda: None
        self.after_response: Callable[[Mapping[str, str]], None] = lambda _: None
        self.must_bound = False
        self._dialect = DIALECTS[address.dialect]
        self._timeout_s = timeout_s
        self._features = features
        self._on_learnt = on_learnt
        self._http = Http(address.url, address.headers, connections=connections)
        self._answered = False
        self._refused: list[str] = []
        self._dropping = Dropping()
        self._footing = Footing()

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def ask(self, question: Question) -> Reply:
        """The model's reply. Raises Wait, GiveUp or StopRun; nothing that it raises or returns holds a secret."""
        try:
            reply = await self._ask(question)
        except AifeedbackError as error:
            error.args = tuple(self.address.redact(arg) if isinstance(arg, str) else arg for arg in error.args)
            raise
        self._answered = True
        return self._redacted(reply)

    def most(self, question: Question) -> Most:
        """The most tokens that asking `question` can be billed for.

        A request refused with a 4xx costs nothing, so those by which we learn how to ask need no money of their own.
        """
        return self._dialect.most(question, self.parameters, self._features)

    def anew(self, question: Question, reply: Reply) -> Question | None:
        """The question as it is worth putting once more after `reply`; None where that would change nothing.

        After a reply that was cut off with twice the room, after one in which no verdict can be found by a fault of its
        form one rung further down.
        """
        if reply.ending in CUT_OFF_ENDINGS:
            return self._roomier(question) if reply.ending != CONTEXT_FULL else None
        if question.format.kind != "json" or reply.rung == RUNGS[-1]:
            return None
        form = form_of(reply, question.format)
        if form == "none" or (form != "kept" and self._further(question, reply) is None):
            return None  # it says nothing about the form, or that is the user's own, and stays
        if reply.rung == RUNGS[self._features.rung]:  # not asked before the last step down, nor further down
            self._stands(kept=form == "kept")
        return self._further(question, reply) if form == "unreadable" else None

    def _further(self, question: Question, reply: Reply) -> Question | None:
        return self._dialect.further(question, reply, self.parameters, self._features)

    def _roomier(self, question: Question) -> Question | None:
        if question.room > 1:
            return None
        roomier = replace(question, room=2)
        before, after = (
            self._dialect.most_output(self._dialect.body(each, self.parameters, self._features))
            for each in (question, roomier)
        )
        return roomier if after > before else None  # else it has no limit, or one of the user's own

    def _stands(self, *, kept: bool) -> None:
        """Count whether a reply kept to the form; the whole run asks one rung down where too many did not."""
        features, footing = self._features, self._footing
        if kept:
            footing.kept += 1
            return
        footing.strayed += 1
        if footing.gives_way:
            self._features, self._footing = replace(features, rung=features.rung + 1), Footing()
            said = f"did not keep to {RUNGS[features.rung]} in {footing.strayed} of {footing.strayed + footing.kept} replies"
            self._on_learnt(self._features, said)

    async def _ask(self, question: Question) -> Reply:
        features = self._features
        tried = {features}
        while True:
            fields = self._dialect.body(question, self.parameters, features)
            if self.must_bound and not self._dialect.most_output(fields):
                error = CriticGone(
                    f"{self.name} takes no limit on the length of a reply, so its cost has none and --max-cost can't hold. Leave that out, or set a limit with --extra-body."
                )
                error.free = True
                raise error
            response = await self._post(fields)
            if response.status == 200:
                self._tell()
                reply = self._dialect.read_reply(response.body, fields)
                if "top_logprobs" in fields and reply.complete and not reply.refusal:  # that has none on any endpoint
                    self._heed(reply)
                return reply
            lesson = self._lesson(question, features, fields, response)
            if lesson is None:
                raise self._error(response)
            if lesson.features in tried:  # it refuses the limit on the length under either name
                lesson = replace(lesson, features=without_limit(features))
            learnt = lesson.features
            if learnt in tried or self._dialect.body(question, self.parameters, learnt) == fields:
                raise self._error(response)
            if self._features == features:
                self._take(question, lesson)
            elif self._features not in tried:
                learnt = self._features  # what others learnt meanwhile, so that nothing is refused twice
            features = learnt
            tried.add(features)

    def _take(self, question: Question, lesson: _Lesson) -> None:
        """The whole run asks so from now on, unless it was about this one answer."""
        if not lesson.one_answer:
            if lesson.features.rung != self._features.rung:
                self._footing = Footing()
            self._features = lesson.features
            self._refused.append(self.address.redact(lesson.said))
        elif not question.down:
            self._stands(kept=False)

    async def _post(self, fields: Mapping[str, object]) -> HttpResponse:
        self.before_request()
        response = await self._http.post(dumps(fields), self._timeout_s)
        self.after_response(response.headers)
        _log.debug("POST %s -> %d, %d bytes", self.address.shown, response.status, len(response.body))
        # Before anything is read or shortened: a key that was cut in half would not be known any more.
        for secret in self.address.secrets:
            response.body = response.body.replace(secret.encode(), b"***")
        return response

    def _lesson(
        self, question: Question, features: Features, fields: Mapping[str, object], response: HttpResponse
    ) -> _Lesson | None:
        """How to ask instead, where an error names something that we can leave out."""
        about_logprobs = "logprobs" in fields and names_logprobs(response.body)
        if response.status not in _MAY_TEACH and not about_logprobs:
            return None
        refusal = self._dialect.read_refusal(response.status, response.body)
        if not about_logprobs and not about_parameters(response.status, refusal.message):
            return None
        error = self._dialect.meaning(refusal)
        if isinstance(error, GiveUp):
            ours_to_mend = error.status is Status.FAILED
        else:
            ours_to_mend = response.status in _MAY_TEACH - {400, 422}
        if not ours_to_mend and not about_logprobs:
            return None  # it is about the content or the model: leaving a parameter out would not help
        ours = frozenset(fields) - frozenset(self.parameters.extra_body) - {"model", "messages"}
        if any(message.role == "system" for message in question.messages):
            ours |= {"system"}
        changed = self._dialect.adapt(features, sent=ours, parameter=refusal.parameter, message=refusal.message)
        if changed is None or (not ours_to_mend and changed.top_logprobs == features.top_logprobs):
            return None
        if question.room > 1 and changed.max_tokens_name != features.max_tokens_name:
            return None  # the name was taken before: it is the number that is too large
        lower = changed.rung != features.rung
        one_answer = lower and about_one_answer(refusal.code, refusal.message)
        if lower and question.down and not one_answer:  # it takes the rung that it stands on
            changed = without_rung(features, features.rung + question.down)
        changed = by_value(features, changed, fields)
        return _Lesson(changed, " ".join(refusal.message.split())[:200], one_answer)

    def _heed(self, reply: Reply) -> None:
        """Ask for no more log probabilities where they are taken and dropped."""
        if self._dropping.found(given=bool(reply.tokens)):
            self._features = replace(self._features, top_logprobs=0)
            self._on_learnt(self._features, "gives no log probabilities, so its verdicts are hard,")

    def _tell(self) -> None:
        """Pass on what was learnt once it got an answer: an endpoint that refuses everything teaches nothing."""
        if self._refused:
            refused, self._refused = self._refused, []
            self._on_learnt(self._features, f"refused a parameter ({'; '.join(dict.fromkeys(refused))})")

    def _error(self, response: HttpResponse) -> AifeedbackError:
        refusal = self._dialect.read_refusal(response.status, response.body, retry_after(response.headers))
        error = self._dialect.meaning(refusal)
        if isinstance(error, CriticGone) and response.status in {401, 403}:
            error = CriticGone(f"{error} Sent to {self.address.shown}: {self.address.key_note}.")
        if 300 <= response.status < 400:
            said = f"{self.address.shown} redirects elsewhere ({response.status}), and requests are not redirected. Name the right address with --base-url."
            error = Hiccup(said) if self._answered else CriticGone(said)
        error.free = error.free or 300 <= response.status < 500
        return error

    def _redacted(self, reply: Reply) -> Reply:
        """An endpoint may echo what it was sent; a key must not reach the store or the labels that way."""
        texts = (reply.content, reply.reasoning, reply.refusal, reply.finish_reason, reply.model, reply.fingerprint)
        secrets = self.address.secrets
        tokens = "\n".join(text for token in reply.tokens for text, _ in token.alternatives) if secrets else ""
        if not any(secret in text for secret in secrets for text in (*texts, tokens)):
            return reply
        content, reasoning, refusal, finish_reason, model, fingerprint = map(self.address.redact, texts)
        # Its tokens would no longer be where they stand in the text.
        return Reply(content, reasoning, refusal, finish_reason, model, fingerprint, reply.rung, reply.usage)
