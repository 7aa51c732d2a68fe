"""What the test server does with a request: chat completions and messages with planted faults, models, and its own tally."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qs, urlsplit

import orjson
from aiohttp import web

from aifeedback.errors import SettingsError
from aifeedback.testing.answers import Answering, shaped
from aifeedback.testing.apis import CHAT, MESSAGES, Api
from aifeedback.testing.asked import Asked
from aifeedback.testing.faults import Conditions, Fault, conditions_from, draw
from aifeedback.testing.pace import Bucket
from aifeedback.testing.refusals import Refusal, error, rate_limited
from aifeedback.testing.tally import Tally
from aifeedback.testing.wire import WAYS, Parcel, deliver


class Service:
    """Answers questions in the way of `answering`, under `conditions`, and keeps a tally.

    `go_down` is called with a number of seconds (0: for good) once `down_after` questions were answered.
    """

    def __init__(self, answering: Answering, conditions: Conditions, tally: Tally, models: Sequence[str]) -> None:
        self.tally = tally
        self.go_down: Callable[[float], None] = lambda _seconds: None
        self._answering = answering
        self._models = [{"id": name, "object": "model", "created": 0, "owned_by": "testing"} for name in models]
        self._set(conditions)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one HTTP request."""
        api = next((api for api in (CHAT, MESSAGES) if request.path.endswith(api.path)), None)
        if request.method == "POST" and api is not None:
            self.tally.in_flight += 1
            self.tally.max_in_flight = max(self.tally.max_in_flight, self.tally.in_flight)
            try:
                return await self._ask(request, api)
            finally:
                self.tally.in_flight -= 1
        if request.method == "GET" and request.path.endswith("/models"):
            return _json({"object": "list", "data": self._models})
        return await self._control(request)

    async def _control(self, request: web.BaseRequest) -> web.StreamResponse:
        address = urlsplit(request.raw_path)
        match request.method, address.path:
            case "GET", "/_stats":
                return _json(self.tally.stats())
            case "GET", "/_requests":
                since = parse_qs(address.query).get("since", ["0"])[0]
                return _json({"requests": self.tally.since(int(since) if since.isdecimal() else 0)})
            case "POST", "/_reset":
                self.tally = self.tally.afresh()
                self._set(self._conditions)
                return _json({})
            case "POST", "/_faults":
                return self._changed(await request.content.read())
        return _refused(error(404, f"There is no {request.method} {address.path} here.", code="unknown_url"))

    def _changed(self, body: bytes) -> web.StreamResponse:
        try:
            self._set(conditions_from(orjson.loads(body), self._conditions))
        except (orjson.JSONDecodeError, SettingsError) as wrong:
            return _refused(error(400, str(wrong)))
        return _json({})

    def _set(self, conditions: Conditions) -> None:
        self._conditions = conditions
        self._bucket = Bucket(conditions.rpm) if conditions.rpm else None
        self._down_at = self.tally.answered + conditions.down_after if conditions.down_after else 0
        self._slow_from = self.tally.answered + conditions.slower_after if conditions.slower_after else math.inf

    async def _ask(self, request: web.BaseRequest, api: Api) -> web.StreamResponse:
        raw = await request.content.read()
        try:
            asked = api.read(raw, request.headers)
        except ValueError as wrong:
            self.tally.requests += 1
            return _refused(api.worded(error(400, str(wrong))))
        self.tally.arrived(request.raw_path, request.headers, raw, asked.question)
        limited = self._limited()
        if limited is not None:
            return _refused(api.worded(limited))
        attempt = self.tally.attempt(asked.question)
        struck = self._conditions.striking(asked.question, attempt, asked.body.get("model"))
        await self._delay(struck, asked.question, attempt)
        for fault in struck:
            refused = api.refusal(fault, asked.body)
            if refused is not None:
                self.tally.faults[fault.kind] += 1
                return _refused(refused, api.limits(self._headers()))
        return await self._answer(request, api, asked, struck)

    async def _answer(
        self, request: web.BaseRequest, api: Api, asked: Asked, struck: Sequence[Fault]
    ) -> web.StreamResponse:
        answer = self._answering(asked)
        if answer is None:
            return _refused(api.worded(error(404, "There is no answer to this question.", code="unknown_question")))
        self.tally.blind += answer.blind
        answer, shapes = shaped(asked, answer, struck)
        whole = api.whole(asked, answer, self.tally.prefixes)
        travel = next((fault for fault in struck if fault.kind in WAYS), None)
        usage = whole["usage"]
        assert isinstance(usage, dict), "an answer says what it took"
        read, written = api.tokens(usage)
        self.tally.input_tokens += read
        self.tally.output_tokens += written
        self.tally.faults.update([*shapes, travel.kind] if travel else shapes)
        response = await deliver(Parcel(request, orjson.dumps(whole), api.limits(self._headers())), travel)
        if response is None:
            return web.Response()  # to nobody: the connection is gone
        self.tally.answered += 1
        if self.tally.answered == self._down_at:
            self.go_down(self._conditions.down_for)
        return response

    def _limited(self) -> Refusal | None:
        if self._bucket is not None and not self._bucket.take(asyncio.get_running_loop().time()):
            self.tally.faults["rpm"] += 1
            headers = self._bucket.headers() | self._bucket.retry_after()
            return rate_limited("Rate limit reached for requests per minute.", headers)
        most = self._conditions.max_in_flight
        if most and self.tally.in_flight > most:
            self.tally.faults["max-in-flight"] += 1
            return rate_limited(f"More than {most} requests at the same time.", self._headers())
        return None

    def _headers(self) -> dict[str, str]:
        return self._bucket.headers() if self._bucket is not None else {}

    async def _delay(self, struck: Sequence[Fault], question: str, attempt: int) -> None:
        seconds = 0.0
        for fault in struck:
            if fault.kind == "latency":
                seconds += fault.number
            elif fault.kind == "jitter":
                seconds += fault.number * draw(self._conditions.seed, "seconds of jitter", question, attempt)
        if self.tally.answered >= self._slow_from:
            seconds *= self._conditions.slower_by
        if seconds:
            await asyncio.sleep(seconds)


def _json(value: object) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")


def _refused(refused: Refusal, headers: Mapping[str, str] | None = None) -> web.Response:
    all_headers = {"Content-Type": refused.content_type, **(headers or {}), **refused.headers}
    return web.Response(status=refused.status, body=refused.body, headers=all_headers)
