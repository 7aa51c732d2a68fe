"""What a labelling job would do: pairs, requests, tokens and one rendered prompt, without asking anybody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing

from aifeedback.critics import Critic
from aifeedback.errors import TemplateError
from aifeedback.files import Reader
from aifeedback.job import Job, usable
from aifeedback.keys import Keys
from aifeedback.lanes import CriticSettings, asked_of, check, most_for, name_of, price_of
from aifeedback.prices import FREE, in_dollars, usd
from aifeedback.records import Invalid, Pair, Question, Status, Usage
from aifeedback.replies import open_store
from aifeedback.rows import Shaper, identical
from aifeedback.store import Store
from aifeedback.templates import Template

# English runs at about four bytes a token; other scripts at fewer, so their figure is an upper bound.
_BYTES_A_TOKEN = 4
# Tokens of a reply: a letter and what belongs to it; some sentences of reasoning, without a reasoning model's thinking.
_LETTER, _REASONED = 10, 250


def plan(job: Job, *, environment: Mapping[str, str], asked: Callable[[Pair], bool] = lambda _: True) -> str:
    """The plan as text, of the pairs that are `asked` about. Raises what the job itself would raise before its first question, but needs no key."""
    job.check_places()
    reader = Reader(job.inputs, job.input_settings)
    reader.check()
    check(job.everybody, environment, job.label_settings.asking, needs_key=False)
    ask = job.label_settings.ask
    critics = [_Critic(critic, job, environment) for critic in job.everybody]
    renderer, shaper = job.renderer(), Shaper(job.output_settings)
    counts: Counter[str] = Counter()
    seen: set[bytes] = set()
    shown: Question | None = None
    with closing(_store(job)) as store:
        for chunk in usable(reader, job.inputs):
            for item in chunk:
                if isinstance(item, Pair) and not asked(item):
                    counts["unwanted"] += 1
                    continue
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
                wanted = [(question, each.keys.key(question), each) for each in critics for question in questions]
                stored = store.find([key for _, key, _ in wanted])
                for question, key, critic in wanted:
                    if key.digest in stored or key.digest in seen:
                        critic.stored += 1
                        continue
                    seen.add(key.digest)
                    critic.add(question)
    return _text(job, counts, critics, shown)


def _store(job: Job) -> Store:
    """Only a store that is there already can hold anything, and a plan leaves nothing behind."""
    if job.replay:
        return open_store(job.store, replay=True)
    return Store(job.store if job.store and job.store.exists() else None, begin=False)


class _Critic:
    """One critic's part of the plan: how many requests it gets, and what they will cost, about and at most."""

    def __init__(self, critic: CriticSettings | Critic, job: Job, environment: Mapping[str, str]) -> None:
        ask = job.label_settings.ask
        self.name = name_of(critic)
        self.price = price_of(critic, job.label_settings.asking, environment)
        self.keys = Keys(asked_of(critic, ask, environment, job.context))
        self.stored = 0
        self.requests = 0
        self.bytes = 0
        self.about = 0
        self.most = 0
        self.longest = 0
        self._most = most_for(critic, ask, environment)
        self._output = min(ask.max_tokens, _reply_tokens(job.template))

    def add(self, question: Question) -> None:
        """Count one request."""
        size = sum(len(message.content.encode()) for message in question.messages)
        self.requests += 1
        self.bytes += size
        # No reply may be longer than another: one look tells for all.
        self.longest = self.longest or self._most(question).output
        if self.price is not None and self.price is not FREE:
            self.about += self.price.of(Usage(input=size // _BYTES_A_TOKEN, output=self._output))
            self.most += self.price.most(self._most(question))


def _reply_tokens(template: Template) -> int:
    return _LETTER if template.format.kind == "letter" else _REASONED


def _cost_lines(job: Job, first: Sequence[_Critic], strong: Sequence[_Critic]) -> list[str]:
    critics = [*first, *strong]
    unknown = [critic.name for critic in critics if critic.price is None]
    limit = job.label_settings.asking.max_cost_usd
    if unknown:
        return [f"cost        unknown: nobody lists a price of {', '.join(unknown)}. Name it: --price INPUT,OUTPUT"]
    if all(critic.price is FREE for critic in critics):
        return ["cost        nothing"]
    about, most = in_dollars(usd(sum(c.about for c in first))), in_dollars(usd(sum(c.most for c in critics)))
    stop = f"; --max-cost ends the run before it can pass {in_dollars(limit)}" if limit is not None else ""
    tokens = _reply_tokens(job.template)
    doubt = f" and no pair is in doubt ({in_dollars(usd(strong[0].about))} more if all are)" if strong else ""
    return [
        f"cost        about {about} if a reply has {tokens} tokens{doubt}, at most {most} without failures{stop}",
        *(f"price       {critic.name}: {critic.price}" for critic in critics),
    ]


def _text(job: Job, counts: Counter[str], critics: Sequence[_Critic], shown: Question | None) -> str:
    first, strong = critics[: len(job.critics)], critics[len(job.critics) :]
    requests = sum(critic.requests for critic in first)
    lines = [
        f"critic      {job.critic_name}, asked by {job.template.label} for {job.criteria.name!r}",
        f"pairs       {counts['pairs']} ({counts[Status.INVALID]} invalid, {counts['identical']} with identical responses: not asked)",
        *([f"left out    {counts['unwanted']} pairs with neither gold nor votes"] if counts["unwanted"] else []),
        f"requests    {requests} ({sum(critic.stored for critic in first)} more are answered from the store)",
        *(
            f"escalation  at most {critic.requests} more, to {critic.name} ({critic.stored} are answered from the store)"
            for critic in strong
        ),
        f"tokens      about {sum(critic.bytes for critic in first) // _BYTES_A_TOKEN} in, at most {sum(critic.requests * critic.longest for critic in first)} out",
        *_cost_lines(job, first, strong),
    ]
    if job.replay:
        missing = f"{requests} of these replies are missing, and it would end with exit code 2"
        lines.insert(0, f"replay      {missing if requests else 'nobody is asked: all replies are in the store'}")
    if shown is not None:
        lines.append(f"\nOne prompt of {len(shown.messages)} messages, order {shown.order}:")
        lines += [f"\n--- {message.role} ---\n{message.content}" for message in shown.messages]
    return "\n".join(lines)
