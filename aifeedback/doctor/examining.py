"""A critic examined: the requests sent, a few at a time, and the answers put together to a report."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median

from aifeedback.doctor import probes
from aifeedback.doctor.advice import toml_lines, verdict_on
from aifeedback.doctor.answers import Answer, choices_in, holds_logprobs, thinking_field
from aifeedback.doctor.causes import cause_of, sharpened, what_and_advice
from aifeedback.doctor.findings import Cause, Finding, Report
from aifeedback.doctor.probes import PROBES, Probe
from aifeedback.endpoints.address import Address, resolve
from aifeedback.endpoints.dialects import DIALECTS
from aifeedback.endpoints.http import Http, HttpResponse
from aifeedback.endpoints.limits import Allowance, Limits, read_limits, retry_after
from aifeedback.errors import AifeedbackError, Busy, GiveUp, Hiccup, SettingsError
from aifeedback.jsontext import dumps
from aifeedback.lanes import BUILTIN, CriticSettings, price_of
from aifeedback.prices import Price, in_dollars, usd
from aifeedback.records import Usage
from aifeedback.settings import AskingSettings

_log = logging.getLogger(__name__)

_AT_A_TIME = 4
_PLAIN_ROUNDS = 3
_LONGEST_WAIT_S = 30.0
_WAIT_S = 1.0
"""How long a 429 that names no time is left alone."""


async def examine(
    critic: CriticSettings, asking: AskingSettings, environment: Mapping[str, str], *, timeout_s: float, name: str = ""
) -> Report:
    """All about one critic, called `name` in the lines for aifeedback.toml. Raises nothing: what goes wrong is the report."""
    settings = critic.endpoint
    if settings.critic == BUILTIN:
        found = Report(
            BUILTIN, verdict="Usable. It is part of this package: no endpoint is asked, there is nothing to find out."
        )
        return replace(found, toml=('critic = "builtin"',))
    try:
        address = resolve(settings, environment)
        price = price_of(critic, asking, environment)
        http = Http(address.url, address.headers, connections=_AT_A_TIME)
        async with http:
            report = await _Examination(address, http, settings.extra_body, price, timeout_s).report(settings.critic)
    except SettingsError as error:
        cause = Cause("settings", *what_and_advice(str(error)))
        return Report(settings.critic, cause=cause, verdict=f"Not usable: {cause}")
    report = report.redacted(lambda text: _on_one_line(address.redact(text)))
    report = replace(report, verdict=verdict_on(report))
    named = critic.price or asking.price
    lines = toml_lines(report, critic, address, environment, name=name, price=named)
    return replace(report, toml=lines).redacted(address.redact)


def _on_one_line(text: str) -> str:
    """What a server says, without what would steer a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


