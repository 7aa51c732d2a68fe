"""What a labelling job would do: pairs, requests, tokens and one rendered prompt, without asking anybody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import closing

from aifeedback.errors import TemplateError
from aifeedback.files import Reader
from aifeedback.job import Job, usable
from aifeedback.keys import Keys
from aifeedback.lanes import asked_of
from aifeedback.records import Invalid, Question, Status
from aifeedback.rows import Shaper, identical
from aifeedback.store import Store

# English runs at about four bytes a token; other scripts at fewer, so their figure is an upper bound.
_BYTES_A_TOKEN = 4


def plan(job: Job, *, environment: Mapping[str, str]) -> str:
    """The plan as text. Raises what the job itself would raise before its first question, but needs no key."""
    job.check_places()
    reader = Reader(job.inputs, job.input_settings)
    reader.check()
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
                wanted = [(question, each.key(question)) for each in keys for question in questions]
                stored = store.find([key for _, key in wanted])
                for question, key in wanted:
                    if key.digest in stored or key.digest in seen:
                        counts["stored"] += 1
                        continue
                    seen.add(key.digest)
                    counts["requests"] += 1
                    counts["bytes"] += sum(len(message.content.encode()) for message in question.messages)
    return _text(job, counts, shown)


def _text(job: Job, counts: Counter[str], shown: Question | None) -> str:
    requests, ask = counts["requests"], job.label_settings.ask
    lines = [
        f"critic      {job.critic_name}, asked by {job.template.label} for {job.criteria.name!r}",
        f"pairs       {counts['pairs']} ({counts[Status.INVALID]} invalid, {counts['identical']} with identical responses: not asked)",
        f"requests    {requests} ({counts['stored']} more are answered from the store)",
        f"tokens      about {counts['bytes'] // _BYTES_A_TOKEN} in, at most {requests * ask.max_tokens} out",
        "cost        unknown: no price list is consulted" if job.critic_name != "builtin" else "cost        nothing",
    ]
    if shown is not None:
        lines.append(f"\nOne prompt of {len(shown.messages)} messages, order {shown.order}:")
        lines += [f"\n--- {message.role} ---\n{message.content}" for message in shown.messages]
    return "\n".join(lines)
