"""What a labelling job would do: pairs, requests, tokens and one rendered prompt, without asking anybody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing

from aifeedback.critics import Critic
from aifeedback.errors import TemplateError
from aifeedback.files import Reader
from aifeedback.job import Job, usable
from aifeedback.keys import Keys
from aifeedback.lanes import CriticSettings, asked_of, check, most_for, price_of
from aifeedback.prices import FREE, in_dollars, usd
from aifeedback.records import Invalid, Question, Status, Usage
from aifeedback.rows import Shaper, identical
from aifeedback.store import Store
from aifeedback.templates import Template

# English runs at about four bytes a token; other scripts at fewer, so their figure is an upper bound.
_BYTES_A_TOKEN = 4
# Tokens of a reply: a letter and what belongs to it; some sentences of reasoning, without a reasoning model's thinking.
_LETTER, _REASONED = 10, 250


def plan(job: Job, *, environment: Mapping[str, str]) -> str:
    """The plan as text. Raises what the job itself would raise before its first question, but needs no key."""
    job.check_places()
    reader = Reader(job.inputs, job.input_settings)
    reader.check()
    check(job.critics, environment, job.label_settings.asking, needs_key=False)
    costs = [_Cost(critic, job, environment) for critic in job.critics]
    asked = [asked_of(critic, job.label_settings.ask, environment, job.context) for critic in job.critics]
    keys = [Keys(each) for each in asked]
    renderer, shaper, ask = job.renderer(), Shaper(job.output_settings), job.label_settings.ask
    counts: Counter[str] = Counter()
    seen: set[bytes] = set()
    shown: Question | None = None
    # Only a store that is there already can hold anything, and a plan leaves nothing behind.
    with closing(Store(job.store if job.store and job.store.exists() else None, begin=False)) as store:
        for chunk in usable(reader, job.inputs):
            for item in chunk:
                if job.label_settings.limit and counts["pairs"] >= job.label_settings.limit:
                    break
                counts["pairs"] += 1
                if isinstance(item, Invalid) or shaper.refuse(item):
                    counts[Status.INVALID] += 1
                    continue
                if identical(item):
                    counts["identical"] += 1
                    continue
                try:
                    questions = renderer.questions(item, ask.orders, ask.samples)
                except TemplateError:
                    counts[Status.INVALID] += 1
                    continue
                shown = shown or questions[0]
                wanted = [
                    (question, each.key(question), cost)
                    for each, cost in zip(keys, costs, strict=True)
                    for question in questions
                ]
                stored = store.find([key for _, key, _ in wanted])
                for question, key, cost in wanted:
                    if key.digest in stored or key.digest in seen:
                        counts["stored"] += 1
                        continue
                    seen.add(key.digest)
                    counts["requests"] += 1
                    size = sum(len(message.content.encode()) for message in question.messages)
                    counts["bytes"] += size
                    cost.add(question, size)
    return _text(job, counts, costs, shown)


class _Cost:
    """What one critic's requests will cost: about, and at most."""

    def __init__(self, critic: CriticSettings | Critic, job: Job, environment: Mapping[str, str]) -> None:
        ask = job.label_settings.ask
        self.name = critic.endpoint.critic if isinstance(critic, CriticSettings) else critic.name
        self.price = price_of(critic, job.label_settings.asking, environment)
        self.about = 0
        self.most = 0
        self._most = most_for(critic, ask, environment)
        self._output = min(ask.max_tokens, _reply_tokens(job.template))

    def add(self, question: Question, size: int) -> None:
        """Count one request whose messages have `size` bytes."""
        if self.price is not None and self.price is not FREE:
            self.about += self.price.of(Usage(input=size // _BYTES_A_TOKEN, output=self._output))
            self.most += self.price.most(self._most(question))


def _reply_tokens(template: Template) -> int:
    return _LETTER if template.format.kind == "letter" else _REASONED


def _cost_lines(job: Job, costs: Sequence[_Cost]) -> list[str]:
    unknown = [cost.name for cost in costs if cost.price is None]
    limit = job.label_settings.asking.max_cost_usd
    if unknown:
        return [f"cost        unknown: nobody lists a price of {', '.join(unknown)}. Name it: --price INPUT,OUTPUT"]
    if all(cost.price is FREE for cost in costs):
        return ["cost        nothing"]
    about, most = (in_dollars(usd(sum(each))) for each in zip(*((c.about, c.most) for c in costs), strict=True))
    stop = f"; --max-cost ends the run before it can pass {in_dollars(limit)}" if limit is not None else ""
    tokens = _reply_tokens(job.template)
    return [
        f"cost        about {about} if a reply has {tokens} tokens, at most {most} without failures{stop}",
        *(f"price       {cost.name}: {cost.price}" for cost in costs),
    ]


def _text(job: Job, counts: Counter[str], costs: Sequence[_Cost], shown: Question | None) -> str:
    requests, ask = counts["requests"], job.label_settings.ask
    lines = [
        f"critic      {job.critic_name}, asked by {job.template.label} for {job.criteria.name!r}",
        f"pairs       {counts['pairs']} ({counts[Status.INVALID]} invalid, {counts['identical']} with identical responses: not asked)",
        f"requests    {requests} ({counts['stored']} more are answered from the store)",
        f"tokens      about {counts['bytes'] // _BYTES_A_TOKEN} in, at most {requests * ask.max_tokens} out",
        *_cost_lines(job, costs),
    ]
    if shown is not None:
        lines.append(f"\nOne prompt of {len(shown.messages)} messages, order {shown.order}:")
        lines += [f"\n--- {message.role} ---\n{message.content}" for message in shown.messages]
    return "\n".join(lines)