class _Examination:
    """One address, and what has been sent there so far."""

    def __init__(
        self, address: Address, http: Http, extra_body: Mapping[str, object], price: Price | None, timeout_s: float
    ) -> None:
        self._address = address
        self._http = http
        self._extra_body = extra_body
        self._price = price
        self._timeout_s = timeout_s
        self._dialect = DIALECTS[address.dialect]
        self._slots = asyncio.Semaphore(_AT_A_TIME)
        self._answers: list[Answer] = []
        self._requests = 0
        self._limited_by_user = not extra_body.keys().isdisjoint(probes.LIMIT_NAMES)
        self._limit_name = probes.LIMIT_NAMES[0]
        self._room = probes.ROOM
        self._limits = Limits()

    async def report(self, critic: str) -> Report:
        """The findings, in the order in which they are shown."""
        report = Report(critic, self._address.shown, self._address.dialect)
        first, limits_found = await self._first()
        listed, whole, models_status = await self._models() if first.status else ([], False, 0)
        model = probes.judge_model(self._address.model, listed, whole=whole, answers=first.reply is not None)
        text = probes.read_text(first)
        cause = self._cause(first, text)
        if cause is not None:
            cause = sharpened(cause, model, listed, models_status=models_status, key_note=self._address.key_note)
            if cause.kind == "model":
                model = replace(model, outcome="no", detail=str(cause))
            if cause.kind != "empty":
                text = Finding("text", "unknown", "not got that far")
        findings = [self._reach(first, cause), self._key(first, cause), model, text]
        if cause is None:
            plain = [first, *await self._again()]
            findings += [_latency(plain), _usage(first)]
            left = [probe for probe in PROBES[self._address.dialect] if probe.name not in limits_found]
            probed = await asyncio.gather(*(self._probe(probe, first) for probe in left))
            by_name = {
                found.name: found for found in (*probed, *probes.elsewhere(self._address.dialect))
            } | limits_found
            findings += [by_name[name] for name in probes.ASKED]
            findings += [probes.read_thinking(self._answers), _served(self._answers)]
        findings += [_limits(self._limits), self._priced(), self._spent()]
        return replace(report, cause=cause, findings=tuple(findings))

    async def _first(self) -> tuple[Answer, dict[str, Finding]]:
        """The plain question, with the limit on its length under the first name that is taken; and which were refused."""
        names: tuple[str, ...] = probes.LIMIT_NAMES[:1]
        if self._address.dialect == "chat":
            names = ("",) if self._limited_by_user else (*probes.LIMIT_NAMES, "")
        refused: dict[str, Finding] = {}
        answer = Answer()
        for name in names:
            self._limit_name = name
            answer = await self._ask(self._plain())
            about_limit = isinstance(answer.error, GiveUp) and answer.refused and answer.names(probes.LIMIT)
            if not about_limit or not name:
                break
            refused[name] = Finding(name, "refused", f"{answer.status}: {answer.said[:160]}")
        if answer.cut_off_empty:
            self._room = probes.MORE_ROOM
            answer = await self._ask(self._plain())
        return answer, refused

    async def _again(self) -> list[Answer]:
        return list(await asyncio.gather(*(self._ask(self._plain()) for _ in range(_PLAIN_ROUNDS - 1))))

    def _plain(self) -> dict[str, object]:
        return probes.plain(self._address.model, self._limit_name, self._room)

    async def _probe(self, probe: Probe, plain: Answer) -> Finding:
        changed = {name for way in probe.ways for name in way}
        changed |= set(probes.LIMIT_NAMES) if changed & set(probes.LIMIT_NAMES) else set()
        taken = sorted(changed & self._extra_body.keys())
        if taken:
            return Finding(probe.name, "unknown", f"--extra-body sets {', '.join(taken)} in each request")
        answer = Answer()
        for way in probe.ways:
            fields = self._plain() | dict(way)
            if probe.name in probes.LIMIT_NAMES and self._limit_name not in way:
                fields.pop(self._limit_name, None)
            answer = await self._ask(fields)
            if answer.refused and not answer.names(probe.about):  # a hiccup may look like that
                answer = await self._ask(fields)
            if answer.cut_off_empty and self._limit_name and fields.get(self._limit_name) == probes.ROOM:
                answer = await self._ask(fields | {self._limit_name: probes.MORE_ROOM})
            if not answer.refused:
                break
        return probe.judge(probe.name, plain, answer)

    async def _ask(self, fields: Mapping[str, object]) -> Answer:
        """One answer; what is turned away for now is asked once more after the time that it names, what failed at once."""
        async with self._slots:
            answer = await self._send(fields)
            if isinstance(answer.error, Busy):
                await asyncio.sleep(min(answer.error.retry_after_s or _WAIT_S, _LONGEST_WAIT_S))
                answer = await self._send(fields)
            elif isinstance(answer.error, Hiccup) and not answer.timed_out:
                second = await self._send(fields)
                answer = second if second.status or not answer.status else answer
        self._answers.append(answer)
        return answer

    async def _send(self, fields: Mapping[str, object]) -> Answer:
        sent = dict(fields) | dict(self._extra_body)
        self._requests += 1
        began = time.perf_counter()
        try:
            response = await self._http.post(dumps(sent), self._timeout_s)
        except AifeedbackError as error:
            return Answer(sent, error=error)
        seconds = time.perf_counter() - began
        self._safe(response, "POST")
        limits = read_limits(response.headers)
        self._limits = Limits(limits.requests or self._limits.requests, limits.tokens or self._limits.tokens)
        if response.status == 200:
            try:
                reply = self._dialect.read_reply(response.body, sent)
            except AifeedbackError as error:
                return Answer(sent, 200, error=error)
            came = choices_in(response.body)
            thought_in = thinking_field(response.body) or "the reasoning" * bool(reply.reasoning.strip())
            odd = not reply.tokens and holds_logprobs(response.body)
            return Answer(sent, 200, reply, seconds=seconds, choices=came, thought_in=thought_in, odd_logprobs=odd)
        refusal = self._dialect.read_refusal(response.status, response.body, retry_after(response.headers))
        meant = self._dialect.meaning(refusal)
        return Answer(sent, response.status, error=meant, said=" ".join(refusal.message.split()))

    async def _models(self) -> tuple[list[str], bool, int]:
        """The models that the endpoint lists, whether that is all of them, and the status; none where it keeps no list."""
        try:
            response = await self._http.get(self._address.models_url, self._timeout_s)
        except AifeedbackError:
            return [], False, 0
        self._safe(response, "GET")
        names, whole = probes.read_models(response.body) if response.status == 200 else ([], False)
        return names, whole, response.status

    def _safe(self, response: HttpResponse, method: str) -> None:
        """Before anything is read or shortened: a key that was cut in half would not be known any more."""
        _log.debug("%s %s -> %d, %d bytes", method, self._address.shown, response.status, len(response.body))
        for secret in self._address.secrets:
            response.body = response.body.replace(secret.encode(), b"***")

    def _cause(self, first: Answer, text: Finding) -> Cause | None:
        """Why it can't be used; None where it can."""
        if first.reply is None:
            return cause_of(first, shown=self._address.shown, key_note=self._address.key_note)
        if text.outcome == "empty" and not first.cut_off_empty:
            return Cause(
                "empty", "it answers a plain question with nothing", "Look at its own log, or try another model"
            )
        return None

    def _reach(self, first: Answer, cause: Cause | None) -> Finding:
        if first.status and (cause is None or cause.kind not in {"redirect", "proxy", "tls"}):
            return Finding("reach", "yes", self._address.shown)
        return Finding("reach", "no", f"{self._address.shown}: {cause.what if cause else 'no answer'}")

    def _key(self, first: Answer, cause: Cause | None) -> Finding:
        note = self._address.key_note
        if cause is not None and cause.kind == "key":
            return Finding("key", "refused", note)
        if first.reply is None:
            return Finding("key", "unknown", note)
        if note.startswith("no key"):
            return Finding("key", "yes", "none was sent, and none was asked for")
        return Finding("key", "yes", f"{note} was sent and not refused")

    def _priced(self) -> Finding:
        if self._price is None:
            return Finding("price", "unknown", "not in the price list; name it with --price INPUT,OUTPUT")
        return Finding("price", "yes", str(self._price))

    def _spent(self) -> Finding:
        usages = [answer.reply.usage for answer in self._answers if answer.reply is not None]
        total = Usage(sum(each.input for each in usages), output=sum(each.output for each in usages))
        data: dict[str, object] = {"requests": self._requests, "input": total.input, "output": total.output}
        detail = f"{self._requests} request{'s' * (self._requests != 1)}, {total.input} tokens in, {total.output} out"
        if self._price is not None:
            cost = usd(sum(map(self._price.of, usages)))
            data["cost_usd"] = cost
            detail += f", {in_dollars(cost)}"
        return Finding("spent", "yes", detail, data)


def _latency(plain: Sequence[Answer]) -> Finding:
    seconds = [answer.seconds for answer in plain if answer.reply is not None]
    middle = median(seconds)
    shown = f"{middle:.1f} s" if middle >= 1 else f"{1000 * middle:.0f} ms"
    return Finding("latency", "yes", f"{shown} (median of {len(seconds)})", {"seconds": round(middle, 4)})


def _usage(first: Answer) -> Finding:
    usage = first.reply.usage if first.reply is not None else Usage()
    if not usage.input:
        return Finding("usage", "no", "replies don't say what they took")
    cost = "" if usage.cost_usd is None else f", and what it cost ({in_dollars(usage.cost_usd)})"
    return Finding("usage", "yes", f"{usage.input} tokens in, {usage.output} out{cost}")


def _served(answers: Sequence[Answer]) -> Finding:
    """Which model and fingerprint answered; several where they change between requests."""
    replies = [answer.reply for answer in answers if answer.reply is not None]
    models = list(dict.fromkeys(reply.model for reply in replies if reply.model))
    prints = list(dict.fromkeys(reply.fingerprint for reply in replies if reply.fingerprint))
    data = {"models": models, "fingerprints": prints}
    if not models:
        return Finding("served", "unknown", "replies don't name a model", data)
    shown = f"{', '.join(models)}; fingerprint {', '.join(prints) or 'not named'}"
    changes = "; it changed between requests" if len(models) > 1 or len(prints) > 1 else ""
    return Finding("served", "yes", shown + changes, data)


def _limits(limits: Limits) -> Finding:
    found = [(name, each) for name, each in (("requests", limits.requests), ("tokens", limits.tokens)) if each]
    data: dict[str, object] = {name: {"a_minute": each.a_minute or None, "left": each.left} for name, each in found}
    if not found:
        return Finding("limits", "no", "headers name none")
    return Finding("limits", "yes", "; ".join(_allowance(name, each) for name, each in found), data)


def _allowance(name: str, allowance: Allowance) -> str:
    most = f"{allowance.a_minute:.10g} {name} a minute" if allowance.a_minute else name
    return most if allowance.left is None else f"{most}, {allowance.left:.10g} left"
